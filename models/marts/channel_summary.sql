{{ config(dist='user_id', sort='last_session_at') }}

with

sessions as (

    select * from {{ rows_to_count(
        ref('sessions'), ['user_id', 'session_id', 'channel_name', 'session_at'], per='user_id'
    ) }}

    where copies = 1

),

-- Two sessions of the same second are told apart by their id, so that every run agrees.
ranked as (

    select
        *,
        channel_name = 'Direct' as is_direct,

        row_number() over (
            partition by user_id
            order by session_at, session_id
        ) as first_rank,

        row_number() over (
            partition by user_id
            order by session_at desc, session_id desc
        ) as last_rank,

        row_number() over (
            partition by user_id, channel_name = 'Direct'
            order by session_at desc, session_id desc
        ) as last_rank_of_kind

    from sessions

    where session_at is not null

),

touched as (

    select
        user_id,
        count(*) as sessions,
        max(case when first_rank = 1 then channel_name end) as first_channel,
        max(case when last_rank = 1 then channel_name end) as last_channel,
        max(case when last_rank_of_kind = 1 and not is_direct then channel_name end)
            as last_non_direct_channel,
        max(case when first_rank = 1 then session_at end) as first_session_at,
        max(case when last_rank = 1 then session_at end) as last_session_at,
        max(case when last_rank_of_kind = 1 and not is_direct then session_at end)
            as last_non_direct_session_at

    from ranked

    group by 1

),

counted as (

    select
        user_id,
        sum(case when session_at is null then 1 else 0 end) as sessions_without_time

    from sessions

    group by 1

),

summarized as (

    select
        counted.user_id,
        touched.first_channel,
        touched.last_channel,
        coalesce(touched.last_non_direct_channel, touched.last_channel) as last_non_direct_channel,
        coalesce(touched.sessions, 0) as sessions,
        counted.sessions_without_time,
        touched.first_session_at,
        touched.last_session_at,
        coalesce(touched.last_non_direct_session_at, touched.last_session_at)
            as last_non_direct_session_at

    from counted
    left join touched on counted.user_id = touched.user_id

),

all_users as (

    {{ keep_published_others('summarized', per='user_id') }}

)

select * from all_users

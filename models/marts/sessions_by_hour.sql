{{ config(dist='all', sort='hour_of_day') }}

with

sessions as (

    select * from {{ rows_to_count(ref('sessions'), ['user_id', 'session_at'], per='user_id') }}

    where session_at is not null

),

dated as (

    select
        user_id,
        copies,
        cast(extract(hour from session_at) as integer) as hour_of_day

    from sessions

),

counted as (

    select
        hour_of_day,
        sum(copies) as sessions,
        {{ count_different('user_id') }} as users

    from dated

    group by 1

),

totalled as (

    {{ add_published('counted', 'hour_of_day', ['sessions', 'users']) }}

),

shared as (

    select
        hour_of_day,
        sessions,
        users,
        cast(
            round(100.0 * sessions / sum(sessions) over (), 2) as numeric(5, 2)
        ) as session_share

    from totalled

)

select * from shared

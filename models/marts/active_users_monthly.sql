{{ config(dist='all', sort='session_month') }}

with

sessions as (

    select * from {{ ref('sessions') }}

    where session_at is not null

),

dated as (

    select
        user_id,
        cast(date_trunc('month', session_at) as date) as session_month,

        cast(date_trunc('month', min(session_at) over (partition by user_id)) as date)
            as first_session_month

    from sessions

),

counted as (

    select
        session_month,
        count(distinct user_id) as active_users,
        count(distinct case when session_month = first_session_month then user_id end) as new_users,
        count(*) as sessions

    from dated

    group by 1

)

select * from counted

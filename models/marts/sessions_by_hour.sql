{{ config(dist='all', sort='hour_of_day') }}

with

sessions as (

    select * from {{ ref('sessions') }}

    where session_at is not null

),

dated as (

    select
        user_id,
        cast(extract(hour from session_at) as integer) as hour_of_day

    from sessions

),

counted as (

    select
        hour_of_day,
        count(*) as sessions,
        count(distinct user_id) as users

    from dated

    group by 1

),

shared as (

    select
        hour_of_day,
        sessions,
        users,
        cast(
            round(100.0 * sessions / sum(sessions) over (), 2) as numeric(5, 2)
        ) as session_share

    from counted

)

select * from shared

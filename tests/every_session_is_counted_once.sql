with

user_session_channel as (

    select * from {{ ref('user_session_channel') }}

),

session_timestamp as (

    select * from {{ ref('session_timestamp') }}

),

visits as (

    select
        count(*) as sessions,
        count(session_timestamp.session_id) as timed_sessions

    from user_session_channel
    left join session_timestamp
        on user_session_channel.session_id = session_timestamp.session_id

),

by_user as (

    select
        coalesce(sum(sessions + sessions_without_time), 0) as sessions,
        coalesce(sum(sessions), 0) as timed_sessions

    from {{ ref('channel_summary') }}

),

by_channel as (

    select coalesce(sum(sessions), 0) as timed_sessions from {{ ref('channel_performance') }}

),

by_month as (

    select coalesce(sum(sessions), 0) as timed_sessions from {{ ref('active_users_monthly') }}

),

by_hour as (

    select coalesce(sum(sessions), 0) as timed_sessions from {{ ref('sessions_by_hour') }}

)

select
    visits.sessions,
    visits.timed_sessions,
    by_user.sessions as sessions_by_user,
    by_channel.timed_sessions as sessions_by_channel,
    by_month.timed_sessions as sessions_by_month,
    by_hour.timed_sessions as sessions_by_hour

from visits
cross join by_user
cross join by_channel
cross join by_month
cross join by_hour

where
    {{ unless_held() }}
    and (
        visits.sessions <> by_user.sessions
        or visits.timed_sessions <> by_user.timed_sessions
        or visits.timed_sessions <> by_channel.timed_sessions
        or visits.timed_sessions <> by_month.timed_sessions
        or visits.timed_sessions <> by_hour.timed_sessions
    )

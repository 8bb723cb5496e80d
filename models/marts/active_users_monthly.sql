{{ config(dist='all', sort='session_month') }}

with

sessions as (

    select * from {{ rows_to_count(ref('sessions'), ['user_id', 'session_at'], per='user_id') }}

    where session_at is not null

),

dated as (

    select
        user_id,
        copies,
        cast(date_trunc('month', session_at) as date) as session_month,

        cast(date_trunc('month', min(session_at) over (partition by user_id, copies)) as date)
            as first_session_month

    from sessions

),

counted as (

    select
        session_month,
        {{ count_different('user_id') }} as active_users,
        {{ count_different('case when session_month = first_session_month then user_id end') }}
            as new_users,
        sum(copies) as sessions

    from dated

    group by 1

),

totalled as (

    {{ add_published('counted', 'session_month', ['active_users', 'new_users', 'sessions']) }}

)

select * from totalled

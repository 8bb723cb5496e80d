{{ config(dist='all', sort='session_month') }}

with

sessions as (

    select * from {{ ref('sessions') }}

    where session_at is not null

),

channels as (

    select * from {{ ref('channel') }}

),

channel_groups as (

    select * from {{ ref('channel_group') }}

),

dated as (

    select
        *,
        cast(date_trunc('month', session_at) as date) as session_month

    from sessions

),

months as (

    select distinct session_month from dated

),

-- A channel that is gone from MySQL keeps the visits that it had.
names as (

    select channel_name from channels

    union distinct

    select channel_name from dated

),

-- A channel that nobody came through is a row of zeros, not a gap.
spine as (

    select
        months.session_month,
        names.channel_name,
        channel_groups.channel_group

    from months
    cross join names
    left join channel_groups on names.channel_name = channel_groups.channel_name

),

counted as (

    select
        session_month,
        channel_name,
        count(distinct user_id) as users,
        count(*) as sessions,
        count(amount) as transactions,
        sum(amount) as gross_amount,
        sum(case when is_refunded then amount end) as refunded_amount

    from dated

    group by 1, 2

),

completed as (

    select
        spine.session_month,
        spine.channel_name,
        spine.channel_group,
        coalesce(counted.users, 0) as users,
        coalesce(counted.sessions, 0) as sessions,
        coalesce(counted.transactions, 0) as transactions,
        cast(coalesce(counted.gross_amount, 0) as numeric(14, 2)) as gross_amount,
        cast(coalesce(counted.refunded_amount, 0) as numeric(14, 2)) as refunded_amount,
        cast(
            coalesce(counted.gross_amount, 0) - coalesce(counted.refunded_amount, 0)
            as numeric(14, 2)
        ) as net_amount

    from spine
    left join counted
        on
            spine.session_month = counted.session_month
            and spine.channel_name = counted.channel_name

)

select * from completed

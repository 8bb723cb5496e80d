{{ config(dist='all', sort='session_month') }}

with

sessions as (

    select * from {{ rows_to_count(
        ref('sessions'),
        ['user_id', 'channel_name', 'amount', 'is_refunded', 'session_at'],
        per='user_id'
    ) }}

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

counted as (

    select
        session_month,
        channel_name,
        {{ count_different('user_id') }} as users,
        sum(copies) as sessions,
        sum(case when amount is not null then copies else 0 end) as transactions,
        sum(amount * copies) as gross_amount,
        sum(case when is_refunded then amount * copies end) as refunded_amount

    from dated

    group by 1, 2

),

totalled as (

    {{ add_published(
        'counted', ['session_month', 'channel_name'],
        ['users', 'sessions', 'transactions', 'gross_amount', 'refunded_amount']
    ) }}

),

months as (

    select distinct session_month from totalled

),

-- A channel that is gone from MySQL keeps the visits that it had.
names as (

    select channel_name from channels

    union distinct

    select channel_name from totalled

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

completed as (

    select
        spine.session_month,
        spine.channel_name,
        spine.channel_group,
        coalesce(totalled.users, 0) as users,
        coalesce(totalled.sessions, 0) as sessions,
        coalesce(totalled.transactions, 0) as transactions,
        cast(coalesce(totalled.gross_amount, 0) as numeric(14, 2)) as gross_amount,
        cast(coalesce(totalled.refunded_amount, 0) as numeric(14, 2)) as refunded_amount,
        cast(
            coalesce(totalled.gross_amount, 0) - coalesce(totalled.refunded_amount, 0)
            as numeric(14, 2)
        ) as net_amount

    from spine
    left join totalled
        on
            spine.session_month = totalled.session_month
            and spine.channel_name = totalled.channel_name

)

select * from completed

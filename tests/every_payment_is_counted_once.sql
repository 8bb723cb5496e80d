with

session_transaction as (

    select * from {{ ref('session_transaction') }}

),

session_timestamp as (

    select * from {{ ref('session_timestamp') }}

),

payments as (

    select
        coalesce(sum(session_transaction.amount), 0) as gross_amount,
        coalesce(
            sum(
                case
                    when not session_transaction.is_refunded then session_transaction.amount
                end
            ),
            0
        ) as net_amount

    from session_transaction
    inner join session_timestamp
        on session_transaction.session_id = session_timestamp.session_id

),

performance as (

    select
        coalesce(sum(gross_amount), 0) as gross_amount,
        coalesce(sum(net_amount), 0) as net_amount

    from {{ ref('channel_performance') }}

)

select
    payments.gross_amount,
    performance.gross_amount as counted_gross_amount,
    payments.net_amount,
    performance.net_amount as counted_net_amount

from payments
cross join performance

where
    {{ unless_held() }}
    and (
        payments.gross_amount <> performance.gross_amount
        or payments.net_amount <> performance.net_amount
    )

{{ config(materialized='kept_view', bind=false) }}

with

user_session_channel as (

    select * from {{ ref('user_session_channel') }}

),

session_timestamp as (

    select * from {{ ref('session_timestamp') }}

),

session_transaction as (

    select * from {{ ref('session_transaction') }}

),

joined as (

    select
        user_session_channel.session_id,
        user_session_channel.user_id,
        user_session_channel.channel_name,
        session_transaction.amount,
        coalesce(session_transaction.is_refunded, false) as is_refunded,
        session_timestamp.session_at

    from user_session_channel
    left join session_timestamp
        on user_session_channel.session_id = session_timestamp.session_id
    left join session_transaction
        on user_session_channel.session_id = session_transaction.session_id

)

select * from joined

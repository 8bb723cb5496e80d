select
    sessionid as session_id,
    amount,
    refunded <> 0 as is_refunded,
    updated_at,
    {{ loader_columns() }}

from {{ source('raw_data', 'session_transaction') }}

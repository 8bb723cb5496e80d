select
    sessionid as session_id,
    ts as session_at,
    {{ loader_columns() }}

from {{ source('raw_data', 'session_timestamp') }}

select
    sessionid as session_id,
    cast(userid as bigint) as user_id,
    channel as channel_name,
    created_at,
    {{ loader_columns() }}

from {{ source('raw_data', 'user_session_channel') }}

select
    channelname as channel_name,
    {{ loader_columns() }}

from {{ source('raw_data', 'channel') }}

select
    cast(id as bigint) as response_id,
    cast(user_id as bigint) as user_id,
    cast(score as integer) as score,
    is_deleted <> 0 as is_deleted,
    created_at as answered_at,
    updated_at,
    {{ loader_columns() }}

from {{ source('raw_data', 'nps') }}

with

source as (

    select * from {{ source('raw_data', 'nps') }}

),

renamed as (

    select
        cast(id as bigint) as response_id,
        cast(user_id as bigint) as user_id,
        cast(score as integer) as score,
        is_deleted <> 0 as is_deleted,
        created_at as answered_at,
        updated_at,
        _run_date,
        _load_id,
        _loaded_at,
        _deleted_at

    from source

)

select * from renamed

with

source as (

    select * from {{ source('raw_data', 'session_timestamp') }}

),

renamed as (

    select
        sessionid as session_id,
        ts as session_at,
        _run_date,
        _load_id,
        _loaded_at,
        _deleted_at

    from source

)

select * from renamed

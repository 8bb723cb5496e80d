with

source as (

    select * from {{ source('raw_data', 'session_transaction') }}

),

renamed as (

    select
        sessionid as session_id,
        amount,
        refunded <> 0 as is_refunded,
        updated_at,
        _run_date,
        _load_id,
        _loaded_at,
        _deleted_at

    from source

)

select * from renamed

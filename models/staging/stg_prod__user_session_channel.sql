with

source as (

    select * from {{ source('raw_data', 'user_session_channel') }}

),

renamed as (

    select
        sessionid as session_id,
        cast(userid as bigint) as user_id,
        channel as channel_name,
        created_at,
        _run_date,
        _load_id,
        _loaded_at,
        _deleted_at

    from source

)

select * from renamed

with

source as (

    select * from {{ source('raw_data', 'channel') }}

),

renamed as (

    select
        channelname as channel_name,
        _run_date,
        _load_id,
        _loaded_at,
        _deleted_at

    from source

)

select * from renamed

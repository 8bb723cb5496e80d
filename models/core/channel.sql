{{
    config(
        unique_key='channel_name',
        dist='all',
        sort='channel_name',
        indexes=core_indexes('channel_name')
    )
}}

with

landed as (

    select * from {{ ref('stg_prod__channel') }}

    {% if is_incremental() %}
        where {{ landed_since_last_build() }}
    {% endif %}

),

newest as (

    {{ newest_version('landed', key='channel_name', built=this if is_incremental() else none) }}

),

channel as (

    select
        channel_name,
        _run_date,
        _load_id,
        _loaded_at,
        _watermark

    from newest

)

select * from channel

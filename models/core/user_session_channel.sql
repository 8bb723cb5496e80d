{{
    config(
        unique_key='session_id',
        dist='session_id',
        sort='created_at',
        indexes=core_indexes('session_id')
    )
}}

with

landed as (

    select * from {{ ref('stg_prod__user_session_channel') }}

    {% if is_incremental() %}
        where {{ landed_since_last_build() }}
    {% endif %}

),

newest as (

    {{ newest_version('landed', key='session_id', built=this if is_incremental() else none) }}

),

user_session_channel as (

    select
        session_id,
        user_id,
        channel_name,
        created_at,
        _run_date,
        _load_id,
        _loaded_at,
        _watermark

    from newest

)

select * from user_session_channel

{{
    config(
        unique_key='response_id',
        dist='response_id',
        sort='answered_at',
        indexes=core_indexes('response_id')
    )
}}

with

landed as (

    select * from {{ ref('stg_prod__nps') }}

    {% if is_incremental() %}
        where {{ landed_since_last_build() }}
    {% endif %}

),

newest as (

    {{ newest_version('landed', key='response_id', built=this if is_incremental() else none) }}

),

nps as (

    select
        response_id,
        user_id,
        score,
        is_deleted,
        answered_at,
        updated_at,
        _run_date,
        _load_id,
        _loaded_at,
        _watermark

    from newest

)

select * from nps

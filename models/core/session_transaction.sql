{{
    config(
        unique_key='session_id',
        dist='session_id',
        sort='updated_at',
        indexes=core_indexes('session_id')
    )
}}

with

landed as (

    select * from {{ ref('stg_prod__session_transaction') }}

    {% if is_incremental() %}
        where {{ landed_since_last_build() }}
    {% endif %}

),

newest as (

    {{ newest_version('landed', key='session_id', built=this if is_incremental() else none) }}

),

session_transaction as (

    select
        session_id,
        amount,
        is_refunded,
        updated_at,
        _run_date,
        _load_id,
        _loaded_at,
        _watermark

    from newest

)

select * from session_transaction

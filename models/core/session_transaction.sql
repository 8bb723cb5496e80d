{{ config(dist='session_id', sort='updated_at') }}

{{ newest_rows(ref('stg_prod__session_transaction'), key='session_id') }}

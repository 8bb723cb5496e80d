{{ config(dist='session_id', sort='session_at') }}

{{ newest_rows(ref('stg_prod__session_timestamp'), key='session_id') }}

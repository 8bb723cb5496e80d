{{ config(dist='session_id', sort='created_at') }}

{{ newest_rows(ref('stg_prod__user_session_channel'), key='session_id') }}

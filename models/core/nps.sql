{{ config(dist='response_id', sort='answered_at') }}

{{ newest_rows(ref('stg_prod__nps'), key='response_id') }}

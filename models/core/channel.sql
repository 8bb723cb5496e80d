{{ config(dist='all', sort='channel_name') }}

{{ newest_rows(ref('stg_prod__channel'), key='channel_name') }}

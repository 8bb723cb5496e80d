{% macro core_indexes(key) %}

    {#- PostgreSQL: what merging, watermark and vanished rows are looked up by. Redshift has none. -#}
    {{ return([
        {'columns': [key], 'unique': true},
        {'columns': ['_load_id']},
        {'columns': ['_watermark']}
    ]) }}

{% endmacro %}

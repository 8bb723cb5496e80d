{% macro core_indexes(key) %}{{ return(adapter.dispatch('core_indexes', 'mysql_to_redshift')(key)) }}{% endmacro %}


{% macro default__core_indexes(key) %}

    {#- What merging, watermark and vanished rows are looked up by. -#}
    {{ return([
        {'columns': mysql_to_redshift.key_columns(key), 'unique': true},
        {'columns': ['_load_id']},
        {'columns': ['_watermark']}
    ]) }}

{% endmacro %}


{#- Redshift has no indexes: dist and sort keys do their work. -#}
{% macro redshift__core_indexes(key) %}{{ return([]) }}{% endmacro %}

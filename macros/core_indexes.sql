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


{#- By which a publish finds the rows of those touched; one that was published without it gets it, too. -#}
{% macro index_by(published, column) %}{{ return(adapter.dispatch('index_by', 'mysql_to_redshift')(published, column)) }}{% endmacro %}

{% macro default__index_by(published, column) -%}
    create index if not exists {{ mysql_to_redshift.quoted('_by_' ~ local_md5(published.identifier)) }} on {{ published }} ({{ column }});
{%- endmacro %}

{% macro redshift__index_by(published, column) %}{{ return('') }}{% endmacro %}

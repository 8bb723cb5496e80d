{% macro whole_copy(landed) %}

    {#-
        A core model of a table without a key, which is copied whole with every load: a view of its
        newest landing, which is all that the raw table holds. A column that is new there is new
        here with the next build.

        landed: what source() gives.
    -#}
    {{- config(materialized='kept_view', bind=false) -}}
    {%- set columns = [] -%}
    {%- for column in (adapter.get_columns_in_relation(landed) if execute else []) -%}
        {%- if column.name != '_deleted_at' -%}
            {%- do columns.append(mysql_to_redshift.quoted(column.name)) -%}
        {%- endif -%}
    {%- endfor %}

select
    {{ columns | join(',\n    ') or '*' }}

from {{ landed }}

{% endmacro %}

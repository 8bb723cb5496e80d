{% macro column_types(relation) %}

    {%- set types = {} -%}
    {%- for column in adapter.get_columns_in_relation(relation) -%}
        {%- do types.update({column.name: column.data_type}) -%}
    {%- endfor -%}
    {%- if execute and not types -%}
        {{ exceptions.raise_compiler_error(
            relation ~ ' has no columns, or is not there any more. Nothing was changed.'
        ) }}
    {%- endif -%}
    {{ return(types) }}

{% endmacro %}


{% macro quoted_types(relation) %}

    {#- The same by the names as SQL takes them; none of what is not there. -#}
    {%- set types = {} -%}
    {%- for column in adapter.get_columns_in_relation(relation) -%}
        {%- do types.update({mysql_to_redshift.quoted(column.name): column.data_type}) -%}
    {%- endfor -%}
    {{ return(types) }}

{% endmacro %}

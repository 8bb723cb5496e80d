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

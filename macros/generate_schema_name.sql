{% macro generate_schema_name(custom_schema_name, node) -%}

    {#- The source YAML writes the same rule for raw_data, where no macro can be called. -#}
    {%- set name = custom_schema_name or 'analytics' -%}
    {{- name if target.schema == 'analytics' else target.schema ~ '_' ~ name -}}

{%- endmacro %}

{% macro generate_schema_name(custom_schema_name, node) -%}

    {#- The source YAML writes the same rule for raw_data, where no macro can be called. -#}
    {%- set name = custom_schema_name or 'analytics' -%}
    {{- name if target.schema == 'analytics' else target.schema ~ '_' ~ name -}}

{%- endmacro %}


{% macro raw_schema() %}

    {#- Where the loader lands: what the source says, in whichever project. -#}
    {%- for source in graph.sources.values() if source.source_name == 'raw_data' -%}
        {{ return(source.schema) }}
    {%- endfor -%}
    {{ return(mysql_to_redshift.generate_schema_name('raw_data') | trim) }}

{%- endmacro %}

{#- The names of the tables that the loader copies, as literals: the ledger keeps those it did once. -#}
{% macro declared_tables() %}

    {%- set names = ["''"] -%}
    {%- for source in (graph.sources.values() if execute else []) -%}
        {%- if source.source_name == 'raw_data' and (source.config.meta or {}).get('loader') -%}
            {%- do names.append(text_literal(source.identifier) | trim) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(names | join(', ')) }}

{% endmacro %}

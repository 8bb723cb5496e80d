{% macro key_columns(key) %}

    {#-
        The columns of a key, which is one name, a list, or none, as SQL takes them: a key may be
        called `from` or `1st`. A name that is in double quotes already is left as it is.
    -#}
    {%- set columns = [] -%}
    {%- for name in ([key] if key is string else key or []) -%}
        {%- do columns.append(name if name.startswith('"') else mysql_to_redshift.quoted(name | lower)) -%}
    {%- endfor -%}
    {{ return(columns) }}

{% endmacro %}


{% macro same_key(left, right, key) %}

    {#- The predicate that two relations' rows have one key. -#}
    {%- set equal = [] -%}
    {%- for column in mysql_to_redshift.key_columns(key) -%}
        {%- do equal.append(left ~ '.' ~ column ~ ' = ' ~ right ~ '.' ~ column) -%}
    {%- endfor -%}
    {{ return(equal | join(' and ')) }}

{% endmacro %}


{% macro declared_key(table) %}

    {#- The key that the source YAML declares for a raw table; none while dbt parses. -#}
    {%- for source in (graph.sources.values() if execute else []) if source.identifier == table -%}
        {{ return(source.config.meta.get('loader', {}).get('primary_key', [])) }}
    {%- endfor -%}
    {{ return([]) }}

{% endmacro %}

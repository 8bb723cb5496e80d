{% macro key_columns(key) %}

    {#-
        The columns of a key, which is one name, a list, or none, as SQL takes them: a key may be
        called `from` or `1st`. A name that is in double quotes already is left as it is.
    -#}
    {%- set columns = [] -%}
    {%- for name in ([key] if key is string else key or []) -%}
        {%- do columns.append(name if name.startswith('"') else quoted(name | lower)) -%}
    {%- endfor -%}
    {{ return(columns) }}

{% endmacro %}


{% macro same_key(left, right, key) %}

    {#- The predicate that two relations' rows have one key. -#}
    {%- set equal = [] -%}
    {%- for column in key_columns(key) -%}
        {%- do equal.append(left ~ '.' ~ column ~ ' = ' ~ right ~ '.' ~ column) -%}
    {%- endfor -%}
    {{ return(equal | join(' and ')) }}

{% endmacro %}


{#- dbt's own writes the names of a key as they come, and no column may be called `from` then. -#}
{% macro default__get_incremental_merge_sql(arg_dict) %}
    {{ return(get_merge_sql(
        arg_dict.target_relation, arg_dict.temp_relation, key_columns(arg_dict.unique_key),
        arg_dict.dest_columns, arg_dict.incremental_predicates
    )) }}
{% endmacro %}

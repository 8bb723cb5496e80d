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


{% macro refuse_another_key(key) %}

    {#-
        Refuse to merge into a core table that was built by another key than the model names now, or
        than its rows are landed by: rows of both keys would stand side by side, or the warehouse
        would stop in words of its own, which name no remedy.
    -#}
    {%- set built = mysql_to_redshift.key_columns(adapter.get_columns_in_relation(this) | map(attribute='name') | list) -%}
    {%- set gone = mysql_to_redshift.key_columns(key) | map('lower') | reject('in', built) | list -%}
    {%- set fact = ' has no column ' ~ gone | join(', ') | replace('"', '') ~ ', which is its key' if gone -%}
    {%- set loads = 'select landed_by, max(load_id) from ' ~ mysql_to_redshift.ledger_relation()
        ~ ' where table_name = ' ~ mysql_to_redshift.text_literal(this.identifier)
        ~ " and outcome = 'landed' and landed_by is not null" -%}
    {%- set newest_first = ' group by landed_by order by 2 desc' -%}
    {%- set ways = run_query(loads ~ newest_first).rows if not fact else [] -%}
    {%- set taken_in = run_query(
        loads ~ ' and load_id <= (select max(_watermark) from ' ~ this ~ ')' ~ newest_first
    ).rows if ways | length > 1 -%}
    {%- if taken_in -%}
        {%- set before, after = taken_in[0][0].split(', days of ')[0], ways[0][0].split(', days of ')[0] -%}
        {%- if before != after -%}
            {%- set fact = ' was built by ' ~ before ~ ', and its rows are landed by ' ~ after -%}
        {%- endif -%}
    {%- endif -%}
    {%- if fact -%}
        {{ exceptions.raise_compiler_error(
            this ~ fact ~ ' now. Build anew: dbt build --full-refresh --select ' ~ model.name
            ~ '+. The table is as it was.'
        ) }}
    {%- endif -%}

{% endmacro %}


{% macro declared_key(table) %}

    {#- The key that the source YAML declares for a raw table; none while dbt parses. -#}
    {%- for source in (graph.sources.values() if execute else []) if source.identifier == table -%}
        {{ return(source.config.meta.get('loader', {}).get('primary_key', [])) }}
    {%- endfor -%}
    {{ return([]) }}

{% endmacro %}

{% macro row_changes(published, rows, only=none) %}

    {#-
        How many rows would go and come if one table's rows took the place of another's; a row that
        is there twice counts twice.

        only: the condition of the published rows that may differ; none of all.
        returns: {gone, come}, or none where the columns differ or cannot be compared.
    -#}
    {%- set types = mysql_to_redshift.column_types(published) -%}
    {%- set comparable = namespace(all=types == mysql_to_redshift.column_types(rows)) -%}
    {%- set names = [] -%}
    {%- for name, kind in types.items() -%}
        {%- do names.append(mysql_to_redshift.quoted(name)) -%}
        {%- if not mysql_to_redshift.can_be_grouped(kind) -%}
            {%- set comparable.all = false -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if not comparable.all -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set names = names | join(', ') -%}
    {%- set counted = run_query(
        'select'
        ~ ' coalesce(sum(case when surplus > 0 then surplus else 0 end), 0) as gone,'
        ~ ' coalesce(sum(case when surplus < 0 then -surplus else 0 end), 0) as come'
        ~ ' from ('
        ~ 'select sum(side) as surplus from ('
        ~ 'select ' ~ names ~ ', 1 as side from ' ~ published ~ (' where ' ~ only if only)
        ~ ' union all select ' ~ names ~ ', -1 as side from ' ~ rows
        ~ ') as both_sides group by ' ~ names
        ~ ') as compared'
    ).rows[0] -%}
    {{ return({'gone': counted[0] | int, 'come': counted[1] | int}) }}

{% endmacro %}


{% macro has_other_rows(published, rows, only=none) %}

    {%- set changes = mysql_to_redshift.row_changes(published, rows, only) -%}
    {{ return(changes is none or changes.gone + changes.come > 0) }}

{% endmacro %}


{#- JSON, geometry and the like cannot be grouped by. -#}
{% macro can_be_grouped(kind) %}
    {{ return(modules.re.match('(small|big)?int|numeric|decimal|real|double|bool|date|time|text|char|varchar', kind)) }}
{% endmacro %}

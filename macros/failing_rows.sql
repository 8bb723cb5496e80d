{#-
    What a failed check is told with: how many rows, the first of them by key, and a query that
    shows them all. Only dbt's log and the results of its own run have it: `loader run` hands it on
    to whoever is notified.
-#}
{% macro note_failures(results) %}

    {%- for result in results if execute and result.node.resource_type == 'test'
        and result.status in ['fail', 'warn'] and result.node.compiled_code -%}
        {%- set test = result.node -%}
        {%- set found = mysql_to_redshift.failing_rows(test, test.compiled_code) -%}
        {%- set lines = found.rows + [mysql_to_redshift.query_of(test) ~ ';'] -%}
        {%- do result.adapter_response.update({
            'lines': lines, 'days': found.days, 'table': mysql_to_redshift.raw_table_of(test)
        }) -%}
        {%- do log(
            test.name ~ ' (' ~ test.original_file_path ~ '): ' ~ mysql_to_redshift.rows_said(result.failures)
            ~ '\n  ' ~ lines | join('\n  '), info=true
        ) -%}
    {%- endfor -%}

{% endmacro %}


{#- The raw table that the rows of what a test is declared for come from, if it is one. -#}
{% macro raw_table_of(test) %}
    {%- set node = graph.nodes.get(test.attached_node) -%}
    {%- if node and 'macro.mysql_to_redshift.newest_rows' in node.depends_on.macros -%}
        {{ return(node.name) }}
    {%- endif -%}
    {{ return(graph.sources.get(test.depends_on.nodes | first, {}).get('identifier', '')) }}
{% endmacro %}


{% macro failing_rows(test, sql) %}

    {#-
        returns: {rows, days}: the first few rows, each as a line of its key and what is tested; and
            the last days that the loader has put any of them into, if they have one.
    -#}
    {%- set selected = '(\n' ~ sql ~ '\n) as failing_rows' -%}
    {%- set found = run_query('select * from ' ~ selected ~ ' limit 3') -%}
    {%- set tested = mysql_to_redshift.tested_columns(test) -%}
    {%- set shown = found.column_names | select('in', tested) | list or found.column_names[:4] -%}
    {%- set rows = [] -%}
    {%- for row in found.rows -%}
        {%- set values = [] -%}
        {%- for name in (found.column_names if found.column_names | length <= 4 else shown) -%}
            {%- set value = row[name] -%}
            {%- do values.append(name ~ ' ' ~ ('NULL' if value is none else (value | string)[:60])) -%}
        {%- endfor -%}
        {%- do rows.append(values | join(', ')) -%}
    {%- endfor -%}
    {%- set days = [] -%}
    {%- if '_run_date' in found.column_names -%}
        {%- set found = run_query(
            'select distinct _run_date from ' ~ selected
            ~ ' where _run_date is not null order by 1 desc limit 32'
        ) -%}
        {%- for row in found.rows -%}{%- do days.append(row[0] | string) -%}{%- endfor -%}
    {%- endif -%}
    {{ return({'rows': rows, 'days': days}) }}

{% endmacro %}


{% macro tested_columns(test) %}

    {#- The key of what a test is declared for, and the columns that the test names. -#}
    {%- set node = graph.nodes.get(test.attached_node) or graph.sources.get(test.depends_on.nodes | first) or {} -%}
    {%- set key = mysql_to_redshift.declared_key(node.identifier) if node.resource_type == 'source' else node.get('config', {}).get('unique_key') -%}
    {%- set columns = [] -%}
    {%- for column in ([key] if key is string else key or []) -%}
        {%- do columns.append(column.strip('"') | lower) -%}
    {%- endfor -%}
    {%- for other in (graph.nodes.values() if not key else []) if other.resource_type == 'test'
        and other.attached_node == test.attached_node and test.attached_node
        and other.test_metadata.name in ['unique', 'primary_key'] -%}
        {%- do columns.extend(other.test_metadata.kwargs.get('columns', [])) -%}
        {%- do columns.append(other.test_metadata.kwargs.get('column_name')) -%}
    {%- endfor -%}
    {%- set arguments = test.test_metadata.kwargs if test.test_metadata else {} -%}
    {{ return(columns + [arguments.get('column_name')] + arguments.get('columns', [])) }}

{% endmacro %}


{% macro query_of(test) %}

    {#- A test's query on all rows, on one line; as dbt has compiled it where another cannot be made. -#}
    {%- set node = graph.nodes.get(test.attached_node) or graph.sources.get(test.depends_on.nodes | first) -%}
    {%- set sql = test.compiled_code -%}
    {%- if node and test.test_metadata and test.depends_on.nodes | length == 1 -%}
        {%- set sql = mysql_to_redshift.check_sql(test, mysql_to_redshift.node_relation(node)) -%}
    {%- endif -%}
    {{ return(modules.re.sub('\\s+', ' ', sql) | trim) }}

{% endmacro %}


{#- A count as people read it. -#}
{% macro rows_said(count) %}{{ return('{:,} row'.format(count | int) ~ ('' if count == 1 else 's')) }}{% endmacro %}


{#-
    Tests of single rows select them whole, so that key and columns are to be seen; those of another
    project that uses these macros are dbt's own. (Read in dbt-core 1.11.0.)
-#}
{% macro postgres__test_not_null(model, column_name) %}
    {%- if project_name != 'mysql_to_redshift' -%}
        {{ return(dbt.default__test_not_null(model, column_name)) }}
    {%- endif %}
    select * from {{ model }} where {{ column_name }} is null
{% endmacro %}

{% macro postgres__test_accepted_values(model, column_name, values, quote=true) %}
    {%- if project_name != 'mysql_to_redshift' -%}
        {{ return(dbt.default__test_accepted_values(model, column_name, values, quote)) }}
    {%- endif -%}
    {%- set listed = [] -%}
    {%- for value in values -%}
        {%- do listed.append(mysql_to_redshift.text_literal(value) | trim if quote else value | string) -%}
    {%- endfor %}
    select * from {{ model }} where {{ column_name }} not in ({{ listed | join(', ') }})
{% endmacro %}

{% macro postgres__test_relationships(model, column_name, to, field) %}
    {%- if project_name != 'mysql_to_redshift' -%}
        {{ return(dbt.default__test_relationships(model, column_name, to, field)) }}
    {%- endif %}
    select child.*
    from (select * from {{ model }}) as child
    left join (select {{ field }} from {{ to }}) as parent on child.{{ column_name }} = parent.{{ field }}
    where child.{{ column_name }} is not null and parent.{{ field }} is null
{% endmacro %}

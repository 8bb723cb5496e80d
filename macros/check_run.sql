{% macro check_run() %}

    {#- Everything that would make a run wrong is said before its first statement. -#}
    {%- if execute -%}
        {%- do mysql_to_redshift.check_vars() -%}
        {%- do mysql_to_redshift.check_transactions() -%}
        {%- do mysql_to_redshift.check_empty() -%}
        {%- if flags.WHICH in ['build', 'run', 'snapshot', 'test'] -%}
            {%- do mysql_to_redshift.check_landed() -%}
        {%- endif -%}
    {%- endif -%}

{% endmacro %}


{% macro check_vars() %}

    {#- Another project that uses these macros has vars of its own, which it need not declare. -#}
    {%- set declared = adapter.config.vars.to_dict() -%}
    {%- set known = ['run_date', 'start_date', 'end_date'] + declared | list -%}
    {%- for name in invocation_args_dict.get('vars', {})
        if name not in known and project_name == 'mysql_to_redshift' -%}
        {{ mysql_to_redshift.wrong_var(
            'no var is called ' ~ name ~ '.',
            'Known vars: ' ~ known | join(', ') ~ '; one of your own is declared in dbt_project.yml.'
        ) }}
    {%- endfor -%}
    {%- for name in ['run_date', 'start_date', 'end_date'] -%}
        {%- if name in invocation_args_dict.get('vars', {}) and var(name) is none -%}
            {{ mysql_to_redshift.wrong_var('the var ' ~ name ~ ' is empty.', 'Write a date as YYYY-MM-DD.') }}
        {%- endif -%}
    {%- endfor -%}
    {%- do mysql_to_redshift.keep_published() -%}
    {#- Who declares a whole number means one. -#}
    {%- for name, value in declared.items() if value is integer and var(name) is not integer -%}
        {{ mysql_to_redshift.wrong_var(
            'the var ' ~ name ~ ' is ' ~ var(name) ~ '.', 'Write a whole number, as ' ~ value ~ ' is.'
        ) }}
    {%- endfor -%}
    {%- for name, value in declared.items() if value is boolean and var(name) is not boolean -%}
        {{ mysql_to_redshift.wrong_var('the var ' ~ name ~ ' is ' ~ var(name) ~ '.', 'Write true or false.') }}
    {%- endfor -%}
    {%- set scale = var('minimum_rows_scale', 1) -%}
    {%- if scale is not number or scale <= 0 or scale > 1 -%}
        {{ mysql_to_redshift.wrong_var(
            'the var minimum_rows_scale is ' ~ scale ~ '.', 'Write a number above 0, at most 1.'
        ) }}
    {%- endif -%}
    {%- do mysql_to_redshift.build_window() -%}

{% endmacro %}


{% macro check_empty() %}

    {#-
        --empty makes every table and every view one without rows, and a snapshot one in which all
        was deleted: that tries the SQL in an empty schema, and would undo what another holds. A
        view that reads no table (`days`) has rows in any.
    -#}
    {%- for node in graph.nodes.values() if flags.EMPTY and node.depends_on.nodes
        and node.resource_type in ['model', 'snapshot'] -%}
        {%- set built = load_relation(mysql_to_redshift.node_relation(node)) -%}
        {%- if built and run_query('select 1 as n from ' ~ built ~ ' limit 1').rows | length > 0 -%}
            {{ mysql_to_redshift.wrong_var(
                built ~ ' holds rows, and --empty would build it without any.',
                'Use --empty in a schema that nothing has been built in, such as one for CI.'
            ) }}
        {%- endif -%}
    {%- endfor -%}

{% endmacro %}


{% macro check_transactions() %}

    {%- if target.type == 'postgres' and target.get('autocommit') -%}
        {{ exceptions.raise_compiler_error(
            'target ' ~ target.name ~ ' sets autocommit: true, so that a publish would not be one '
            ~ 'transaction. Remove it from profiles.yml. Nothing was built.'
        ) }}
    {%- endif -%}
    {%- if target.type == 'redshift'
        and adapter.behavior.redshift_skip_autocommit_transaction_statements.no_warn -%}
        {{ exceptions.raise_compiler_error(
            'the flag redshift_skip_autocommit_transaction_statements is true, so that a publish '
            ~ 'would not be one transaction. Set it to false in dbt_project.yml. Nothing was built.'
        ) }}
    {%- endif -%}

{% endmacro %}


{% macro check_landed() %}

    {#- What is deferred to another target is landed there; what nothing selected reads may be missing. -#}
    {%- set read, missing = [], [] -%}
    {%- for unique_id in selected_resources if unique_id in graph.nodes -%}
        {%- do read.extend(graph.nodes[unique_id].depends_on.nodes) -%}
    {%- endfor -%}
    {%- for source in graph.sources.values() if source.unique_id in read -%}
        {%- set relation = adapter.get_relation(source.database, source.schema, source.identifier) -%}
        {%- if source.source_name == 'raw_data' and relation is none -%}
            {%- do missing.append(source.schema ~ '.' ~ source.identifier) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if missing -%}
        {{ exceptions.raise_compiler_error(
            missing | join(', ') ~ (' has' if missing | length == 1 else ' have')
            ~ ' not been landed in ' ~ target.name ~ ' yet. Run `loader load` first. Nothing was built.'
        ) }}
    {%- endif -%}

{% endmacro %}

{% macro check_run() %}

    {#- Everything that would make a run wrong is said before its first statement. -#}
    {%- if execute -%}
        {%- do check_vars() -%}
        {%- do check_transactions() -%}
        {%- do check_empty() -%}
        {%- if flags.WHICH in ['build', 'run', 'snapshot', 'test'] -%}
            {%- do check_landed() -%}
        {%- endif -%}
    {%- endif -%}

{% endmacro %}


{% macro check_vars() %}

    {#- Another project that this one is installed in has vars of its own, which it need not declare. -#}
    {%- set known = ['run_date', 'start_date', 'end_date'] + adapter.config.vars.to_dict() | list -%}
    {%- for name in invocation_args_dict.get('vars', {})
        if name not in known and project_name == model.package_name -%}
        {{ wrong_var(
            'no var is called ' ~ name ~ '.',
            'Known vars: ' ~ known | join(', ') ~ '; one of your own is declared in dbt_project.yml.'
        ) }}
    {%- endfor -%}
    {%- for name in ['run_date', 'start_date', 'end_date'] -%}
        {%- if name in invocation_args_dict.get('vars', {}) and var(name) is none -%}
            {{ wrong_var('the var ' ~ name ~ ' is empty.', 'Write a date as YYYY-MM-DD.') }}
        {%- endif -%}
    {%- endfor -%}
    {%- if var('nps_low_sample') is not integer -%}
        {{ wrong_var(
            'the var nps_low_sample is ' ~ var('nps_low_sample') ~ '.', 'Write a number of answers.'
        ) }}
    {%- endif -%}
    {%- do keep_published() -%}
    {%- set scale = var('minimum_rows_scale') -%}
    {%- if scale is not number or scale <= 0 or scale > 1 -%}
        {{ wrong_var(
            'the var minimum_rows_scale is ' ~ scale ~ '.', 'Write a number above 0, at most 1.'
        ) }}
    {%- endif -%}
    {%- do build_window() -%}

{% endmacro %}


{% macro check_empty() %}

    {#-
        --empty makes every table and every view one without rows, and a snapshot one in which all
        was deleted: that tries the SQL in an empty schema, and would undo what another holds. A
        view that reads no table (`days`) has rows in any.
    -#}
    {%- for node in graph.nodes.values() if flags.EMPTY and node.depends_on.nodes
        and node.resource_type in ['model', 'snapshot'] -%}
        {%- set built = load_relation(node_relation(node)) -%}
        {%- if built and run_query('select 1 as n from ' ~ built ~ ' limit 1').rows | length > 0 -%}
            {{ wrong_var(
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

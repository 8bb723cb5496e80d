{% macro run_checks(relations, only_tag=none, skip_passed=false) %}

    {#-
        Run the data tests that are declared for some models against relations of one's choice,
        and return those that fail.

        relations: a relation for each model's unique id.
        only_tag: run only the tests that carry this tag.
        skip_passed: leave out those that dbt build has run before.
        returns: a list of {name, failures, sql, rows}; rows are the first ones, a line each.
    -#}
    {%- set failed = [] -%}
    {%- if execute -%}
        {%- for test in graph.nodes.values() if test.resource_type == 'test' -%}
            {%- if test.attached_node in relations and (
                only_tag is none or only_tag in test.tags
            ) and not (skip_passed and mysql_to_redshift.has_passed(test)) -%}
                {%- do failed.extend(mysql_to_redshift.failed_check(test, relations[test.attached_node])) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(failed) }}

{% endmacro %}


{% macro failed_check(test, relation) %}

    {#- Run one declared test against a relation; returns a list of it if it fails, else an empty one. -#}
    {%- set rows_sql = mysql_to_redshift.check_sql(test, relation) -%}
    {%- set result = run_query(get_test_sql(
        rows_sql,
        test.config.fail_calc,
        test.config.warn_if,
        test.config.error_if,
        test.config.limit
    )).rows[0] -%}
    {%- if result[2] and test.config.severity | lower == 'error' -%}
        {{ return([{
            'name': test.name,
            'kind': test.test_metadata.name,
            'failures': result[0],
            'sql': rows_sql,
            'rows': mysql_to_redshift.failing_rows(test, rows_sql).rows
        }]) }}
    {%- endif -%}
    {{ return([]) }}

{% endmacro %}


{% macro has_passed(test) %}

    {#-
        Whether dbt build has run a test, which passed, before the model that now asks: it runs the
        selected tests of one model before every model that reads it, and skips these if one fails.
        Or the last build did, and nothing came of what it reads since, so `loader run` leaves out both.
    -#}
    {%- if test.unique_id in selected_resources -%}
        {{ return(flags.WHICH == 'build' and test.depends_on.nodes | length == 1) }}
    {%- endif -%}
    {{ return(
        env_var('LOADER_BUILDS', '') == 'news'
        and not test.depends_on.nodes | select('in', selected_resources) | list
    ) }}

{% endmacro %}


{% macro check_sql(test, relation) %}

    {#- The SQL of one declared test, against another relation than the model's own. -#}
    {%- set checked = relation -%}
    {%- if test.config.where -%}
        {%- set checked = '(select * from ' ~ relation ~ ' where ' ~ test.config.where ~ ') checked_rows' -%}
    {%- endif -%}
    {#- A test of a key asks the graph for its own model, which is not the one that is built now. -#}
    {%- set tested = graph.nodes.get(test.attached_node, {'config': {}}) -%}
    {%- set arguments = {'columns': tested.config.unique_key} if test.test_metadata.name == 'primary_key' else {} -%}
    {%- for name, value in test.test_metadata.kwargs.items() if name != 'model' -%}
        {%- do arguments.update({name: mysql_to_redshift.resolve_reference(value)}) -%}
    {%- endfor -%}
    {%- set package = context[test.test_metadata.namespace] if test.test_metadata.namespace else context -%}
    {{ return(package['test_' ~ test.test_metadata.name](model=checked, **arguments) | trim) }}

{% endmacro %}


{% macro resolve_reference(value) %}

    {#-
        The manifest keeps a test's argument `ref('x')` as it was written; ref() itself would only
        take what the model depends on.
    -#}
    {%- set written = modules.re.fullmatch("\\s*ref\\(\\s*['\"](\\w+)['\"]\\s*\\)\\s*", value | string) -%}
    {%- if not written -%}
        {%- if modules.re.match('\\s*(ref|source)\\s*\\(', value | string) -%}
            {{ exceptions.raise_compiler_error(
                'the argument ' ~ value ~ ' of a test cannot be used before a table is published. '
                ~ "Write it as ref('model'). Nothing was published."
            ) }}
        {%- endif -%}
        {{ return(value) }}
    {%- endif -%}
    {%- for node in graph.nodes.values() if node.name == written.group(1) and node.resource_type in ['model', 'seed', 'snapshot'] -%}
        {{ return(mysql_to_redshift.read_relation(node)) }}
    {%- endfor -%}
    {{ exceptions.raise_compiler_error('a test names ref(' ~ written.group(1) ~ '), which is not in the project.') }}

{% endmacro %}


{% macro refuse_if_failed(failed, published, candidate, rejected=none) %}

    {%- if failed -%}
        {%- do graph.nodes[model.unique_id].update({'_failed_checks': failed}) -%}
        {%- set lines = [] -%}
        {%- for check in failed -%}
            {%- do lines.append(
                '  ' ~ check.name ~ ': ' ~ mysql_to_redshift.rows_said(check.failures) ~ '\n'
                ~ ('    ' ~ check.rows | join('\n    ') ~ '\n' if check.rows else '') ~ '    ' ~ modules.re.sub('\\s+', ' ', check.sql)
                | replace(candidate | string, rejected | string) ~ ';'
                ~ (
                    "\n    If the new number of rows is right: dbt build --vars 'allow_row_change: true' --select "
                    ~ model.name ~ ' (and all others that say so, in one command)' if check.kind == 'row_change_within' else ''
                )
            ) -%}
        {%- endfor -%}
        {{ exceptions.raise_compiler_error(
            this.identifier ~ ' was not published: ' ~ failed | length
            ~ (' input check' if candidate is none else ' check')
            ~ ('' if failed | length == 1 else 's') ~ ' failed'
            ~ (' before it was built' if candidate is none else ' on the new rows')
            ~ '. Each with its count, its first rows and a query that shows all:\n\n'
            ~ lines | join('\n') ~ '\n\n'
            ~ (published ~ ' is as it was.' if published else 'There is no earlier ' ~ this ~ '.')
            ~ (' The rejected rows are in ' ~ rejected ~ '.' if rejected else '')
        ) }}
    {%- endif -%}

{% endmacro %}

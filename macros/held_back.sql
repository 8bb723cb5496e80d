{#-
    `_held_back`: which summaries stay as they were published, since when and why. A row per check
    that failed, as the last run that would have published it found; or without a check's name, for
    as long as somebody holds the summary.
-#}
{% macro held_back_relation() %}

    {{ return(mysql_to_redshift.publications_relation().incorporate(path={'identifier': '_held_back'})) }}

{% endmacro %}


{% macro create_held_back() %}

    {%- if execute and (mysql_to_redshift.is_building() or flags.WHICH == 'run-operation')
        and not load_relation(mysql_to_redshift.held_back_relation()) -%}
        {%- call statement('create_held_back') -%}
            create table if not exists {{ mysql_to_redshift.held_back_relation() }} (
                model_name varchar(127),
                check_name varchar(512),
                failing_rows bigint,
                held_since timestamp
            )
        {%- endcall -%}
        {%- do adapter.commit() -%}
    {%- endif -%}

{% endmacro %}


{% macro holds_of(name) %}

    {#- What keeps a summary as it is: {check_name, held_since}. The cache does not know of a table
        that this build has made, and another project may have none. -#}
    {%- set held = mysql_to_redshift.held_back_relation() -%}
    {%- if load_relation(held) or run_query(
        'select 1 as there from pg_class inner join pg_namespace on pg_namespace.oid = relnamespace'
        ~ ' where nspname = ' ~ mysql_to_redshift.text_literal(held.schema)
        ~ ' and relname = ' ~ mysql_to_redshift.text_literal(held.identifier)
    ).rows -%}
        {{ return(run_query(
            'select check_name, held_since from ' ~ held
            ~ ' where model_name = ' ~ mysql_to_redshift.text_literal(name) ~ ' order by 2'
        ).rows) }}
    {%- endif -%}
    {{ return([]) }}

{% endmacro %}


{% macro held_since(name) %}

    {#- Since when somebody holds a summary; none if nobody does. -#}
    {%- for row in mysql_to_redshift.holds_of(name) if row['check_name'] is none -%}
        {{ return(row['held_since']) }}
    {%- endfor -%}

{% endmacro %}


{% macro failing_unasked(parents) %}

    {#-
        Run the checks that this build leaves out and that concern the summary: of what it reads, the
        ones of models that are built here, as under dbt run; and those that keep it as it is, as
        under --select. Return those that fail, as run_checks does. Each runs once in a build.

        parents: a relation for each unique id of what the summary reads, as input_relations has it.
    -#}
    {%- set names = mysql_to_redshift.holds_of(this.identifier) | map(attribute='check_name') | list -%}
    {%- set read, failed = mysql_to_redshift.all_read_by(model, {}), [] -%}
    {%- for test in graph.nodes.values() if test.resource_type == 'test' and test.test_metadata
        and test.unique_id not in selected_resources and test.config.severity | lower == 'error' -%}
        {%- set of = test.attached_node or test.depends_on.nodes | first -%}
        {%- set tested = graph.nodes.get(of) or graph.sources[of] -%}
        {%- set is_built = of in read and of in selected_resources -%}
        {#- Those of a summary have passed on its new rows. -#}
        {%- if (is_built or test.name in names) and tested.config.materialized != 'checked_table' -%}
            {%- if '_failed_checks' not in test -%}
                {%- set relation = parents.get(of) or (
                    mysql_to_redshift.read_relation(tested) if of in graph.nodes
                    else mysql_to_redshift.node_relation(tested)
                ) -%}
                {%- do test.update({'_failed_checks': mysql_to_redshift.failed_check(test, relation)}) -%}
            {%- endif -%}
            {%- do failed.extend(test['_failed_checks']) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(failed) }}

{% endmacro %}


{% macro stays_held(name) %}

    {#- Whether somebody holds the summary that is built, which then stays as it is, as is said. -#}
    {%- set held = mysql_to_redshift.held_since(name) -%}
    {%- if held -%}
        {%- call noop_statement('main', 'HELD') -%}{%- endcall -%}
        {%- do log(
            name ~ ' stays as it is: somebody holds it since ' ~ held.strftime('%Y-%m-%d %H:%M')
            ~ " UTC. To publish anew: dbt run-operation lift_hold --args '{model: " ~ model.name ~ "}'", info=true
        ) -%}
    {%- endif -%}
    {{ return(held) }}

{% endmacro %}


{% macro unless_held() %}

    {#-
        The condition, in a singular test, that nobody holds a summary that it reads, directly or not:
        of a held one the rows are not those that it would be compared with. Then the test finds
        nothing, and says so.
    -#}
    {%- set read = mysql_to_redshift.all_read_by(model, {}) if execute and flags.WHICH in ['build', 'test'] else {} -%}
    {%- for unique_id in read if graph.nodes.get(unique_id, {}).get('config', {}).materialized == 'checked_table' -%}
        {%- set node = graph.nodes[unique_id] -%}
        {%- set held = mysql_to_redshift.held_since(node.alias) -%}
        {%- if held -%}
            {%- do log(
                model.name ~ ' passes over: somebody holds ' ~ node.name ~ ' since ' ~ held.strftime('%Y-%m-%d %H:%M')
                ~ " UTC. To compare again: dbt run-operation lift_hold --args '{model: " ~ node.name ~ "}'", info=true
            ) -%}
            {{ return('1 = 0') }}
        {%- endif -%}
    {%- endfor -%}
    {{ return('1 = 1') }}

{% endmacro %}


{% macro held_by_somebody(name) %}

    {#- The statements after which somebody holds a summary. -#}
    {{ return(mysql_to_redshift.replace_held_back([name], [{'model': name}], 'check_name is null')) }}

{% endmacro %}


{% macro replace_held_back(names, rows, only) %}

    {#- Replace some summaries' rows; only: the condition of those that are replaced. -#}
    {%- set listed, values = [], [] -%}
    {%- for name in names -%}
        {%- do listed.append(mysql_to_redshift.text_literal(name) | trim) -%}
    {%- endfor -%}
    {%- for row in rows -%}
        {%- do values.append(
            '(' ~ mysql_to_redshift.text_literal(row.model) ~ ', '
            ~ (mysql_to_redshift.text_literal(row.check) if row.check else 'null') ~ ', '
            ~ (row.failures if row.failures else 'null') ~ ', '
            ~ ("cast('" ~ row.since ~ "' as timestamp)" if row.since else mysql_to_redshift.utc_now()) ~ ')'
        ) -%}
    {%- endfor %}
    delete from {{ mysql_to_redshift.held_back_relation() }}
    where {{ only }} and model_name in ({{ listed | join(', ') }});
    {% if values %}
        insert into {{ mysql_to_redshift.held_back_relation() }}
            (model_name, check_name, failing_rows, held_since)
        values {{ values | join(', ') }};
    {% endif %}

{% endmacro %}


{% macro write_held_back(replacing) %}

    {#- Run what one of the macros above gives, in a transaction of its own. -#}
    {%- call statement('write_held_back') -%}
        {{ mysql_to_redshift.lock_for_writing(mysql_to_redshift.publications_relation()) }}
        {{ replacing }}
    {%- endcall -%}
    {%- do adapter.commit() -%}

{% endmacro %}


{% macro note_held_back(results) %}

    {#-
        Note for each summary that this run came to whether it was published, or which checks kept
        it as it was. The time of the first run that did stays.
    -#}
    {%- if not execute or not mysql_to_redshift.is_building() -%}
        {{ return('') }}
    {%- endif -%}
    {%- set known = {} -%}
    {%- for row in run_query(
        'select model_name, min(held_since) from ' ~ mysql_to_redshift.held_back_relation()
        ~ ' where check_name is not null group by 1'
    ).rows -%}
        {%- do known.update({row[0]: row[1]}) -%}
    {%- endfor -%}
    {%- set names, rows = [], [] -%}
    {%- for result in results if result.node.config.materialized == 'checked_table' -%}
        {%- set name = result.node.alias -%}
        {%- set held = mysql_to_redshift.blockers(result, results) if result.status in ['error', 'skipped'] else [] -%}
        {%- for check in held -%}
            {%- do rows.append({
                'model': name, 'check': check.name, 'failures': check.failures, 'since': known.get(name)
            }) -%}
        {%- endfor -%}
        {%- if held or name in known -%}
            {%- do names.append(name) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if names -%}
        {%- do mysql_to_redshift.write_held_back(mysql_to_redshift.replace_held_back(names, rows, 'check_name is not null')) -%}
    {%- endif -%}

{% endmacro %}


{% macro blockers(result, results) %}

    {#- What kept a summary from being published: its own checks, or what failed of all it reads. -#}
    {%- set own = graph.nodes.get(result.node.unique_id, {}).get('_failed_checks') -%}
    {%- if own -%}
        {{ return(own) }}
    {%- endif -%}
    {%- set read = mysql_to_redshift.all_read_by(result.node, {}) -%}
    {%- set found = [] -%}
    {%- for other in results if other.status in ['fail', 'error'] -%}
        {%- set of = [other.node.unique_id] if other.node.resource_type != 'test'
            else [other.node.attached_node] if other.node.attached_node else other.node.depends_on.nodes -%}
        {%- if of | select('in', read) | list or other.node.unique_id == result.node.unique_id -%}
            {%- do found.append({'name': other.node.name, 'failures': other.failures}) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}

{% endmacro %}


{% macro all_read_by(node, found) %}

    {#- All that a node reads, directly or not, by unique id. -#}
    {%- for unique_id in (node.depends_on.nodes if node.depends_on else []) if unique_id not in found -%}
        {%- do found.update({unique_id: true}) -%}
        {%- do mysql_to_redshift.all_read_by(graph.nodes.get(unique_id, {}), found) -%}
    {%- endfor -%}
    {{ return(found) }}

{% endmacro %}


{% macro lift_hold(model=none) %}

    {#-
        Let builds publish a summary again that somebody holds.

        dbt run-operation lift_hold --args '{model: nps_summary}'
    -#}
    {%- if model is none -%}
        {{ exceptions.raise_compiler_error('lift_hold needs a model. Nothing was changed.') }}
    {%- endif -%}
    {%- set published = mysql_to_redshift.checked_tables(model)[model] -%}
    {%- if mysql_to_redshift.held_since(published.identifier) -%}
        {%- do mysql_to_redshift.write_held_back(mysql_to_redshift.replace_held_back([published.identifier], [], 'check_name is null')) -%}
        {%- do log(model ~ ' is held no more. The next build publishes anew, if its checks pass.', info=true) -%}
    {%- else -%}
        {%- do log(model ~ ' is not held. Nothing was changed.', info=true) -%}
    {%- endif -%}

{% endmacro %}

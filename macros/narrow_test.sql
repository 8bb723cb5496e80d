{#-
    Under `loader run` a test of a core or a raw table, or of a snapshot of one, looks at the rows
    that were landed since it passed last, and at what these touch; under `dbt build`, `dbt test`
    and `loader run --thorough` at everything. One that has failed has seen nothing, and fails again
    until what it found is mended.

    This is where dbt narrows what a generic test looks at by its `where`; its own version (read in
    dbt-adapters 1.24.5) is the default one, which goes on to do so.
-#}
{% macro postgres__get_where_subquery(relation) %}

    {%- set kind = mysql_to_redshift.depth_of_test() -%}
    {%- set look = mysql_to_redshift.look_at(relation) if kind in ['rows', 'key'] -%}
    {%- if not look -%}
        {{ return(dbt.default__get_where_subquery(relation)) }}
    {%- endif -%}
    {%- set conditions = [] -%}
    {%- if config.get('where') -%}
        {%- do conditions.append('(' ~ config.get('where') ~ ')') -%}
    {%- endif -%}
    {%- set own = conditions | join(' and ') or '1 = 1' -%}
    {%- set looked = 'select looked.* from ' ~ relation ~ ' as looked where ' ~ own -%}
    {%- if look.since and kind == 'rows' -%}
        {%- set looked = looked ~ ' and ' ~ mysql_to_redshift.brought_by('looked', look) -%}
    {%- elif look.since -%}
        {%- set met = looked ~ ' and ' ~ mysql_to_redshift.met_by(relation, look) -%}
        {%- set unfilled = mysql_to_redshift.unfilled_by(look) -%}
        {%- set looked = met ~ (' union all ' ~ looked ~ ' and ' ~ unfilled if unfilled else '') -%}
    {%- endif -%}
    {{ return('(' ~ looked ~ ') narrowed_rows ' ~ look.mark) }}

{% endmacro %}


{% macro depth_of_test() %}

    {#-
        What a test has to see of new rows: `rows` - they themselves; `key` - all rows that share
        the tested columns with one of them; `all` - the whole table, as any test of which this is
        not known. The test says so itself, by its meta; dbt's own four cannot.
    -#}
    {%- set known = {
        'not_null': 'rows', 'accepted_values': 'rows', 'relationships': 'rows', 'unique': 'key'
    } -%}
    {%- if execute and model.resource_type == 'test' and model.test_metadata -%}
        {{ return(
            (model.config.meta or {}).get('looks_at') or known.get(model.test_metadata.name, 'all')
        ) }}
    {%- endif -%}

{% endmacro %}


{% macro look_at(relation) %}

    {#-
        What the present test has to look at of a relation; none for everything.

        returns: {node, key, since, mark}: the load that it has seen last, none at first; and a
        comment by which the end of the run knows up to which load the test has looked.
    -#}
    {%- if not execute or env_var('LOADER_CHECKS', '') != 'new' or model.resource_type != 'test'
        or not load_relation(mysql_to_redshift.seen_relation()) -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set tested = mysql_to_redshift.tested_node() -%}
    {%- if not tested or mysql_to_redshift.node_relation(tested) | string != relation | string -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set core = tested -%}
    {%- if tested.resource_type == 'source' -%}
        {%- set state = mysql_to_redshift.state_once(tested) if mysql_to_redshift.declared_key(tested.identifier) -%}
    {%- elif tested.resource_type == 'snapshot' -%}
        {%- set core = graph.nodes.get(tested.depends_on.nodes[0]) -%}
        {%- set state = (tested.get('_looked_at') or mysql_to_redshift.last_seen(tested.unique_id) or {}).copy() -%}
        {%- if state -%}
            {%- do state.update({'table_id': state.table_id ~ ' ' ~ mysql_to_redshift.table_id(relation)}) -%}
        {%- endif -%}
    {%- elif tested.resource_type == 'model' and mysql_to_redshift.is_narrowable(tested) -%}
        {%- set state = mysql_to_redshift.state_once(tested) -%}
    {%- endif -%}
    {%- if not state or not state.load_id -%}
        {{ return(none) }}
    {%- endif -%}
    {%- if config.get('where') -%}
        {%- do state.update({'table_id': state.table_id ~ ' ' ~ local_md5(config.get('where'))[:8]}) -%}
    {%- endif -%}
    {%- if model.test_metadata.name == 'relationships' -%}
        {%- for unique_id in model.depends_on.nodes if unique_id != tested.unique_id and unique_id in graph.nodes -%}
            {%- do state.update({'table_id': state.table_id ~ ' ' ~ mysql_to_redshift.last_taken_away(graph.nodes[unique_id])}) -%}
        {%- endfor -%}
    {%- endif -%}

    {%- set seen = mysql_to_redshift.last_seen(model.unique_id, state) -%}
    {%- set is_known = seen and not (
        tested.resource_type == 'snapshot' and mysql_to_redshift.is_landed_whole(core, seen.load_id)
    ) -%}
    {{ return({
        'node': tested,
        'core': core,
        'since': seen.load_id if is_known,
        'mark': '/* looked at ' ~ state.table_id ~ ' up to ' ~ state.load_id ~ ' */'
    }) }}

{% endmacro %}


{% macro last_taken_away(parent) %}

    {#-
        A few characters that are others once rows of a core model may have gone, by a repair, a
        comparison or another copy of the whole table: their children may be old rows.
    -#}
    {%- if '_last_taken_away' not in parent -%}
        {%- set found = run_query(
            'select coalesce(content_hash, load_id) from ' ~ mysql_to_redshift.ledger_relation()
            ~ ' where table_name = ' ~ mysql_to_redshift.text_literal(parent.name) ~ " and outcome = 'landed'"
            ~ ' and ((mode in ' ~ mysql_to_redshift.modes_of_keys() ~ ' and landed_rows > 0) or (mode not in '
            ~ mysql_to_redshift.modes_of_keys() ~ ' and window_start is null)) order by load_id desc limit 1'
        ).rows if mysql_to_redshift.is_narrowable(parent) else [] -%}
        {%- do parent.update({'_last_taken_away': local_md5(found | map(attribute=0) | join)[:8]}) -%}
    {%- endif -%}
    {{ return(parent['_last_taken_away']) }}

{% endmacro %}


{% macro state_once(tested) %}

    {#- A table's tests come after what builds it, so that its state is asked for by the first. -#}
    {%- if '_state' not in tested -%}
        {%- do tested.update({'_state': mysql_to_redshift.state_of(tested)}) -%}
    {%- endif -%}
    {{ return(tested['_state'].copy()) }}

{% endmacro %}


{% macro tested_node() %}

    {#- The source, model or snapshot that the present test is declared for. -#}
    {%- set unique_id = model.attached_node or (model.depends_on.nodes | first) -%}
    {{ return(graph.nodes.get(unique_id) or graph.sources.get(unique_id)) }}

{% endmacro %}


{% macro brought_by(rows, look) %}

    {#- The condition that a row is new; of a history, that its key is. -#}
    {%- if look.node.resource_type == 'snapshot' -%}
        exists (
            select 1
            from ({{ mysql_to_redshift.touched_keys(look.core, look.since) }}) as touched
            where {{ mysql_to_redshift.same_key('touched', rows, look.core.config.unique_key) }}
        )
    {%- else -%}
        {{ rows }}._load_id > {{ mysql_to_redshift.text_literal(look.since) }}
    {%- endif -%}

{% endmacro %}


{% macro met_by(relation, look) %}

    {#- The condition that a row shares the columns that are tested together with a new one. -#}
    {%- set columns = mysql_to_redshift.key_tested(look) -%}
    {%- if columns -%}
        exists (
            select 1
            from {{ relation }} as brought
            where {{ mysql_to_redshift.same_key('brought', 'looked', columns) }}
            and {{ mysql_to_redshift.brought_by('brought', look) }}
        )
    {%- else -%}
        {%- set column = model.test_metadata.kwargs.column_name -%}
        {{ column }} in (
            select {{ column }}
            from {{ relation }} as brought
            where {{ mysql_to_redshift.brought_by('brought', look) }}
        )
    {%- endif -%}

{% endmacro %}


{% macro unfilled_by(look) %}

    {#- The condition that a new row lacks a column of the key, so that it equals no other row. -#}
    {%- set columns = mysql_to_redshift.key_columns(mysql_to_redshift.key_tested(look)) -%}
    {%- if columns -%}
        {{ return(
            mysql_to_redshift.brought_by('looked', look)
            ~ ' and (' ~ columns | join(' is null or ') ~ ' is null)'
        ) }}
    {%- endif -%}

{% endmacro %}


{% macro key_tested(look) %}

    {#- The columns of the key that the present test is of; none if NULL is nothing to it. -#}
    {%- set arguments = model.test_metadata.kwargs -%}
    {%- if model.test_metadata.name != 'primary_key' and arguments.column_name -%}
        {{ return([]) }}
    {%- endif -%}
    {{ return(arguments.column_name or arguments.columns or look.node.config.unique_key) }}

{% endmacro %}


{% macro note_looks(results) %}

    {#-
        Note up to where snapshots and tests have looked. A test that only warns has told of the
        rows that it saw, too.
    -#}
    {%- set looks = [] -%}
    {%- for result in results if execute and result.status in ['pass', 'warn'] -%}
        {%- set mark = modules.re.search(
            '/\\* looked at (.+?) up to (.+?) \\*/', result.node.compiled_code or ''
        ) -%}
        {%- if mark -%}
            {%- do looks.append({
                'reader': result.node.unique_id,
                'state': {'table_id': mark.group(1), 'load_id': mark.group(2)}
            }) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for result in results if execute and result.status == 'success' -%}
        {%- set state = graph.nodes.get(result.node.unique_id, {}).get('_looked_at') -%}
        {%- if state -%}
            {%- do looks.append({'reader': result.node.unique_id, 'state': state}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if looks -%}
        {%- call statement('lock') -%}
            {{ mysql_to_redshift.lock_for_writing(mysql_to_redshift.publications_relation()) }}
        {%- endcall -%}
        {%- do mysql_to_redshift.note_seen(looks) -%}
        {%- do adapter.commit() -%}
    {%- endif -%}

{% endmacro %}

{#-
    A snapshot of a core model looks at the rows whose keys were landed since the snapshot before,
    deleted ones included; everything else in the core table is as it was. dbt's own SQL (read in
    dbt-adapters 1.24.5) compares them, and is given less to compare: this is the version of it
    for PostgreSQL and, as dbt looks there next, for Redshift, of which dbt has none itself.

    It looks at the whole table where that is not all that can have changed: at first, after the
    core table was made anew (--full-refresh), after a landing of the whole table, after the
    snapshot's own configuration was changed, and under `loader run --thorough`.
-#}
{% macro postgres__snapshot_staging_table(strategy, source_sql, target_relation) %}

    {%- set core = mysql_to_redshift.snapshotted_core(strategy) -%}
    {#- dbt asks twice in one transaction, and means the same rows. -#}
    {%- if core and '_narrowed' not in model -%}
        {%- do model.update({'_narrowed': mysql_to_redshift.narrowed_snapshot(core, target_relation)}) -%}
    {%- endif -%}
    {%- if model['_narrowed'] -%}
        {%- set touched, versions = model['_narrowed'] -%}
        {%- set rows -%}
            select whole.*
            from ({{ source_sql }}) as whole
            inner join {{ touched }} as touched
                on {{ mysql_to_redshift.same_key('whole', 'touched', core.config.unique_key) }}
        {%- endset -%}
        {{ dbt.default__snapshot_staging_table(strategy, rows, versions) }}
    {%- else -%}
        {{ dbt.default__snapshot_staging_table(strategy, source_sql, target_relation) }}
    {%- endif -%}

{% endmacro %}


{% macro snapshotted_core(strategy) %}

    {#- The core model that the snapshot is of, as it is and by its key; none for any other. -#}
    {%- set read = model.depends_on.nodes -%}
    {%- set core = graph.nodes.get(read[0]) if read | length == 1 -%}
    {%- if core and mysql_to_redshift.is_narrowable(core)
        and modules.re.fullmatch("select \\* from \\{\\{ *ref\\([^)]*\\) *\\}\\}", model.raw_code | trim)
        and mysql_to_redshift.key_columns(strategy.unique_key) | sort == mysql_to_redshift.key_columns(core.config.unique_key) | sort -%}
        {{ return(core) }}
    {%- endif -%}

{% endmacro %}


{% macro narrowed_snapshot(core, versions) %}

    {#-
        Find what this snapshot has to look at, and keep up to where it has looked then.

        returns: two temporary tables, the keys and the versions of them that are open; none for
        everything.
    -#}
    {%- set now = mysql_to_redshift.state_of(core) -%}
    {#- Another history, or one that is made in another way, has seen nothing. -#}
    {%- set made_by = [
        config.get('strategy'), config.get('check_cols'), config.get('updated_at'),
        config.get('hard_deletes'), config.get('invalidate_hard_deletes')
    ] -%}
    {%- do now.update({
        'table_id': now.table_id ~ ' ' ~ mysql_to_redshift.table_id(versions)
        ~ ' ' ~ local_md5(made_by | string)[:8]
    }) -%}
    {%- set seen = mysql_to_redshift.last_seen(model.unique_id, now) -%}
    {#- Noted when the run ends: Redshift ends one of two transactions that read and write a table,
        as two snapshots at the same time would. Where that fails, the next one looks at more. -#}
    {%- do graph.nodes[model.unique_id].update({'_looked_at': now}) -%}
    {%- if not seen or env_var('LOADER_CHECKS', '') == 'all'
        or mysql_to_redshift.is_landed_whole(core, seen.load_id) -%}
        {{ return(none) }}
    {%- endif -%}

    {%- set touched = make_temp_relation(versions, '__touched') -%}
    {%- set open_versions = make_temp_relation(versions, '__open') -%}
    {%- set key = core.config.unique_key -%}
    {%- set until = config.get('dbt_valid_to_current') -%}
    {%- set columns = config.get('snapshot_table_column_names') or get_snapshot_table_column_names() -%}
    {%- call statement('touched') -%}
        {{ mysql_to_redshift.snapshot_indexes(versions, key, columns.dbt_scd_id) }}
        {{ create_table_as(true, touched, mysql_to_redshift.touched_keys(core, seen.load_id)) }}
        {%- set found -%}
            select versions.*
            from {{ versions }} as versions
            inner join {{ touched }} as touched on {{ mysql_to_redshift.same_key('versions', 'touched', key) }}
            where
                versions.{{ columns.dbt_valid_to }} is null
                {%- if until %} or versions.{{ columns.dbt_valid_to }} = {{ until }}{% endif %}
        {%- endset -%}
        {{ create_table_as(true, open_versions, found) }}
    {%- endcall -%}
    {{ return([touched, open_versions]) }}

{% endmacro %}


{% macro is_landed_whole(core, since) %}

    {#- Whether the whole table has been landed: rows may have vanished, and the landing names none. -#}
    {%- set found = run_query(
        'select count(*) from ' ~ mysql_to_redshift.ledger_relation() ~ ' where table_name = ' ~ mysql_to_redshift.text_literal(core.name)
        ~ " and outcome = 'landed' and window_start is null and mode not in " ~ mysql_to_redshift.modes_of_keys()
        ~ " and load_id > " ~ mysql_to_redshift.text_literal(since)
    ) -%}
    {{ return(found.rows[0][0] > 0) }}

{% endmacro %}


{% macro snapshot_indexes(versions, key, scd_id) %}
    {{ return(adapter.dispatch('snapshot_indexes', 'mysql_to_redshift')(versions, key, scd_id)) }}
{% endmacro %}

{#- A key's versions are looked up, and the version that ends. -#}
{% macro default__snapshot_indexes(versions, key, scd_id) %}
    create index if not exists {{ mysql_to_redshift.quoted(versions.identifier[:50] ~ '_key_idx') }}
    on {{ versions }} ({{ mysql_to_redshift.key_columns(key) | join(', ') }});
    create index if not exists {{ mysql_to_redshift.quoted(versions.identifier[:50] ~ '_scd_id_idx') }}
    on {{ versions }} ({{ scd_id }});
{% endmacro %}

{#- Redshift has no indexes. -#}
{% macro redshift__snapshot_indexes(versions, key, scd_id) %}{% endmacro %}

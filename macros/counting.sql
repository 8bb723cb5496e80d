{#-
    A summary that only adds up counts need not count again what it has counted. The build that
    changes a core table which such a summary reads notes, in its transaction, the rows that came
    and those that went, the former version of a changed row among these; the summary adds the ones
    to what is published and takes the others away. The sum is that of all rows, whatever happened
    in between and in whatever order.

    archive._changes_<core table>: a row for each that came (copies 1) or went (copies -1), by the
    build that noted it (batch, which grows), with the columns that are counted by.
-#}
{% macro rows_to_count(read, columns) %}

    {#-
        What a summary counts: of each row `columns`, and `copies`, to be summed up instead of
        counting rows. All rows of a core model, or under `loader run` those that came and went
        since the summary was published last.

        read: what ref() of the core model gives; the summary reads nothing else.
    -#}
    {{- config(meta={'counts': columns}) -}}
    {%- set listed = mysql_to_redshift.key_columns(columns) | join(', ') -%}
    {%- set since = model.get('_counted') -%}
    {%- if since -%}
        (select {{ listed }}, copies from {{ since.changes }} where batch > {{ since.counted_up_to }} and batch <= {{ since.until }}) as rows_to_count
    {%- else -%}
        (select {{ listed }}, 1 as copies from {{ read }}) as rows_to_count
    {%- endif -%}

{% endmacro %}


{% macro add_published(counted, group, counts) %}

    {#-
        Counts of all rows: those of a CTE, and where it has counted only what came and went, those
        that are published, as the type that these have. A group in which nothing is left goes.

        group: the column that is counted by; counts: the columns that are counts.
    -#}
    {%- set listed = group ~ ', ' ~ counts | join(', ') -%}
    {%- if model.get('_counted') -%}
        {%- set types, totals, left = {}, [], [] -%}
        {%- for name, kind in mysql_to_redshift.column_types(this).items() -%}
            {%- do types.update({mysql_to_redshift.quoted(name): kind}) -%}
        {%- endfor -%}
        {%- for name in counts -%}
            {%- do totals.append('cast(sum(' ~ name ~ ') as ' ~ types[mysql_to_redshift.key_columns(name)[0]] ~ ') as ' ~ name) -%}
            {%- do left.append('sum(' ~ name ~ ') <> 0') -%}
        {%- endfor -%}
        select {{ group }}, {{ totals | join(', ') }}
        from (select {{ listed }} from {{ counted }} union all select {{ listed }} from {{ this }}) as added
        group by {{ group }}
        having {{ left | join(' or ') }}
    {%- else -%}
        select {{ listed }} from {{ counted }}
    {%- endif -%}

{% endmacro %}


{% macro counted_core(node) %}

    {#- The core model whose rows a summary counts; none for one that has to be built whole. -#}
    {%- set core = graph.nodes.get(node.depends_on.nodes | first) -%}
    {%- if (node.config.meta or {}).get('counts') and node.depends_on.nodes | length == 1 and core
        and 'macro.mysql_to_redshift.newest_rows' in core.depends_on.macros -%}
        {{ return(core) }}
    {%- endif -%}

{% endmacro %}


{% macro counting_summaries(core) %}

    {#- The summaries that count a core model's rows. -#}
    {%- set found = [] -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and core.unique_id in node.depends_on.nodes
        and mysql_to_redshift.counted_core(node) -%}
        {%- do found.append(node) -%}
    {%- endfor -%}
    {{ return(found) }}

{% endmacro %}


{% macro counted_columns(core) %}

    {#- The columns of a core model that summaries count by, as SQL takes them. -#}
    {%- set columns = [] -%}
    {%- for summary in mysql_to_redshift.counting_summaries(core) -%}
        {%- do columns.extend(mysql_to_redshift.key_columns(summary.config.meta.counts)) -%}
    {%- endfor -%}
    {{ return(columns | unique | sort) }}

{% endmacro %}


{% macro changes_relation(core) %}

    {{ return(mysql_to_redshift.archive_relation(core).incorporate(
        path={'identifier': '_changes_' ~ core.identifier[:50]}, type='table'
    )) }}

{% endmacro %}


{% macro changes_columns(core, columns) %}

    {#- The columns of the table of changes with their types, which are the core table's own. -#}
    {%- set types = {'batch': 'bigint', 'copies': 'integer'} -%}
    {%- for column in adapter.get_columns_in_relation(core) if mysql_to_redshift.quoted(column.name) in columns -%}
        {%- do types.update({column.name: column.data_type}) -%}
    {%- endfor -%}
    {{ return(types) }}

{% endmacro %}


{% macro notes_changes(core, columns) %}

    {#- Whether what comes and goes can be noted: not after a type has changed, nor of an empty table,
        which is filled anew. Then the table of changes is made anew, and nobody goes on from it. -#}
    {%- set changes = mysql_to_redshift.changes_relation(core) -%}
    {%- set found = {} -%}
    {%- for column in adapter.get_columns_in_relation(changes) -%}
        {%- do found.update({column.name: column.data_type}) -%}
    {%- endfor -%}
    {{ return(
        found == mysql_to_redshift.changes_columns(core, columns)
        and run_query('select 1 as present from ' ~ core ~ ' limit 1').rows | length > 0
    ) }}

{% endmacro %}


{% macro next_batch(core) %}

    {#- Those who write the core table do so one after the other. -#}
    {{ return(run_query(
        'select coalesce(max(batch), 0) + 1 from ' ~ mysql_to_redshift.changes_relation(core)
    ).rows[0][0] | int) }}

{% endmacro %}


{#-
    Before dbt merges what a build has found, note what that changes: dbt's own (read in dbt-adapters
    1.24.5) follows. Rows that are landed again as they were change nothing.
-#}
{% macro default__get_incremental_merge_sql(arg_dict) %}

    {%- set core, came, key = arg_dict['target_relation'], arg_dict['temp_relation'], arg_dict['unique_key'] -%}
    {%- set merge = dbt.default__get_incremental_merge_sql(arg_dict) -%}
    {%- set columns = mysql_to_redshift.counted_columns(model) -%}
    {%- if not columns -%}
        {{ return(merge) }}
    {%- endif -%}
    {#- A column that the model has no more brings nothing to be noted. -#}
    {%- set brought = mysql_to_redshift.key_columns(arg_dict['dest_columns'] | map(attribute='name') | list) -%}
    {%- do model.update({'_notes_changes': not (columns | reject('in', brought) | list)
        and mysql_to_redshift.notes_changes(core, columns)}) -%}
    {%- if not model['_notes_changes'] -%}
        {{ return(merge) }}
    {%- endif -%}
    {%- set values, differing = [], [] -%}
    {%- set is_new = 'former.' ~ mysql_to_redshift.key_columns(key)[0] ~ ' is null' -%}
    {%- for column in columns -%}
        {%- do values.append('case when sides.copies = 1 then came.' ~ column ~ ' else former.' ~ column ~ ' end') -%}
        {%- do differing.append(
            'case when came.' ~ column ~ ' = former.' ~ column ~ ' or (came.' ~ column ~ ' is null and former.'
            ~ column ~ ' is null) then 0 else 1 end = 1'
        ) -%}
    {%- endfor -%}
    {%- set noted -%}
        insert into {{ mysql_to_redshift.changes_relation(core) }} (batch, copies, {{ columns | join(', ') }})
        select {{ mysql_to_redshift.next_batch(core) }}, sides.copies, {{ values | join(', ') }}
        from {{ came }} as came
        left join {{ core }} as former on {{ mysql_to_redshift.same_key('came', 'former', key) }}
        cross join (select 1 as copies union all select -1 as copies) as sides
        where
            ({{ is_new }} and sides.copies = 1)
            or (not {{ is_new }} and ({{ differing | join(' or ') }}));
    {%- endset -%}
    {{ return(noted ~ merge) }}

{% endmacro %}


{% macro delete_noted(core, condition, also_read=none) %}

    {#-
        Delete rows of a core table, and note them where summaries count them: the rows are picked
        once, because what is landed meanwhile may change what a second look would find.
    -#}
    {%- set columns = mysql_to_redshift.counted_columns(model) if model.get('_notes_changes') -%}
    {%- if columns -%}
        {%- set key = mysql_to_redshift.key_columns(model.config.unique_key) -%}
        {%- set picked = [] -%}
        {%- for column in (key + columns) | unique -%}
            {%- do picked.append(adapter.quote(core.identifier) ~ '.' ~ column) -%}
        {%- endfor %}
        create temporary table _gone as
        select distinct {{ picked | join(', ') }} from {{ core }}
        {%- if also_read %} cross join {{ also_read }}{% endif %}
        where {{ condition }};
        insert into {{ mysql_to_redshift.changes_relation(core) }} (batch, copies, {{ columns | join(', ') }})
        select {{ mysql_to_redshift.next_batch(core) }}, -1, {{ columns | join(', ') }} from _gone;
        delete from {{ core }}
        using _gone
        where {{ mysql_to_redshift.same_key('_gone', adapter.quote(core.identifier), model.config.unique_key) }};
        drop table _gone;
    {%- else %}
        delete from {{ core }} {%- if also_read %} using {{ also_read }}{% endif %} where {{ condition }};
    {%- endif -%}

{% endmacro %}


{% macro keep_changes() %}

    {#-
        After a core model was built: make the table of changes where a summary wants one and it is
        not there, or not as it should be; else drop what every summary has counted. The newest batch
        stays, so that the next one is greater.
    -#}
    {%- set columns = mysql_to_redshift.counted_columns(model) if execute and mysql_to_redshift.is_building() -%}
    {%- if columns and model.config.materialized == 'incremental' -%}
        {%- set changes = mysql_to_redshift.changes_relation(this) -%}
        {%- if model.get('_notes_changes') -%}
            {%- set readers = [] -%}
            {%- for summary in mysql_to_redshift.counting_summaries(model) -%}
                {%- do readers.append(mysql_to_redshift.text_literal(summary.alias)) -%}
            {%- endfor -%}
            delete from {{ changes }}
            where batch < (
                select least(
                    (select max(batch) from {{ changes }}),
                    coalesce(min(counted_up_to), 0)
                )
                from {{ mysql_to_redshift.publications_relation() }} as published
                inner join (
                    select model_name, max(published_at) as published_at
                    from {{ mysql_to_redshift.publications_relation() }}
                    group by model_name
                ) as newest
                    on published.model_name = newest.model_name and published.published_at = newest.published_at
                where
                    published.changes_id = '{{ mysql_to_redshift.table_id(changes) }}'
                    and published.model_name in ({{ readers | join(', ') }})
            )
        {%- else -%}
            {%- set listed = [] -%}
            {%- for name, kind in mysql_to_redshift.changes_columns(this, columns).items() -%}
                {%- do listed.append(mysql_to_redshift.quoted(name) ~ ' ' ~ kind) -%}
            {%- endfor -%}
            drop table if exists {{ changes }};
            create table {{ changes }} ({{ listed | join(', ') }})
        {%- endif -%}
    {%- endif -%}

{% endmacro %}


{% macro counting_state(sql) %}

    {#-
        What a summary that only adds up is made of, as its publication notes it: its own SQL, the
        core table, the table of changes, and up to which of these it has counted. None for any
        other summary, which is built whole.
    -#}
    {%- set core = mysql_to_redshift.counted_core(model) -%}
    {%- if not core or invocation_args_dict.get('defer') or flags.EMPTY or model.extra_ctes -%}
        {{ return(none) }}
    {%- endif -%}
    {#- What the clock or chance tells is another thing tomorrow, of rows that have not changed. -#}
    {%- if modules.re.search(mysql_to_redshift.words_of_time(), sql | lower) -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set counted = mysql_to_redshift.node_relation(core) -%}
    {%- set changes = mysql_to_redshift.changes_relation(counted) -%}
    {%- set changes_id = mysql_to_redshift.table_id(changes) -%}
    {%- if not changes_id -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set kept = run_query('select coalesce(min(batch), 1), coalesce(max(batch), 0) from ' ~ changes).rows[0] -%}
    {{ return({
        'changes': changes,
        'changes_id': changes_id,
        'made_of': local_md5(sql) ~ ' ' ~ mysql_to_redshift.table_id(counted),
        'kept_from': kept[0] | int,
        'counted_up_to': kept[1] | int
    }) }}

{% endmacro %}


{% macro counted_before(state, published) %}

    {#-
        The publication that a summary goes on from; none where everything is to be counted: plain
        dbt, `loader run --thorough`, a full refresh, another SQL, another core table, a version
        that was put back, rows that are not those that were published or cannot be told from them,
        or changes that are no longer kept because two builds at once have counted them.
    -#}
    {%- if not state or not published or env_var('LOADER_CHECKS', '') != 'new' or flags.FULL_REFRESH -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set found = run_query(
        'select published_at, counted_up_to, made_of, changes_id, row_count, digest from ' ~ mysql_to_redshift.publications_relation()
        ~ ' where model_name = ' ~ mysql_to_redshift.text_literal(published.identifier) ~ ' order by published_at desc limit 1'
    ).rows -%}
    {%- if not found or found[0]['made_of'] != state.made_of or found[0]['changes_id'] | string != state.changes_id
        or not state.kept_from - 1 <= found[0]['counted_up_to'] <= state.counted_up_to -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set present = run_query('select ' ~ mysql_to_redshift.digest(published) ~ ' from ' ~ published).rows[0] -%}
    {%- if present[0] == found[0]['row_count'] and present[1] == found[0]['digest'] and present[1] is not none -%}
        {{ return({
            'published_at': found[0]['published_at'],
            'changes': state.changes,
            'counted_up_to': found[0]['counted_up_to'] | int,
            'until': state.counted_up_to
        }) }}
    {%- endif -%}

{% endmacro %}

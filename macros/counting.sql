{#-
    A summary that is brought up to date by what came and went need not read again what it has
    counted. The build that changes a core table which such a summary counts notes, in its
    transaction, the rows that came and those that went (noted_changes.sql). What the summary then
    publishes is what counting all rows would have given, whatever happened in between and in
    whatever order.

    Where counts add up, it adds the ones to what is published and takes the others away. Where they
    do not (different users, the first of all visits), it says `per` what it counts: of each user
    that is touched, all rows are taken away as they were and added as they are (touched_rows.sql).
-#}
{% macro rows_to_count(read, columns, per=none) %}

    {#-
        What a summary counts: of each row `columns`, and `copies`, to be summed up instead of
        counting rows. All rows, or under `loader run` those that came and went since the summary
        was published last; with `per` all rows of those that these touch, as they were and as
        they are.

        read: what ref() of the core model gives, or with `per` of a view that joins core models by
            their key. The summary names it first. What else it reads has to be as it was, or
            everything is counted.
        per: the column of which different values are counted, or all rows of one are looked at.
    -#}
    {{- config(meta={'counts': columns, 'per': per} if per else {'counts': columns}) -}}
    {%- set listed = mysql_to_redshift.key_columns(columns) | join(', ') -%}
    {%- set since = model.get('_counted') -%}
    {%- if since and per -%}
        (
            select {{ listed }}, 1 as copies from ({{ since.present }}) as present
            union all
            select {{ listed }}, -1 as copies from ({{ since.former }}) as former
        ) as rows_to_count
    {%- elif since -%}
        {%- set noted = since.reads[0] -%}
        (select {{ listed }}, copies from {{ noted.changes }} where batch > {{ noted.counted_up_to }} and batch <= {{ noted.until }}) as rows_to_count
    {%- else -%}
        (select {{ listed }}, 1 as copies from {{ read }}) as rows_to_count
    {%- endif -%}

{% endmacro %}


{% macro count_different(value) %}

    {#- How many different values there are more than there were, of rows that are counted `per` it. -#}
    {%- if model.get('_counted') -%}
        count(distinct case when copies = 1 then {{ value }} end) - count(distinct case when copies = -1 then {{ value }} end)
    {%- else -%}
        count(distinct {{ value }})
    {%- endif -%}

{% endmacro %}


{% macro add_published(counted, group, counts) %}

    {#-
        Counts of all rows: those of a CTE, and where it has counted only what came and went, those
        that are published, as the type that these have. A group in which nothing is left goes.

        group: the columns that are counted by; counts: the columns that are counts.
    -#}
    {%- set group = [group] if group is string else group -%}
    {%- set listed = (group + counts) | join(', ') -%}
    {%- if model.get('_counted') -%}
        {%- set types = mysql_to_redshift.quoted_types(this) -%}
        {%- set totals, left = [], [] -%}
        {%- for name in counts -%}
            {%- do totals.append('cast(sum(' ~ name ~ ') as ' ~ types[mysql_to_redshift.key_columns(name)[0]] ~ ') as ' ~ name) -%}
            {%- do left.append('sum(' ~ name ~ ') <> 0') -%}
        {%- endfor -%}
        select {{ group | join(', ') }}, {{ totals | join(', ') }}
        from (select {{ listed }} from {{ counted }} union all select {{ listed }} from {{ this }}) as added
        group by {{ group | join(', ') }}
        having {{ left | join(' or ') }}
    {%- else -%}
        select {{ listed }} from {{ counted }}
    {%- endif -%}

{% endmacro %}


{% macro keep_published_others(summarized, per) %}

    {#-
        The rows of a CTE that has some for each value of `per`; what has none is left out. Where the
        summary has looked only at those that are touched, what is published of all others stays:
        create_candidate adds it.
    -#}
    {%- set per = mysql_to_redshift.key_columns(per)[0] -%}
    {{- config(meta={'rows_of': per}) -}}
    select * from {{ summarized }} where {{ per }} is not null

{% endmacro %}


{% macro counted_cores(node) %}

    {#-
        The core models whose rows a summary counts: the one that it reads first, or those that the
        view joins which it reads first. None for a summary that has to be built whole.
    -#}
    {%- set meta = node.config.meta or {} -%}
    {%- set read = graph.nodes.get(node.depends_on.nodes | first) -%}
    {%- set cores, keys = [], [] -%}
    {%- if meta.get('counts') and read -%}
        {%- set is_view = 'view' in read.config.materialized -%}
        {%- for unique_id in (read.depends_on.nodes if is_view else [read.unique_id]) -%}
            {%- set core = graph.nodes.get(unique_id) -%}
            {%- if not core or 'macro.mysql_to_redshift.newest_rows' not in core.depends_on.macros or (is_view and not meta.get('per')) -%}
                {{ return([]) }}
            {%- endif -%}
            {%- do cores.append(core) -%}
            {%- do keys.append(mysql_to_redshift.key_columns(core.config.unique_key) | join(', ')) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(cores if keys | unique | list | length == 1 else []) }}

{% endmacro %}


{% macro counting_state(sql) %}

    {#-
        What a summary that goes on from what is published is made of, as its publication notes it:
        its own SQL, the view's, the core tables, what else it reads; and up to which change of each
        core table it has counted. None for any other summary, which is built whole.
    -#}
    {%- set cores = mysql_to_redshift.counted_cores(model) -%}
    {%- if not cores or invocation_args_dict.get('defer') or flags.EMPTY or model.extra_ctes -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set read = graph.nodes[model.depends_on.nodes | first] -%}
    {%- set reads, present, former, made_of, noted = [], {}, {}, [sql], [] -%}
    {#- A connection builds several summaries, each with temporary tables of its own. -#}
    {%- set mark = '_' ~ local_md5(model.unique_id)[:8] -%}
    {%- set tables, changes = [], [] -%}
    {%- for core in cores -%}
        {%- do tables.append(mysql_to_redshift.node_relation(core)) -%}
        {%- do changes.append(mysql_to_redshift.changes_relation(tables[-1])) -%}
    {%- endfor -%}
    {%- set ids = mysql_to_redshift.table_ids(tables + changes) -%}
    {%- if none in ids -%}
        {{ return(none) }}
    {%- endif -%}
    {%- do made_of.extend(ids[:cores | length]) -%}
    {%- if 'view' in read.config.materialized -%}
        {#- What is counted whole is what the view says there, which may not be built anew yet. -#}
        {%- set view = mysql_to_redshift.node_relation(read) -%}
        {%- do made_of.append(run_query(
            'select definition from pg_views where schemaname = ' ~ mysql_to_redshift.text_literal(view.schema)
            ~ ' and viewname = ' ~ mysql_to_redshift.text_literal(view.identifier)
        ).rows | map(attribute=0) | first) -%}
    {%- endif -%}
    {%- set kept = mysql_to_redshift.kept_batches(changes) -%}
    {%- for core in cores -%}
        {%- set columns = mysql_to_redshift.columns_counted_by(
            model, core, mysql_to_redshift.quoted_types(tables[loop.index0])
        ) -%}
        {%- if columns | reject('in', mysql_to_redshift.quoted_types(changes[loop.index0])) | list -%}
            {{ return(none) }}
        {%- endif -%}
        {%- do reads.append({
            'core': tables[loop.index0],
            'changes': changes[loop.index0],
            'changes_id': ids[cores | length + loop.index0],
            'columns': columns | join(', '),
            'net': '_net' ~ loop.index ~ mark,
            'present': '_present' ~ loop.index ~ mark,
            'former': '_former' ~ loop.index ~ mark,
            'kept_from': kept[loop.index0][0],
            'until': kept[loop.index0][1]
        }) -%}
        {%- do present.update({core.name: reads[-1].present}) -%}
        {%- do former.update({core.name: reads[-1].former}) -%}
        {%- do noted.append(reads[-1].changes_id ~ ':' ~ reads[-1].until) -%}
    {%- endfor -%}
    {%- set present = mysql_to_redshift.sql_over(read, present) -%}
    {%- set former = mysql_to_redshift.sql_over(read, former) -%}
    {%- do made_of.append(former) -%}
    {%- for unique_id in model.depends_on.nodes[1:] -%}
        {%- set other = mysql_to_redshift.node_relation(graph.nodes[unique_id]) if unique_id in graph.nodes -%}
        {%- set digest = run_query('select ' ~ mysql_to_redshift.digest(other, leave_out=mysql_to_redshift.columns_of_loader()) ~ ' from ' ~ other).rows[0] if other else [none, none] -%}
        {%- if digest[1] is none -%}
            {{ return(none) }}
        {%- endif -%}
        {%- do made_of.append(digest | join(' ')) -%}
    {%- endfor -%}
    {#- What the clock or chance tells is another thing tomorrow, of rows that have not changed. -#}
    {%- if not former or modules.re.search(mysql_to_redshift.words_of_time(), (sql ~ ' ' ~ former) | lower) -%}
        {{ return(none) }}
    {%- endif -%}
    {{ return({
        'reads': reads,
        'per': mysql_to_redshift.key_columns(model.config.meta.per) | first | default(none),
        'key': mysql_to_redshift.key_columns(cores[0].config.unique_key),
        'read': mysql_to_redshift.node_relation(read),
        'present': present,
        'touched': '_touched' ~ mark,
        'touched_rows': '_touched_rows' ~ mark,
        'changed_keys': '_changed_keys' ~ mark,
        'touched_keys': '_touched_keys' ~ mark,
        'former': former,
        'made_of': local_md5(made_of | join('\n')),
        'counted': noted | join(' ')
    }) }}

{% endmacro %}


{% macro kept_batches(changes) %}

    {#- Of each table of changes the first and the last batch that is kept. -#}
    {%- set asked, kept = [], [] -%}
    {%- for relation in changes -%}
        {%- do asked.append(
            'select ' ~ loop.index ~ ' as number, coalesce(min(batch), 1), coalesce(max(batch), 0) from ' ~ relation
        ) -%}
    {%- endfor -%}
    {%- for row in run_query(asked | join(' union all ') ~ ' order by 1').rows -%}
        {%- do kept.append((row[1] | int, row[2] | int)) -%}
    {%- endfor -%}
    {{ return(kept) }}

{% endmacro %}


{% macro is_of_one_state(state) %}

    {#- Whether nothing has come to the core tables since the state was asked for, nor were they made anew. -#}
    {%- set changes = state.reads | map(attribute='changes') | list -%}
    {{ return(
        mysql_to_redshift.table_ids(changes) == state.reads | map(attribute='changes_id') | list
        and mysql_to_redshift.kept_batches(changes) | map('last') | list == state.reads | map(attribute='until') | list
    ) }}

{% endmacro %}


{% macro counted_up_to(counted) %}

    {#- What a publication notes, by table of changes: the batch up to which it has counted. -#}
    {%- set batches = {} -%}
    {%- for noted in (counted or '').split() -%}
        {%- do batches.update({noted.split(':')[0]: noted.split(':')[1] | int}) -%}
    {%- endfor -%}
    {{ return(batches) }}

{% endmacro %}


{% macro counted_before(state, published) %}

    {#-
        The state, with the publication that a summary goes on from; none where everything is to be
        counted: plain dbt, `loader run --thorough`, a full refresh, another SQL, another core
        table, a version that was put back, rows that are not those that were published or cannot be
        told from them, or changes that are no longer kept because two builds at once have counted
        them.
    -#}
    {%- if not state or not published or env_var('LOADER_CHECKS', '') != 'new' or flags.FULL_REFRESH -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set found = run_query(
        'select published_at, counted, made_of, row_count, digest from ' ~ mysql_to_redshift.publications_relation()
        ~ ' where model_name = ' ~ mysql_to_redshift.text_literal(published.identifier) ~ ' order by published_at desc limit 1'
    ).rows -%}
    {%- if not found or found[0]['made_of'] != state.made_of -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set batches = mysql_to_redshift.counted_up_to(found[0]['counted']) -%}
    {%- for read in state.reads -%}
        {%- do read.update({'counted_up_to': batches.get(read.changes_id, -1)}) -%}
        {%- if not read.kept_from - 1 <= read.counted_up_to <= read.until -%}
            {{ return(none) }}
        {%- endif -%}
    {%- endfor -%}
    {%- set present = run_query('select ' ~ mysql_to_redshift.digest(published) ~ ' from ' ~ published).rows[0] -%}
    {%- if present[0] == found[0]['row_count'] and present[1] == found[0]['digest'] and present[1] is not none -%}
        {{ return(dict(
            state, published_at=found[0]['published_at'], row_count=present[0] | int, digest=present[1]
        )) }}
    {%- endif -%}

{% endmacro %}

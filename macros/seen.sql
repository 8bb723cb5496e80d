{#-
    What a daily run need not look at again: how far each snapshot and each test has looked at a
    core or a raw table, as the newest load that it has seen all rows of.
-#}
{% macro seen_relation() %}

    {{ return(mysql_to_redshift.publications_relation().incorporate(path={'identifier': '_seen'})) }}

{% endmacro %}


{% macro create_seen() %}

    {%- if execute and flags.WHICH in ['build', 'run', 'snapshot'] -%}
        {%- if not load_relation(mysql_to_redshift.seen_relation()) -%}
            {%- call statement('create_seen') -%}
                create table if not exists {{ mysql_to_redshift.seen_relation() }} (
                    reader varchar(512),
                    table_id varchar(64),
                    load_id varchar(32),
                    seen_at timestamp
                )
            {%- endcall -%}
            {%- do adapter.commit() -%}
        {%- endif -%}
    {%- endif -%}

{% endmacro %}


{% macro is_narrowable(node) %}

    {#-
        Whether a model is a core model that newest_rows builds, from the raw table of its name, in
        this target.
    -#}
    {{ return(
        'macro.mysql_to_redshift.newest_rows' in node.depends_on.macros
        and not invocation_args_dict.get('defer')
        and mysql_to_redshift.declared_key(node.name)
        and load_relation(mysql_to_redshift.seen_relation())
    ) }}

{% endmacro %}


{% macro state_of(node) %}

    {#-
        Which table a core or a raw table is at present, and up to which load it has everything. To
        be asked before its rows are read: what comes meanwhile is then looked at again.
    -#}
    {%- set relation = mysql_to_redshift.node_relation(node) -%}
    {%- set newest -%}
        {%- if node.resource_type == 'source' -%}
            select max(load_id) from {{ mysql_to_redshift.ledger_relation() }}
            where table_name = {{ mysql_to_redshift.text_literal(node.identifier) }} and outcome = 'landed'
        {%- else -%}
            select max(_watermark) from {{ relation }}
        {%- endif -%}
    {%- endset -%}
    {{ return({
        'table_id': mysql_to_redshift.table_id(relation), 'load_id': run_query(newest).rows[0][0] or ''
    }) }}

{% endmacro %}


{% macro table_id(relation) %}

    {#- The warehouse's own number of a table: one that was made anew has another; none without one. -#}
    {{ return(mysql_to_redshift.table_ids([relation])[0]) }}

{% endmacro %}


{% macro table_ids(relations) %}

    {#- Those of several, in the order of the relations. -#}
    {%- set named, ids = [], {} -%}
    {%- for relation in relations -%}
        {%- do named.append(
            '(nspname = ' ~ mysql_to_redshift.text_literal(relation.schema)
            ~ ' and relname = ' ~ mysql_to_redshift.text_literal(relation.identifier) ~ ')'
        ) -%}
    {%- endfor -%}
    {%- for row in run_query(
        'select nspname, relname, cast(pg_class.oid as bigint) from pg_class'
        ~ ' inner join pg_namespace on pg_namespace.oid = relnamespace where ' ~ named | join(' or ')
    ).rows -%}
        {%- do ids.update({(row[0], row[1]): row[2] | string}) -%}
    {%- endfor -%}
    {%- set found = [] -%}
    {%- for relation in relations -%}
        {%- do found.append(ids.get((relation.schema, relation.identifier))) -%}
    {%- endfor -%}
    {{ return(found) }}

{% endmacro %}


{% macro last_seen(reader, now=none) %}

    {#-
        What a reader has seen last; none at first. It is asked once for all readers, as their rows
        change when the run ends.

        now: the table's present state: nothing was seen of one that was made anew, or put back.
    -#}
    {%- if '_seen' not in graph -%}
        {%- set readers = {} -%}
        {%- for row in run_query(
            'select reader, table_id, load_id from ' ~ mysql_to_redshift.seen_relation() ~ ' order by load_id'
        ).rows -%}
            {%- do readers.setdefault(row[0], []).append({'table_id': row[1], 'load_id': row[2]}) -%}
        {%- endfor -%}
        {%- do graph.update({'_seen': readers}) -%}
    {%- endif -%}
    {%- for seen in graph['_seen'].get(reader, []) -%}
        {%- if seen.load_id and (
            now is none or (now.table_id == seen.table_id and now.load_id >= seen.load_id)
        ) -%}
            {{ return(seen) }}
        {%- endif -%}
    {%- endfor -%}

{% endmacro %}


{% macro note_seen(looks) %}

    {#- looks: {reader, state}, the state being that before its rows were read. -#}
    {%- set readers, rows = [], [] -%}
    {%- for look in looks -%}
        {%- do readers.append(mysql_to_redshift.text_literal(look.reader) | trim) -%}
        {%- do rows.append(
            '(' ~ mysql_to_redshift.text_literal(look.reader) ~ ', ' ~ mysql_to_redshift.text_literal(look.state.table_id) ~ ', '
            ~ mysql_to_redshift.text_literal(look.state.load_id) ~ ', ' ~ mysql_to_redshift.utc_now() ~ ')'
        ) -%}
    {%- endfor -%}
    {%- call statement('note_seen') -%}
        delete from {{ mysql_to_redshift.seen_relation() }} where reader in ({{ readers | join(', ') }});
        insert into {{ mysql_to_redshift.seen_relation() }} (reader, table_id, load_id, seen_at)
        values {{ rows | join(', ') }}
    {%- endcall -%}

{% endmacro %}


{% macro touched_keys(node, since) %}

    {#- The keys of the rows that were landed since a load, deleted ones included. -#}
    select distinct {{ mysql_to_redshift.key_columns(node.config.unique_key) | join(', ') }}
    from {{ mysql_to_redshift.staging_relation(node) }}
    where _load_id > {{ mysql_to_redshift.text_literal(since) }}

{% endmacro %}


{% macro ledger_relation() %}

    {{ return(api.Relation.create(
        database=target.database, schema=mysql_to_redshift.raw_schema(), identifier='_loads'
    )) }}

{% endmacro %}

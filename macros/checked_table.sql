{% materialization checked_table, default %}

    {#-
        A summary table that changes only if its checks pass: the candidate is built aside, checked
        with the tests that the model's YAML declares, and only then published.

        The published table is never dropped or renamed: in one transaction the rows of it that
        differ are deleted and the candidate's inserted, so that grants stay and views that read it
        go on working.

        The candidate is a temporary table: no other run can touch it, and a run that dies leaves
        none. Only a rejected one is kept, for a look.
    -#}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set rejected = target_relation.incorporate(path={'identifier': this.identifier ~ '__candidate'}) -%}
    {%- set candidate = rejected.incorporate(path={
        'database': none, 'schema': none, 'identifier': rejected.identifier ~ '_' ~ invocation_id[:8]
    }) -%}
    {%- set published = load_cached_relation(this) -%}

    {%- if mysql_to_redshift.stays_held(this.identifier) -%}
        {{ return({'relations': [target_relation]}) }}
    {%- endif -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}

    {%- set parents = mysql_to_redshift.input_relations(model) -%}
    {%- do mysql_to_redshift.refuse_if_failed(mysql_to_redshift.run_checks(
        parents, only_tag='input_check', skip_passed=true
    ) or mysql_to_redshift.failing_unasked(parents), published, none) -%}

    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- set state = mysql_to_redshift.counting_state(sql) -%}
    {%- do model.update({'_counted': mysql_to_redshift.counted_before(state, published)}) -%}
    {%- call statement('main') -%}
        drop table if exists {{ rejected }};
        {{ mysql_to_redshift.create_candidate(candidate, sql) }}
    {%- endcall -%}
    {%- do adapter.commit() -%}
    {%- if state and not mysql_to_redshift.is_of_one_state(state) -%}
        {%- set state = none -%}
        {%- if model['_counted'] -%}
            {%- do model.update({'_counted': none}) -%}
            {%- call statement('again') -%}
                drop table {{ candidate }};
                {{ mysql_to_redshift.create_candidate(candidate, sql) }}
            {%- endcall -%}
            {%- do adapter.commit() -%}
        {%- endif -%}
    {%- endif -%}

    {%- set failed = mysql_to_redshift.run_checks({model.unique_id: candidate}) -%}
    {%- if failed -%}
        {%- call statement('reject') -%}
            drop table if exists {{ rejected }};
            {{ get_create_table_as_sql(False, rejected, 'select * from ' ~ candidate) }}
        {%- endcall -%}
        {%- do adapter.commit() -%}
        {%- do mysql_to_redshift.refuse_if_failed(failed, published, candidate, rejected) -%}
    {%- endif -%}
    {#- Of a summary whose others stay as they are, only the rows of those touched may differ. -#}
    {%- set rows = (model['_counted'] or {}).rows or candidate -%}
    {%- if not mysql_to_redshift.publish(target_relation, rows, is_first=published is none, state=state) -%}
        {%- do adapter.commit() -%}
        {{ return({'relations': [target_relation]}) }}
    {%- endif -%}
    {%- do apply_grants(target_relation, config.get('grants'), should_revoke=true) -%}
    {%- do persist_docs(target_relation, model) -%}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {%- do adapter.commit() -%}

    {%- do mysql_to_redshift.drop_old_versions(target_relation) -%}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [target_relation]}) }}

{% endmaterialization %}


{% macro create_candidate(candidate, sql) %}

    {#-
        sql: what counts all rows. What came and went is counted by the model rendered again. Where
        this gives the rows of those touched alone (counted.rows), what is published of all others
        is added.
    -#}
    {%- set counted = model['_counted'] -%}
    {%- if counted and counted.per %}
        {{ mysql_to_redshift.find_touched_rows(counted) }}
    {%- endif %}
    {%- if counted and model.config.meta.rows_of -%}
        {%- do counted.update({
            'rows': candidate.incorporate(path={'identifier': counted.touched_rows}),
            'only': mysql_to_redshift.is_touched(counted)
        }) -%}
        {%- set types, casts = mysql_to_redshift.quoted_types(this), [] -%}
        {%- for name, kind in types.items() -%}
            {%- do casts.append('cast(' ~ name ~ ' as ' ~ kind ~ ') as ' ~ name) -%}
        {%- endfor -%}
        {{ get_create_table_as_sql(
            True, counted.rows, 'select ' ~ casts | join(', ') ~ ' from (' ~ render(model.raw_code) ~ '\n) as touched'
        ) }}
        {{ get_create_table_as_sql(
            True, candidate, 'select * from ' ~ counted.rows ~ ' union all select ' ~ types | join(', ')
            ~ ' from ' ~ this ~ ' where not ' ~ counted.only
        ) }}
    {%- else -%}
        {{ get_create_table_as_sql(True, candidate, render(model.raw_code) if counted else sql) }}
    {%- endif -%}

{% endmacro %}


{% macro replace_rows(published, candidate, displaced=none, before=none) %}

    {#-
        Only rows that differ are written. Where columns do, all are: one that is new or has another
        type is made again.

        displaced: the table that is made to keep the version that they displace (earlier_rows.sql).
        candidate: the rows that take their place.
        before: the publication before, where only some rows may differ and the candidate has no
            others (before.only). Count and digest of all follow from those that it noted, into
            _totals, without a look at the others.
    -#}
    {%- set old, new = mysql_to_redshift.column_types(published), mysql_to_redshift.column_types(candidate) -%}
    {%- set names = [] -%}
    {%- for name in new -%}{%- do names.append(mysql_to_redshift.quoted(name)) -%}{%- endfor -%}
    {%- set line = mysql_to_redshift.row_text(candidate) if old == new -%}
    {%- if before and not line -%}
        {{ exceptions.raise_compiler_error(
            published ~ ' was not published: somebody has changed its columns meanwhile. Run it again. It is as it was.'
        ) }}
    {%- endif %}
    {%- if line %}
        {%- set differs = 'where ' ~ line ~ ' in (select line from _differing)' -%}
        {%- set differed = differs ~ (' and ' ~ before.only if before) %}
        create temporary table _differing as
        select line
        from (
            select {{ line }} as line, 1 as side from {{ published }} {{ 'where ' ~ before.only if before }}
            union all
            select {{ line }} as line, -1 as side from {{ candidate }}
        ) as both_sides
        group by line
        having sum(side) <> 0;
    {%- endif %}
    {%- if displaced %}
        {{ mysql_to_redshift.keep_version(displaced, published, candidate, names | join(', '), differed, differs, before) }}
    {%- endif %}
    {%- if before %}
        create temporary table _totals as
        select
            sum(_version_rows) as _version_rows,
            cast(sum(_version_digest) as numeric(38, 0)) as _version_digest
        from (
            select {{ mysql_to_redshift.noted_digest(before) }}
            union all
            select {{ mysql_to_redshift.digest(candidate) }} from {{ candidate }} {{ differs }}
            union all
            select -went._version_rows, -went._version_digest
            from (select {{ mysql_to_redshift.digest(published) }} from {{ published }} {{ differed }}) as went
        ) as parts;
    {%- endif %}
    {%- for name, kind in old.items() if new.get(name) != kind %}
        alter table {{ published }} drop column {{ mysql_to_redshift.quoted(name) }};
    {%- endfor %}
    {%- for name, kind in new.items() if old.get(name) != kind %}
        alter table {{ published }} add column {{ mysql_to_redshift.quoted(name) }} {{ kind }};
    {%- endfor %}
    delete from {{ published }} {{ differed }};
    insert into {{ published }} ({{ names | join(', ') }})
    select {{ names | join(', ') }} from {{ candidate }} {{ differs }};
    {%- if line %}
    drop table _differing;
    {%- endif %}

{% endmacro %}


{% macro create_publications() %}

    {#- Before anything is built, because models that are published side by side would all try. -#}
    {%- if execute and mysql_to_redshift.is_building() -%}
        {%- set publications = mysql_to_redshift.publications_relation() -%}
        {%- call statement('create_publications') -%}
            create table if not exists {{ publications }} (
                model_name varchar(127),
                published_at timestamp,
                row_count bigint,
                invocation_id varchar(64)
            );
            {%- set found = mysql_to_redshift.column_types(publications) if load_relation(publications) else {} -%}
            {#- What a summary goes on from: counting.sql. -#}
            {%- for name, kind in {
                'version': 'varchar(14)', 'made_of': 'varchar(64)', 'counted': 'varchar(1024)',
                'digest': 'numeric(38, 0)'
            }.items() if name not in found %}
                alter table {{ publications }} add column {{ name }} {{ kind }};
            {%- endfor %}
            create schema if not exists {{ mysql_to_redshift.quoted(mysql_to_redshift.generate_schema_name('archive') | trim) }};
        {%- endcall -%}
        {%- do adapter.commit() -%}
        {%- do mysql_to_redshift.create_lock(publications) -%}
    {%- endif -%}

{% endmacro %}


{% macro publication_totals(relation, rows, state, changed, before) %}

    {#-
        What count and digest of a publication are read from. Only those of a summary that goes on
        from them are noted.

        rows: what has been published, which the digest is of: it may be there before the table is.
        before: those of the publication before, where only some rows may differ (replace_rows).
    -#}
    {%- if before and changed -%}
        {{ return('_totals') }}
    {%- endif -%}
    {%- if before -%}
        {{ return('(select ' ~ mysql_to_redshift.noted_digest(before) ~ ') as totals') }}
    {%- endif -%}
    {%- set asked = mysql_to_redshift.digest(rows) if state else 'count(*) as _version_rows' -%}
    {{ return('(select ' ~ asked ~ ' from ' ~ relation ~ ') as totals') }}

{% endmacro %}


{% macro record_publication(relation, version, moment, state, totals) %}

    insert into {{ mysql_to_redshift.publications_relation() }} (
        model_name, published_at, invocation_id, version, row_count
        {%- if state %}, digest, made_of, counted{% endif -%}
    )
    select
        {{ mysql_to_redshift.text_literal(relation.identifier) }},
        cast('{{ moment }}' as timestamp),
        '{{ invocation_id }}',
        '{{ version }}',
        _version_rows
        {%- if state %},
            _version_digest,
            '{{ state.made_of }}',
            '{{ state.counted }}'
        {%- endif %}
    from {{ totals }};
    {%- if totals == '_totals' %}
    drop table _totals;
    {%- endif %}

{% endmacro %}


{% macro publications_relation() %}

    {{ return(api.Relation.create(
        database=target.database,
        schema=mysql_to_redshift.generate_schema_name('analytics') | trim,
        identifier='_publications',
        type='table'
    )) }}

{% endmacro %}


{% macro input_relations(node, deferred=false) %}

    {#-
        What a model reads, by unique id: its parents, and theirs where a parent is a view. What a
        deferred view reads is deferred as well.
    -#}
    {%- set found = {} -%}
    {%- for unique_id in node.depends_on.nodes if unique_id in graph.nodes -%}
        {%- set parent = graph.nodes[unique_id] -%}
        {%- set relation = mysql_to_redshift.read_relation(parent, deferred) -%}
        {%- do found.update({unique_id: relation}) -%}
        {%- if 'view' in parent.config.materialized -%}
            {%- do found.update(mysql_to_redshift.input_relations(parent, relation != mysql_to_redshift.node_relation(parent))) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}

{% endmacro %}


{% macro node_relation(node) %}

    {{ return(api.Relation.create(
        database=node.database, schema=node.schema, identifier=node.alias or node.identifier
    )) }}

{% endmacro %}


{% macro read_relation(node, deferred=false) %}

    {#-
        What ref() of a node means in this run, for nodes that the model does not name itself: under
        `--defer` that is the other target's where this one has none.
    -#}
    {%- set own = mysql_to_redshift.node_relation(node) -%}
    {%- set other = node.defer_relation if invocation_args_dict.get('defer') -%}
    {%- if other and (
        deferred
        or (invocation_args_dict.get('favor_state') and node.unique_id not in selected_resources)
        or load_cached_relation(own) is none
    ) -%}
        {{ return(api.Relation.create(
            database=other.database, schema=other.schema, identifier=other.alias
        )) }}
    {%- endif -%}
    {{ return(own) }}

{% endmacro %}

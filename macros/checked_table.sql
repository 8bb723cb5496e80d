{% materialization checked_table, default %}

    {#-
        A summary table that changes only if its checks pass: the candidate is built aside, checked
        with the tests that the model's YAML declares, and only then published.

        The published table is never dropped or renamed: in one transaction its rows are deleted
        and the candidate's inserted, so that grants stay and views that read it go on working.

        While it is checked the candidate bears the run's own name, so that no other run can put
        its rows in between.
    -#}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set rejected = target_relation.incorporate(path={'identifier': this.identifier ~ '__candidate'}) -%}
    {%- set candidate = rejected.incorporate(
        path={'identifier': rejected.identifier ~ '_' ~ invocation_id[:8]}
    ) -%}
    {%- set published = load_cached_relation(this) -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}

    {%- set parents = input_relations(model) -%}
    {%- do refuse_if_failed(run_checks(
        parents, only_tag='input_check', skip_passed=true
    ), published, none) -%}

    {%- for left in list_relations_without_caching(this.without_identifier()).rows -%}
        {%- if left['name'].startswith(rejected.identifier) -%}
            {{ drop_relation_if_exists(rejected.incorporate(path={'identifier': left['name']})) }}
        {%- endif -%}
    {%- endfor -%}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- call statement('main') -%}
        {{ get_create_table_as_sql(False, candidate, sql) }}
    {%- endcall -%}
    {%- do create_indexes(candidate) -%}
    {%- do adapter.commit() -%}

    {%- set failed = run_checks({model.unique_id: candidate}) -%}
    {%- if failed -%}
        {%- call statement('reject') -%}
            alter table {{ candidate }} rename to {{ quoted(rejected.identifier) }}
        {%- endcall -%}
        {%- do adapter.commit() -%}
        {%- do refuse_if_failed(failed, published, candidate, rejected) -%}
    {%- endif -%}
    {%- do publish(target_relation, candidate, is_first=published is none) -%}
    {%- do apply_grants(target_relation, config.get('grants'), should_revoke=true) -%}
    {%- do persist_docs(target_relation, model) -%}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {%- do adapter.commit() -%}

    {%- if published is not none -%}
        {{ drop_relation_if_exists(candidate) }}
        {%- do drop_old_versions(target_relation) -%}
    {%- endif -%}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [target_relation]}) }}

{% endmaterialization %}


{% macro replace_rows(published, candidate) %}

    {#- A column that is new or has another type is made again: every row is replaced anyway. -#}
    {%- set old, new = column_types(published), column_types(candidate) -%}
    {%- set names = [] -%}
    {%- for name in new -%}{%- do names.append(quoted(name)) -%}{%- endfor -%}

    {%- for name, kind in old.items() if new.get(name) != kind %}
        alter table {{ published }} drop column {{ quoted(name) }};
    {%- endfor %}
    {%- for name, kind in new.items() if old.get(name) != kind %}
        alter table {{ published }} add column {{ quoted(name) }} {{ kind }};
    {%- endfor %}
    delete from {{ published }};
    insert into {{ published }} ({{ names | join(', ') }})
    select {{ names | join(', ') }} from {{ candidate }};

{% endmacro %}


{% macro create_publications() %}

    {#- Before anything is built, because models that are published side by side would all try. -#}
    {%- if execute and is_building() -%}
        {%- set publications = publications_relation() -%}
        {%- call statement('create_publications') -%}
            {%- if not load_relation(publications) -%}
                create table if not exists {{ publications }} (
                    model_name varchar(127),
                    published_at timestamp,
                    row_count bigint,
                    invocation_id varchar(64),
                    version varchar(14)
                );
            {%- elif 'version' not in column_types(publications) -%}
                alter table {{ publications }} add column version varchar(14);
            {%- endif -%}
            create schema if not exists {{ quoted(generate_schema_name('archive') | trim) }};
        {%- endcall -%}
        {%- do create_publish_lock() -%}
        {%- do adapter.commit() -%}
    {%- endif -%}

{% endmacro %}


{% macro record_publication(relation, version, moment) %}

    insert into {{ publications_relation() }}
        (model_name, published_at, row_count, invocation_id, version)
    select
        {{ text_literal(relation.identifier) }},
        cast('{{ moment }}' as timestamp),
        count(*),
        '{{ invocation_id }}',
        '{{ version }}'
    from {{ relation }};

{% endmacro %}


{% macro publications_relation() %}

    {{ return(api.Relation.create(
        database=target.database,
        schema=generate_schema_name('analytics') | trim,
        identifier='_publications',
        type='table'
    )) }}

{% endmacro %}


{% macro input_relations(node) %}

    {#- What a model reads, by unique id: its parents, and theirs where a parent is a view. -#}
    {%- set found = {} -%}
    {%- for unique_id in node.depends_on.nodes if unique_id in graph.nodes -%}
        {%- set parent = graph.nodes[unique_id] -%}
        {%- do found.update({unique_id: node_relation(parent)}) -%}
        {%- if parent.config.materialized == 'view' -%}
            {%- do found.update(input_relations(parent)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}

{% endmacro %}


{% macro node_relation(node) %}

    {{ return(api.Relation.create(
        database=node.database, schema=node.schema, identifier=node.alias or node.identifier
    )) }}

{% endmacro %}

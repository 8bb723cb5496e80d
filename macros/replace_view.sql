{#-
    A view that is replaced in place, so that grants stay and views of others that read it go
    on working; dbt's own drops it with all that depends on it. Where its columns have changed,
    or under --full-refresh, it is made anew.
-#}
{% macro replace_view() %}

    {#- dbt clones with it as well, and where it clones tables as such, it runs no hook. -#}
    {%- set pre_hooks, post_hooks = ([], []) if flags.WHICH == 'clone' else (pre_hooks, post_hooks) -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set target_relation = this.incorporate(type='view') -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- set kept = existing is not none and existing.is_view and not should_full_refresh() -%}
    {%- if kept -%}
        {%- set kept = may_be_replaced(existing, sql) -%}
    {%- endif -%}
    {%- if existing is not none and not kept -%}
        {{ drop_relation_if_exists(existing) }}
    {%- endif -%}
    {%- call statement('main') -%}
        {{ get_replace_view_sql(target_relation, sql) }}
    {%- endcall -%}
    {%- do apply_grants(target_relation, config.get('grants'), should_revoke=true) -%}
    {%- do persist_docs(target_relation, model) -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {%- do adapter.commit() -%}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [target_relation]}) }}

{% endmacro %}


{% macro may_be_replaced(view, sql) %}

    {#- Through an empty temporary table, because a query does not tell how long its types are. -#}
    {%- set empty = make_temp_relation(view) -%}
    {%- do run_query(get_create_table_as_sql(true, empty, get_empty_subquery_sql(sql))) -%}
    {%- set found = [] -%}
    {%- for relation in [view, empty] -%}
        {%- set columns = [] -%}
        {%- for column in adapter.get_columns_in_relation(relation) -%}
            {%- do columns.append([
                column.name, column.dtype, column.char_size, column.numeric_precision,
                column.numeric_scale
            ]) -%}
        {%- endfor -%}
        {%- do found.append(columns) -%}
    {%- endfor -%}
    {%- do run_query('drop table ' ~ empty) -%}
    {{ return(adapter.dispatch('replaces')(found[0], found[1])) }}

{% endmacro %}

{#- A query may have more columns than the view that it replaces. [PostgreSQL: CREATE VIEW] -#}
{% macro default__replaces(old, new) %}{{ return(new[:old | length] == old) }}{% endmacro %}

{#- It must have the same. [Redshift: CREATE VIEW] -#}
{% macro redshift__replaces(old, new) %}{{ return(new == old) }}{% endmacro %}


{% materialization view, default %}
    {{ return(replace_view()) }}
{% endmaterialization %}

{#- dbt-redshift brings a materialization of this name, which comes before any default. -#}
{% materialization view, adapter='redshift' %}
    {{ return(replace_view()) }}
{% endmaterialization %}

{% materialization kept_view, default %}

    {#-
        A view that is replaced in place, so that grants stay and views of others that read it go
        on working; dbt's own `view` drops it with all that depends on it. Where its columns have
        changed, or under --full-refresh, it is made anew, in one call: dbt-redshift would commit
        a DROP by itself, and whoever reads then, or after a build that died, would find no view.
    -#}
    {%- set existing = load_cached_relation(this) -%}
    {%- set target_relation = this.incorporate(type='view') -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- set is_anew = existing is not none and not (
        existing.is_view and not should_full_refresh() and mysql_to_redshift.may_be_replaced(existing, sql)
    ) -%}
    {%- call statement('main') -%}
        {%- if is_anew -%}{{ get_drop_sql(existing) }};{%- endif %}
        {{ get_replace_view_sql(target_relation, sql) }}
    {%- endcall -%}
    {%- if is_anew -%}
        {%- do adapter.cache_dropped(existing) -%}
    {%- endif -%}
    {%- do apply_grants(target_relation, config.get('grants'), should_revoke=true) -%}
    {%- do persist_docs(target_relation, model) -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {%- do adapter.commit() -%}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [target_relation]}) }}

{% endmaterialization %}


{% macro may_be_replaced(view, sql) %}

    {#-
        Whether the names and types of a view's columns let a query take its place: on PostgreSQL
        it may have more columns at the end, on Redshift not. [PostgreSQL, Redshift: CREATE VIEW]
        Asked of an empty temporary table, because a query does not tell how long its types are.
    -#}
    {%- set empty = make_temp_relation(view) -%}
    {%- do run_query(get_create_table_as_sql(true, empty, get_empty_subquery_sql(sql))) -%}
    {%- set old, new = mysql_to_redshift.column_types(view).items() | list, mysql_to_redshift.column_types(empty).items() | list -%}
    {%- do run_query('drop table ' ~ empty) -%}
    {%- set known = old | map('first') | list -%}
    {%- do mysql_to_redshift.say_new_columns(view, new | map('first') | reject('in', known)) -%}
    {{ return(new == old if target.type == 'redshift' else new[:old | length] == old) }}

{% endmacro %}

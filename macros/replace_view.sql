{#-
    A view that is replaced in place, so that grants stay and views of others that read it go
    on working; dbt's own drops it with all that depends on it. Where its columns have changed,
    or under --full-refresh, it is made anew.
-#}
{% macro replace_view() %}

    {%- set existing = load_cached_relation(this) -%}
    {%- set target_relation = this.incorporate(type='view') -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- set kept = existing is not none and existing.is_view and not should_full_refresh() -%}
    {%- if kept -%}
        {%- set old = adapter.get_columns_in_relation(existing) | map(attribute='name') | list -%}
        {%- set new = get_columns_in_query(sql) -%}
        {%- set kept = new[:old | length] == old -%}
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

{% materialization view, default %}
    {{ return(replace_view()) }}
{% endmaterialization %}

{#- dbt-redshift brings a materialization of this name, which comes before any default. -#}
{% materialization view, adapter='redshift' %}
    {{ return(replace_view()) }}
{% endmaterialization %}

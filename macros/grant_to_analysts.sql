{% macro grant_to_analysts() %}

    {#-
        The analysts' group may read raw_data and analytics, and make its own in adhoc. Default privileges
        cover the tables that this user makes later. The archive is the owner's alone: it holds
        what may since have been deleted.
    -#}
    {%- if execute and (mysql_to_redshift.is_building() or flags.WHICH in ['seed', 'snapshot']) -%}
        {%- set group = var('analysts') -%}
        {%- if mysql_to_redshift.group_exists(group) -%}
            {#- PostgreSQL ends one of two that grant the same in the same instant. -#}
            {%- call statement('lock') -%}{{ mysql_to_redshift.lock_for_writing(mysql_to_redshift.publications_relation()) }}{%- endcall -%}
            {%- call statement('grants') -%}
                {{ mysql_to_redshift.grants_sql(mysql_to_redshift.group_grantee(group)) }}
            {%- endcall -%}
            {#- A hook's transaction is rolled back where nobody commits it. -#}
            {%- do adapter.commit() -%}
        {%- else -%}
            {%- do log(
                'There is no group ' ~ group ~ ', so nothing was granted. As an administrator: '
                ~ mysql_to_redshift.create_group_sql(group), info=true
            ) -%}
        {%- endif -%}
    {%- endif -%}

{% endmacro %}


{% macro grants_sql(grantee) %}

    {%- for name in ['raw_data', 'analytics'] %}
        {%- set schema = mysql_to_redshift.quoted(mysql_to_redshift.generate_schema_name(name) | trim) %}
        create schema if not exists {{ schema }};
        grant usage on schema {{ schema }} to {{ grantee }};
        {{ mysql_to_redshift.grant_select_sql(mysql_to_redshift.generate_schema_name(name) | trim, grantee) }}
        alter default privileges in schema {{ schema }} grant select on tables to {{ grantee }};
    {%- endfor %}
    {%- set adhoc = mysql_to_redshift.quoted(mysql_to_redshift.generate_schema_name('adhoc') | trim) %}
    create schema if not exists {{ adhoc }};
    grant create, usage on schema {{ adhoc }} to {{ grantee }};

{% endmacro %}


{% macro grant_select_sql(schema, grantee) %}
    {{ adapter.dispatch('grant_select_sql', 'mysql_to_redshift')(schema, grantee) }}
{% endmacro %}

{#- A grant on a table whose definition another run is changing would fail, so no needless one. -#}
{% macro default__grant_select_sql(schema, grantee) %}
    {%- set found = run_query(
        'select relname from pg_class inner join pg_namespace on pg_namespace.oid = relnamespace'
        ~ " where nspname = " ~ mysql_to_redshift.text_literal(schema) ~ " and relkind in ('r', 'p', 'v', 'm', 'f')"
        ~ ' and not has_table_privilege(' ~ mysql_to_redshift.text_literal(var('analysts')) ~ ", pg_class.oid, 'select')"
    ) -%}
    {%- for row in found.rows %}
        grant select on {{ mysql_to_redshift.quoted(schema) }}.{{ mysql_to_redshift.quoted(row[0]) }} to {{ grantee }};
    {%- endfor %}
{% endmacro %}

{% macro redshift__grant_select_sql(schema, grantee) %}
    grant select on all tables in schema {{ mysql_to_redshift.quoted(schema) }} to {{ grantee }};
{% endmacro %}


{% macro group_exists(group) %}

    {%- set found = run_query(mysql_to_redshift.find_group_sql(group)) -%}
    {{ return(found.rows | length > 0) }}

{% endmacro %}


{% macro find_group_sql(group) %}{{ adapter.dispatch('find_group_sql', 'mysql_to_redshift')(group) }}{% endmacro %}

{% macro default__find_group_sql(group) %}select 1 from pg_roles where rolname = {{ mysql_to_redshift.text_literal(group) }}{% endmacro %}

{% macro redshift__find_group_sql(group) %}select 1 from pg_group where groname = {{ mysql_to_redshift.text_literal(group) }}{% endmacro %}


{% macro create_group_sql(group) %}{{ adapter.dispatch('create_group_sql', 'mysql_to_redshift')(group) }}{% endmacro %}

{% macro default__create_group_sql(group) %}create role {{ mysql_to_redshift.quoted(group) }}{% endmacro %}

{% macro redshift__create_group_sql(group) %}create group {{ mysql_to_redshift.quoted(group) }}{% endmacro %}


{% macro group_grantee(group) %}{{ adapter.dispatch('group_grantee', 'mysql_to_redshift')(group) }}{% endmacro %}

{% macro default__group_grantee(group) %}{{ mysql_to_redshift.quoted(group) }}{% endmacro %}

{% macro redshift__group_grantee(group) %}group {{ mysql_to_redshift.quoted(group) }}{% endmacro %}

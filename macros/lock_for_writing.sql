{% macro lock_for_writing(relation) %}

    {#-
        The statement that begins a transaction which writes a relation: a second one that writes
        it waits until the first has ended, and then reads what that has written. Readers do not
        wait. It comes first in its transaction, because what is read before it is as of then.
        [Redshift: Isolation levels; PostgreSQL: Explicit Locking]

        A clone writes nothing of its own, and is a view on another target's table.
    -#}
    {%- if execute and flags.WHICH != 'clone' -%}
        {{ adapter.dispatch('lock_for_writing', 'mysql_to_redshift')(relation) }}
    {%- endif -%}

{% endmacro %}


{#-
    dbt-postgres leaves BEGIN to the driver, which sends it once: after the first commit every call
    would be a transaction of its own. What is not there yet is not locked: of two that create it
    one fails. A full refresh drops the table that it replaced after its last commit, so what waited
    for that commit may find it still there, under the name that its own full refresh needs.
-#}
{% macro default__lock_for_writing(relation) %}
    {%- set found = load_cached_relation(relation) -%}
    begin;
    {%- if found is not none and found.is_table %}
        lock table {{ found }} in share row exclusive mode;
        drop table if exists {{ make_backup_relation(relation, 'table') }} cascade;
    {%- endif %}
{% endmacro %}

{#-
    LOCK has readers wait, so a table of its own is locked, which nobody reads. dbt may have begun
    to look things up: that transaction's snapshot would be older than the lock. [Redshift: LOCK]
-#}
{% macro redshift__lock_for_writing(relation) %}
    {%- do mysql_to_redshift.create_lock(relation) -%}
    commit;
    begin;
    lock {{ mysql_to_redshift.lock_relation(relation) }};
{% endmacro %}


{% macro create_lock(relation) %}{{ adapter.dispatch('create_lock', 'mysql_to_redshift')(relation) }}{% endmacro %}

{% macro default__create_lock(relation) %}{% endmacro %}

{% macro redshift__create_lock(relation) %}
    {%- set lock = mysql_to_redshift.lock_relation(relation) -%}
    {%- if load_relation(lock) is none -%}
        {%- call statement('create_lock') -%}
            create schema if not exists {{ mysql_to_redshift.quoted(lock.schema) }};
            create table if not exists {{ lock }} (held integer)
        {%- endcall -%}
        {%- do adapter.commit() -%}
    {%- endif -%}
{% endmacro %}

{% macro lock_relation(relation) %}
    {{ return(mysql_to_redshift.archive_relation(relation).incorporate(
        path={'identifier': '_lock_' ~ relation.identifier}
    )) }}
{% endmacro %}


{#-
    For seeds: dbt's own, read in dbt-redshift 1.11.1, is TRUNCATE, which would commit and end the
    lock. A seed has few rows to delete. [Redshift: TRUNCATE]
-#}
{% macro redshift__truncate_relation(relation) %}
    {%- if mysql_to_redshift.is_ours() -%}
        {%- call statement('truncate_relation') -%}delete from {{ relation }}{%- endcall -%}
    {%- else -%}
        {%- do dbt.default__truncate_relation(relation) -%}
    {%- endif -%}
{% endmacro %}

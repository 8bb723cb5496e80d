{% macro publish(published, rows, is_first=false, restored=none, state=none, hold=false) %}

    {#-
        Replace a summary's rows, keep those that they displace, and note it, in one transaction
        that is left open. Rows that are the same as before are no new version.

        What changes anything goes out as one call, because dbt-redshift may repeat a single call
        on a new connection, where the transaction's first half would be lost.

        rows: the table that holds the new rows.
        restored: the version that they are, if they are an earlier one.
        state: what the next build may go on from.
        hold: whether somebody holds it from now on.
        returns: {version, displaced}; displaced is the version that was kept, or none. None if
            somebody has come to hold the summary while the new rows were made.
    -#}
    {%- do mysql_to_redshift.lock_published(published, is_first) -%}
    {%- do mysql_to_redshift.refuse_without_lease(published) -%}
    {%- if not restored and mysql_to_redshift.stays_held(published.identifier) -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set versions = mysql_to_redshift.published_versions(published) -%}
    {%- set current = versions[0] if versions and versions[0].is_current else none -%}
    {%- if model and model.get('_counted') and not (current and current.published_at == model['_counted'].published_at) -%}
        {{ exceptions.raise_compiler_error(
            published ~ ' was not published: another run has published it since this one has counted, which is a '
            ~ 'conflict with concurrent transaction. Run it again.'
        ) }}
    {%- endif -%}
    {%- set moment = mysql_to_redshift.publication_time(current) -%}
    {%- set before = model['_counted'] if model and model.get('_counted') and model['_counted'].only -%}
    {%- set changed = is_first or mysql_to_redshift.has_other_rows(published, rows, before.only if before) -%}
    {%- set displaced = none -%}
    {%- if changed and not is_first and (restored or mysql_to_redshift.keep_published() > 0) -%}
        {%- set displaced = current.version if current else mysql_to_redshift.next_version(moment, versions) -%}
    {%- endif -%}
    {%- if restored -%}
        {%- set version = restored -%}
    {%- elif changed or not current -%}
        {%- set version = mysql_to_redshift.next_version(moment, versions, displaced) -%}
    {%- else -%}
        {%- set version = current.version -%}
    {%- endif -%}

    {%- call statement('publish') -%}
        {%- if is_first -%}
            {{ get_create_table_as_sql(False, published, 'select * from ' ~ rows) }}
        {%- elif changed -%}
            {%- if displaced and current and current.kept %}drop table {{ current.kept }};{% endif -%}
            {{ mysql_to_redshift.replace_rows(
                published, rows, mysql_to_redshift.version_relation(published, displaced) if displaced, before
            ) }}
        {%- endif -%}
        {%- if restored -%}
            {{ mysql_to_redshift.keep_no_more(versions, restored) }}
        {%- endif -%}
        {{ mysql_to_redshift.record_publication(
            published, version, moment, state,
            mysql_to_redshift.publication_totals(published, rows, state, changed, before)
        ) }}
        {%- if hold -%}
            {{ mysql_to_redshift.held_by_somebody(published.identifier) }}
        {%- endif -%}
        {%- if model and model.config.meta.rows_of -%}
            {{ mysql_to_redshift.index_by(published, model.config.meta.rows_of) }}
        {%- endif -%}
    {%- endcall -%}
    {%- if is_first -%}
        {%- do create_indexes(published) -%}
    {%- endif -%}
    {{ return({'version': version, 'displaced': displaced}) }}

{% endmacro %}


{#-
    Begin the transaction and let nobody else publish the same, nor take this run's lease over,
    until it ends. The locks come first: what is read after them is what others have committed,
    under every isolation level. [PostgreSQL: LOCK; Isolation levels in Amazon Redshift]
-#}
{% macro lock_published(published, is_first) %}
    {{ adapter.dispatch('lock_published', 'mysql_to_redshift')(published, is_first) }}
{% endmacro %}

{#-
    Readers do not wait. dbt-postgres leaves BEGIN to the driver, which sends it once: after the
    first commit every call would be a transaction of its own.
-#}
{% macro default__lock_published(published, is_first) %}
    {%- call statement('lock') -%}
        begin;
        {%- if mysql_to_redshift.run_id() %}
            lock table {{ mysql_to_redshift.leases_relation('_lock_') }} in share mode;
        {%- endif %}
        {%- if not is_first %}
            lock table {{ published }} in exclusive mode;
        {%- endif %}
    {%- endcall -%}
{% endmacro %}

{#-
    Readers would wait for a table that is locked, so a table that nobody reads is. Under SNAPSHOT
    isolation two that insert into one table do not meet at all; one publishes after the other.
    [LOCK; CREATE DATABASE, ISOLATION LEVEL]
-#}
{% macro redshift__lock_published(published, is_first) %}
    {%- call statement('lock') -%}
        commit;
        begin;
        {%- if mysql_to_redshift.run_id() %}
            lock {{ mysql_to_redshift.leases_relation('_lock_') }};
        {%- endif %}
        lock {{ mysql_to_redshift.lock_relation(mysql_to_redshift.publications_relation()) }};
    {%- endcall -%}
{% endmacro %}


{% macro refuse_without_lease(published) %}

    {#- A run that another one has taken over from publishes nothing; plain dbt has no lease. -#}
    {%- if mysql_to_redshift.run_id() and not run_query(
        'select 1 from ' ~ mysql_to_redshift.leases_relation() ~ ' where run_id = ' ~ mysql_to_redshift.text_literal(mysql_to_redshift.run_id())
        ~ ' and ended_at is null'
    ).rows -%}
        {{ exceptions.raise_compiler_error(
            published ~ ' was not published: the run ' ~ mysql_to_redshift.run_id() ~ ' has lost its lease, so another'
            ~ ' one goes on. It is as it was. Look at the other run first, then run this one again.'
        ) }}
    {%- endif -%}

{% endmacro %}


{#- The run of the loader that dbt builds for; empty for dbt by itself. -#}
{% macro run_id() %}{{ return(env_var('LOADER_RUN_ID', '')) }}{% endmacro %}


{% macro leases_relation(prefix='') %}

    {#- The loader's table of leases, or with the prefix the table that is locked instead. -#}
    {{ return(api.Relation.create(
        database=target.database,
        schema=mysql_to_redshift.raw_schema(),
        identifier=prefix ~ '_leases'
    )) }}

{% endmacro %}

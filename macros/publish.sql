{% macro publish(published, rows, is_first=false, restored=none) %}

    {#-
        Replace a summary's rows, keep those that they displace, and note it, in one transaction
        that is left open. Rows that are the same as before are no new version.

        What changes anything goes out as one call, because dbt-redshift may repeat a single call
        on a new connection, where the transaction's first half would be lost.

        rows: the table that holds the new rows; the first time it becomes the published one.
        restored: the version that they are, if they are an earlier one.
        returns: {version, displaced}; displaced is the version that was kept, or none.
    -#}
    {%- if not is_first -%}
        {%- do hold_published(published) -%}
    {%- endif -%}
    {%- set versions = published_versions(published) -%}
    {%- set current = versions[0] if versions and versions[0].is_current else none -%}
    {%- set moment = publication_time(current) -%}
    {%- set changed = is_first or has_other_rows(published, rows) -%}
    {%- set displaced = none -%}
    {%- if changed and not is_first and (restored or keep_published() > 0) -%}
        {%- set displaced = current.version if current else next_version(moment, versions) -%}
    {%- endif -%}
    {%- if restored -%}
        {%- set version = restored -%}
    {%- elif changed or not current -%}
        {%- set version = next_version(moment, versions, displaced) -%}
    {%- else -%}
        {%- set version = current.version -%}
    {%- endif -%}

    {%- call statement('publish') -%}
        {%- if is_first -%}
            alter table {{ rows }} rename to {{ quoted(published.identifier) }};
        {%- else -%}
            {%- if displaced and not (current and current.kept) -%}
                create table {{ version_relation(published, displaced) }} as
                select * from {{ published }};
            {%- endif -%}
            {{ replace_rows(published, rows) }}
        {%- endif -%}
        {{ record_publication(published, version, moment) }}
    {%- endcall -%}
    {{ return({'version': version, 'displaced': displaced}) }}

{% endmacro %}


{% macro hold_published(published) %}{{ adapter.dispatch('hold_published')(published) }}{% endmacro %}

{#-
    Two that publish at once would each delete the rows that they had seen, and both add theirs.
    The second waits; readers do not. dbt-postgres leaves BEGIN to the driver, which sends it once:
    after the first commit every call would be a transaction of its own.
-#}
{% macro default__hold_published(published) %}
    {%- call statement('hold') -%}
        begin;
        lock table {{ published }} in exclusive mode;
    {%- endcall -%}
{% endmacro %}

{#-
    Redshift itself ends the second of two that write one table at once, and its LOCK would have
    readers wait. Nothing may begin the transaction here: reading _publications in the one that
    writes it would bring summaries that are published side by side into conflict.
    [Isolation levels in Amazon Redshift; LOCK]
-#}
{% macro redshift__hold_published(published) %}{% endmacro %}

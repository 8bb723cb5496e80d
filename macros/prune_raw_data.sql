{% macro prune_raw_data(days=90, dry_run=true) %}

    {#-
        Move superseded rows out of raw_data into the archive: those of which a newer version has
        been landed, if they were landed more than so many days ago. The newest version of every
        row stays, so that `dbt run --full-refresh` builds the same tables as before.

        dbt run-operation prune_raw_data --args '{days: 90, dry_run: false}'
    -#}
    {%- if days is not integer or days < 0 -%}
        {{ exceptions.raise_compiler_error(
            'days is ' ~ days ~ '. Write a whole number, 0 or more. Nothing was moved.'
        ) }}
    {%- endif -%}
    {%- set keyed = {} -%}
    {%- for source in graph.sources.values() if source.config.meta.get('loader', {}).get('primary_key') -%}
        {%- set raw = mysql_to_redshift.node_relation(source) -%}
        {%- do mysql_to_redshift.require_table(raw) -%}
        {%- if load_relation(mysql_to_redshift.archive_relation(raw)) -%}
            {%- do mysql_to_redshift.require_table(mysql_to_redshift.archive_relation(raw)) -%}
        {%- endif -%}
        {%- do keyed.update({raw.include(database=false): source.config.meta.loader.primary_key}) -%}
    {%- endfor -%}
    {%- for raw, primary_key in keyed.items() -%}
        {%- set superseded = mysql_to_redshift.superseded_rows(raw, primary_key, days) -%}
        {%- set found = run_query('select count(*) from ' ~ raw ~ ' where ' ~ superseded).rows[0][0] -%}
        {%- if not dry_run and found > 0 -%}
            {%- do run_query(mysql_to_redshift.move_to_archive(raw, superseded)) -%}
        {%- endif -%}
        {%- do log(
            raw.identifier ~ ': ' ~ found ~ ' superseded rows older than ' ~ days ~ ' days '
            ~ ('would be moved' if dry_run else 'moved') ~ ' to ' ~ mysql_to_redshift.archive_relation(raw), info=true
        ) -%}
    {%- endfor -%}

{% endmacro %}


{% macro superseded_rows(raw, primary_key, days) %}

    _loaded_at < {{ dbt.dateadd('day', -days, mysql_to_redshift.utc_now()) }}
    and exists (
        select 1
        from {{ raw }} as newer
        where
            newer._load_id > {{ raw }}._load_id
            and {{ mysql_to_redshift.same_key('newer', raw, primary_key) }}
    )

{% endmacro %}


{% macro move_to_archive(raw, superseded) %}

    {#- One transaction in which nothing lands; a column that the raw table has gained since the
        last time is added first. -#}
    {%- set archive = mysql_to_redshift.archive_relation(raw) -%}
    {%- set kept_types = {} -%}
    {%- if load_relation(archive) -%}
        {%- for column in adapter.get_columns_in_relation(archive) -%}
            {%- do kept_types.update({column.name: column.data_type}) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- set names, widened = [], [] -%}
    {%- for column in adapter.get_columns_in_relation(raw) -%}
        {%- do names.append(mysql_to_redshift.quoted(column.name)) -%}
        {%- if kept_types.get(column.name, column.data_type) != column.data_type -%}
            {%- do widened.append(column.name) -%}
        {%- endif -%}
    {%- endfor -%}
    begin;
    lock {{ raw }};
    {%- if widened %}
        {#- A long name is cut by the warehouse, which would cut the time off. -#}
        {%- set kept_as = archive.identifier -%}
        {%- if kept_as | length > 40 -%}
            {%- set kept_as = kept_as[:31] ~ '_' ~ local_md5(kept_as)[:8] -%}
        {%- endif -%}
        {#- What was archived before a column was widened stays as it is, under another name. -#}
        {%- set kept_types = {} %}
        alter table {{ archive }} rename to
        {{ mysql_to_redshift.quoted(kept_as ~ '_until_' ~ run_started_at.strftime('%Y%m%d%H%M%S')) }};
    {%- endif %}
    create schema if not exists {{ mysql_to_redshift.quoted(archive.schema) }};
    create table if not exists {{ archive }} (like {{ raw }});
    {%- if kept_types %}
        {%- for column in adapter.get_missing_columns(raw, archive) %}
            alter table {{ archive }} add column {{ mysql_to_redshift.quoted(column.name) }} {{ column.data_type }};
        {%- endfor %}
    {%- endif %}
    insert into {{ archive }} ({{ names | join(', ') }})
    select {{ names | join(', ') }} from {{ raw }} where {{ superseded }};
    delete from {{ raw }} where {{ superseded }};
    commit;

{% endmacro %}


{% macro archive_relation(raw) %}

    {{ return(api.Relation.create(
        database=target.database,
        schema=mysql_to_redshift.generate_schema_name('archive') | trim,
        identifier=raw.identifier
    )) }}

{% endmacro %}

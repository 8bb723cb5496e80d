{% macro drop_vanished_rows() %}

    {#-
        Hard deletes arrive in two ways.

        With a landing of the whole table: every row that the source still had then carries that
        load's id or a later one, so whatever carries an older one has vanished. A landing of
        windows never removes a row. It counts only once this build has taken it in, which the
        watermark shows; one that found the source empty has no rows to take in. One that the
        watermark does not show was landed during this build, or nothing of it was left to take in,
        because all its rows have been deleted since: then a row has vanished if no version of it
        is landed.

        With a repair or a comparison, as rows that hold the time they were found deleted at: of the same key,
        whatever carries an older id has vanished. A row that came back has a later one.

        A core model has the name of its raw table, and reads it or one staging view.
    -#}
    {#- While dbt parses, so that it learns of the ledger. -#}
    {%- if (mysql_to_redshift.is_building() or not execute) and model.config.materialized == 'incremental'
        and not mysql_to_redshift.build_window() -%}
        {%- set staging = mysql_to_redshift.staging_relation(model) if execute else this -%}
        {%- set core, key = adapter.quote(this.identifier), model.config.unique_key -%}
        {%- set landed_whole -%}
            select max(load_id)
            from {{ source('raw_data', '_loads') }}
            where
                table_name = {{ mysql_to_redshift.text_literal(this.identifier) }}
                and outcome = 'landed'
                and window_start is null
                and mode not in {{ mysql_to_redshift.modes_of_keys() }}
        {%- endset -%}
        {%- set taken_in -%}
            and (
                landed_rows = 0
                or load_id <= (select max(_watermark) from {{ this }})
            )
        {%- endset -%}
        {#- A literal, or PostgreSQL would take a third of the rows for older and read them all. -#}
        {%- set newest = run_query(landed_whole).rows[0][0] if execute -%}
        {%- set newest_taken_in = run_query(landed_whole ~ ' ' ~ taken_in).rows[0][0] if execute -%}
        {%- if newest_taken_in %}
        {{ mysql_to_redshift.delete_noted(this, "_load_id < '" ~ newest_taken_in ~ "'") }}
        {%- endif %}
        {%- if key and newest and newest != newest_taken_in %}
        {%- set vanished -%}
            _load_id < '{{ newest }}'
            and not exists (
                select 1
                from {{ staging }} as landed
                where {{ mysql_to_redshift.same_key('landed', core, key) }}
            )
        {%- endset %}
        {{ mysql_to_redshift.delete_noted(this, vanished) }}
        {%- endif %}
        {%- if key %}
        {%- set found_deleted -%}
            vanished._deleted_at is not null
            and vanished._load_id in (
                select load_id
                from {{ source('raw_data', '_loads') }}
                where table_name = {{ mysql_to_redshift.text_literal(this.identifier) }} and mode in {{ mysql_to_redshift.modes_of_keys() }}
            )
            and {{ mysql_to_redshift.same_key('vanished', core, key) }}
            and vanished._load_id > {{ core }}._load_id
        {%- endset %}
        {{ mysql_to_redshift.delete_noted(this, found_deleted, also_read=staging ~ ' as vanished') }}
        {%- endif %}
    {%- endif -%}

{% endmacro %}


{% macro staging_relation(node) %}

    {#- A plain copy reads the raw table itself; every core model's hook reads the ledger. -#}
    {%- for unique_id in node.depends_on.nodes -%}
        {%- set read = graph.nodes.get(unique_id) or graph.sources[unique_id] -%}
        {%- if read.name != '_loads' -%}
            {{ return(mysql_to_redshift.node_relation(read)) }}
        {%- endif -%}
    {%- endfor -%}

{% endmacro %}

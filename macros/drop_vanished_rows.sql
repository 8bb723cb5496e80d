{% macro drop_vanished_rows() %}

    {#-
        After a core model has taken in a landing of the whole table: every row that the source
        still had then carries that load's id or a later one, so whatever carries an older one has
        vanished from the source. A landing of windows never removes a row.

        The landing counts only once this build has taken it in, which the watermark shows; one
        that found the source empty has no rows to take in.

        A core model has the name of its raw table.
    -#}
    {%- if model.config.materialized == 'incremental' and not build_window() -%}
        delete from {{ this }}
        where _load_id < (
            select max(load_id)
            from {{ source('raw_data', '_loads') }}
            where
                table_name = {{ text_literal(this.identifier) }}
                and outcome = 'landed'
                and window_start is null
                and (
                    landed_rows = 0
                    or load_id <= (select max(_watermark) from {{ this }})
                )
        )
    {%- endif -%}

{% endmacro %}

{% test row_count_matches_ledger(model) %}

    {{ config(meta={'looks_at': 'all', 'because': 'it narrows itself by the ledger'}) }}

    {#-
        Every load that no later one has overlapped still has all the rows that the source had,
        in raw_data or, where newer versions came, in the archive. A repair and a comparison bring some
        keys and take no row away.
        Under `loader run`: every load since this was true last.
    -#}
    {%- set look = mysql_to_redshift.look_at(model) -%}
    {%- set since = look.since if look -%}
    {%- set archived = mysql_to_redshift.archive_relation(model) -%}
    with

    landed as (

        select
            load_id,
            source_rows,
            coalesce(window_start, cast('0001-01-01' as date)) as first_day,
            coalesce(window_end, cast('9999-12-31' as date)) as day_after

        from {{ source('raw_data', '_loads') }}

        where
            table_name = {{ mysql_to_redshift.text_literal(model.identifier) }}
            and outcome = 'landed'
            and mode not in {{ mysql_to_redshift.modes_of_keys() }}

    ),

    untouched as (

        select
            landed.load_id,
            landed.source_rows

        from landed
        left join landed as later
            on
                landed.load_id < later.load_id
                and landed.first_day < later.day_after
                and later.first_day < landed.day_after

        where
            later.load_id is null
            {% if since %}
                and landed.load_id > '{{ since }}'
            {% endif %}

    ),

    kept as (

        select _load_id from {{ model }} {{ look.mark if look }}
        where _load_id > '{{ since or '' }}'
        {% if archived and load_relation(archived) %}
            union all
            select _load_id from {{ archived }}
            where _load_id > '{{ since or '' }}'
        {% endif %}

    ),

    counted as (

        select
            _load_id,
            count(*) as row_count

        from kept

        group by _load_id

    )

    select
        untouched.load_id,
        untouched.source_rows,
        counted.row_count

    from untouched
    left join counted on untouched.load_id = counted._load_id

    where untouched.source_rows <> coalesce(counted.row_count, 0)

{% endtest %}

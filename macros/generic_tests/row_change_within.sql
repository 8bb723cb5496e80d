{% test row_change_within(model, percent) %}

    {{ config(meta={'looks_at': 'all', 'because': 'a candidate is counted whole, which has few rows'}) }}

    {#-
        The number of rows differs from that of the publication before by at most so many percent.
        On a candidate that is the newest publication; on the published table, the one before it.
        Without an earlier publication of any row there is nothing to compare with, and under
        `--vars 'allow_row_change: true'` whoever builds says that the new number is right.
    -#}
    {%- set publications = mysql_to_redshift.publications_relation() -%}
    {%- if execute and not model.identifier -%}
        {{ exceptions.raise_compiler_error('row_change_within counts whole tables and takes no where.') }}
    {%- endif -%}
    {%- set name, candidate, run = (model.identifier or '').partition('__candidate') -%}
    {%- if execute and (var('allow_row_change', false) or not load_relation(publications)) %}

        select 1 as row_count where 1 = 0

    {%- else %}

        select
            counted.row_count,
            before.row_count as row_count_before

        from (select count(*) as row_count from {{ model }}) as counted
        cross join (

            select
                row_count,
                row_number() over (order by published_at desc, invocation_id desc) as recency_rank

            from {{ publications }}

            where model_name = {{ mysql_to_redshift.text_literal(name) }} and row_count > 0

        ) as before

        where
            before.recency_rank = {{ 1 if candidate else 2 }}
            and abs(counted.row_count - before.row_count) * 100.0
            > {{ percent }} * before.row_count

    {%- endif %}

{% endtest %}

{% test row_count_matches(model, to) %}

    {{ config(meta={'looks_at': 'all', 'because': 'both sides are counted whole'}) }}

    {#- Fails with one row that shows both counts. -#}
    select
        counted.row_count,
        expected.row_count as expected_row_count

    from (select count(*) as row_count from {{ model }}) as counted
    cross join (select count(*) as row_count from {{ to }}) as expected

    where counted.row_count <> expected.row_count

{% endtest %}

{% test row_count_at_least(model, minimum) %}

    {{ config(meta={'looks_at': 'all', 'because': 'it counts up to its minimum only'}) }}

    {#-
        The var is 1 but for a trial on a few rows; --empty is one on none. It counts no further
        than the minimum, whatever the table has.
    -#}
    {%- set scale = var('minimum_rows_scale', 1) -%}
    {#- One that is no number stops the run: check_vars. -#}
    {%- set scaled = minimum * (0 if flags.EMPTY else scale if scale is number else 1) %}
    select counted.row_count

    from (

        select count(*) as row_count

        from (select 1 as present from {{ model }} limit {{ scaled | round(0, 'ceil') | int }}) as first_rows

    ) as counted

    where counted.row_count < {{ scaled }}

{% endtest %}

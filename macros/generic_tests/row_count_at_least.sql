{% test row_count_at_least(model, minimum) %}

    {#- The var is 1 but for a trial on a few rows; --empty is one on none. -#}
    select counted.row_count

    from (select count(*) as row_count from {{ model }}) as counted

    where counted.row_count < {{ minimum }} * {{ 0 if flags.EMPTY else var('minimum_rows_scale', 1) }}

{% endtest %}

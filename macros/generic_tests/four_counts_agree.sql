{% test four_counts_agree(model) %}

    {{ config(meta={'looks_at': 'all', 'because': 'the ledger has a row per load'}) }}

    {#- What MySQL held, what was staged, what COPY reported and what is in the window after it. -#}
    select *

    from {{ model }}

    where
        coalesce(source_rows, -1) <> coalesce(staged_rows, -2)
        or coalesce(source_rows, -1) <> coalesce(copied_rows, -2)
        or coalesce(source_rows, -1) <> coalesce(landed_rows, -2)

{% endtest %}

{% test key_of_newest_version(model, columns) %}

    {#-
        A raw table holds every version that was landed; among the newest ones, its key must be
        filled and must be met once.
    -#}
    select
        {{ columns | join(', ') }},
        count(*) as copies

    from (

        select
            landed.*,
            rank() over (partition by {{ columns | join(', ') }} order by _load_id desc) as recency_rank

        from {{ model }} as landed

    ) as ranked

    where recency_rank = 1

    group by {{ columns | join(', ') }}

    having count(*) > 1 or {% for column in columns %}{{ column }} is null{{ ' or ' if not loop.last }}{% endfor %}

{% endtest %}

{% test key_of_newest_version(model) %}

    {#-
        A raw table holds every version that was landed; among the newest ones, its key must be
        filled and must be met once. The key is the declaration's; its columns may be called anything.
    -#}
    {%- set key = mysql_to_redshift.key_columns(mysql_to_redshift.declared_key(model.identifier)) -%}
    {%- set listed = key | join(', ') %}
    select
        {{ listed }},
        count(*) as copies

    from (

        select
            *,
            rank() over (partition by {{ listed }} order by _load_id desc) as recency_rank

        from {{ model }}

    ) as ranked

    where recency_rank = 1

    group by {{ listed }}

    having count(*) > 1 or {{ key | join(' is null or ') }} is null

{% endtest %}

{% test key_of_newest_version(model) %}

    {{ config(meta={'looks_at': 'rows'}) }}

    {#-
        A raw table holds every version that was landed; among the newest ones, its key must be
        filled and must be met once. The key is the declaration's; its columns may be called anything.
        Of a key that was landed again the newest version is among the new rows.
    -#}
    {%- set table = (mysql_to_redshift.tested_node().identifier if execute) or model.identifier -%}
    {%- set key = mysql_to_redshift.key_columns(mysql_to_redshift.declared_key(table)) -%}
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

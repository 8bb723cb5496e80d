{% test unique_together(model, columns) %}

    {{ config(meta={'looks_at': 'key'}) }}

    {%- set listed = mysql_to_redshift.key_columns(columns) | join(', ') %}

    select
        {{ listed }},
        count(*) as copies

    from {{ model }}

    group by {{ listed }}

    having count(*) > 1

{% endtest %}

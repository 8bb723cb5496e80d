{% test filled(model, columns) %}

    {{ config(meta={'looks_at': 'rows'}) }}

    select *

    from {{ model }}

    where {{ mysql_to_redshift.key_columns(columns) | join(' is null or ') }} is null

{% endtest %}

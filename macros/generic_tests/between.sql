{% test between(model, column_name, minimum, maximum) %}

    {{ config(meta={'looks_at': 'rows'}) }}

    select *

    from {{ model }}

    where {{ column_name }} < {{ minimum }} or {{ column_name }} > {{ maximum }}

{% endtest %}

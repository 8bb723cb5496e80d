{% macro modes_of_keys() %}

    {#- The ledger's modes of loads that brought some keys, and replaced no window. -#}
    {{ return("('repair', 'compare')") }}

{% endmacro %}

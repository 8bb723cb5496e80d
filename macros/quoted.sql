{#- A name as SQL takes it, whatever it holds; adapter.quote() leaves a quote within it alone. -#}
{% macro quoted(name) %}{{ return(adapter.quote(name | replace('"', '""'))) }}{% endmacro %}

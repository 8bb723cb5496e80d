{#- A string as SQL takes it, whatever it holds. -#}
{% macro text_literal(text) %}{{ return(adapter.dispatch('text_literal', 'mysql_to_redshift')(text | string)) }}{% endmacro %}

{% macro default__text_literal(text) %}{{ return("'" ~ text | replace("'", "''") ~ "'") }}{% endmacro %}

{#- A backslash escapes what follows it, as in PostgreSQL 8. -#}
{% macro redshift__text_literal(text) %}
    {{ return(mysql_to_redshift.default__text_literal(text | replace('\\', '\\\\'))) }}
{% endmacro %}

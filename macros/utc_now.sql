{% macro utc_now() %}{{ adapter.dispatch('utc_now')() }}{% endmacro %}

{% macro postgres__utc_now() %}(current_timestamp at time zone 'UTC'){% endmacro %}

{#- Redshift's clock is UTC, and current_timestamp may not be used with a table there. -#}
{% macro redshift__utc_now() %}getdate(){% endmacro %}

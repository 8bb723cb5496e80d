{% macro utc_now() %}{{ adapter.dispatch('utc_now', 'mysql_to_redshift')() }}{% endmacro %}

{% macro postgres__utc_now() %}(current_timestamp at time zone 'UTC'){% endmacro %}

{#- Redshift's clock is UTC, and current_timestamp may not be used with a table there. -#}
{% macro redshift__utc_now() %}getdate(){% endmacro %}


{#- dbt's own, read in dbt-postgres 1.11.0, follows the session's time zone. -#}
{% macro postgres__snapshot_get_time() %}
    {%- if mysql_to_redshift.is_ours() -%}
        cast({{ mysql_to_redshift.utc_now() }} as timestamp without time zone)
    {%- else -%}
        {{ dbt.postgres__snapshot_get_time() }}
    {%- endif -%}
{% endmacro %}

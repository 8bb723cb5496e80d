{% macro landed_since_last_build() %}

    {#- The predicate that picks what an incremental model has to take in. -#}
    {%- set window = mysql_to_redshift.build_window() -%}
    {%- if window -%}
        _run_date >= cast('{{ window.start }}' as date)
        and _run_date < cast('{{ window.end }}' as date)
    {%- else -%}
        {#- A literal, because both planners then know how few rows are newer. -#}
        {%- set newest = run_query('select max(_watermark) from ' ~ this) -%}
        _load_id > '{{ newest.rows[0][0] or '' if execute else '' }}'
    {%- endif -%}

{% endmacro %}

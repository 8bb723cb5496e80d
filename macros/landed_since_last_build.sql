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


{% macro taken_in_up_to() %}

    {#-
        The newest load up to which a build of one window takes in all that no build has: none where
        a load of other days is waiting, or a whole landing or a repair, which may take rows away.
        What lands after this was asked waits for the next build.
    -#}
    {%- set window = mysql_to_redshift.build_window() -%}
    {%- if execute and graph.sources is defined -%}{#- a unit test knows no ledger -#}
        {{ return(run_query(
            'select max(load_id) from ' ~ mysql_to_redshift.ledger_relation()
            ~ ' where table_name = ' ~ mysql_to_redshift.text_literal(this.identifier) ~ " and outcome = 'landed'"
            ~ " and load_id > coalesce((select max(_watermark) from " ~ this ~ "), '')"
            ~ " having sum(case when mode not in " ~ mysql_to_redshift.modes_of_keys()
            ~ " and window_start >= cast('" ~ window.start ~ "' as date)"
            ~ " and window_end <= cast('" ~ window.end ~ "' as date) then 0 else 1 end) = 0"
        ).rows | map(attribute=0) | first | default('', true)) }}
    {%- endif -%}

{% endmacro %}

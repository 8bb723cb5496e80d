{% macro build_window() %}

    {#-
        The days that a build is limited to, [start, end), or none: then it takes in whatever was
        landed since the last one. Which days there may be is the loader's to say, who lands them;
        a day that was not landed has no rows. While dbt only parses there is none, so that a
        wrong var is said once, by check_run, before anything is built.
    -#}
    {%- set given = [] -%}
    {%- for name in ['run_date', 'start_date', 'end_date'] if var(name, none) is not none -%}
        {%- do given.append(name) -%}
    {%- endfor -%}
    {%- if not execute or not given -%}
        {{ return(none) }}
    {%- endif -%}
    {%- if given not in [['run_date'], ['start_date', 'end_date']] -%}
        {{ mysql_to_redshift.wrong_var(
            'the vars ' ~ given | join(' and ') ~ ' do not make a window.',
            'Give run_date alone, or start_date together with end_date (not included).'
        ) }}
    {%- endif -%}
    {%- if flags.FULL_REFRESH -%}
        {{ mysql_to_redshift.wrong_var(
            '--full-refresh rebuilds from all of raw_data, ' ~ given[0] ~ ' only a window of it.',
            'Give one of them.'
        ) }}
    {%- endif -%}

    {%- set start = mysql_to_redshift.read_day(given[0]) -%}
    {%- if given == ['run_date'] -%}
        {%- set end = start + modules.datetime.timedelta(days=1) -%}
    {%- else -%}
        {%- set end = mysql_to_redshift.read_day('end_date') -%}
    {%- endif -%}
    {%- if end <= start -%}
        {{ mysql_to_redshift.wrong_var(
            'end_date ' ~ end ~ ' is not after start_date ' ~ start ~ '.',
            'The end date is not included, so it is at least one day later.'
        ) }}
    {%- endif -%}

    {{ return({'start': start, 'end': end}) }}

{% endmacro %}


{% macro read_day(name) %}

    {%- set text = var(name) | string -%}
    {%- set parts = modules.re.fullmatch('(\\d{4})-(\\d{2})-(\\d{2})', text) -%}
    {%- if not parts -%}
        {{ mysql_to_redshift.wrong_var(name ~ " '" ~ text ~ "' is not a date.", 'Write it as YYYY-MM-DD.') }}
    {%- endif -%}

    {#- Jinja cannot catch an error, so the calendar is asked for the month's last day first. -#}
    {%- set year, month, day = parts.group(1) | int, parts.group(2) | int, parts.group(3) | int -%}
    {%- if 1 <= year < 9999 and 1 <= month <= 12 -%}
        {%- set next_month = modules.datetime.date(year + month // 12, month % 12 + 1, 1) -%}
        {%- set last_day = (next_month - modules.datetime.timedelta(days=1)).day -%}
        {%- if 1 <= day <= last_day -%}
            {{ return(modules.datetime.date(year, month, day)) }}
        {%- endif -%}
    {%- endif -%}
    {{ mysql_to_redshift.wrong_var(name ~ " '" ~ text ~ "' is not a day of the calendar.", 'Write an existing day.') }}

{% endmacro %}


{% macro wrong_var(fact, remedy) %}

    {{ exceptions.raise_compiler_error(fact ~ ' ' ~ remedy ~ ' Nothing was built.') }}

{% endmacro %}

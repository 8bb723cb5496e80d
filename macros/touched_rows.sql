{#-
    What came and went of core tables touches users (or whatever a summary counts `per`). These
    temporary tables tell all rows of those touched, as they were when the summary was published,
    and as they are. A row that went and came again as it was has not changed, whatever was noted in
    between.

    _changed_keys, then _touched_keys: the keys of the rows that changed; of all of those touched
    _touched: the values of `per` that are touched
    _present<n>: each core table's rows of these keys
    _net<n>: of those that changed, what went (copies -1) and what came (1)
    _former<n>: the rows as they were, which are the present ones but for what changed
-#}
{% macro find_touched_rows(counted) %}

    {%- set key = counted.key | join(', ') -%}
    {%- for read in counted.reads %}
        create temporary table {{ read.net }} as
        select {{ read.columns }}, sum(copies) as copies
        from {{ read.changes }}
        where batch > {{ read.counted_up_to }} and batch <= {{ read.until }}
        group by {{ read.columns }}
        having sum(copies) <> 0;
    {%- endfor %}
    create temporary table {{ counted.changed_keys }} as
    {%- for read in counted.reads %}
        select {{ key }} from {{ read.net }} {{- ' union' if not loop.last }}
    {%- endfor %};
    {{ mysql_to_redshift.gather_statistics(counted.changed_keys) }}
    {%- for read in counted.reads %}
        create temporary table {{ read.present }} as {{ mysql_to_redshift.rows_of_keys(read, counted.key, counted.changed_keys) }};
        create temporary table {{ read.former }} as {{ mysql_to_redshift.former_rows(read, counted.key) }};
    {%- endfor %}
    create temporary table {{ counted.touched }} as
    select {{ counted.per }} from ({{ counted.present }}) as present where {{ counted.per }} is not null
    union
    select {{ counted.per }} from ({{ counted.former }}) as former where {{ counted.per }} is not null;
    {{ mysql_to_redshift.gather_statistics(counted.touched) }}
    create temporary table {{ counted.touched_keys }} as
    select {{ key }} from {{ counted.changed_keys }}
    union
    select {{ key }} from {{ counted.read }} where {{ counted.per }} in (select {{ counted.per }} from {{ counted.touched }});
    {{ mysql_to_redshift.gather_statistics(counted.touched_keys) }}
    {%- for read in counted.reads %}
        drop table {{ read.present }};
        drop table {{ read.former }};
        create temporary table {{ read.present }} as {{ mysql_to_redshift.rows_of_keys(read, counted.key, counted.touched_keys) }};
        create temporary table {{ read.former }} as {{ mysql_to_redshift.former_rows(read, counted.key) }};
    {%- endfor %}

{% endmacro %}


{#- The condition of a summary's rows that they are of those touched. -#}
{% macro is_touched(counted) -%}
    {{ model.config.meta.rows_of }} in (select {{ counted.per }} from {{ counted.touched }})
{%- endmacro %}


{% macro rows_of_keys(read, key, keys) -%}
    select {{ read.columns }} from {{ read.core }} as core where exists (select 1 from {{ keys }} as keys where {{ mysql_to_redshift.same_key('keys', 'core', key) }})
{%- endmacro %}


{% macro former_rows(read, key) -%}
    select {{ read.columns }} from {{ read.net }} where copies < 0
    union all
    select {{ read.columns }} from {{ read.present }} as present
    where not exists (select 1 from {{ read.net }} as net where {{ mysql_to_redshift.same_key('net', 'present', key) }})
{%- endmacro %}


{#- So that PostgreSQL sees how few rows a temporary table has; Redshift knows of what it was made. -#}
{% macro gather_statistics(name) %}{{ return(adapter.dispatch('gather_statistics', 'mysql_to_redshift')(name)) }}{% endmacro %}

{% macro default__gather_statistics(name) %}{{ return('analyze ' ~ name ~ ';') }}{% endmacro %}

{% macro redshift__gather_statistics(name) %}{{ return('') }}{% endmacro %}


{% macro sql_over(read, relations) %}

    {#-
        The rows of a model over other relations, by the name of the core model that each stands for:
        those of one itself, or a view's SQL; none of a view that is written with more of Jinja than
        config() and ref('name').
    -#}
    {%- if read.name in relations -%}
        {{ return('select * from ' ~ relations[read.name]) }}
    {%- endif -%}
    {%- set text = namespace(sql=modules.re.sub('(?s)[{][{]-? *config[(].*?[)] *-?[}][}]', '', read.raw_code)) -%}
    {%- for name, relation in relations.items() -%}
        {%- set text.sql = modules.re.sub('[{][{]-? *ref[(] *[\'"]' ~ name ~ '[\'"] *[)] *-?[}][}]', relation, text.sql) -%}
    {%- endfor -%}
    {%- if not modules.re.search('[{][{%#]', text.sql) -%}
        {{ return(text.sql | trim) }}
    {%- endif -%}

{% endmacro %}

{#-
    What came and went of core tables touches users (or whatever a summary counts `per`). These
    temporary tables tell all their rows as they were when the summary was published, and as they
    are. A row that went and came again as it was has not changed, whatever was noted in between.

    _net_<n>: what has changed of each core table, as it was (copies -1) and as it is (1)
    _changed_keys: the keys of these; _touched_keys: of all rows that are of those touched, too
    _touched: the values of `per` that are touched
    _former_<n>: each core table's rows of these keys, as they were
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
    create temporary table _changed_keys as
    {%- for read in counted.reads %}
        select {{ key }} from {{ read.net }} {{- ' union' if not loop.last }}
    {%- endfor %};
    {%- for read in counted.reads %}
        create temporary table {{ read.former }} as
        select {{ read.columns }} from {{ read.net }} where copies < 0
        union all
        select {{ read.columns }}
        from ({{ mysql_to_redshift.rows_of_keys(read.core, counted, '_changed_keys') }}) as present
        where not exists (select 1 from {{ read.net }} as net where {{ mysql_to_redshift.same_key('net', 'present', counted.key) }});
    {%- endfor %}
    create temporary table _touched as
    select distinct {{ counted.per }}
    from (
        select {{ counted.per }} from ({{ mysql_to_redshift.rows_of_keys(counted.present, counted, '_changed_keys') }}) as present
        union all
        select {{ counted.per }} from ({{ counted.former }}) as former
    ) as touched
    where {{ counted.per }} is not null;
    create temporary table _touched_keys as
    select {{ key }} from _changed_keys
    union
    select {{ key }} from {{ counted.present }} where {{ counted.per }} in (select {{ counted.per }} from _touched);
    {%- for read in counted.reads %}
        insert into {{ read.former }}
        select {{ read.columns }}
        from ({{ mysql_to_redshift.rows_of_keys(read.core, counted, '_touched_keys') }}) as present
        where not exists (select 1 from _changed_keys as changed where {{ mysql_to_redshift.same_key('changed', 'present', counted.key) }});
    {%- endfor %}

{% endmacro %}


{% macro drop_touched_rows(counted) %}

    {%- for read in counted.reads %}
        drop table {{ read.net }};
        drop table {{ read.former }};
    {%- endfor %}
    drop table _changed_keys;
    drop table _touched;
    drop table _touched_keys;

{% endmacro %}


{% macro rows_of_keys(relation, counted, keys) -%}
    select whole.* from {{ relation }} as whole inner join {{ keys }} as keys on {{ mysql_to_redshift.same_key('whole', 'keys', counted.key) }}
{%- endmacro %}


{% macro sql_over(view, relations) %}

    {#-
        A view's SQL over other relations, by the name of the model that each stands for; none of a
        view that is written with more of Jinja than config() and ref('name').
    -#}
    {%- set text = namespace(sql=modules.re.sub('(?s)[{][{]-? *config[(].*?[)] *-?[}][}]', '', view.raw_code)) -%}
    {%- for name, relation in relations.items() -%}
        {%- set text.sql = modules.re.sub('[{][{]-? *ref[(] *[\'"]' ~ name ~ '[\'"] *[)] *-?[}][}]', relation, text.sql) -%}
    {%- endfor -%}
    {%- if not modules.re.search('[{][{%#]', text.sql) -%}
        {{ return(text.sql | trim) }}
    {%- endif -%}

{% endmacro %}

{% macro row_text(relation, leave_out=[]) %}

    {#-
        The text of a row, by which rows are told apart: of two rows that differ anywhere it is
        another one, NULL and a text's length included. None where a column has no text that says all
        of it, as floats have none on Redshift. What a kept version says of itself is no part of it.
    -#}
    {%- set texts = [] -%}
    {%- for column in adapter.get_columns_in_relation(relation) | rejectattr('name', 'in', mysql_to_redshift.version_columns() + leave_out) | sort(attribute='name') -%}
        {%- set name, kind = mysql_to_redshift.quoted(column.name), column.data_type -%}
        {%- if modules.re.match('text|char|varchar', kind) -%}
            {%- do texts.append("coalesce(cast(length(" ~ name ~ ") as varchar(8)) || ':' || " ~ name ~ ", '-')") -%}
        {%- elif modules.re.match('bool', kind) -%}
            {%- do texts.append('case when ' ~ name ~ " then 't' when not " ~ name ~ " then 'f' else '-' end") -%}
        {%- elif modules.re.match('(small|big)?int|numeric|decimal|date|timestamp', kind) -%}
            {%- do texts.append('coalesce(cast(' ~ name ~ " as varchar(64)), '-')") -%}
        {%- else -%}
            {{ return(none) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(texts | join(" || ' ' || ")) }}

{% endmacro %}


{% macro digest(relation, leave_out=[]) %}

    {#- Two columns: how many rows there are, and the sum of a number of each; NULL where rows have no
        text, so that no digest is like another. -#}
    {%- set text = mysql_to_redshift.row_text(relation, leave_out) -%}
    count(*) as _version_rows,
    {%- if text %}
        coalesce(sum(cast({{ mysql_to_redshift.number_of(text) }} as numeric(38, 0))), 0)
    {%- else %}
        cast(null as numeric(38, 0))
    {%- endif %} as _version_digest

{% endmacro %}


{#- The same two columns, as a publication has noted them. -#}
{% macro noted_digest(publication) -%}
    cast({{ publication.row_count }} as bigint) as _version_rows,
    cast({{ publication.digest }} as numeric(38, 0)) as _version_digest
{%- endmacro %}


{#- The first 48 bits of a text's hash. -#}
{% macro number_of(text) %}{{ return(adapter.dispatch('number_of', 'mysql_to_redshift')(text)) }}{% endmacro %}

{% macro default__number_of(text) %}
    {{ return("cast(cast('x' || substr(md5(" ~ text ~ "), 1, 12) as bit(48)) as bigint)") }}
{% endmacro %}

{% macro redshift__number_of(text) %}{{ return('strtol(substring(md5(' ~ text ~ '), 1, 12), 16)') }}{% endmacro %}

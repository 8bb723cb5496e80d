{% macro list_published(model=none) %}

    {#-
        Print the versions of every summary, or of one, that are there to be put back.

        dbt run-operation list_published --args '{model: nps_summary}'
    -#}
    {%- for name, published in mysql_to_redshift.checked_tables(model).items() -%}
        {%- set versions = mysql_to_redshift.published_versions(published) if mysql_to_redshift.publications_exist() else [] -%}
        {%- do log(name ~ ('' if versions else ': no publication is on record'), info=true) -%}
        {%- set held = mysql_to_redshift.held_since(published.identifier) -%}
        {%- if held -%}{%- do log('  held since ' ~ held.strftime('%Y-%m-%d %H:%M') ~ ' UTC', info=true) -%}{%- endif -%}
        {%- for version in versions -%}
            {%- do log('  ' ~ mysql_to_redshift.describe_version(version), info=true) -%}
        {%- endfor -%}
    {%- endfor -%}

{% endmacro %}


{% macro describe_version(version) %}

    {{ return(
        version.version ~ ', last published ' ~ version.published_at.strftime('%Y-%m-%d %H:%M:%S')
        ~ ', {:,} rows'.format(version.row_count) ~ (', current' if version.is_current else '')
    ) }}

{% endmacro %}


{% macro checked_tables(model=none) %}

    {#-
        Where each summary is published, by its name; or only the one that is asked for.
    -#}
    {%- set known = {} -%}
    {%- for node in graph.nodes.values() if node.config.materialized == 'checked_table' -%}
        {%- do known.update({mysql_to_redshift.summary_name(node): mysql_to_redshift.node_relation(node)}) -%}
    {%- endfor -%}
    {%- if model is none -%}
        {{ return(known) }}
    {%- endif -%}
    {%- if model | string not in known -%}
        {{ exceptions.raise_compiler_error(
            'no summary is called ' ~ model ~ '. Known: ' ~ known | sort | join(', ')
            ~ '. Nothing was changed.'
        ) }}
    {%- endif -%}
    {{ return({model: known[model]}) }}

{% endmacro %}


{% macro summary_name(node) %}

    {#- The model's name, and its version where it has several (`nps_summary.v2`). -#}
    {{ return(node.name ~ ('.v' ~ node.version if node.version else '')) }}

{% endmacro %}


{% macro publications_exist() %}

    {%- set publications = load_relation(mysql_to_redshift.publications_relation()) -%}
    {{ return(publications is not none and 'version' in mysql_to_redshift.column_types(publications)) }}

{% endmacro %}

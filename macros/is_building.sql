{% macro is_building() %}

    {#-
        Whether this command builds models, `dbt retry` of such a command included: only then does
        a hook change anything. `dbt clone` runs the hooks of a model on a view of production's
        table, and what is deleted from such a view is deleted from the table.
    -#}
    {{ return(flags.WHICH in ['build', 'run']) }}

{% endmacro %}


{% macro require_table(relation) %}

    {#- An operation writes to a table of its own target, never through a view to another's. -#}
    {%- set found = load_relation(relation) -%}
    {%- if found is none or not found.is_table -%}
        {{ exceptions.raise_compiler_error(
            relation ~ (' is not there' if found is none else ' is a view')
            ~ ', so no rows of it can be changed. Build or load it in ' ~ target.name
            ~ ' first. Nothing was changed.'
        ) }}
    {%- endif -%}

{% endmacro %}

{% macro is_ours() %}

    {#-
        Whether a model is to be built by these macros' own rules where they replace dbt's: all of
        this project's, and in another one those that newest_rows builds. A project's other models
        are built as before.
    -#}
    {{ return(
        project_name == 'mysql_to_redshift'
        or 'macro.mysql_to_redshift.newest_rows' in model.depends_on.macros
    ) }}

{% endmacro %}


{% macro check_settings() %}

    {#- What another project has to set, or its core would lose digits or land halves in silence. -#}
    {%- if execute -%}
        {%- do mysql_to_redshift.check_transactions() -%}
        {%- set found = adapter.dispatch('sync_column_schemas', 'dbt').macro.package_name -%}
        {%- if found != 'mysql_to_redshift' and found != project_name -%}
            {{ exceptions.raise_compiler_error(
                'dbt_project.yml does not say that the macros of mysql_to_redshift come before dbt\'s, '
                ~ 'so that ' ~ this ~ ' could not take on wider types. Add to `dispatch:` the '
                ~ 'macro_namespace dbt with the search_order [' ~ project_name
                ~ ', mysql_to_redshift, dbt]. Nothing was built.'
            ) }}
        {%- endif -%}
    {%- endif -%}

{% endmacro %}

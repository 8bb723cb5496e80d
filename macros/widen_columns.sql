{#-
    dbt calls this when the columns of an incremental model differ from its table's. Its own, read in
    dbt-adapters 1.24.5, adds what is new and leaves types as they are, so that a merge would round
    numbers and cut times in silence. Here a column takes on the model's type if every value that it
    holds stays what it is; otherwise the build stops.
-#}
{% macro default__sync_column_schemas(on_schema_change, target_relation, schema_changes_dict) %}

    {%- if not mysql_to_redshift.is_ours() -%}
        {{ return(dbt.default__sync_column_schemas(on_schema_change, target_relation, schema_changes_dict)) }}
    {%- endif -%}
    {%- set added = schema_changes_dict.source_not_in_target -%}
    {%- if added -%}
        {%- do alter_relation_add_remove_columns(target_relation, added, none) -%}
        {%- do mysql_to_redshift.say_new_columns(target_relation, added | map(attribute='name')) -%}
    {%- endif -%}
    {%- set built = mysql_to_redshift.column_types(target_relation) -%}
    {%- for change in schema_changes_dict.new_target_types -%}
        {%- set column, old, new = mysql_to_redshift.quoted(change.column_name), built[change.column_name], change.new_type -%}
        {%- set lost = run_query(
            'select count(*) from ' ~ target_relation ~ ' where cast(cast(' ~ column ~ ' as ' ~ new
            ~ ') as ' ~ old ~ ') <> ' ~ column
        ).rows[0][0] -%}
        {%- if lost -%}
            {{ exceptions.raise_compiler_error(
                target_relation ~ ': column ' ~ change.column_name ~ ' is ' ~ old
                ~ ', and the model gives ' ~ new ~ ', which does not hold ' ~ lost ~ ' of its values. '
                ~ 'Build it anew: dbt run --full-refresh --select ' ~ target_relation.identifier
                ~ '+. The table is as it was.'
            ) }}
        {%- endif -%}
        {%- do alter_column_type(target_relation, change.column_name, new) -%}
    {%- endfor -%}

{% endmacro %}


{% macro say_new_columns(relation, names) %}

    {%- for name in names -%}
        {%- do log(relation ~ ' has a new column: ' ~ name, info=true) -%}
    {%- endfor -%}

{% endmacro %}


{#-
    In place, by the function with which the loader widens raw columns. dbt's own, read in
    dbt-adapters 1.24.5, drops the column and with it every view that reads it.
-#}
{% macro postgres__alter_column_type(relation, column_name, new_column_type) %}

    {%- if not mysql_to_redshift.is_ours() -%}
        {{ return(dbt.default__alter_column_type(relation, column_name, new_column_type)) }}
    {%- endif -%}
    {%- call statement('alter_column_type') -%}
        select {{ mysql_to_redshift.quoted(mysql_to_redshift.raw_schema()) }}._set_type(
            {{ mysql_to_redshift.text_literal(relation) }}, {{ mysql_to_redshift.text_literal(column_name) }}, {{ mysql_to_redshift.text_literal(new_column_type) }}
        )
    {%- endcall -%}

{% endmacro %}


{#-
    As the loader widens a raw column. dbt's own, read in dbt-redshift 1.11.1, drops bound views with
    the column; here they refuse it. A dist or sort key cannot be dropped, and so not be widened.
-#}
{% macro redshift__alter_column_type(relation, column_name, new_column_type) %}

    {%- if not mysql_to_redshift.is_ours() -%}
        {{ return(dbt.redshift__alter_column_type(relation, column_name, new_column_type)) }}
    {%- endif -%}
    {%- set column = mysql_to_redshift.quoted(column_name) -%}
    {%- call statement('alter_column_type') -%}
        alter table {{ relation }} add column _wider {{ new_column_type }};
        update {{ relation }} set _wider = {{ column }};
        alter table {{ relation }} drop column {{ column }};
        alter table {{ relation }} rename column _wider to {{ column }}
    {%- endcall -%}

{% endmacro %}

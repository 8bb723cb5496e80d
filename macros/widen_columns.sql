{#-
    dbt calls this when the columns of an incremental model differ from its table's. Its own adds
    what is new and leaves types as they are, so that a merge would round numbers and cut times in
    silence. Here a wider type is taken over, and another one stops the build.
-#}
{% macro default__sync_column_schemas(on_schema_change, target_relation, schema_changes_dict) %}

    {%- set added = schema_changes_dict.source_not_in_target -%}
    {%- if added -%}
        {%- do alter_relation_add_remove_columns(target_relation, added, none) -%}
    {%- endif -%}
    {%- for column in schema_changes_dict.source_columns -%}
        {%- for built in schema_changes_dict.target_columns if built.name == column.name -%}
            {%- if widens(column, built) -%}
                {#- The table holds whatever the model gives. -#}
            {%- elif widens(built, column) -%}
                {%- do alter_column_type(target_relation, column.name, column.data_type) -%}
            {%- else -%}
                {{ exceptions.raise_compiler_error(
                    target_relation ~ ': column ' ~ column.name ~ ' is ' ~ built.data_type
                    ~ ', and the model gives ' ~ column.data_type ~ ', which is no wider type of the '
                    ~ 'same kind. Build it anew: dbt run --full-refresh --select '
                    ~ target_relation.identifier ~ '+. The table is as it was.'
                ) }}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}

{% endmacro %}


{% macro widens(old, new) %}

    {#- Whether a column like `new` holds every value of one like `old`: the loader's own rule. -#}
    {%- if old.is_string() and new.is_string() -%}
        {{ return(new.char_size is none or (old.char_size is not none and old.char_size <= new.char_size)) }}
    {%- endif -%}
    {%- if old.dtype == new.dtype and not new.is_numeric() -%}
        {{ return(true) }}
    {%- endif -%}
    {%- set digits = [] -%}
    {%- for column in [old, new] -%}
        {%- set integer = {'smallint': 5, 'integer': 10, 'bigint': 19}.get(column.dtype) -%}
        {%- if integer -%}
            {%- do digits.append([integer, 0]) -%}
        {%- elif column.is_numeric() -%}
            {%- set scale = column.numeric_scale -%}
            {%- do digits.append([1000, 1000] if scale is none else [column.numeric_precision - scale, scale]) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if digits | length == 2 -%}
        {#- An integer type holds every number of one digit less than its largest has. -#}
        {%- set spare = 1 if old.is_numeric() and not new.is_numeric() else 0 -%}
        {{ return(digits[0][0] <= digits[1][0] - spare and digits[0][1] <= digits[1][1]) }}
    {%- endif -%}
    {{ return([old.dtype, new.dtype] in [
        ['real', 'double precision'], ['date', 'timestamp without time zone']
    ]) }}

{% endmacro %}


{#- In place, where dbt's own drops the column and with it every view that reads it. -#}
{% macro postgres__alter_column_type(relation, column_name, new_column_type) %}

    {%- call statement('alter_column_type') -%}
        do $widen$
        declare
            found record;
            statements text[] := array[
                $alter$
                alter table {{ relation }} alter column {{ quoted(column_name) }} type {{ new_column_type }}
                $alter$
            ];
        begin
            -- The views that read the table are made again around it, with their grants.
            for found in
                with recursive reading as (
                    select $relation${{ relation }}$relation$::regclass::oid as id, 0 as depth
                    union
                    select rule.ev_class, reading.depth + 1
                    from reading
                    inner join pg_depend on refobjid = reading.id and classid = 'pg_rewrite'::regclass
                    inner join pg_rewrite as rule on rule.oid = objid and rule.ev_class <> reading.id
                )

                select
                    id::regclass::text as name,
                    pg_get_viewdef(id) as definition,
                    array(
                        select format(
                            'grant %s on %s to %s', privilege_type, id::regclass,
                            case when grantee = 0 then 'public' else grantee::regrole::text end
                        )
                        from pg_class, aclexplode(relacl)
                        where oid = id and grantee <> relowner
                    ) as grants
                from reading
                where depth > 0
                group by id
                order by max(depth)
            loop
                statements := format('drop view %s', found.name) || statements
                    || format('create view %s as %s', found.name, found.definition) || found.grants;
            end loop;
            for n in 1 .. cardinality(statements) loop
                execute statements[n];
            end loop;
        end
        $widen$
    {%- endcall -%}

{% endmacro %}


{#- Views are late-binding. A dist or sort key cannot be dropped, and so not be widened. -#}
{% macro redshift__alter_column_type(relation, column_name, new_column_type) %}

    {%- set column = quoted(column_name) -%}
    {%- call statement('alter_column_type') -%}
        alter table {{ relation }} add column _wider {{ new_column_type }};
        update {{ relation }} set _wider = {{ column }};
        alter table {{ relation }} drop column {{ column }};
        alter table {{ relation }} rename column _wider to {{ column }}
    {%- endcall -%}

{% endmacro %}

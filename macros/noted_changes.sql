{#-
    archive._changes_<core table>: a row for each that came (copies 1) or went (copies -1), the former
    version of a changed row among these, by the build that noted it (batch, which grows), with the
    columns that summaries count by (counting.sql).
-#}
{% macro counting_summaries(core) %}

    {#- The summaries that count a core model's rows. -#}
    {%- set found = [] -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and (node.config.meta or {}).get('counts')
        and core.unique_id in mysql_to_redshift.counted_cores(node) | map(attribute='unique_id') -%}
        {%- do found.append(node) -%}
    {%- endfor -%}
    {{ return(found) }}

{% endmacro %}


{% macro counted_columns(core) %}

    {#-
        The columns of a core table that are noted, as SQL takes them: those that summaries have to
        know of, unless no two values of them can be compared, as of JSON.
    -#}
    {%- set summaries, columns = mysql_to_redshift.counting_summaries(core), [] -%}
    {%- set types = mysql_to_redshift.quoted_types(mysql_to_redshift.node_relation(core)) if summaries -%}
    {%- for summary in summaries -%}
        {%- for column in mysql_to_redshift.columns_counted_by(summary, core, types) if mysql_to_redshift.can_be_grouped(types.get(column, '')) -%}
            {%- do columns.append(column) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(columns | unique | sort) }}

{% endmacro %}


{% macro columns_counted_by(summary, core, types) %}

    {#-
        What a summary has to know of a core model's changes: the columns that it counts by, with the
        key if it counts `per` something; of one that it reads through a view, all but the loader's.

        types: the core table's columns with their types.
    -#}
    {%- set columns = mysql_to_redshift.key_columns(core.config.unique_key) if summary.config.meta.per else [] -%}
    {%- if summary.depends_on.nodes | first == core.unique_id -%}
        {%- do columns.extend(mysql_to_redshift.key_columns(summary.config.meta.counts)) -%}
    {%- else -%}
        {%- do columns.extend(types | reject('in', mysql_to_redshift.key_columns(mysql_to_redshift.columns_of_loader()))) -%}
    {%- endif -%}
    {{ return(columns | unique | list) }}

{% endmacro %}


{#- What a core table has of each row besides the source's columns. -#}
{% macro columns_of_loader() %}{{ return(['_run_date', '_load_id', '_loaded_at', '_watermark']) }}{% endmacro %}


{% macro changes_relation(core) %}

    {{ return(mysql_to_redshift.archive_relation(core).incorporate(
        path={'identifier': '_changes_' ~ core.identifier[:50]}, type='table'
    )) }}

{% endmacro %}


{% macro changes_columns(core, columns) %}

    {#- The columns of the table of changes with their types, which are the core table's own. -#}
    {%- set types = {'batch': 'bigint', 'copies': 'integer'} -%}
    {%- for column in adapter.get_columns_in_relation(core) if mysql_to_redshift.quoted(column.name) in columns -%}
        {%- do types.update({column.name: column.data_type}) -%}
    {%- endfor -%}
    {{ return(types) }}

{% endmacro %}


{% macro notes_changes(core, columns) %}

    {#- Whether what comes and goes can be noted: not after a type has changed, nor of an empty table,
        which is filled anew. Then the table of changes is made anew, and nobody goes on from it. -#}
    {%- set changes = mysql_to_redshift.changes_relation(core) -%}
    {%- set found = {} -%}
    {%- for column in adapter.get_columns_in_relation(changes) -%}
        {%- do found.update({column.name: column.data_type}) -%}
    {%- endfor -%}
    {{ return(
        found == mysql_to_redshift.changes_columns(core, columns)
        and run_query('select 1 as present from ' ~ core ~ ' limit 1').rows | length > 0
    ) }}

{% endmacro %}


{% macro next_batch(core) %}

    {#- Those who write the core table do so one after the other. -#}
    {{ return(run_query(
        'select coalesce(max(batch), 0) + 1 from ' ~ mysql_to_redshift.changes_relation(core)
    ).rows[0][0] | int) }}

{% endmacro %}


{#-
    Before dbt merges what a build has found, note what that changes: dbt's own (read in dbt-adapters
    1.24.5) follows. Rows that are landed again as they were change nothing.
-#}
{% macro default__get_incremental_merge_sql(arg_dict) %}

    {%- set core, came, key = arg_dict['target_relation'], arg_dict['temp_relation'], arg_dict['unique_key'] -%}
    {%- set merge = dbt.default__get_incremental_merge_sql(arg_dict) -%}
    {%- set columns = mysql_to_redshift.counted_columns(model) -%}
    {%- if not columns -%}
        {{ return(merge) }}
    {%- endif -%}
    {#- A column that the model has no more brings nothing to be noted. -#}
    {%- set brought = mysql_to_redshift.key_columns(arg_dict['dest_columns'] | map(attribute='name') | list) -%}
    {%- do model.update({'_notes_changes': not (columns | reject('in', brought) | list)
        and mysql_to_redshift.notes_changes(core, columns)}) -%}
    {%- if not model['_notes_changes'] -%}
        {{ return(merge) }}
    {%- endif -%}
    {%- set values, differing = [], [] -%}
    {%- set is_new = 'former.' ~ mysql_to_redshift.key_columns(key)[0] ~ ' is null' -%}
    {%- for column in columns -%}
        {%- do values.append('case when sides.copies = 1 then came.' ~ column ~ ' else former.' ~ column ~ ' end') -%}
        {%- do differing.append(
            'case when came.' ~ column ~ ' = former.' ~ column ~ ' or (came.' ~ column ~ ' is null and former.'
            ~ column ~ ' is null) then 0 else 1 end = 1'
        ) -%}
    {%- endfor -%}
    {%- set noted -%}
        insert into {{ mysql_to_redshift.changes_relation(core) }} (batch, copies, {{ columns | join(', ') }})
        select {{ mysql_to_redshift.next_batch(core) }}, sides.copies, {{ values | join(', ') }}
        from {{ came }} as came
        left join {{ core }} as former on {{ mysql_to_redshift.same_key('came', 'former', key) }}
        cross join (select 1 as copies union all select -1 as copies) as sides
        where
            ({{ is_new }} and sides.copies = 1)
            or (not {{ is_new }} and ({{ differing | join(' or ') }}));
    {%- endset -%}
    {{ return(noted ~ merge) }}

{% endmacro %}


{% macro delete_noted(core, condition, also_read=none) %}

    {#-
        Delete rows of a core table, and note them where summaries count them: the rows are picked
        once, because what is landed meanwhile may change what a second look would find.
    -#}
    {%- set columns = mysql_to_redshift.counted_columns(model) if model.get('_notes_changes') -%}
    {%- if columns -%}
        {%- set key = mysql_to_redshift.key_columns(model.config.unique_key) -%}
        {%- set picked = [] -%}
        {%- for column in (key + columns) | unique -%}
            {%- do picked.append(adapter.quote(core.identifier) ~ '.' ~ column) -%}
        {%- endfor %}
        create temporary table _gone as
        select distinct {{ picked | join(', ') }} from {{ core }}
        {%- if also_read %} cross join {{ also_read }}{% endif %}
        where {{ condition }};
        insert into {{ mysql_to_redshift.changes_relation(core) }} (batch, copies, {{ columns | join(', ') }})
        select {{ mysql_to_redshift.next_batch(core) }}, -1, {{ columns | join(', ') }} from _gone;
        delete from {{ core }}
        using _gone
        where {{ mysql_to_redshift.same_key('_gone', adapter.quote(core.identifier), model.config.unique_key) }};
        drop table _gone;
    {%- else %}
        delete from {{ core }} {%- if also_read %} using {{ also_read }}{% endif %} where {{ condition }};
    {%- endif -%}

{% endmacro %}


{% macro keep_changes() %}

    {#-
        After a core model was built: make the table of changes where a summary wants one and it is
        not there, or not as it should be; else drop what every summary has counted. The newest batch
        stays, so that the next one is greater.
    -#}
    {%- set columns = mysql_to_redshift.counted_columns(model) if execute and mysql_to_redshift.is_building() -%}
    {%- if columns and model.config.materialized == 'incremental' -%}
        {%- set changes = mysql_to_redshift.changes_relation(this) -%}
        {%- if model.get('_notes_changes') -%}
            {%- set readers, counted_up_to = [], [] -%}
            {%- for summary in mysql_to_redshift.counting_summaries(model) -%}
                {%- do readers.append(mysql_to_redshift.text_literal(summary.alias)) -%}
            {%- endfor -%}
            {%- for row in run_query(
                'select counted, row_number() over (partition by model_name order by published_at desc) as recency_rank from '
                ~ mysql_to_redshift.publications_relation() ~ ' where model_name in (' ~ readers | join(', ') ~ ')'
            ).rows if row['recency_rank'] == 1 -%}
                {%- do counted_up_to.append(mysql_to_redshift.counted_up_to(row['counted']).get(mysql_to_redshift.table_id(changes))) -%}
            {%- endfor -%}
            {%- set counted_up_to = counted_up_to | reject('none') | list -%}
            {%- if counted_up_to %}
            delete from {{ changes }}
            where batch < {{ counted_up_to | min }} and batch < (select max(batch) from {{ changes }})
            {%- endif -%}
        {%- else -%}
            {%- set listed = [] -%}
            {%- for name, kind in mysql_to_redshift.changes_columns(this, columns).items() -%}
                {%- do listed.append(mysql_to_redshift.quoted(name) ~ ' ' ~ kind) -%}
            {%- endfor -%}
            drop table if exists {{ changes }};
            create table {{ changes }} ({{ listed | join(', ') }})
        {%- endif -%}
    {%- endif -%}

{% endmacro %}

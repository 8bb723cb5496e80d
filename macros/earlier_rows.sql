{#-
    An earlier version of a summary is kept as what differs from the version after it:
    archive.<summary>__<version> holds every row of which there were not as many in both, those of
    the version itself (_of_version) and those of the one after it, each with count and digest of the
    whole version. Going back from what is published undoes one after the other.

    Where columns changed, or rows have no text by which to tell them apart (a float, JSON), it holds
    the whole version instead, and those before that one go on from there.
-#}
{% macro keep_version(kept, published, rows, columns, differed, differs, before=none) %}

    {#-
        differed, differs: the conditions that pick the published rows that differ, and the new ones;
            none to keep the version whole.
        before: count and digest of the published rows, where they are known.
    -#}
    {%- if differs %}
        create temporary table _kept as
        select {{ mysql_to_redshift.noted_digest(before) if before else mysql_to_redshift.digest(published) ~ ' from ' ~ published }};
        create table {{ kept }} as
        select {{ columns }}, true as _of_version, _version_rows, _version_digest
        from {{ published }} cross join _kept {{ differed }};
        insert into {{ kept }} ({{ columns }}, _of_version, _version_rows, _version_digest)
        select {{ columns }}, false, _version_rows, _version_digest
        from {{ rows }} cross join _kept {{ differs }};
        drop table _kept;
    {%- else %}
        create table {{ kept }} as select * from {{ published }};
    {%- endif %}

{% endmacro %}


{#- The columns of a version that is kept as what differs, besides its own. -#}
{% macro version_columns() %}{{ return(['_of_version', '_version_rows', '_version_digest']) }}{% endmacro %}


{% macro holds_changes(kept) %}{{ return('_of_version' in mysql_to_redshift.column_types(kept)) }}{% endmacro %}


{% macro version_names(kept) %}

    {#- The columns of a summary's version, as SQL lists them. -#}
    {%- set names = [] -%}
    {%- for name in mysql_to_redshift.column_types(kept) if name not in mysql_to_redshift.version_columns() -%}
        {%- do names.append(mysql_to_redshift.quoted(name)) -%}
    {%- endfor -%}
    {{ return(names | join(', ')) }}

{% endmacro %}


{% macro undo_changes(rows, kept) %}

    {#- Make of a version's rows those of the version before it, which is kept as what differs. -#}
    {%- set names, line = mysql_to_redshift.version_names(kept), mysql_to_redshift.row_text(kept) %}
    delete from {{ rows }} where {{ line }} in (select {{ line }} from {{ kept }});
    insert into {{ rows }} ({{ names }}) select {{ names }} from {{ kept }} where _of_version;

{% endmacro %}


{% macro rows_of_version(published, versions, chosen) %}

    {#-
        The table that holds an earlier version's rows, which is made where it is kept as what differs.
        It is refused where it is not what was published: somebody has changed the summary by hand.

        versions: as published_versions gives them; chosen: one of them, not the current one.
    -#}
    {%- set from = namespace(rows=published, undone=[]) -%}
    {%- set earlier = versions | rejectattr('is_current') | list -%}
    {%- for version in earlier[:earlier.index(chosen) + 1] -%}
        {%- if mysql_to_redshift.holds_changes(version.kept) -%}
            {%- do from.undone.append(version.kept) -%}
        {%- else -%}
            {%- set from.rows = version.kept -%}
            {%- set from.undone = [] -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if not from.undone -%}
        {{ return(chosen.kept) }}
    {%- endif -%}
    {%- set made = published.incorporate(path={
        'database': none, 'schema': none, 'identifier': published.identifier ~ '__restored_' ~ invocation_id[:8]
    }) -%}
    {%- set same = namespace(rows=true) -%}
    {%- set types = mysql_to_redshift.column_types(from.rows) -%}
    {%- for kept in from.undone -%}
        {%- set kept_types = mysql_to_redshift.column_types(kept) -%}
        {%- for name in mysql_to_redshift.version_columns() -%}{%- do kept_types.pop(name) -%}{%- endfor -%}
        {%- set same.rows = same.rows and kept_types == types -%}
    {%- endfor -%}
    {%- if same.rows -%}
        {%- call statement('restored') -%}
            create temporary table {{ made }} as select * from {{ from.rows }};
            {%- for kept in from.undone -%}{{ mysql_to_redshift.undo_changes(made, kept) }}{%- endfor -%}
        {%- endcall -%}
        {%- set same.rows = (
            run_query('select ' ~ mysql_to_redshift.digest(made) ~ ' from ' ~ made).rows[0].values()
            == run_query('select max(_version_rows), max(_version_digest) from ' ~ chosen.kept).rows[0].values()
        ) -%}
    {%- endif -%}
    {%- if not same.rows -%}
        {{ exceptions.raise_compiler_error(
            published.identifier ~ ' cannot go back to version ' ~ chosen.version ~ ': it is kept as what differs from the'
            ~ ' version after it, and the table is not what was published any more, because somebody has written'
            ~ ' into it or made it anew. Nothing was changed. The next build publishes the summary anew.'
        ) }}
    {%- endif -%}
    {{ return(made) }}

{% endmacro %}


{% macro keep_no_more(versions, restored) %}

    {#-
        A version that is published again is kept no more; the one before it, if it is kept as what
        differs from that, becomes what differs from the one after, or whole if that one is whole.
    -#}
    {%- set earlier = versions | rejectattr('is_current') | list -%}
    {%- for version in earlier if version.version == restored -%}
        {%- set kept, before = version.kept, (earlier[earlier.index(version) + 1:] | first | default({})).kept -%}
        {%- if before and mysql_to_redshift.holds_changes(before) -%}
            {%- if mysql_to_redshift.holds_changes(kept) -%}
                {%- set names, line = mysql_to_redshift.version_names(kept), mysql_to_redshift.row_text(kept) %}
                insert into {{ before }} ({{ names }}, _of_version)
                select {{ names }}, _of_version from {{ kept }}
                where {{ line }} not in (select {{ line }} from {{ before }});
            {%- else %}
                create temporary table _before as select * from {{ kept }};
                {{ mysql_to_redshift.undo_changes('_before', before) }}
                drop table {{ before }};
                create table {{ before }} as select * from _before;
                drop table _before;
            {%- endif -%}
        {%- endif %}
        drop table {{ kept }};
    {%- endfor -%}

{% endmacro %}

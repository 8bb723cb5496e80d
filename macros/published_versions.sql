{% macro published_versions(published) %}

    {#-
        The versions of a summary that are there: the published one and those kept, the last
        published first. A version is named by the second (UTC) of its first publication.

        returns: a list of {version, published_at, row_count, is_current, kept}; kept is the table
            that holds its rows, published_at the last time that readers got it.
    -#}
    {%- set recorded = run_query(
        "select coalesce(version, to_char(published_at, 'YYYYMMDDHH24MISS')) as version,"
        ~ ' max(published_at) as published_at, max(row_count) as row_count'
        ~ ' from ' ~ mysql_to_redshift.publications_relation()
        ~ " where model_name = '" ~ published.identifier ~ "' group by 1 order by 2 desc, 1 desc"
    ).rows -%}
    {%- set kept = mysql_to_redshift.kept_versions(published) -%}
    {%- set versions = [] -%}
    {%- for row in recorded -%}
        {%- if loop.first or row['version'] in kept -%}
            {%- do versions.append({
                'version': row['version'],
                'published_at': row['published_at'],
                'row_count': row['row_count'] | int,
                'is_current': loop.first,
                'kept': kept.get(row['version']),
            }) -%}
        {%- endif -%}
        {%- do kept.pop(row['version'], none) -%}
    {%- endfor -%}
    {#- Versions of which the record is lost, which is then younger than they are. -#}
    {%- for version in kept | sort(reverse=true) -%}
        {%- do versions.append({
            'version': version,
            'published_at': modules.datetime.datetime.strptime(version, '%Y%m%d%H%M%S'),
            'row_count': run_query(
                'select ' ~ ('max(_version_rows)' if mysql_to_redshift.holds_changes(kept[version]) else 'count(*)')
                ~ ' from ' ~ kept[version]
            ).rows[0][0] | int,
            'is_current': false,
            'kept': kept[version],
        }) -%}
    {%- endfor -%}
    {{ return(versions) }}

{% endmacro %}


{% macro kept_versions(published) %}

    {#- The tables that hold a summary's earlier versions, by version. -#}
    {%- set archive = mysql_to_redshift.archive_relation(published) -%}
    {%- set kept = {} -%}
    {%- for row in list_relations_without_caching(archive.without_identifier()).rows -%}
        {%- set version = row['name'][-14:] -%}
        {%- set relation = mysql_to_redshift.version_relation(published, version) -%}
        {%- if row['schema'] == archive.schema and row['name'] == relation.identifier
            and modules.re.fullmatch('[0-9]{14}', version) -%}
            {%- do kept.update({version: relation}) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(kept) }}

{% endmacro %}


{% macro version_relation(published, version) %}

    {%- set archive = mysql_to_redshift.archive_relation(published) -%}
    {{ return(archive.incorporate(
        path={'identifier': published.identifier ~ '__' ~ version}, type='table'
    )) }}

{% endmacro %}


{% macro publication_time(current) %}

    {#- Now, or right after the current publication: Redshift's clock tells whole seconds. -#}
    {%- set now = run_query('select ' ~ mysql_to_redshift.utc_now()).rows[0][0] -%}
    {%- if current and now <= current.published_at -%}
        {{ return(current.published_at + modules.datetime.timedelta(microseconds=1)) }}
    {%- endif -%}
    {{ return(now) }}

{% endmacro %}


{% macro next_version(moment, versions, other=none) %}

    {#- The second of a moment, or the first one after every version that there is. -#}
    {%- set layout = '%Y%m%d%H%M%S' -%}
    {%- set version = moment.strftime(layout) -%}
    {%- set taken = versions | map(attribute='version') | list + ([other] if other else []) -%}
    {%- if taken and version <= taken | max -%}
        {%- set newest = modules.datetime.datetime.strptime(taken | max, layout) -%}
        {%- set version = (newest + modules.datetime.timedelta(seconds=1)).strftime(layout) -%}
    {%- endif -%}
    {{ return(version) }}

{% endmacro %}


{% macro keep_published() %}

    {%- set kept = var('keep_published', 3) -%}
    {%- if kept is not integer or kept is boolean or kept < 0 -%}
        {{ mysql_to_redshift.wrong_var(
            'the var keep_published is ' ~ kept ~ '.',
            'Write how many earlier versions of a summary to keep, 0 or more.'
        ) }}
    {%- endif -%}
    {{ return(kept) }}

{% endmacro %}


{% macro drop_old_versions(published) %}

    {#- After the publish has been committed: who reads an old version must not hold it up. -#}
    {%- set earlier = mysql_to_redshift.published_versions(published) | rejectattr('is_current') | list -%}
    {%- for version in earlier[mysql_to_redshift.keep_published():] -%}
        {{ drop_relation_if_exists(version.kept) }}
    {%- endfor -%}
    {%- do adapter.commit() -%}

{% endmacro %}

{% macro restore_published(model=none, version=none, hold=false, dry_run=false) %}

    {#-
        Put an earlier version of a summary back, by the same publish that a build makes: grants and
        views stay. What it displaces is kept whatever keep_published says, so that it can be put
        back in turn. Its rows passed their checks when they were published, and are not checked
        again.

        version: as list_published prints it; none is the version before the current one.
        hold: whether builds leave it as it is then, until lift_hold is called.

        dbt run-operation restore_published --args '{model: nps_summary, dry_run: true}'
    -#}
    {%- if model is none -%}
        {{ exceptions.raise_compiler_error(
            "restore_published needs a model. Known: " ~ mysql_to_redshift.checked_tables() | sort | join(', ')
            ~ '. Nothing was changed.'
        ) }}
    {%- endif -%}
    {%- set published = mysql_to_redshift.checked_tables(model)[model] -%}
    {%- set versions = mysql_to_redshift.published_versions(published) if mysql_to_redshift.publications_exist() else [] -%}
    {%- set chosen = mysql_to_redshift.version_to_restore(model, versions, version) -%}
    {%- do mysql_to_redshift.require_table(published) -%}
    {%- if hold and not dry_run -%}
        {%- do mysql_to_redshift.create_held_back() -%}
    {%- endif -%}

    {%- if chosen.is_current -%}
        {%- do log(model ~ ' is at version ' ~ chosen.version ~ '. Nothing was changed.', info=true) -%}
        {%- if hold and not dry_run -%}
            {%- do mysql_to_redshift.write_held_back(mysql_to_redshift.held_by_somebody(published.identifier)) -%}
        {%- endif -%}
    {%- elif dry_run -%}
        {%- set rows = mysql_to_redshift.rows_of_version(published, versions, chosen) -%}
        {%- set changes = mysql_to_redshift.row_changes(published, rows) -%}
        {%- do log(model ~ ' would go back to version ' ~ mysql_to_redshift.describe_version(chosen) ~ '.', info=true) -%}
        {%- do log(
            'Their columns differ.' if changes is none else
            'Rows that would go: {:,}; that would come: {:,}.'.format(changes.gone, changes.come),
            info=true
        ) -%}
    {%- else -%}
        {%- set rows = mysql_to_redshift.rows_of_version(published, versions, chosen) -%}
        {#- What has been read is no part of the publish's transaction. -#}
        {%- do adapter.commit() -%}
        {%- do mysql_to_redshift.create_lock(mysql_to_redshift.publications_relation()) -%}
        {%- set done = mysql_to_redshift.publish(published, rows, restored=chosen.version, hold=hold) -%}
        {%- do adapter.commit() -%}
        {%- set way = 'forward again, as it was before it was put back,' if chosen.version > versions[0].version else 'back' -%}
        {%- do log(model ~ ' is ' ~ way ~ ' at version ' ~ mysql_to_redshift.describe_version(chosen) ~ '.', info=true) -%}
        {%- if done.displaced -%}
            {%- do log(
                'What it showed until now is kept as version ' ~ done.displaced
                ~ ('.' if hold else '. The next build publishes anew, if its checks pass; to keep what is put back: dbt run-operation'
                ~ " restore_published --args '{model: " ~ model ~ ", version: " ~ chosen.version ~ ", hold: true}'"), info=true
            ) -%}
        {%- endif -%}
        {%- set others = mysql_to_redshift.summaries_beside(model) -%}
        {%- if others -%}
            {%- do log('Left as they are, and made of the same rows: ' ~ others | join(', ') ~ '.', info=true) -%}
        {%- endif -%}
    {%- endif -%}
    {%- if hold and not dry_run -%}
        {%- do log(
            model ~ ' is held: builds leave it as it is until it is lifted by'
            ~ " dbt run-operation lift_hold --args '{model: " ~ model ~ "}'", info=true
        ) -%}
    {%- endif -%}

{% endmacro %}


{% macro summaries_beside(model) %}

    {#- The other summaries that read a model which this one reads. -#}
    {%- set reads = {} -%}
    {%- for node in graph.nodes.values() if node.config.materialized == 'checked_table' -%}
        {%- do reads.update({mysql_to_redshift.summary_name(node): node.depends_on.nodes}) -%}
    {%- endfor -%}
    {%- set own, others = reads.pop(model), [] -%}
    {%- for name, nodes in reads.items() if nodes | select('in', own) | list -%}
        {%- do others.append(name) -%}
    {%- endfor -%}
    {{ return(others | sort) }}

{% endmacro %}


{% macro version_to_restore(model, versions, version) %}

    {%- set earlier = versions | rejectattr('is_current') | list -%}
    {%- for known in (earlier if version is none else versions) -%}
        {%- if version is none or known.version == version | string -%}
            {{ return(known) }}
        {%- endif -%}
    {%- endfor -%}
    {{ exceptions.raise_compiler_error(
        (
            model ~ ' has no version ' ~ version ~ '. Known: '
            ~ versions | map(attribute='version') | join(', ') if earlier
            else 'no earlier version of ' ~ model ~ ' is kept'
        ) ~ '. Nothing was changed.'
    ) }}

{% endmacro %}

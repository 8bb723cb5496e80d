{% macro refuse_gone_columns() %}

    {#-
        Hold a model that reads a column which MySQL's table has no more, itself or through another
        model: it would take the NULL that newly landed rows hold for what the source says. What is
        built stays as it was. A column that the source YAML leaves out may be read all the same.
    -#}
    {%- if execute and flags.WHICH in ['build', 'run', 'snapshot'] -%}
        {%- set gone = gone_columns() -%}
        {%- set read = gone_columns_read(model, gone) if gone else [] -%}
        {%- if read -%}
            {%- set held = models_after(model.unique_id) -%}
            {{ exceptions.raise_compiler_error(
                this.identifier ~ ' reads ' ~ read | unique | join(', ') ~ ', which MySQL has no more: '
                ~ 'rows landed since hold NULL there. Held back, and as it was: '
                ~ ([this.identifier] + held) | join(', ') ~ '. Read what took its place, or nothing; '
                ~ 'if it is to be read on for rows that were landed earlier, declare '
                ~ '`exclude: true` for the column in the source YAML. Then run again.'
            ) }}
        {%- endif -%}
    {%- endif -%}

{% endmacro %}


{% macro gone_columns() %}

    {#- The columns that the loader says are gone, by the unique id of their source table. -#}
    {%- set noted = run_query(
        "select nspname, relname, attname from pg_description "
        ~ "inner join pg_class on pg_class.oid = objoid "
        ~ "inner join pg_namespace on pg_namespace.oid = relnamespace "
        ~ "inner join pg_attribute on attrelid = objoid and attnum = objsubid "
        ~ "where description = 'Gone from MySQL' and objsubid > 0"
    ).rows -%}
    {%- set found = {} -%}
    {%- for source in graph.sources.values() if noted and source.source_name == 'raw_data' -%}
        {%- for schema, table, column in noted
            if (schema, table) == (source.schema, source.identifier)
            and column not in columns_left_out(source) -%}
            {%- do found.setdefault(source.unique_id, []).append(column) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(found) }}

{% endmacro %}


{% macro columns_left_out(source) %}

    {%- set names = [] -%}
    {%- for column in source.columns.values() -%}
        {%- set loader = (column.config.meta or column.meta or {}).get('loader') or {} -%}
        {%- if loader.get('exclude') or loader.get('mask') == 'drop' -%}
            {%- do names.append(column.name | lower) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(names) }}

{% endmacro %}


{% macro gone_columns_read(node, gone) %}

    {#- Those that a model names, or else those that a model before it names. -#}
    {%- set read = [] -%}
    {%- for column, name in columns_offered(node, gone).items() if names_column(node, column) -%}
        {%- do read.append(name) -%}
    {%- endfor -%}
    {%- for unique_id in node.depends_on.nodes if unique_id in graph.nodes and not read -%}
        {%- do read.extend(gone_columns_read(graph.nodes[unique_id], gone)) -%}
    {%- endfor -%}
    {{ return(read) }}

{% endmacro %}


{% macro columns_offered(node, gone) %}

    {#- The gone columns among those a model may read: a source's, and what `*` hands on of them. -#}
    {%- set offered = {} -%}
    {%- for unique_id in node.depends_on.nodes -%}
        {%- for column in gone.get(unique_id, []) -%}
            {%- do offered.update({column: graph.sources[unique_id].identifier ~ '.' ~ column}) -%}
        {%- endfor -%}
        {%- if unique_id in graph.nodes -%}
            {%- set parent = graph.nodes[unique_id] -%}
            {%- for column, name in columns_offered(parent, gone).items()
                if not names_column(parent, column, any_place=true)
                and column in column_types(node_relation(parent)) -%}
                {%- do offered.update({column: name}) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(offered) }}

{% endmacro %}


{% macro names_column(node, column, any_place=false) %}

    {#- Whether a model's SQL has a column's name; by itself, as what something else is called, it is none. -#}
    {%- set code = modules.re.sub(
        '(?s)/[*].*?[*]/|[{]#.*?#[}]|--[^\\n]*|\\s+', ' ', node.get('compiled_code') or node.raw_code
    ) -%}
    {%- set before = '(?<!\\w)' if any_place else '(?<!\\w)(?<!\\bas )(?<!\\bas ")' -%}
    {{ return(modules.re.search(
        '(?i)' ~ before ~ modules.re.escape(column) ~ '(?!\\w)', modules.re.sub(' +', ' ', code)
    ) is not none) }}

{% endmacro %}


{% macro models_after(unique_id) %}

    {#- The names of the models that read one, or read what reads it. -#}
    {%- set after, names = [unique_id], [] -%}
    {%- for round in graph.nodes -%}
        {%- for node in graph.nodes.values()
            if node.resource_type in ['model', 'snapshot'] and node.unique_id not in after
            and node.depends_on.nodes | select('in', after) | list -%}
            {%- do after.append(node.unique_id) -%}
            {%- do names.append(node.name) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(names | sort) }}

{% endmacro %}

{% macro drop_clones() %}

    {#-
        Drop the views that stand where this run is to write a table. `dbt clone` leaves them, and a
        seed, a snapshot and a checked table put up with none. They are views of this target; what
        they read stays.
    -#}
    {%- if execute and flags.WHICH in ['build', 'run', 'seed', 'snapshot'] -%}
        {%- for unique_id in selected_resources if unique_id in graph.nodes -%}
            {%- set node = graph.nodes[unique_id] -%}
            {%- set found = load_cached_relation(mysql_to_redshift.node_relation(node)) -%}
            {%- if found is not none and found.is_view and (
                node.resource_type in ['seed', 'snapshot']
                or node.config.materialized == 'checked_table'
            ) -%}
                {%- call statement('drop_clone') -%}drop view {{ found }}{%- endcall -%}
                {#- So that dbt knows. -#}
                {%- do adapter.drop_relation(found) -%}
                {%- do adapter.commit() -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}

{% endmacro %}

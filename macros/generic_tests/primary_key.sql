{% test primary_key(model, column_name=none, columns=none) %}

    {{ config(meta={'looks_at': 'key'}) }}

    {#- The columns are the model's own unique_key where none are named. -#}
    {%- set key = column_name or columns or (mysql_to_redshift.tested_node().config.unique_key if execute else 'id') -%}
    {%- set listed = mysql_to_redshift.key_columns(key) %}

    select
        {{ listed | join(', ') }},
        count(*) as copies

    from {{ model }}

    group by {{ listed | join(', ') }}

    having count(*) > 1 or {{ listed | join(' is null or ') }} is null

{% endtest %}


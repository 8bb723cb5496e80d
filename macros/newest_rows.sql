{% macro newest_rows(landed, key) %}

    {#-
        A core model: the newest version of each row, merged into what is built already. All
        columns are taken but `_deleted_at`; a column that is new there is new here.

        Takes the rows loaded since the last build, except where the built table already has a
        newer version. Loads of one table happen one after the other and each reads the source as
        it is, so the newest load has the newest version, whatever the cursor column says and in
        whatever order windows are landed and built. Within one load the key is unique.

        A version that says its row was deleted hides the older ones and is not merged itself;
        drop_vanished_rows takes away what was built before.

        `_watermark` is the newest load of those that a build took in together with all that were
        landed before. A build of one window does not move it while loads of other windows are
        waiting.

        landed: what ref() or source() gives.
        key: the column that identifies a row, or a list of those that do together.
    -#}
    {{- config(
        materialized='incremental',
        incremental_strategy='merge',
        on_schema_change='append_new_columns',
        unique_key=mysql_to_redshift.key_columns(key),
        indexes=mysql_to_redshift.core_indexes(key),
        pre_hook="{{ mysql_to_redshift.lock_for_writing(this) }}",
        post_hook=["{{ mysql_to_redshift.drop_vanished_rows() }}", "{{ mysql_to_redshift.keep_changes() }}"]
    ) -}}
    {%- do mysql_to_redshift.check_settings() -%}
    {#- `dbt show` is asked for the rows of the model, not for those that are new. -#}
    {%- set built = this if is_incremental() and flags.WHICH != 'show' else none -%}
    {%- if built and not landed.is_cte and mysql_to_redshift.is_building() -%}
        {%- do mysql_to_redshift.refuse_another_key(key) -%}
    {%- endif -%}
    {%- set window = mysql_to_redshift.build_window() -%}
    {%- set taken_in = mysql_to_redshift.taken_in_up_to() if built and window -%}
    {%- set columns = [] -%}
    {#- A unit test's rows are no relation; it compares only the columns that it names. -#}
    {%- for column in (adapter.get_columns_in_relation(landed) if execute and not landed.is_cte else []) -%}
        {%- if column.name != '_deleted_at' -%}
            {%- do columns.append('ranked.' ~ mysql_to_redshift.quoted(column.name)) -%}
        {%- endif -%}
    {%- endfor %}

with

landed as (

    select * from {{ landed }}

    {% if built %}
        where {{ mysql_to_redshift.landed_since_last_build() }}
    {% endif %}

),

ranked as (

    select
        landed.*,

        row_number() over (
            partition by {{ mysql_to_redshift.key_columns(key) | join(', ') }}
            order by _load_id desc
        ) as recency_rank

    from landed

),

newest as (

    select
        {{ columns | join(',\n        ') or 'ranked.*' }},
        {% if not window %}
            ranked._load_id as _watermark
        {% elif taken_in %}
            case
                when ranked._load_id <= '{{ taken_in }}' then ranked._load_id
                else built._watermark
            end as _watermark
        {% elif built %}
            built._watermark
        {% else %}
            cast(null as varchar(32)) as _watermark
        {% endif %}

    from ranked
    {% if built %}
        left join {{ built }} as built on {{ mysql_to_redshift.same_key('ranked', 'built', key) }}
    {% endif %}

    where
        ranked.recency_rank = 1
        and ranked._deleted_at is null
        {% if built %}
            and (built._load_id is null or built._load_id <= ranked._load_id)
        {% endif %}
        {% if window %}
            -- Found deleted by a repair, whose rows may be of other days.
            and not exists (
                select 1
                from {{ landed }} as gone
                where
                    gone._deleted_at is not null
                    and gone._load_id > ranked._load_id
                    and {{ mysql_to_redshift.same_key('gone', 'ranked', key) }}
            )
        {% endif %}

)

select * from newest

{% endmacro %}


{#- The loader's own columns, which every staging view hands on; models/loader.md describes them. -#}
{% macro loader_columns() %}
    {{- return('_run_date,\n    _load_id,\n    _loaded_at,\n    _deleted_at') -}}
{% endmacro %}

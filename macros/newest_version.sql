{% macro newest_version(landed, key, built) %}

    {#-
        The newest version of each row among those just landed, unless the built table has a
        newer one.

        Loads of one table happen one after the other and each reads the source as it is, so the
        newest load has the newest version, whatever the cursor column says and in whatever order
        windows are landed and built. Within one load the source's primary key is unique.

        landed: the CTE that holds the landed rows.
        key: the column that identifies a row, or a list of those that do together.
        built: the table built so far; none if there is none, or it is to be built anew.

        A version that says its row was deleted hides the older ones and is not merged itself;
        drop_vanished_rows takes away what was built before.

        Adds `_watermark`: the newest load of those that a build took in together with all that
        were landed before. A build of one window does not move it, because older loads of other
        windows may still be waiting.
    -#}
    select
        ranked.*,
        {% if not build_window() %}
            ranked._load_id as _watermark
        {% elif built %}
            built._watermark
        {% else %}
            cast(null as varchar(32)) as _watermark
        {% endif %}

    from (

        select
            {{ landed }}.*,

            row_number() over (
                partition by {{ key_columns(key) | join(', ') }}
                order by _load_id desc
            ) as recency_rank

        from {{ landed }}

    ) as ranked

    {% if built %}
        left join {{ built }} as built on {{ same_key('ranked', 'built', key) }}
    {% endif %}

    where
        ranked.recency_rank = 1
        and ranked._deleted_at is null
        {% if built %}
            and (built._load_id is null or built._load_id <= ranked._load_id)
        {% endif %}

{% endmacro %}

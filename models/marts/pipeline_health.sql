{{ config(materialized='kept_view', group='data_engineering') }}

-- A view, so that ages are those of the moment it is read; and unchecked, so that it is there
-- when nothing else is.

with

loads as (

    select * from {{ source('raw_data', '_loads') }}

    where {{ is_declared('table_name') }}

),

-- A load covers no day that was not over when it began; one of the whole table, all before it;
-- a repair of single rows, none.
windows as (

    select
        table_name,
        load_id,
        coalesce(window_start, cast('0001-01-01' as date)) as first_day,
        least(
            coalesce(window_end, cast(started_at as date)),
            cast(started_at as date)
        ) as day_after

    from loads

    where outcome = 'landed' and mode <> 'repair'

),

covered as (

    select * from windows

    where first_day < day_after

),

followed as (

    select
        table_name,
        first_day,
        day_after,

        max(day_after) over (
            partition by table_name
            order by first_day, load_id
            rows between unbounded preceding and 1 preceding
        ) as day_after_earlier

    from covered

),

gaps as (

    select
        table_name,
        max(day_after) as landed_before,
        sum(
            case
                when first_day > day_after_earlier
                    then {{ dbt.datediff('day_after_earlier', 'first_day', 'day') }}
                else 0
            end
        ) as missing_days

    from followed

    group by 1

),

counted as (

    select
        table_name,
        count(*) as loads,
        sum(case when outcome = 'failed' then 1 else 0 end) as failed_loads,
        cast(sum(case when outcome = 'landed' then landed_rows end) as bigint) as landed_rows,
        cast(sum(changed_values) as bigint) as changed_values,
        max(case when outcome = 'landed' then ended_at end) as last_landed_at,
        max(case when outcome = 'failed' then ended_at end) as last_failed_at

    from loads

    group by 1

),

aged as (

    select
        counted.table_name,
        counted.loads,
        counted.failed_loads,
        cast(
            round(100.0 * counted.failed_loads / counted.loads, 1) as numeric(5, 1)
        ) as failed_share,
        counted.landed_rows,
        counted.changed_values,
        {{ dbt.datediff('counted.last_landed_at', utc_now(), 'minute') }} as age_minutes,  -- noqa: LT05
        {{ dbt.datediff('gaps.landed_before', utc_now(), 'day') }} as lag_days,  -- noqa: LT05
        cast(gaps.missing_days as bigint) as missing_days,
        gaps.landed_before,
        counted.last_landed_at,
        counted.last_failed_at

    from counted
    left join gaps on counted.table_name = gaps.table_name

)

select * from aged

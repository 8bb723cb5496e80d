{{ config(materialized='view', group='data_engineering') }}

-- A view, so that ages are those of the moment it is read; and unchecked, so that it is there
-- when nothing else is.

with

loads as (

    select * from {{ source('raw_data', '_loads') }}

),

counted as (

    select
        table_name,
        count(*) as loads,
        sum(case when outcome = 'failed' then 1 else 0 end) as failed_loads,
        sum(case when outcome = 'landed' then landed_rows end) as landed_rows,
        sum(changed_values) as changed_values,

        -- A load covers no day that was not over when it began.
        max(
            case
                when outcome = 'landed'
                    then
                        least(
                            coalesce(window_end, cast(started_at as date)),
                            cast(started_at as date)
                        )
            end
        ) as landed_before,

        max(case when outcome = 'landed' then ended_at end) as last_landed_at,
        max(case when outcome = 'failed' then ended_at end) as last_failed_at

    from loads

    group by 1

),

aged as (

    select
        table_name,
        loads,
        failed_loads,
        cast(round(100.0 * failed_loads / loads, 1) as numeric(5, 1)) as failed_share,
        landed_rows,
        changed_values,
        {{ dbt.datediff('last_landed_at', utc_now(), 'minute') }} as age_minutes,  -- noqa: LT05
        {{ dbt.datediff('landed_before', utc_now(), 'day') }} as lag_days,  -- noqa: LT05
        landed_before,
        last_landed_at,
        last_failed_at

    from counted

)

select * from aged

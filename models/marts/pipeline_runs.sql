{{ config(materialized='kept_view', group='data_engineering') }}

-- A view, and unchecked, so that a run that failed shows without a build that succeeds.

with

runs as (

    select * from {{ source('raw_data', '_runs') }}

),

ranked as (

    select
        *,

        row_number() over (
            partition by cast(started_at as date)
            order by started_at desc, run_id desc
        ) as recency_rank

    from runs

),

counted as (

    select
        cast(started_at as date) as run_on,
        max(case when recency_rank = 1 then outcome end) as last_outcome,
        max(case when recency_rank = 1 then failed_step end) as last_failed_step,
        count(*) as runs,
        sum(case when outcome <> 'succeeded' then 1 else 0 end) as failed_runs,
        cast(sum(dbt_failures) as bigint) as dbt_failures,
        cast(sum(dbt_warnings) as bigint) as dbt_warnings,
        cast(sum(verify_findings) as bigint) as verify_findings,
        cast(sum(stale_tables) as bigint) as stale_tables,
        max(ended_at) as last_ended_at

    from ranked

    group by 1

)

select * from counted

{{ config(dist='all', sort='answered_month') }}

with

answers as (

    select * from {{ ref('nps') }}

),

banded as (

    select
        cast(date_trunc('month', answered_at) as date) as answered_month,
        {{ nps_band('score') }} as band

    from answers

    where not is_deleted

),

counted as (

    select
        answered_month,
        {{ nps_counts('band') }}

    from banded

    group by 1

),

scored as (

    select
        answered_month,
        responses,
        promoters,
        passives,
        detractors,
        excluded_answers,
        {{ nps_ratios() }}

    from counted

)

select * from scored

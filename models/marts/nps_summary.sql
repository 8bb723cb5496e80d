{{ config(dist='all', sort='answered_on') }}

with

answers as (

    select * from {{ ref('nps') }}

),

banded as (

    select
        cast(date_trunc('day', answered_at) as date) as answered_on,
        {{ nps_band('score') }} as band

    from answers

    where not is_deleted

),

counted as (

    select
        answered_on,
        {{ nps_counts('band') }}

    from banded

    group by 1

),

scored as (

    select
        answered_on,
        responses,
        promoters,
        passives,
        detractors,
        excluded_answers,
        {{ nps_ratios() }}

    from counted

)

select * from scored

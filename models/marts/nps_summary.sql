{{ config(dist='all', sort='answered_on') }}

with

answers as (

    select * from {{ ref('nps') }}

),

-- A score at a time, because bands are then told of a few rows and not of each answer.
tallied as (

    select
        cast(date_trunc('day', answered_at) as date) as answered_on,
        score,
        cast(count(*) as integer) as answers  -- of which a sum is a bigint

    from answers

    where not is_deleted

    group by 1, 2

),

banded as (

    select
        answered_on,
        answers,
        {{ nps_band('score') }} as band

    from tallied

),

counted as (

    select
        answered_on,
        {{ nps_counts('band', 'answers') }}

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

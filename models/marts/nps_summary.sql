{{ config(dist='all', sort='answered_on') }}

with

answers as (

    select * from {{ ref('nps') }}

),

-- By score first: bands are then told of eleven rows or so, and not of each answer. The count is
-- an integer, because PostgreSQL's sum of a bigint is numeric.
tallied as (

    select
        cast(date_trunc('day', answered_at) as date) as answered_on,
        score,
        cast(count(*) as integer) as answer_count

    from answers

    where not is_deleted

    group by 1, 2

),

banded as (

    select
        answered_on,
        answer_count,
        {{ nps_band('score') }} as band

    from tallied

),

counted as (

    select
        answered_on,
        {{ nps_counts('band', 'answer_count') }}

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

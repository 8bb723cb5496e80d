{{ config(dist='all', sort='answered_month') }}

with

answers as (

    select * from {{ ref('nps') }}

),

counted as (

    {{ nps_counts('answers', 'month', 'answered_month') }}

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

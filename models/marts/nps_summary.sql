{{ config(dist='all', sort='answered_on') }}

with

answers as (

    select * from {{ ref('nps') }}

),

counted as (

    {{ nps_counts('answers', 'day', 'answered_on') }}

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

{{ config(dist='all', sort='answered_month') }}

with

answers as (

    select * from {{ rows_to_count(ref('nps'), ['answered_at', 'score', 'is_deleted']) }}

),

counted as (

    {{ nps_counts('answers', 'month', 'answered_month') }}

),

totalled as (

    {{ add_published('counted', 'answered_month', nps_bands()) }}

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

    from totalled

)

select * from scored

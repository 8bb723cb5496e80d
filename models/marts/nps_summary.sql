{{ config(dist='all', sort='answered_on') }}

with

answers as (

    select * from {{ rows_to_count(ref('nps'), ['answered_at', 'score', 'is_deleted']) }}

),

counted as (

    {{ nps_counts('answers', 'day', 'answered_on') }}

),

totalled as (

    {{ add_published('counted', 'answered_on', nps_bands()) }}

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

    from totalled

)

select * from scored

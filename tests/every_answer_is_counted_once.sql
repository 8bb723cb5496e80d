with

answers as (

    select count(*) as answers

    from {{ ref('nps') }}

    where not is_deleted

),

summary as (

    select coalesce(sum(responses + excluded_answers), 0) as answers

    from {{ ref('nps_summary') }}

)

select
    answers.answers,
    summary.answers as counted_answers

from answers
cross join summary

where
    {{ unless_held() }}
    and answers.answers <> summary.answers

with

daily as (

    select
        cast(date_trunc('month', answered_on) as date) as answered_month,
        sum(responses) as responses,
        sum(promoters) as promoters,
        sum(detractors) as detractors,
        sum(excluded_answers) as excluded_answers

    from {{ ref('nps_summary') }}

    group by 1

),

monthly as (

    select * from {{ ref('nps_summary_monthly') }}

)

select
    daily.answered_month,
    monthly.answered_month as other_answered_month

from daily
full outer join monthly on daily.answered_month = monthly.answered_month

where
    {{ unless_held() }}
    and (
        daily.answered_month is null
        or monthly.answered_month is null
        or daily.responses <> monthly.responses
        or daily.promoters <> monthly.promoters
        or daily.detractors <> monthly.detractors
        or daily.excluded_answers <> monthly.excluded_answers
    )

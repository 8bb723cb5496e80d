{#- NPS, written once. Source: Reichheld, "The One Number You Need to Grow", 2003. -#}

{% macro nps_counts(answers, period, starts_on) %}

    {#-
        How many answers each period has in each band. Passives stay in the denominator; an answer
        without a valid score is counted apart.

        Counted by score first: the band is then told of a dozen rows a period, and not of each
        answer. As an integer, because PostgreSQL's sum of a bigint is numeric.

        answers: the CTE that holds the answers, as rows_to_count gives them.
        period: `day` or `month`.
        starts_on: what the column is called that has the period's first day.
    -#}
    select
        {{ starts_on }},
        sum(case when band <> 'excluded' then answer_count else 0 end) as responses,
        sum(case when band = 'promoter' then answer_count else 0 end) as promoters,
        sum(case when band = 'passive' then answer_count else 0 end) as passives,
        sum(case when band = 'detractor' then answer_count else 0 end) as detractors,
        sum(case when band = 'excluded' then answer_count else 0 end) as excluded_answers

    from (

        select
            {{ starts_on }},
            answer_count,
            case
                when score between 9 and 10 then 'promoter'
                when score between 7 and 8 then 'passive'
                when score between 0 and 6 then 'detractor'
                else 'excluded'
            end as band

        from (

            select
                cast(date_trunc('{{ period }}', answered_at) as date) as {{ starts_on }},
                score,
                cast(sum(copies) as integer) as answer_count

            from {{ answers }}

            where not is_deleted

            group by 1, 2

        ) as tallied

    ) as banded

    group by 1

{% endmacro %}


{#- What is counted of each period. -#}
{% macro nps_bands() %}
    {{- return(['responses', 'promoters', 'passives', 'detractors', 'excluded_answers']) -}}
{% endmacro %}


{% macro nps_ratios() %}

    {#-
        The margin is half of the 95 % interval of a difference between two shares of one sample,
        adjusted so that it is not 0 where all answers agree: one answer is added to each of the
        two shares. Source: Bonett and Price, "Adjusted Wald Confidence Interval for a Difference
        of Binomial Proportions Based on Paired Data", 2012.
    -#}
    {%- set promoters = '(promoters + 1.0) / (responses + 2.0)' -%}
    {%- set detractors = '(detractors + 1.0) / (responses + 2.0)' -%}
    {%- set difference = '(promoters - detractors) / (responses + 2.0)' -%}

    cast(round(100.0 * (promoters - detractors) / nullif(responses, 0), 2) as numeric(6, 2)) as nps,
    cast(
        case
            when responses > 0
                then
                    196.0
                    * sqrt(
                        cast(
                            {{ promoters }} + {{ detractors }} - {{ difference }} * {{ difference }}
                            as double precision
                        )
                        / (responses + 2.0)
                    )
        end as numeric(6, 2)
    ) as nps_margin,
    responses < {{ var('nps_low_sample') }} as is_low_sample

{% endmacro %}

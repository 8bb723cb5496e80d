-- MetricFlow asks for a table of all days, to fill the gaps of a period with. [dbt: MetricFlow time
-- spine]

with

spine as (

    {{ dbt.date_spine('day', "cast('2000-01-01' as date)", "cast('2050-01-01' as date)") }}

),

days as (

    select cast(date_day as date) as date_day

    from spine

)

select * from days

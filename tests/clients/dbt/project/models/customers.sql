{{ config(materialized='table') }}
with orders as (
    select customer_id, count(*) as n, sum(amount) as total, max(placed_at) as last_order
    from {{ ref('stg_orders') }}
    group by 1
)
select c.id as customer_id, c.name, c.vip, coalesce(o.n, 0) as n, o.total, o.last_order
from {{ ref('raw_customers') }} c
left join orders o on o.customer_id = c.id

{{ config(materialized='feature', entity='buyer', key='customer_id bigint') }}
select customer_id, sum(amount) as total, count(*) as n from {{ ref('order_events') }}
group by customer_id window 1 day, 30 days

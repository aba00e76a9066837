{{ config(materialized='view') }}
select id as order_id, customer_id, amount, placed_at, date_trunc('day', placed_at) as day
from {{ ref('raw_orders') }}

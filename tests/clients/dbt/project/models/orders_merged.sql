{{ config(materialized='incremental', unique_key='order_id', incremental_strategy='delete+insert') }}
select order_id, customer_id, amount, placed_at from {{ ref('stg_orders') }}
{% if is_incremental() %}
where placed_at >= (select max(placed_at) from {{ this }})
{% else %}
where placed_at < '{{ var("cutoff") }}'
{% endif %}

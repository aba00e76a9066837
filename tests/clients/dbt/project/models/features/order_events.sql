{{ config(materialized='event_table', event_time='placed_at',
          columns='order_id bigint primary key, customer_id bigint, amount numeric(10,2), placed_at timestamptz not null') }}
select order_id, customer_id, amount, placed_at from {{ ref('stg_orders') }}

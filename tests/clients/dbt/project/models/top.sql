{{ config(materialized='ephemeral') }}
select customer_id, total from {{ ref('customers') }} where total > 20

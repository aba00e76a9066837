{{ config(materialized='table', indexes=[{'columns': ['customer_id'], 'unique': true}]) }}
select c.customer_id, c.name, t.total from {{ ref('top') }} t join {{ ref('customers') }} c using (customer_id)

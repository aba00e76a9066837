CREATE TABLE purchases (purchase_id bigint PRIMARY KEY, customer_id bigint, merchant_id bigint, category text,
  amount numeric(12,2), declined boolean, ts timestamptz NOT NULL) WITH (event_time = 'ts');
INSERT INTO purchases VALUES
  (1, 42, 7, 'books', 12.50, false, '2024-06-01 09:30:00Z'),
  (2, 42, 8, 'food', 31.00, false, '2024-06-03 18:05:00Z'),
  (3, 42, 7, 'books', 8.25, true, '2024-06-05 10:00:00Z'),
  (4, 42, 9, 'travel', 420.00, false, '2024-06-07 21:45:00Z'),
  (5, 43, 8, 'food', 17.80, false, '2024-06-02 12:15:00Z'),
  (6, 43, 8, 'food', 22.40, false, '2024-06-06 12:20:00Z'),
  (7, 44, 9, 'travel', 99.99, true, '2024-05-20 06:00:00Z');
CREATE TABLE customers (customer_id bigint, plan text, since timestamptz NOT NULL) WITH (event_time = 'since');
INSERT INTO customers VALUES
  (42, 'free', '2024-01-01 00:00:00Z'), (42, 'gold', '2024-06-04 00:00:00Z'), (43, 'free', '2024-03-01 00:00:00Z');
CREATE TABLE labels (label_id bigint, customer_id bigint, merchant_id bigint, amount numeric(12,2), is_fraud boolean, ts timestamptz);
INSERT INTO labels VALUES
  (1, 42, 7, 8.25, false, '2024-06-05 10:00:00Z'), (2, 42, 9, 420.00, true, '2024-06-07 21:45:00Z'),
  (3, 43, 8, 22.40, false, '2024-06-06 12:20:00Z'), (4, 45, 7, 5.00, false, '2024-06-06 12:20:00Z');
CREATE ENTITY customer (customer_id bigint);
CREATE ENTITY merchant (merchant_id bigint);
CREATE FEATURE spend ON customer AS
  SELECT customer_id, sum(amount) AS total, count(*) AS n
  FROM purchases GROUP BY customer_id WINDOW 1 DAY, 7 DAYS;
SET tilehouse.read_time = '2024-06-08 12:00Z';

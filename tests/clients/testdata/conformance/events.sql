-- Statements on an event table, which in PostgreSQL is a table.
CREATE TABLE purchases (purchase_id bigint PRIMARY KEY, customer_id bigint NOT NULL, amount numeric(12,2), status text DEFAULT 'ok', score double precision, quantity integer, ts timestamptz NOT NULL) WITH (event_time = 'ts');
INSERT INTO purchases VALUES (1, 10, 12.50, 'ok', 0.5, 1, '2024-05-01 10:00:00+00');
INSERT INTO purchases (purchase_id, customer_id, ts) VALUES (2, 10, '2024-05-01 11:00:00+00'), (3, 11, '2024-05-01 12:00:00.123456+00');
INSERT INTO purchases (purchase_id, customer_id, amount, status, ts) VALUES (4, 11, NULL, NULL, '2024-05-02'), (5, 12, 3, DEFAULT, '2024-05-02 01:00');
INSERT INTO purchases SELECT purchase_id + 100, customer_id, amount * 2, status || '!', score, quantity, ts + INTERVAL '1 day' FROM purchases;
INSERT INTO purchases VALUES (6, 12, 1.005, 'round', 1e300, -2147483648, '2024-05-03 00:00:00+02');
SELECT * FROM purchases ORDER BY purchase_id;
SELECT purchase_id, amount FROM purchases WHERE amount > 5 ORDER BY amount DESC, purchase_id;
-- silent: sum of integer columns is numeric in SQL that DuckDB runs; features have bigint
SELECT customer_id, count(*), count(amount), sum(quantity), min(amount), max(ts) FROM purchases GROUP BY customer_id ORDER BY customer_id;
SELECT count(*), count(DISTINCT customer_id), count(status) FILTER (WHERE status = 'ok') FROM purchases;
SELECT status, count(*) FROM purchases GROUP BY status ORDER BY status NULLS FIRST;
SELECT purchase_id FROM purchases ORDER BY amount, purchase_id LIMIT 3;
SELECT purchase_id FROM purchases ORDER BY amount DESC, purchase_id LIMIT 3 OFFSET 1;
SELECT count(*) FROM purchases WHERE amount IS NULL;
SELECT coalesce(status, 'none'), nullif(customer_id, 10) FROM purchases ORDER BY purchase_id LIMIT 3;
SELECT a.purchase_id, b.purchase_id FROM purchases a JOIN purchases b ON a.customer_id = b.customer_id AND a.purchase_id < b.purchase_id ORDER BY 1, 2;
SELECT purchase_id, row_number() OVER (PARTITION BY customer_id ORDER BY ts, purchase_id) FROM purchases ORDER BY purchase_id;
SELECT date_trunc('day', ts) AS day, count(*) FROM purchases GROUP BY 1 ORDER BY 1;
SELECT extract(epoch FROM ts)::bigint FROM purchases WHERE purchase_id = 3;
-- silent: a numeric without a precision is described with one
SELECT sum(amount) FROM purchases WHERE customer_id = 999;
SELECT bool_and(amount > 1), bool_or(quantity > 0) FROM purchases;
SELECT string_agg(status, ',' ORDER BY purchase_id) FROM purchases WHERE customer_id = 10;
SELECT CASE WHEN amount > 10 THEN 'big' WHEN amount IS NULL THEN 'none' ELSE 'small' END AS size, count(*) FROM purchases GROUP BY 1 ORDER BY 1;
UPDATE purchases SET amount = amount + 1 WHERE customer_id = 10;
UPDATE purchases SET status = NULL WHERE purchase_id = 1;
UPDATE purchases SET quantity = 7, score = quantity WHERE purchase_id = 1;
UPDATE purchases SET amount = 0 WHERE false;
UPDATE purchases p SET status = 'joined' FROM (SELECT 2 AS id) x WHERE p.purchase_id = x.id;
DELETE FROM purchases WHERE purchase_id = 103;
DELETE FROM purchases WHERE purchase_id = 9999;
SELECT * FROM purchases ORDER BY purchase_id;
INSERT INTO purchases (purchase_id, customer_id, ts) VALUES (1, 1, '2024-01-01');
INSERT INTO purchases (purchase_id, customer_id, ts) VALUES (20, 1, '2024-01-01'), (20, 1, '2024-01-01');
INSERT INTO purchases (purchase_id, customer_id) VALUES (21, 1);
INSERT INTO purchases (purchase_id, ts) VALUES (21, '2024-01-01');
INSERT INTO purchases (purchase_id, customer_id, ts) VALUES ('x', 1, '2024-01-01');
INSERT INTO purchases (purchase_id, customer_id, ts) VALUES (21, 1, 'yesterday or so');
INSERT INTO purchases (purchase_id, customer_id, ts, quantity) VALUES (21, 1, '2024-01-01', 2147483648);
INSERT INTO purchases (purchase_id, customer_id, ts, amount) VALUES (21, 1, '2024-01-01', 10000000000);
INSERT INTO purchases (purchase_id, customer_id, ts, nothing) VALUES (21, 1, '2024-01-01', 1);
INSERT INTO purchases (purchase_id, customer_id, customer_id, ts) VALUES (21, 1, 1, '2024-01-01');
INSERT INTO purchases (purchase_id, customer_id, ts) VALUES (21, 1);
INSERT INTO purchases (purchase_id, customer_id, ts) VALUES (21, 1, '2024-01-01', 5);
UPDATE purchases SET customer_id = NULL WHERE purchase_id = 1;
UPDATE purchases SET nothing = 1;
UPDATE purchases SET quantity = 'many';
UPDATE purchases SET purchase_id = 2 WHERE purchase_id = 1;
DELETE FROM nothing;
SELECT nothing FROM purchases;
SELECT * FROM nothing;
SELECT count(*) FROM purchases;
BEGIN;
INSERT INTO purchases (purchase_id, customer_id, ts) VALUES (30, 1, '2024-01-01');
UPDATE purchases SET amount = 9 WHERE purchase_id = 30;
SELECT purchase_id, amount FROM purchases WHERE customer_id = 1;
DELETE FROM purchases WHERE purchase_id = 1;
SELECT count(*) FROM purchases;
ROLLBACK;
SELECT count(*) FROM purchases;
BEGIN;
DELETE FROM purchases WHERE purchase_id = 1;
INSERT INTO purchases (purchase_id, customer_id, ts) VALUES (1, 77, '2024-01-01');
COMMIT;
SELECT customer_id FROM purchases WHERE purchase_id = 1;
BEGIN;
INSERT INTO purchases (purchase_id, customer_id, ts) VALUES (31, 1, '2024-01-01');
SELECT 1/0;
SELECT 1;
COMMIT;
SELECT count(*) FROM purchases WHERE purchase_id = 31;
COMMIT;
ROLLBACK;
START TRANSACTION;
END;
INSERT INTO purchases (purchase_id, customer_id, ts) VALUES (40, 1, '2024-01-01'); INSERT INTO purchases (purchase_id, customer_id, ts) VALUES (1, 1, '2024-01-01');
SELECT count(*) FROM purchases WHERE purchase_id = 40;
INSERT INTO purchases (purchase_id, customer_id, ts) VALUES (41, 1, '2024-01-01'); SELECT count(*) FROM purchases WHERE customer_id = 1;
BEGIN;
INSERT INTO purchases (purchase_id, customer_id, ts) VALUES (50, 1, '2024-01-01');
-- silent: keys of a block are checked at COMMIT, as those of a deferred constraint are
INSERT INTO purchases (purchase_id, customer_id, ts) VALUES (50, 1, '2024-01-01');
-- differs: keys of a block are checked at COMMIT, as those of a deferred constraint are
COMMIT;
SELECT count(*) FROM purchases WHERE purchase_id = 50;
-- differs: RETURNING is refused on event tables
INSERT INTO purchases (purchase_id, customer_id, ts) VALUES (60, 1, '2024-01-01') RETURNING purchase_id, status;
-- differs: RETURNING is refused on event tables
UPDATE purchases SET amount = 5 WHERE purchase_id = 60 RETURNING *;
-- differs: RETURNING is refused on event tables
DELETE FROM purchases WHERE purchase_id = 60 RETURNING purchase_id;
-- differs: ON CONFLICT is refused on event tables
INSERT INTO purchases (purchase_id, customer_id, ts) VALUES (1, 1, '2024-01-01') ON CONFLICT DO NOTHING;
COPY purchases (purchase_id, customer_id, amount, status, ts) TO STDOUT;
COPY (SELECT purchase_id, amount, status FROM purchases ORDER BY purchase_id LIMIT 4) TO STDOUT (FORMAT csv, HEADER);
-- differs: a SELECT without columns is refused
SELECT FROM purchases WHERE purchase_id = 1;
DELETE FROM purchases;
-- silent: a numeric without a precision is described with one
SELECT count(*), sum(amount) FROM purchases;
DROP TABLE purchases;
SELECT * FROM purchases;

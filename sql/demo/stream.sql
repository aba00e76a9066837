-- A TOPIC
-- Payments in JSON, in a topic of eight partitions. A source is a relation: its rows are stored as they arrive, each with its place in
-- the topic, and a payment that is sent twice counts once.
CREATE CONNECTION bus WITH (type = 'kafka', brokers = '${BROKERS}');
CREATE SOURCE payments (payment_id bigint, card_id bigint, merchant text, amount numeric(12,2), paid timestamptz,
    PRIMARY KEY (payment_id), WATERMARK FOR paid AS paid - INTERVAL '10 seconds')
  WITH (connector = 'kafka', connection = 'bus', topic = '${TOPIC}') FORMAT PLAIN ENCODE JSON;

-- FEATURES
-- Two entities, and features whose windows end at the instant of a lookup, whenever that is.
CREATE ENTITY card (card_id bigint);
CREATE ENTITY merchant (merchant text);
CREATE FEATURE spend ON card AS
  SELECT card_id, count(*) AS n, sum(amount) AS total, last(merchant) AS merchant, approx_count_distinct(merchant) AS merchants
  FROM payments GROUP BY card_id WINDOW 10 MINUTES, 1 DAY, 30 DAYS;
CREATE FEATURE sales ON merchant AS
  SELECT merchant, count(*) AS n, avg(amount) AS ticket FROM payments GROUP BY merchant WINDOW 10 MINUTES, 1 DAY;

-- FRESH VALUES

-- WHY
-- A further feature of the same rows is there at once: it is served by the partial states of the others. And what it says is explained by
-- the mechanism that computes it.
CREATE FEATURE spend_7d ON card AS SELECT card_id, sum(amount) FROM payments GROUP BY card_id WINDOW 7 DAYS;
EXPLAIN FEATURE spend_7d FOR (${CARD});

-- What cannot be read stops nothing. The last message of the demo is cut short: its bytes, its place and the reason are kept,
-- and REPLAY DEAD LETTERS reads it again after a fix.
SELECT source, partition, code, reason FROM tilehouse.dead_letters ORDER BY number DESC LIMIT 1;
SELECT name, state, lag, dead_letters FROM tilehouse.sources;

-- TRAINING
-- The features of each payment of your card as they were when it was made: online and offline are one computation.
SELECT l.payment_id, l.paid, l.amount, c.spend_n_10m, c.spend_total_10m, c.spend_merchant_30d
FROM payments l ASOF JOIN card c ON c.card_id = l.card_id AND l.paid > c.ts
WHERE l.card_id = ${CARD} ORDER BY l.paid;

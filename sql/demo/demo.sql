-- ROWS
-- Every departure from New York's three airports in 2013, in a Parquet file. The columns are read from the file.
CREATE SOURCE flights WITH (connector = 'file', path = 'flights.parquet', event_time = 'scheduled', primary_key = 'flight_id');

-- A delay is known when the plane has left, not when it should have. An event view says so: its event time is the actual
-- departure, and cancelled flights are no departures.
CREATE VIEW departures WITH (event_time = 'departed') AS
  SELECT flight_id, carrier, origin, dest, tailnum, dep_delay, distance,
         scheduled + dep_delay * INTERVAL '1 minute' AS departed
  FROM flights WHERE dep_delay IS NOT NULL;

-- FEATURES
-- An entity is a key that features belong to.
CREATE ENTITY carrier (carrier text);
CREATE ENTITY origin (origin text);
CREATE ENTITY aircraft (tailnum text);

-- Four aggregates over four windows are sixteen columns, airline_n_2h to airline_late_30d. Creating a feature computes its
-- partial states for all days; a window is put together from them when it is read, to the microsecond.
CREATE FEATURE airline ON carrier AS
  SELECT carrier, count(*) AS n, avg(dep_delay) AS delay, max(dep_delay) AS worst,
         count(*) FILTER (WHERE dep_delay >= 15) AS late
  FROM departures GROUP BY carrier WINDOW 2 HOURS, 1 DAY, 7 DAYS, 30 DAYS;

CREATE FEATURE airport ON origin AS
  SELECT origin, count(*) AS n, avg(dep_delay) AS delay, approx_count_distinct(tailnum) AS planes
  FROM departures GROUP BY origin WINDOW 2 HOURS, 1 DAY, 7 DAYS, 30 DAYS;

CREATE FEATURE plane ON aircraft AS
  SELECT tailnum, count(*) AS n, last(dep_delay) AS last_delay, last_k(dest, 3) AS dests, sum(distance) AS miles
  FROM departures GROUP BY tailnum WINDOW 1 DAY, 7 DAYS, 30 DAYS;

-- A further feature of the same rows is served by the partial states that are there: nothing is computed.
CREATE FEATURE airline_delay_14d ON carrier AS
  SELECT carrier, avg(dep_delay) FROM departures GROUP BY carrier WINDOW 14 DAYS;
SELECT partial, keys, features FROM tilehouse.partials WHERE keys LIKE '%carrier%' ORDER BY partial;

-- TRAINING
-- One row a flight, with the features as they were at its scheduled time: departures strictly before it, and nothing later.
SELECT l.flight_id, l.scheduled, l.carrier, l.dep_delay,
       c.airline_n_2h, round(c.airline_delay_7d, 1) AS airline_delay_7d, c.airline_late_30d,
       round(o.airport_delay_1d, 1) AS airport_delay_1d, a.plane_last_delay_7d, a.plane_dests_30d
FROM flights l
  ASOF JOIN carrier c ON c.carrier = l.carrier AND l.scheduled > c.ts
  ASOF JOIN origin o ON o.origin = l.origin AND l.scheduled > o.ts
  ASOF JOIN aircraft a ON a.tailnum = l.tailnum AND l.scheduled > a.ts
ORDER BY l.scheduled DESC, l.flight_id;

-- Planes also leave early, by up to 43 minutes: flight 336773 above left 3 minutes early, and finds its own delay as its plane's
-- last one. What a model may know is for its author to say; any expression over the left row is an instant. Here: an hour before.
SELECT l.flight_id, l.dep_delay >= 15 AS late, c.airline_n_2h,
       round(100.0 * c.airline_late_7d / NULLIF(c.airline_n_7d, 0), 1) AS airline_late_percent_7d
FROM flights l ASOF JOIN carrier c ON c.carrier = l.carrier AND l.scheduled - INTERVAL '1 hour' > c.ts
ORDER BY l.scheduled DESC, l.flight_id;

-- What serves the training set, and what was read for it.
EXPLAIN ANALYZE SELECT l.flight_id, c.airline_n_2h, c.airline_delay_7d, o.airport_delay_1d, a.plane_last_delay_7d
FROM flights l
  ASOF JOIN carrier c ON c.carrier = l.carrier AND l.scheduled > c.ts
  ASOF JOIN origin o ON o.origin = l.origin AND l.scheduled > o.ts
  ASOF JOIN aircraft a ON a.tailnum = l.tailnum AND l.scheduled > a.ts;

-- One value being put together, piece by piece.
EXPLAIN FEATURE airline_delay_14d FOR ('UA') AT '2013-07-01 12:00Z';

-- ONLINE
-- The same features by key, as a model in production reads them. It is noon on the first of July, 2013.
SET tilehouse.read_time = '2013-07-01 12:00Z';
SELECT carrier, airline_n_2h, airline_delay_2h, airline_worst_1d, airline_late_30d FROM carrier WHERE carrier IN ('UA', 'DL', 'B6');

-- Rows can also be written here. An event table keeps them; its features are fresh with every commit.
CREATE TABLE live_departures (flight_id bigint PRIMARY KEY, carrier text, origin text, dep_delay integer, departed timestamptz NOT NULL)
  WITH (event_time = 'departed');
CREATE FEATURE live ON origin AS
  SELECT origin, count(*) AS n, avg(dep_delay) AS delay, last(dep_delay) AS last_delay
  FROM live_departures GROUP BY origin WINDOW 2 HOURS, 7 DAYS;
INSERT INTO live_departures
  SELECT flight_id, carrier, origin, dep_delay, departed FROM departures
  WHERE departed >= '2013-06-24 00:00:00Z' AND departed < '2013-07-01 12:00:00Z';
SELECT live_n_2h, live_delay_2h, live_last_delay_2h, live_n_7d FROM origin WHERE origin = 'EWR';

-- A plane leaves Newark 95 minutes late, two minutes before noon; the next read counts it.
INSERT INTO live_departures VALUES (900001, 'UA', 'EWR', 95, '2013-07-01 11:58Z');
SELECT live_n_2h, live_delay_2h, live_last_delay_2h, live_n_7d FROM origin WHERE origin = 'EWR';

-- It was a mistake. Features are exact about that, too.
DELETE FROM live_departures WHERE flight_id = 900001;
SELECT live_n_2h, live_delay_2h, live_last_delay_2h, live_n_7d FROM origin WHERE origin = 'EWR';

-- EXPLORING
-- A window that no feature declares is served by the same partial states.
SELECT l.flight_id, l.scheduled, l.carrier, x.n, x.worst
FROM flights l ASOF JOIN
  (SELECT carrier, count(*) AS n, max(dep_delay) AS worst FROM departures GROUP BY carrier WINDOW 51 HOURS) x
  ON x.carrier = l.carrier AND l.scheduled > x.ts
ORDER BY l.scheduled DESC, l.flight_id;

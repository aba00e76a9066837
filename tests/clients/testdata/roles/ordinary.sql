-- Sequences, constraints, and statements that write, of ordinary tables.
CREATE ROLE alice LOGIN PASSWORD 'secret';
CREATE ROLE bob LOGIN PASSWORD 'secret';
GRANT CREATE ON SCHEMA public TO bob;
CREATE SEQUENCE q;
CREATE TABLE serial (id serial, a integer);
CREATE TABLE ident (id integer GENERATED ALWAYS AS IDENTITY, a integer);
CREATE TABLE t (a integer PRIMARY KEY, b integer);
CREATE TABLE child (a integer REFERENCES t);
INSERT INTO t VALUES (1, 1), (2, 2);
GRANT INSERT ON serial, ident TO bob;
-- as bob
SELECT nextval('q');
SELECT currval('q');
SELECT setval('q', 5);
SELECT last_value FROM q;
INSERT INTO serial (a) VALUES (1);
INSERT INTO serial VALUES (7, 1);
INSERT INTO ident (a) VALUES (1);
INSERT INTO ident (a) VALUES (1) RETURNING id;
DROP SEQUENCE q;
ALTER SEQUENCE q RESTART;
SELECT has_sequence_privilege('q', 'USAGE');
-- as tilehouse
GRANT USAGE ON SEQUENCE q TO bob;
GRANT USAGE ON SEQUENCE t TO bob;
GRANT INSERT ON SEQUENCE q TO bob;
-- as bob
SELECT nextval('q');
SELECT currval('q');
SELECT lastval();
SELECT setval('q', 5);
SELECT last_value FROM q;
SELECT has_sequence_privilege('q', 'USAGE'), has_sequence_privilege('q', 'UPDATE');
-- as tilehouse
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO bob;
-- as bob
SELECT setval('q', 5);
SELECT last_value FROM q;
INSERT INTO serial (a) VALUES (1);
-- as tilehouse
REVOKE ALL ON SEQUENCE q FROM bob;
-- as bob
SELECT nextval('q');
SELECT currval('q');
CREATE TABLE mine (id serial, a integer);
INSERT INTO mine (a) VALUES (1) RETURNING id;
ALTER SEQUENCE mine_id_seq OWNED BY t.a;
CREATE SEQUENCE r OWNED BY t.a;
CREATE TABLE refers (a integer REFERENCES t);
ALTER TABLE mine ADD FOREIGN KEY (a) REFERENCES t;
CREATE TABLE copy (LIKE t);
-- as tilehouse
GRANT REFERENCES ON t TO bob;
ALTER TABLE mine OWNER TO alice;
-- as bob
CREATE TABLE refers (a integer REFERENCES t);
CREATE TABLE copy (LIKE t);
SELECT nextval('mine_id_seq');
SELECT count(*) FROM t;
INSERT INTO t VALUES (3, 3);
INSERT INTO refers VALUES (1);
INSERT INTO refers VALUES (9);
DELETE FROM refers;
-- as tilehouse
GRANT INSERT ON t TO bob;
-- as bob
INSERT INTO t VALUES (3, 3);
INSERT INTO t VALUES (3, 3) ON CONFLICT DO NOTHING;
INSERT INTO t VALUES (3, 3) ON CONFLICT (a) DO NOTHING;
INSERT INTO t VALUES (3, 3) ON CONFLICT (a) DO UPDATE SET b = 4;
INSERT INTO t VALUES (4, 3) RETURNING a;
INSERT INTO t SELECT a + 100, a FROM child;
INSERT INTO t SELECT a + 100, b FROM t;
INSERT INTO t DEFAULT VALUES;
COPY child FROM STDIN;
COPY t TO STDOUT;
-- as tilehouse
GRANT UPDATE, DELETE ON t TO bob;
-- as bob
UPDATE t SET b = 5;
UPDATE t SET b = b + 5;
UPDATE t SET b = 5 WHERE a = 1;
UPDATE t SET b = 5 FROM child WHERE true;
UPDATE t SET b = 5 RETURNING 1;
DELETE FROM t WHERE a = 1;
DELETE FROM t USING child WHERE true;
DELETE FROM t WHERE false;
WITH w AS (DELETE FROM t RETURNING a) SELECT * FROM w;
WITH w AS (INSERT INTO child VALUES (1)) SELECT 1;
WITH w AS (SELECT 1) UPDATE child SET a = 1;
INSERT INTO t VALUES (3, 3) ON CONFLICT (a) DO UPDATE SET b = 4;
TRUNCATE t;
-- as tilehouse
GRANT SELECT ON t TO bob;
-- as bob
UPDATE t SET b = b + 5 WHERE a = 1;
INSERT INTO t VALUES (3, 3) ON CONFLICT (a) DO UPDATE SET b = 4;
UPDATE t SET b = 5 FROM child WHERE child.a = t.a;
UPDATE t SET b = (SELECT max(a) FROM child);
DELETE FROM t USING child WHERE child.a = t.a;
WITH w AS (DELETE FROM t WHERE a = 3 RETURNING a) SELECT * FROM w;
SELECT * FROM t ORDER BY a FOR UPDATE;
SELECT * FROM t, child;
SELECT a FROM t ORDER BY a INTO TEMP kept;
SELECT a INTO kept2 FROM child;
CREATE TABLE kept3 AS SELECT * FROM child;
CREATE MATERIALIZED VIEW m AS SELECT * FROM child;
CREATE MATERIALIZED VIEW m AS SELECT a FROM t;
SELECT count(*) FROM m;
GRANT SELECT ON m TO alice;
-- as alice
SELECT count(*) FROM m;
REFRESH MATERIALIZED VIEW m;
DROP MATERIALIZED VIEW m;
-- as tilehouse
REVOKE SELECT ON t FROM bob;
-- as bob
SELECT count(*) FROM m;
REFRESH MATERIALIZED VIEW m;
TRUNCATE t;
-- as tilehouse
GRANT TRUNCATE ON t TO bob;
-- as bob
TRUNCATE t;
-- differs: rights are asked before the statement begins
TRUNCATE t CASCADE;
TRUNCATE t, child, refers;
-- as tilehouse
GRANT TRUNCATE ON serial TO bob;
-- as bob
TRUNCATE serial;
TRUNCATE serial RESTART IDENTITY;
LOCK TABLE child;
BEGIN;
LOCK TABLE child;
ROLLBACK;
BEGIN;
LOCK TABLE t IN ACCESS SHARE MODE;
ROLLBACK;
BEGIN;
LOCK TABLE t IN ROW EXCLUSIVE MODE;
-- differs: it holds no lock, and says so
LOCK TABLE t;
COMMIT;
CHECKPOINT;
VACUUM child;
ANALYZE child;
ANALYZE t;
REINDEX TABLE child;
CLUSTER child;
PREPARE p AS SELECT * FROM child;
EXECUTE p;
PREPARE ours AS SELECT count(*) FROM refers;
EXECUTE ours;
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM child;
ROLLBACK;
-- as tilehouse
PREPARE p AS SELECT count(*) FROM child;
EXECUTE p;
SET ROLE bob;
EXECUTE p;
RESET ROLE;
EXECUTE p;
BEGIN;
SET ROLE bob;
CREATE TABLE made (a integer);
RESET ROLE;
SAVEPOINT x;
CREATE TABLE made (a integer);
ROLLBACK TO x;
CREATE TABLE other (a integer);
COMMIT;
-- as bob
INSERT INTO made VALUES (1);
INSERT INTO other VALUES (1);
BEGIN;
CREATE TABLE gone (a integer);
GRANT SELECT ON gone TO alice;
ROLLBACK;
SELECT * FROM gone;
CREATE TABLE gone (a integer);
-- as alice
SELECT * FROM gone;
-- as bob
ALTER TABLE gone RENAME TO went;
GRANT SELECT ON went TO alice;
ALTER TABLE went RENAME TO gone;
-- as alice
SELECT * FROM gone;
-- as bob
DROP TABLE gone;
CREATE TABLE gone (a integer);
-- as alice
SELECT * FROM gone;
-- as tilehouse
ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO bob;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO bob;
CREATE SEQUENCE later;
CREATE TABLE latert (a integer);
-- as bob
SELECT nextval('later');
SELECT * FROM latert;
INSERT INTO latert VALUES (1);
-- as tilehouse
-- differs: the order of the details
DROP ROLE bob;

-- Privileges on ordinary tables and views, schemas and the database.
CREATE ROLE alice LOGIN PASSWORD 'secret';
CREATE ROLE bob LOGIN PASSWORD 'secret';
CREATE ROLE readers;
GRANT readers TO bob;
CREATE TABLE t (a integer, b text);
CREATE TABLE u (a integer);
INSERT INTO t VALUES (1, 'one'), (2, 'two');
CREATE VIEW v AS SELECT a FROM t WHERE a > 1;
-- as bob
SELECT * FROM t;
SELECT a FROM v;
INSERT INTO t VALUES (3, 'three');
UPDATE t SET b = 'x';
DELETE FROM t;
TRUNCATE t;
CREATE TABLE mine (a integer);
CREATE VIEW w AS SELECT 1 AS a;
CREATE TABLE copied AS SELECT * FROM t;
CREATE TEMP TABLE scratch (a integer);
INSERT INTO scratch VALUES (1);
SELECT * FROM scratch;
UPDATE scratch SET a = 2;
DELETE FROM scratch;
INSERT INTO scratch SELECT a FROM t;
DROP TABLE scratch;
DROP TABLE t;
ALTER TABLE t RENAME TO t2;
ALTER TABLE t RENAME COLUMN a TO c;
ALTER TABLE t ADD COLUMN c integer;
ALTER TABLE t OWNER TO bob;
CREATE INDEX ON t (a);
COMMENT ON TABLE t IS 'mine';
DROP VIEW v;
GRANT SELECT ON t TO alice;
REVOKE SELECT ON t FROM alice;
WITH x AS (SELECT * FROM t) SELECT * FROM x;
WITH t AS (SELECT 7 AS a) SELECT * FROM t;
SELECT (SELECT max(a) FROM t);
SELECT 1 WHERE EXISTS (SELECT 1 FROM t);
SELECT * FROM (SELECT * FROM t) x;
SELECT * FROM u, t;
SELECT 1 UNION SELECT a FROM t;
EXPLAIN SELECT * FROM t;
COPY t TO STDOUT;
COPY (SELECT * FROM t) TO STDOUT;
SELECT nothing FROM t;
SELECT * FROM nowhere;
-- as tilehouse
GRANT SELECT ON t TO readers;
-- as bob
SELECT * FROM t ORDER BY a;
COPY t TO STDOUT;
SELECT a FROM v;
INSERT INTO t VALUES (3, 'three');
UPDATE t SET b = 'x';
DELETE FROM t;
-- as alice
SELECT * FROM t;
-- as tilehouse
GRANT INSERT, UPDATE ON t TO alice;
-- as alice
INSERT INTO t VALUES (3, 'three');
UPDATE t SET b = 'x';
UPDATE t SET b = 'x' WHERE a = 1;
UPDATE t SET a = a + 1;
DELETE FROM t;
SELECT * FROM t;
-- as tilehouse
GRANT SELECT ON v TO alice;
-- as alice
SELECT a FROM v ORDER BY a;
INSERT INTO u VALUES (1);
-- as tilehouse
GRANT SELECT ON t TO alice WITH GRANT OPTION;
-- as alice
GRANT SELECT ON t TO bob;
GRANT SELECT, DELETE ON t TO bob;
GRANT DELETE ON t TO bob;
GRANT ALL ON t TO bob;
-- as tilehouse
REVOKE SELECT ON t FROM alice;
REVOKE SELECT ON t FROM alice CASCADE;
REVOKE ALL ON t FROM readers;
-- as bob
SELECT * FROM t;
-- as tilehouse
GRANT SELECT ON nowhere TO bob;
GRANT SELECT ON t TO nobody;
GRANT USAGE ON t TO bob;
GRANT FROBNICATE ON t TO bob;
GRANT SELECT ON t TO PUBLIC WITH GRANT OPTION;
GRANT SELECT ON SCHEMA public TO bob;
GRANT USAGE ON SCHEMA nowhere TO bob;
GRANT CONNECT ON DATABASE nowhere TO bob;
GRANT SELECT ON DATABASE tilehouse TO bob;
GRANT CREATE ON SCHEMA public TO alice;
-- as alice
CREATE TABLE mine (a integer PRIMARY KEY);
INSERT INTO mine VALUES (1), (2);
CREATE VIEW over AS SELECT a FROM mine;
CREATE VIEW secret AS SELECT b FROM t;
SELECT * FROM over ORDER BY a;
SELECT * FROM secret;
GRANT SELECT ON over, secret TO bob;
-- as bob
SELECT * FROM over ORDER BY a;
SELECT * FROM secret;
SELECT * FROM mine;
DROP VIEW over;
CREATE OR REPLACE VIEW over AS SELECT 1 AS a;
-- as tilehouse
GRANT SELECT ON t TO alice;
-- as bob
SELECT count(*) FROM secret;
-- as alice
ALTER TABLE mine OWNER TO bob;
CREATE OR REPLACE VIEW over AS SELECT a + 1 AS a FROM mine;
DROP TABLE t;
-- as bob
SELECT * FROM over ORDER BY a;
-- as tilehouse
ALTER TABLE mine OWNER TO bob;
-- as alice
SELECT * FROM mine;
SELECT * FROM over;
-- as bob
SELECT * FROM mine ORDER BY a;
SELECT * FROM over;
INSERT INTO mine VALUES (3);
-- as tilehouse
DROP ROLE bob;
REVOKE CREATE ON SCHEMA public FROM alice;
ALTER TABLE mine RENAME TO his;
-- as bob
SELECT * FROM his ORDER BY a;
DROP TABLE his CASCADE;
-- as tilehouse
GRANT SELECT ON ALL TABLES IN SCHEMA public TO bob;
-- as bob
SELECT * FROM t ORDER BY a;
SELECT * FROM u;
-- as tilehouse
CREATE TABLE later (a integer);
-- as bob
SELECT * FROM later;
-- as tilehouse
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO bob;
CREATE TABLE later2 (a integer);
CREATE VIEW later3 AS SELECT * FROM later2;
-- as bob
SELECT * FROM later2;
SELECT * FROM later3;
SELECT * FROM later;
-- as tilehouse
ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON TABLES FROM bob;
CREATE TABLE later4 (a integer);
-- as bob
SELECT * FROM later4;
ALTER DEFAULT PRIVILEGES FOR ROLE alice GRANT SELECT ON TABLES TO bob;
-- as tilehouse
REVOKE USAGE ON SCHEMA public FROM PUBLIC;
-- as bob
SELECT * FROM later2;
-- as tilehouse
GRANT USAGE ON SCHEMA public TO PUBLIC;
BEGIN;
CREATE TABLE block (a integer);
GRANT SELECT ON block TO bob;
INSERT INTO block VALUES (5);
COMMIT;
-- as bob
SELECT * FROM block;
-- as tilehouse
BEGIN;
GRANT INSERT ON block TO bob;
ROLLBACK;
-- as bob
INSERT INTO block VALUES (6);
-- as tilehouse
DROP TABLE block;
CREATE TABLE block (a integer);
-- as bob
SELECT * FROM block;
-- as tilehouse
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM bob, alice;
GRANT pg_read_all_data TO bob;
-- as bob
SELECT * FROM block;
INSERT INTO block VALUES (6);
-- as tilehouse
REVOKE pg_read_all_data FROM bob;
GRANT pg_write_all_data TO bob;
-- as bob
INSERT INTO block VALUES (6);
SELECT * FROM block;
-- as tilehouse
REVOKE pg_write_all_data FROM bob;
REVOKE CONNECT ON DATABASE tilehouse FROM PUBLIC;
GRANT TEMPORARY ON DATABASE tilehouse TO alice;
REVOKE TEMPORARY ON DATABASE tilehouse FROM PUBLIC;
-- as bob
-- differs: PostgreSQL's session has made its schema of temporary tables before
CREATE TEMP TABLE scratch (a integer);
-- as carol
SELECT 1;
-- as tilehouse
CREATE ROLE carol LOGIN PASSWORD 'secret';
-- as carol
SELECT 1;
-- as tilehouse
GRANT CONNECT ON DATABASE tilehouse TO carol;
-- as carol
SELECT 1;
-- as tilehouse
DROP OWNED BY carol;
DROP ROLE carol;

-- Privileges on schemas and what is in them, sequences, views of materialized rows, and statements of several relations.
CREATE ROLE alice LOGIN PASSWORD 'secret';
CREATE ROLE bob LOGIN PASSWORD 'secret';
CREATE SCHEMA s;
CREATE TABLE public.t (a integer);
CREATE TABLE s.t (a integer);
CREATE TABLE s.lone (a integer PRIMARY KEY);
INSERT INTO public.t VALUES (1);
INSERT INTO s.t VALUES (2);
GRANT SELECT, INSERT ON public.t TO bob;
-- as bob
SELECT * FROM public.t;
SELECT * FROM t;
SELECT * FROM s.t;
INSERT INTO s.t VALUES (3);
SET search_path = s, public;
SELECT * FROM t;
SELECT * FROM lone;
CREATE TABLE here (a integer);
CREATE TABLE s.here (a integer);
-- as tilehouse
GRANT USAGE ON SCHEMA s TO bob;
-- as bob
SELECT * FROM s.t;
SELECT * FROM t;
INSERT INTO t VALUES (3);
SELECT * FROM public.t;
SELECT * FROM s.lone;
CREATE TABLE s.here (a integer);
CREATE TEMP TABLE t (a integer);
SELECT * FROM t;
INSERT INTO t VALUES (9);
SELECT * FROM t;
SELECT * FROM s.t;
DROP TABLE t;
SELECT * FROM t;
RESET search_path;
SELECT * FROM t;
CREATE TEMP TABLE lone (a integer);
SELECT * FROM lone;
SELECT * FROM s.lone;
-- as tilehouse
GRANT CREATE ON SCHEMA s TO bob;
GRANT SELECT ON ALL TABLES IN SCHEMA s TO bob;
-- as bob
SELECT * FROM s.t;
SELECT * FROM s.lone;
CREATE TABLE s.mine (a integer, b text);
CREATE TABLE s.mine (a integer);
INSERT INTO s.mine VALUES (1, 'one');
ALTER TABLE s.mine ADD COLUMN c integer;
ALTER TABLE s.mine SET SCHEMA public;
ALTER TABLE s.mine RENAME TO yours;
CREATE INDEX yours_a ON s.yours (a);
ALTER INDEX s.yours_a RENAME TO yours_b;
COMMENT ON INDEX s.yours_b IS 'mine';
COMMENT ON COLUMN s.yours.a IS 'mine';
COMMENT ON TABLE s.t IS 'mine';
COMMENT ON SCHEMA s IS 'mine';
CREATE INDEX ON s.t (a);
DROP INDEX s.lone_pkey;
ALTER INDEX s.lone_pkey RENAME TO p;
DROP TABLE s.t;
DROP SCHEMA s;
GRANT USAGE ON SCHEMA s TO alice;
CREATE SCHEMA mine;
CREATE SCHEMA AUTHORIZATION bob;
GRANT SELECT ON s.yours TO alice;
-- as alice
SELECT * FROM s.yours;
SELECT * FROM s.t;
-- as tilehouse
GRANT USAGE ON SCHEMA s TO alice;
-- as alice
SELECT * FROM s.yours;
SELECT * FROM s.t;
DROP TABLE s.yours;
-- as tilehouse
SELECT has_table_privilege('bob', 's.t', 'SELECT'), has_table_privilege('alice', 's.t', 'SELECT'), has_table_privilege('alice', 's.yours', 'SELECT');
SELECT has_schema_privilege('bob', 's', 'CREATE'), has_schema_privilege('alice', 's', 'CREATE'), has_schema_privilege('alice', 's', 'USAGE');
CREATE SCHEMA owned AUTHORIZATION bob;
CREATE TABLE owned.t (a integer);
-- as bob
CREATE TABLE owned.mine (a integer);
SELECT * FROM owned.t;
INSERT INTO owned.t VALUES (1);
DROP TABLE owned.t;
CREATE VIEW owned.v AS SELECT a FROM s.t;
GRANT USAGE ON SCHEMA owned TO alice;
GRANT SELECT ON owned.v TO alice;
-- as alice
SELECT * FROM owned.v;
-- as tilehouse
REVOKE SELECT ON s.t FROM bob;
-- as alice
SELECT * FROM owned.v;
-- as bob
SELECT * FROM owned.v;
CREATE OR REPLACE VIEW owned.v AS SELECT 7 AS a;
SELECT * FROM owned.v;
-- as alice
SELECT * FROM owned.v;
CREATE OR REPLACE VIEW owned.v AS SELECT 8 AS a;
-- as tilehouse
DROP TABLE s.t;
CREATE TABLE s.t (a integer);
-- as bob
SELECT * FROM s.t;
-- as tilehouse
ALTER TABLE s.yours OWNER TO alice;
-- as bob
SELECT * FROM s.yours;
ALTER TABLE s.yours OWNER TO bob;
-- as alice
SELECT * FROM s.yours;
ALTER TABLE s.yours OWNER TO bob;
-- as tilehouse
-- differs: the order of the details
DROP ROLE alice;
-- as bob
DROP SCHEMA owned CASCADE;
-- as tilehouse
DROP TABLE s.yours;
DROP SCHEMA s CASCADE;
CREATE SCHEMA s;
-- as bob
SELECT has_schema_privilege('s', 'USAGE');
CREATE TABLE s.x (a integer);

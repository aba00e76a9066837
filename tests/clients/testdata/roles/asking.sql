-- The functions that ask for privileges and memberships.
CREATE ROLE alice LOGIN PASSWORD 'secret';
CREATE ROLE bob LOGIN PASSWORD 'secret';
CREATE ROLE carol LOGIN NOINHERIT PASSWORD 'secret';
CREATE ROLE readers;
GRANT readers TO bob, carol;
CREATE TABLE t (a integer, b text);
CREATE VIEW v AS SELECT a FROM t;
GRANT SELECT ON t TO readers;
GRANT INSERT ON t TO alice WITH GRANT OPTION;
SELECT has_table_privilege('t', 'SELECT'), has_table_privilege('tilehouse', 't', 'DELETE'), has_table_privilege('bob', 't', 'SELECT'), has_table_privilege('bob', 't', 'INSERT');
SELECT has_table_privilege('carol', 't', 'SELECT'), has_table_privilege('alice', 't', 'INSERT'), has_table_privilege('alice', 't', 'SELECT');
SELECT has_table_privilege('alice', 't', 'INSERT WITH GRANT OPTION'), has_table_privilege('bob', 't', 'SELECT WITH GRANT OPTION');
SELECT has_table_privilege('bob', 't', 'INSERT, SELECT'), has_table_privilege('bob', 't', 'insert, update');
SELECT has_table_privilege('bob', 't', 'FROB');
SELECT has_table_privilege('nobody', 't', 'SELECT');
SELECT has_table_privilege('bob', 'nowhere', 'SELECT');
SELECT has_table_privilege(999999999::oid, 'SELECT');
SELECT c.relname, has_table_privilege('bob', c.oid, 'SELECT') FROM pg_class c WHERE c.relname IN ('t', 'v') ORDER BY 1;
SELECT c.relname, p, has_table_privilege('bob', c.oid, p) FROM pg_class c, unnest(ARRAY['SELECT', 'INSERT']) AS u(p) WHERE c.relname IN ('t', 'v') ORDER BY 1, 2;
SELECT has_column_privilege('bob', 't', 'a', 'SELECT'), has_column_privilege('bob', 't', 'a', 'UPDATE'), has_column_privilege('bob', 't', 1::smallint, 'SELECT');
SELECT has_any_column_privilege('bob', 't', 'SELECT'), has_any_column_privilege('bob', 'v', 'SELECT');
SELECT has_schema_privilege('public', 'CREATE'), has_schema_privilege('bob', 'public', 'USAGE'), has_schema_privilege('bob', 'public', 'CREATE');
SELECT has_schema_privilege('bob', 'pg_catalog', 'USAGE'), has_schema_privilege('bob', 'pg_catalog', 'CREATE');
SELECT has_schema_privilege('bob', 'nowhere', 'USAGE');
SELECT nspname, has_schema_privilege('bob', oid, 'USAGE'), has_schema_privilege('bob', nspname, 'CREATE') FROM pg_namespace WHERE nspname IN ('public', 'pg_catalog') ORDER BY 1;
SELECT has_database_privilege('tilehouse', 'CONNECT'), has_database_privilege('bob', 'tilehouse', 'CONNECT'), has_database_privilege('bob', 'tilehouse', 'CREATE'), has_database_privilege('bob', 'tilehouse', 'TEMP');
SELECT has_database_privilege('bob', 'nowhere', 'CONNECT');
SELECT pg_has_role('readers', 'MEMBER'), pg_has_role('bob', 'readers', 'MEMBER'), pg_has_role('bob', 'readers', 'USAGE'), pg_has_role('alice', 'readers', 'MEMBER');
SELECT pg_has_role('carol', 'readers', 'MEMBER'), pg_has_role('carol', 'readers', 'USAGE'), pg_has_role('bob', 'readers', 'USAGE WITH ADMIN OPTION');
SELECT pg_has_role('bob', 'nobody', 'MEMBER');
-- as bob
SELECT has_table_privilege('t', 'SELECT'), has_table_privilege('t', 'INSERT'), has_table_privilege('v', 'SELECT');
SELECT has_table_privilege(current_user, 't', 'SELECT');
SELECT has_schema_privilege('public', 'CREATE');
SELECT pg_has_role('readers', 'USAGE'), pg_has_role(session_user, 'tilehouse', 'USAGE');
CREATE TEMP TABLE scratch (a integer);
SELECT has_table_privilege('scratch', 'INSERT');
-- as tilehouse
SET ROLE bob;
SELECT has_table_privilege('t', 'INSERT');
RESET ROLE;
REVOKE SELECT ON t FROM readers;
-- as bob
SELECT has_table_privilege('t', 'SELECT');

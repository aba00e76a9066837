-- Views are written through with the rights of their owners on what they read.
CREATE ROLE alice LOGIN PASSWORD 'secret';
CREATE ROLE bob LOGIN PASSWORD 'secret';
GRANT CREATE ON SCHEMA public TO alice;
CREATE TABLE t (a integer PRIMARY KEY, b integer);
INSERT INTO t VALUES (1, 1), (2, 2), (3, 3);
GRANT SELECT ON t TO alice;
CREATE VIEW ours AS SELECT a, b FROM t WHERE a < 100;
GRANT INSERT, UPDATE, DELETE, SELECT ON ours TO bob;
-- as alice
CREATE VIEW hers AS SELECT a, b FROM t;
GRANT ALL ON hers TO bob;
INSERT INTO hers VALUES (10, 10);
UPDATE hers SET b = 0;
DELETE FROM hers;
INSERT INTO ours VALUES (10, 10);
-- as bob
INSERT INTO ours VALUES (20, 20);
UPDATE ours SET b = b + 1 WHERE a = 20 RETURNING *;
DELETE FROM ours WHERE a = 3;
INSERT INTO t VALUES (21, 21);
UPDATE t SET b = 1;
INSERT INTO hers VALUES (30, 30);
UPDATE hers SET b = 1 WHERE a = 1;
DELETE FROM hers WHERE a = 1;
SELECT a FROM hers WHERE a = 1;
-- as tilehouse
GRANT INSERT, UPDATE ON t TO alice;
REVOKE DELETE, SELECT ON ours FROM bob;
-- as bob
INSERT INTO hers VALUES (30, 30);
UPDATE hers SET b = 5 WHERE a = 1 RETURNING *;
DELETE FROM hers WHERE a = 1;
DELETE FROM ours;
INSERT INTO ours VALUES (40, 40) RETURNING a;
INSERT INTO ours VALUES (41, 41);
UPDATE ours SET b = 9 WHERE a = 41;
UPDATE ours SET b = 9;
-- as tilehouse
SELECT * FROM t ORDER BY a;

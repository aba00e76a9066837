package reference

// upkeep is what keeps definitions and rows current, and shows them.
var upkeep = []Statement{
	{
		Name:    "REFRESH",
		Purpose: "Take in changed files, or compute a feature's partial states",
		Synopsis: `
REFRESH SOURCE name
REFRESH FEATURE name [FULL]
REFRESH FEATURE name FROM time TO time`,
		Text: `
REFRESH SOURCE looks at the files anew; added, changed and removed ones are one new position, and only the days they touch are built
again. Dual sources over it are loaded, and of a dual source the batch side is refreshed. Of a PostgreSQL source it reads the table as a whole, and returns when what differs is committed. REFRESH FEATURE computes what a feature made WITH NO DATA lacks, or builds it anew from rows beside the one that is read. With a range it
builds the days anew that the range touches, reading the events of these days only; other days stay. Days are UTC; a time without a zone is the
session's. FULL says what REFRESH without a range does in any case.`,
		Examples: []Example{{"A feature that is computed later:", []string{
			`CREATE FEATURE later_7d ON customer AS SELECT customer_id, count(*) FROM purchases GROUP BY customer_id WINDOW 7 DAYS WITH NO DATA`,
			`REFRESH FEATURE later_7d`,
			`SELECT later_7d FROM customer WHERE customer_id = 42`,
			`REFRESH FEATURE later_7d FROM '2024-05-30' TO '2024-06-02'`,
		}}},
		See: []string{"CREATE SOURCE", "CREATE SOURCE postgres", "CREATE FEATURE"},
	},
	{
		Name:    "REPLAY DEAD LETTERS",
		Purpose: "Read messages again that could not be taken, once what was wrong is put right",
		Synopsis: `
REPLAY DEAD LETTERS FROM source [WHERE condition]
DROP DEAD LETTERS FROM source [WHERE condition]`,
		Text: `
The bytes of each dead letter are read again, as the source reads messages now: after ALTER SOURCE … FORMAT … ENCODE (options), another future bound,
or without the feature that could not be computed of them. What can be taken counts from this statement's commits on, as if it came late, with the partition, offset
and arrival that it had, and its letter is gone in the same commit: exactly once, whatever crashes. What cannot stays, with the reason that it has now.
Of FORMAT UPSERT and DEBEZIUM a message that is older than its key's row, or than the end of the row, does nothing, and its letter goes.

The condition is over ` + "`tilehouse.dead_letters`" + `, at most 1,048,576 of them, and takes membership in pg_read_all_data; without one all are meant. Some thousand letters are one commit: what is
done when the statement is cancelled stays done. Notices say how far it is, and at the end how many messages were taken. The source goes on reading meanwhile; it must not be suspended.
DROP throws letters away; they stay counted as dead. Both are the source's owner's, and run outside of transactions.`,
		Examples: []Example{{"Times turned out to be seconds:", []string{
			`ALTER SOURCE live FORMAT PLAIN ENCODE JSON (timestamp_unit = 's')`,
			`REPLAY DEAD LETTERS FROM live WHERE code = '22008'`,
			`DROP DEAD LETTERS FROM live WHERE arrived < now() - INTERVAL '30 days'`,
		}}},
		Outside: "brokers",
		See:     []string{"CREATE SOURCE kafka", "ALTER"},
	},
	{
		Name:    "COPY",
		Purpose: "Read rows from a file or the client, and write a query's rows to one",
		Synopsis: `
COPY table [(column, …)] FROM {STDIN | 'file'} [WITH (FORMAT {text | csv | binary}, …)]
COPY table [(column, …)] FROM 'file.parquet'
COPY {table [(column, …)] | (query)} TO {STDOUT | 'file.parquet' | 'file.csv'} [WITH (…)]`,
		Text: `
Text, csv and binary are PostgreSQL's, with its options. All rows of a COPY are one commit: the features of an event table count them
together, or none.

A file that is read lies below a directory given by ` + "`--file-root`" + `, links resolved, and a relative path is looked for in each; the role is a superuser
or a member of pg_read_server_files. Without FORMAT it is text, or Parquet where its name ends so. Columns of Parquet are found by
name: without a list those that the file has, the table's other ones have their defaults, and a column that the table lacks is refused. Values are
assigned as INSERT does, a time without a zone is one of UTC. To read many files without copying them, CREATE SOURCE.

A file that is written lies below ` + "`--export-root`" + ` and is there whole or not at all; the role is a superuser or a member of
pg_write_server_files. Its name says the format, or FORMAT does.`,
		See: []string{"CREATE SOURCE", "CREATE TABLE", "ASOF JOIN"},
	},
	{
		Name:    "SHOW",
		Purpose: "List what there is",
		Synopsis: `
SHOW {FEATURES | FEATURE_COLUMNS | FEATURE_VIEWS | SOURCES | ENTITIES | PARTIALS | MATERIALIZATIONS | JOBS
     | WATERMARKS | LINEAGE | DEAD_LETTERS | SOURCE_PARTITIONS | CONNECTIONS | SECRETS | FEATURE_LOG} [LIKE 'pattern']`,
		Text: `
Each is a short form of a view of schema ` + "`tilehouse`" + `; LIKE chooses by the first column. Clients also find every object in
information_schema and pg_class: event tables as tables, sources as foreign tables, connections as foreign servers, the rest as views, with types and comments.
DEAD_LETTERS and FEATURE_LOG have values of rows: reading them takes membership in pg_read_all_data.

MATERIALIZATIONS has, of each group of partial states, its files (` + "`row run`, `daily partials`" + `), each ` + "`day`" + ` with rows and its share of their bytes, the
ranges of the online tiles, and builds that run. A day is settled once its state stands in the online store. Rows of files and days are versions:
those that went count until they are merged away. ` + "`lag`" + ` is how long ago the oldest commit was that the files lack; reads add it from the log.
A table with a retention has lines of what was dropped (` + "`retention`" + `), what the log takes (` + "`log`" + `), and up to which event time rows were taken out of the
log, how many, and of how many bytes before compression (` + "`log, trimmed`" + `).`,
		Examples: []Example{{"Features and entities:", []string{`SHOW FEATURES`, `SHOW ENTITIES`}}},
	},
	{
		Name:    "ALTER",
		Purpose: "Change an option or a name, or suspend a feature",
		Synopsis: `
ALTER FEATURE [IF EXISTS] name {SUSPEND | RESUME | SET (option = value, …) | RESET (option, …) | RENAME TO name}
ALTER {TABLE | SOURCE | VIEW} [IF EXISTS] name {SET (option = value, …) | RESET (option, …) | RENAME TO name}
ALTER TABLE name ADD COLUMN [IF NOT EXISTS] column type [DEFAULT value] [NOT NULL], …
ALTER TABLE name DROP COLUMN [IF EXISTS] column [CASCADE | RESTRICT], …
ALTER TABLE name ALTER COLUMN column {SET DEFAULT value | DROP DEFAULT | SET NOT NULL | DROP NOT NULL | TYPE type}, …
ALTER TABLE name RENAME [COLUMN] column TO name
ALTER FEATURE VIEW [IF EXISTS] name {SET (option = value, …) | RESET (option, …) | RENAME TO name}
ALTER {ENTITY | CONNECTION | SECRET} [IF EXISTS] name RENAME TO name
ALTER SOURCE name {SUSPEND | RESUME | FORMAT format [(option = value, …)] ENCODE encode [(option = value, …)]}`,
		Text: `
A suspended feature keeps nothing and costs nothing. Reading it is refused (55000) until RESUME builds it again: a value that nobody keeps
is never answered. A Kafka source that is suspended keeps its rows, which are read as before, and reads on from there with RESUME. FORMAT … ENCODE gives
it other options for the messages that it reads from then on; the format itself stays. SET and RESET take the options of CREATE FEATURE, and build what the new definition lacks, or those of CREATE FEATURE VIEW; of a table, a source or a view
they take those that do not say which rows it has: lateness, future_bound, complete_through; and a table's retention, for as long as the
features over it do not read further back. A shorter one drops days at once; what was dropped stays dropped under a longer one, and reads that need
it are refused.

An event table takes further columns. Rows that are there have the default in them as it was then, also in features; the transaction that adds
one, or gives one another type, cannot read or write the table before COMMIT. No row is touched by what is altered: a type becomes one that has all
of its values (smallint, integer, bigint; real, double precision; numeric of more digits), which nothing may read meanwhile, and other values
are an event view's. A column that features or event views read is dropped by CASCADE, with them; the error and the notice name them. The columns of
the event time and of the primary key stay. The texts of features and event views follow a column's new name, and their own columns keep theirs; one that
cannot follow, such as a column of USING, is named, and an ordinary view, too. Ordinary tables are altered as in PostgreSQL.

RENAME TO gives a feature's columns their names anew. The definitions of readers follow: one that reads a renamed table goes on to know it by its
old name, as an alias. What a feature view names is not renamed.`,
		Examples: []Example{
			{"A feature that is not needed for a while:", []string{
				`CREATE FEATURE rare_1d ON customer AS SELECT customer_id, count(*) FROM purchases GROUP BY customer_id WINDOW 1 DAY`,
				`ALTER FEATURE rare_1d SUSPEND`,
				`SELECT name, state FROM tilehouse.features WHERE name = 'rare_1d'`,
				`ALTER FEATURE rare_1d RESUME`,
			}},
			{"Another column, and a feature of it:", []string{
				`ALTER TABLE purchases ADD COLUMN channel text DEFAULT 'web'`,
				`CREATE FEATURE web_30d ON customer AS SELECT customer_id, count(*) FILTER (WHERE channel = 'web') FROM purchases GROUP BY customer_id WINDOW 30 DAYS`,
				`SELECT web_30d FROM customer WHERE customer_id = 42`,
			}},
			{"A column's other name, and one that is not needed any more:", []string{
				`ALTER TABLE purchases RENAME COLUMN channel TO sold_by`,
				`SELECT definition FROM tilehouse.features WHERE name = 'web_30d'`,
				`ALTER TABLE purchases DROP COLUMN sold_by CASCADE`,
			}},
			{"Another name, and another option:", []string{
				`ALTER FEATURE rare_1d RENAME TO seldom_1d`,
				`ALTER FEATURE seldom_1d SET (delay = '1 hour')`,
				`SELECT definition FROM tilehouse.features WHERE name = 'seldom_1d'`,
			}},
		},
		See: []string{"CREATE FEATURE", "DROP"},
	},
	{
		Name:    "CREATE FUNCTION",
		Purpose: "Name an expression",
		Synopsis: `
CREATE [OR REPLACE] FUNCTION name (argument type, …) RETURNS type
  [LANGUAGE sql] IMMUTABLE [STRICT] {AS $$ SELECT expression $$ | RETURN expression}
DROP FUNCTION [IF EXISTS] name [(type, …)], … [CASCADE | RESTRICT]`,
		Text: `
The expression is written into what calls it: features, event views, feature views and any SELECT. Arguments are cast to their types, and the
result to its own; numeric without a precision is a decimal of the scale that the value has, and takes no floating-point numbers. The body reads its arguments only, by name or as $1, and calls nothing volatile.
A name has one function.

A definition keeps the function as it was when it was made, so that OR REPLACE changes no value of a feature that is there: a notice names
such definitions, and REFRESH FEATURE, ALTER FEATURE or OR REPLACE of the feature take the new one.`,
		Examples: []Example{{"Amounts in whole euros:", []string{
			`CREATE FUNCTION euros(amount numeric) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT floor(amount) $$`,
			`CREATE FEATURE euros_7d ON customer AS SELECT customer_id, sum(euros(amount)) FROM purchases GROUP BY customer_id WINDOW 7 DAYS`,
			`SELECT euros_7d, euros(12.99) AS one FROM customer WHERE customer_id = 42`,
		}}},
		See: []string{"CREATE FEATURE"},
	},
	{
		Name:    "COMMENT",
		Purpose: "Say what an object or a column is",
		Synopsis: `
COMMENT ON {FEATURE | FEATURE VIEW | ENTITY | SOURCE | CONNECTION | SECRET | TABLE | VIEW} name IS {'text' | NULL}
COMMENT ON COLUMN name.column IS {'text' | NULL}`,
		Text: `
Comments stand in pg_description, where client programs look for them, and in schema ` + "`tilehouse`" + `. A column of an entity that is a
feature's has the feature's comment; OR REPLACE and RENAME TO keep comments.`,
		Examples: []Example{{"A feature:", []string{
			`COMMENT ON ENTITY customer IS 'Who pays'`,
			`SELECT name, comment FROM tilehouse.entities ORDER BY name`,
		}}},
	},
	{
		Name:    "BEGIN",
		Purpose: "Make several definitions, and write rows, as one",
		Synopsis: `
BEGIN
statement; …
{COMMIT | ROLLBACK}`,
		Text: `
Definitions and rows of event tables take effect together at COMMIT, in one version of the catalog; ROLLBACK, an error and a crash leave nothing.
Statements of the transaction see its definitions at once, others only after COMMIT. A feature's backfill runs at CREATE and is published at
COMMIT, with the rows that came meanwhile. Where another transaction defined the same name, refreshed the source or replaced what the
features build on, COMMIT fails with 40001: run the transaction again. REFRESH SOURCE is a transaction of its own. A transaction that
writes ordinary tables writes neither event tables nor definitions: they are kept in different stores.`,
		Examples: []Example{{"A table, its rows and a feature:", []string{
			`BEGIN`,
			`CREATE TABLE visits (customer_id bigint, ts timestamptz NOT NULL) WITH (event_time = 'ts')`,
			`INSERT INTO visits VALUES (42, '2024-06-08 10:00Z')`,
			`CREATE FEATURE visits_1d ON customer AS SELECT customer_id, count(*) FROM visits GROUP BY customer_id WINDOW 1 DAY`,
			`COMMIT`,
			`SELECT visits_1d FROM customer WHERE customer_id = 42`,
		}}},
	},
	{
		Name:    "DROP",
		Purpose: "Remove an object",
		Synopsis: `
DROP {TABLE | SOURCE | VIEW | ENTITY | FEATURE} [IF EXISTS] name, … [CASCADE | RESTRICT]`,
		Text: `
An object that others read is kept, and the refusal names its readers and theirs; CASCADE drops them too, and says so.`,
		Examples: []Example{{"A feature:", []string{
			`CREATE FEATURE short_1d ON customer AS SELECT customer_id, count(*) FROM purchases GROUP BY customer_id WINDOW 1 DAY`,
			`DROP FEATURE short_1d`,
		}}},
	},
}

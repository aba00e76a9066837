package reference

// definitions make what features are made of, and features.
var definitions = []Statement{
	{
		Name:    "CREATE TABLE",
		Purpose: "Make an event table: rows that are stored here and that features count",
		Synopsis: `
CREATE TABLE [IF NOT EXISTS] name (column type [NOT NULL] [PRIMARY KEY], … [, PRIMARY KEY (column, …)]
    [, WATERMARK FOR column AS column - INTERVAL 'duration'])
  WITH (event_time = 'column' [, option = value …])`,
		Text: `
Without ` + "`event_time`" + ` it is an ordinary table, as in PostgreSQL. An event table is written by INSERT, COPY, UPDATE and DELETE; every
commit is one position of the log of record, and the next read of any session counts it. The event time is a timestamptz and
never NULL. With a primary key a second row of a key is refused (23505), and ties of event time are ordered by it.

A watermark says how far behind the newest event others may come: the table is complete through its newest event time less the duration,
as known at the position that is read, and a row that went since does not take it back. A label (FOLLOWING) is NULL until its window has
ended there; without a watermark, until the clock has passed its end. Later rows count all the same. tilehouse.watermarks shows it.

A table with a retention has no features of a LIFETIME or of windows that reach, with delay and hop, further back than it; a training join, a
lookup or EXPLAIN FEATURE at a time whose window begins before what is kept is refused, never short. The bound moves with the newest event,
and holds for positions of the past, too. Rows are deleted by whole days, in commits of the log, and then taken out of the log, an eighth
of the retention at a time, a day at least, once the sessions that read by then have ended; tilehouse.materializations has lines
` + "`retention`, `log` and `log, trimmed`" + `.`,
		Options: []Option{
			{"event_time", "a column of timestamptz", "", "when the event happened"},
			{"future_bound", "a duration", "`1 day`", "rows further ahead of the server's clock than this are refused (22008)"},
			{"lateness", "a duration", "`0`", "how long after its end a day is first settled; later rows count all the same"},
			{"retention", "a duration, at least a day", "for good", "rows before the UTC day of the newest event less this are deleted; a read that needs them is refused (22023)"},
		},
		Examples: []Example{{"A table of logins, a feature that counts its devices, and a row:", []string{
			`CREATE TABLE logins (customer_id bigint, device text, ts timestamptz NOT NULL) WITH (event_time = 'ts', lateness = '2 hours')`,
			`CREATE FEATURE devices_1d ON customer AS
  SELECT customer_id, count(DISTINCT device) FROM logins GROUP BY customer_id WINDOW 1 DAY`,
			`INSERT INTO logins VALUES (42, 'phone', '2024-06-08 09:00Z')`,
			`SELECT devices_1d FROM customer WHERE customer_id = 42`,
		}}},
		See: []string{"CREATE SOURCE", "CREATE FEATURE"},
	},
	{
		Name:    "CREATE SOURCE",
		Purpose: "Make rows that live elsewhere a relation: Parquet and CSV files",
		Synopsis: `
CREATE SOURCE [IF NOT EXISTS] name
  [(column type, … [, PRIMARY KEY (column, …)] [, WATERMARK FOR column AS column - INTERVAL 'duration'])]
  WITH (connector = 'file', path = 'pattern' [, option = value …])`,
		Text: `
The columns are read from the files, or declared: then a time without a zone is one of UTC, whatever
the session's TimeZone, and a number may be of a wider type than the files'. Of Parquet, columns are found by name and may be left out; of CSV all are
declared, in their order. Times in milliseconds since 1970 become an event time by a view: ` + "`to_timestamp(ms / 1000.0)`" + `. Names of folders such as
` + "`month=1`" + ` are columns of Parquet files. A watermark names the event time, and labels are
known up to the newest event less its duration, unless ` + "`complete_through`" + ` says up to when. A path is relative to a directory given by ` + "`--file-root`" + ` and may have the wildcards ` + "`*`, `?` and `**`" + `.
REFRESH SOURCE takes in added, changed and removed files, all of them as one new position; only the days they touch are built
again.`,
		Options: []Option{
			{"connector", "`file`", "", "where the rows live"},
			{"path", "a path or pattern", "", "the files, below a file root"},
			{"format", "`parquet` or `csv`", "by the files' ending", "how they are written"},
			{"delimiter", "a character", "a comma", "what stands between the values of CSV files"},
			{"event_time", "a column of timestamptz", "", "when the event happened; without it no window can be taken over the source"},
			{"primary_key", "columns, with commas", "", "orders ties of event time; it is not checked, and a row that the files have twice counts twice"},
			{"complete_through", "a time", "the newest event", "labels are known up to here"},
			{"refresh_every", "a duration", "by statement only", "how often the server looks at the files by itself; less often while that fails"},
			{"lateness", "a duration", "`0`", "how long after its end a day is first settled; later rows count all the same"},
		},
		Examples: []Example{{"Every flight from New York in 2013:", []string{
			`CREATE SOURCE flights WITH (connector = 'file', path = 'flights.parquet', event_time = 'scheduled', primary_key = 'flight_id')`,
			`SELECT count(*), min(scheduled), max(scheduled) FROM flights`,
		}}},
		See: []string{"CREATE SOURCE kafka", "CREATE SOURCE postgres", "CREATE SOURCE dual", "REFRESH", "CREATE VIEW"},
	},
	{
		Name:    "CREATE SOURCE kafka",
		Purpose: "Make the messages of a Kafka topic a relation, whose features are as fresh as the topic",
		Synopsis: `
CREATE SOURCE [IF NOT EXISTS] name (column type [NOT NULL], … [, PRIMARY KEY (column, …)]
    [, WATERMARK FOR column AS column - INTERVAL 'duration'])
  WITH (connector = 'kafka', connection = 'name', topic = 'name' [, option = value …])
  FORMAT {PLAIN | UPSERT [(key_encode = 'json')] | DEBEZIUM} ENCODE {JSON | AVRO | PROTOBUF} [(option = value, …)]
ALTER SOURCE name {SUSPEND | RESUME | FORMAT … ENCODE …}`,
		Text: `
Each message is a row, or a dead letter. A consumer in the server writes them to the log of record, rows and offsets in one commit,
so that each counts exactly once, whatever crashes; nothing is committed to the broker. From that commit on the row is there for
SELECT, lookups, ASOF joins and EXPLAIN FEATURE, as one of an event table. Nothing else writes to a source.

A field is the column of its name. A column without one, or with null, is NULL; other fields are skipped, or refused with
` + "`unknown_fields = 'refuse'`" + `. Numbers may stand in strings, as JSON has no large ones; nothing else is converted: text takes a string, boolean true and
false, an array an array, json anything. Dates, intervals, uuid and bytea are strings as PostgreSQL reads them. A timestamptz is such a string, in UTC where it
names no zone, or a number in ` + "`timestamp_unit`" + ` since 1970. Numbers of another unit are refused, not taken for 1970.

With FORMAT PLAIN a message is a row, and a second one of a primary key a dead letter (23505). With the others it is a change of the row of a primary
key, which the source declares: what was the row stops to count for every feature at the commit that the new version counts from, as after an UPDATE or DELETE of a table.

- UPSERT: the message's key is the primary key, an object of its columns, or the value itself where it is one column, encoded as the value is where a registry has its schema, else as
  ` + "`key_encode`" + ` says; the value is the newest version of the
  row, and NULL its end. The value may leave the key's columns out; another key in it is refused (22000), and so is a message without a key (23502).
- DEBEZIUM: the value has ` + "`op`, `before` and `after`" + `, with their schema beside them or without. c, r and u put the row after, u with another primary key
  in before takes that row away, d takes the one of before, or of the message's key, and so does a tombstone. TRUNCATE (t) and every other kind is refused (0A000): the rows
  stay. What stands beside its schema is what the schema says: dates, times and timestamps in any unit and encoding of Debezium's, decimals and bytes as base64, json as a text. Without one a date may be
  days since 1970, a numeric is a number, a string of one or an object of scale and value, a timestamp is in ` + "`timestamp_unit`" + `; base64 of a decimal is refused, but for such as looks like a number: have Debezium send schemas, or decimals as strings (decimal.handling.mode).

AVRO and PROTOBUF have a schema: that of the connection's registry whose id a message begins with (a zero byte and four bytes; of PROTOBUF the path of its type
behind them), so that messages of several versions stand in one topic, or one that is given, for messages without an id. A field is the column of its name; a column that a message's
schema lacks is NULL. An id that the registry does not know makes a dead letter (42704); a registry that does not answer makes the source wait. What a column takes:

| type | AVRO | PROTOBUF |
|---|---|---|
| boolean | boolean | bool |
| smallint, integer, bigint, numeric | int, long; numeric: decimal | integers, enums |
| real, double precision | float; double precision: double, and integers of 53 bits | the same |
| text | string, enum | string, enum |
| bytea, uuid | bytes, fixed; uuid: 16 bytes | bytes |
| timestamptz, timestamp | timestamp and local-timestamp of millis and micros, in UTC; a plain number in ` + "`timestamp_unit`" + ` | Timestamp; a number |
| date, time, interval | date; time-millis, time-micros; duration | google.type.Date; Duration |
| arrays of these | array | repeated |
| json | everything | everything |

A string is read as JSON's strings are, for every type but boolean. A union has the type of its branch, and null is NULL. Of PROTOBUF a field without presence is its
default, wrappers (Int64Value) are their values or NULL. Everything else is refused (42804).

Which of two versions is the newer one, the order of their partition says, and nothing else; so a change of a row that came by another partition is refused
(55000): keys must stay in their partition, and a topic whose partitions were added to has moved some. Of several versions in one commit the last one is a row. Where a version is a dead
letter, the row of before stays.

A message is a dead letter that is no JSON object, has a value of another type, no event time, a NULL in the primary key, a key of a feature or a NOT NULL
column, an event time beyond the future bound, or of which a feature cannot be computed.
` + "`tilehouse.dead_letters`" + ` has its bytes, key, partition, offset and reason; the newest 1 GiB of a source are kept. Dead letters hold nothing up,
and REPLAY DEAD LETTERS takes them once what was wrong is put right.
Whatever else fails is tried again, at longer and longer intervals up to 30 seconds: ` + "`tilehouse.sources`" + ` has state, reason, lag and counts, ` + "`tilehouse.source_partitions`" + `
where each partition is. What one partition has, the others are read all the same. A full disk pauses the reading, and reads go on.

The watermark is the least of the partitions' newest event times, less the duration; one that gave nothing for ` + "`idle_timeout`" + ` does not hold it back. It never goes back,
and labels (FOLLOWING) wait for it. Columns that ` + "`*`" + ` does not give, and features and event views may name: ` + "`__partition`, `__offset`, `__timestamp`, `__arrived`, `__key`, `__headers`" + `.

The topic and its offsets are looked up when the source is made. Partitions that are added are read from their start. A topic that was deleted
and made anew is another one, and messages that the topic's retention deletes before they were read stop the source with that reason. A role needs USAGE on the connection.

Servers whose sources name the same ` + "`archive`" + `, a folder below the ` + "`--archive-root`" + ` that they share, share the reading: the broker gives each some of the partitions, anew when a server joins, leaves or is killed
(its partitions stand still then until ` + "`session_timeout`" + ` has passed, and those of all for a moment; who ends by itself gives them away). Brokers with access rules let the login read the group ` + "`tilehouse-`" + ` and the archive's id. Who reads a partition adds what its messages do to the archive, entry by entry, and every server makes the same rows of all entries, in their order:
each has all rows, and a new one begins with the archive's first entry, whatever the topic still has. Nothing is lost or counted twice, whichever servers read at once. The sources are declared
alike, and what differs is refused (42P16); where the archive begins decides, not ` + "`start`" + `. Features are each server's own, and a NULL in a key of one is a dead letter where the feature is: a new server makes source and features in one transaction, so that the archive is read when all are there. The entries are Parquet files with
the declared columns and the hidden ones, what each message does (` + "`__effect`" + `: 1 takes a row away, 2 puts one), why it was refused, and its value. ` + "`tilehouse.sources`" + ` has the newest entry and the newest one
applied, ` + "`tilehouse.source_partitions`" + ` which partitions are read here. While the folder cannot be used the source is paused, and reads go on. DROP SOURCE leaves the archive. REPLAY DEAD LETTERS and ALTER SOURCE … SET (future_bound)
are refused, and a role needs pg_read_server_files and pg_write_server_files.`,
		Options: []Option{
			{"connector", "`kafka`", "", "where the rows live"},
			{"connection", "a connection", "", "how to get there: see CREATE CONNECTION"},
			{"topic", "a name", "", "what is read"},
			{"start", "`earliest`, `latest`, a time, or `partition:offset, …`", "`earliest`", "where the reading begins"},
			{"archive", "a name", "none", "a folder below `--archive-root`, through which servers share the reading"},
			{"session_timeout", "a duration, one second to 30 minutes, where there is an archive", "`6 seconds`", "after how long without a sign of life the partitions that a server reads go to others; brokers allow what their `group.min.session.timeout.ms` says, and more"},
			{"event_time", "a column of timestamptz", "that of the watermark", "when the event happened"},
			{"future_bound", "a duration", "`1 day`", "messages further ahead of the server's clock than this are dead letters (22008)"},
			{"idle_timeout", "a duration, at least a second", "`30 seconds`", "when a partition without messages does not hold the watermark back any more"},
			{"lateness", "a duration", "`0`", "how long after its end a day is first settled; later rows count all the same"},
			{"key_encode", "`json`, `text`, or with a registry `avro` or `protobuf`, of FORMAT UPSERT", "as ENCODE; without a registry `json`", "how a message's key is read; text: the value of a primary key of one column"},
			{"timestamp_unit", "`s`, `ms`, `us` or `ns`, of ENCODE", "`ms`", "what plain numbers for timestamptz and timestamp are"},
			{"unknown_fields", "`ignore` or `refuse`, of ENCODE", "`ignore`", "what becomes of a message with a field that is no column"},
			{"schema", "a text, of ENCODE AVRO and PROTOBUF", "the registry's", "the schema of messages without an id"},
			{"schema.file", "a path below `--file-root`, of ENCODE AVRO and PROTOBUF", "the registry's", "the same, read when the statement runs, by members of pg_read_server_files"},
			{"message", "a name, of ENCODE PROTOBUF", "the first one", "the type of the messages in a schema that is given"},
		},
		Examples: []Example{{"A topic of purchases, a feature over it, and what became of its messages:", []string{
			`CREATE CONNECTION bus WITH (type = 'kafka', brokers = '127.0.0.1:9092')`,
			`CREATE SOURCE live (purchase_id uuid, customer_id bigint, amount numeric(12,2), status text, ts timestamptz,
    PRIMARY KEY (purchase_id), WATERMARK FOR ts AS ts - INTERVAL '10 minutes')
  WITH (connector = 'kafka', connection = 'bus', topic = 'purchases') FORMAT PLAIN ENCODE JSON`,
			`CREATE FEATURE spend_live ON customer AS
  SELECT customer_id, sum(amount) FROM live WHERE status = 'ok' GROUP BY customer_id WINDOW 1 HOUR, 7 DAYS`,
			`SELECT state, lag, rows, dead_letters, last_error FROM tilehouse.sources WHERE name = 'live'`,
			`SELECT partition, message_offset, code, reason, encode(message, 'escape') FROM tilehouse.dead_letters WHERE source = 'live'`,
			`SELECT __partition, max(__offset), max(__arrived - __timestamp) FROM live GROUP BY 1`,
		}}, {"A table of another database, as Debezium writes its changes:", []string{
			`CREATE SOURCE orders (order_id bigint, customer_id bigint, total numeric(12,2), placed timestamptz,
    PRIMARY KEY (order_id), WATERMARK FOR placed AS placed - INTERVAL '10 minutes')
  WITH (connector = 'kafka', connection = 'bus', topic = 'shop.orders') FORMAT DEBEZIUM ENCODE JSON (timestamp_unit = 'us')`,
		}}, {"Messages in Avro, without a registry:", []string{
			`CREATE SOURCE clicks (page text, at timestamptz) WITH (connector = 'kafka', connection = 'bus', topic = 'clicks', event_time = 'at')
  FORMAT PLAIN ENCODE AVRO (schema = '{"type": "record", "name": "click", "fields": [
    {"name": "page", "type": "string"}, {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}]}')`,
		}}},
		Outside: "brokers",
		See:     []string{"CREATE CONNECTION", "REPLAY DEAD LETTERS", "CREATE FEATURE"},
	},
	{
		Name:    "CREATE SOURCE postgres",
		Purpose: "Make a table of PostgreSQL a relation that follows it, with every version of its rows",
		Synopsis: `
CREATE SOURCE [IF NOT EXISTS] name [(column type [NOT NULL], … [, PRIMARY KEY (column, …)])]
  WITH (connector = 'postgres', connection = 'name', table = '[schema.]name' [, mode = {'cdc' | 'snapshot'}] [, option = value …])
REFRESH SOURCE name
ALTER SOURCE name {SUSPEND | RESUME | RENAME TO name}`,
		Text: `
The source has the table's rows as they are now, and nothing else writes to it. Beside it relation ` + "`name_versions`" + ` has every version of a row, to which versions are only added: the
source's columns, and ` + "`__known`" + `, when it became known here, which is its event time; ` + "`__deleted`" + `, that the row ended, of which only the primary key is left; ` + "`__initial`" + `,
that the first reading of the table found it; ` + "`__committed`" + `, when PostgreSQL committed it, NULL where a reading found it. It goes with the source.

With cdc, each transaction of PostgreSQL's is one commit here, as a whole, with the place in PostgreSQL's log up to which everything is known; PostgreSQL is told of the place
only then. So each change counts once, whatever crashes. The table is read as a whole first, as it was at the beginning of the replication slot, some thousand rows a
commit. With snapshot the table, or a view, is read as a whole by REFRESH SOURCE and every ` + "`refresh_every`" + `, and what differs from the reading before is
recorded: all of it with one ` + "`__known`" + `.

Without a list the columns are those of the table, and the primary key is the table's. A type that is not among those of event tables is refused by name: such a column is left out of a list,
or read as text. ` + "`numeric`" + ` without precision is numeric(38,9). A value that does not fit its column exactly, such as NaN, stops the source with that reason. With ` + "`event_time`" + ` features
aggregate the rows that are there: what PostgreSQL deletes or updates stops to count. Latest values need none. They are by the primary key, and at each instant what the SELECT says
of the row that was known before it: a row that ended by then, or that the condition refused, has NULL. ` + "`initial_valid_from`" + ` of CREATE FEATURE says since when the rows of the first reading
hold: ` + "`snapshot`" + `, since they became known; ` + "`-infinity`" + `, ever; or since the time in a column, of which NULL is never. The latter two make an event view beside the versions. ` + "`ASOF JOIN name a ON a.key = x.key AND x.ts >= a.__known`" + ` in a feature joins events to the row as it was known at them.

cdc needs PostgreSQL 13 or newer with ` + "`wal_level = logical`" + `, a login with REPLICATION and SELECT on the table, a replica identity with the primary key (DEFAULT, or FULL), and a publication of the table
with all its rows and kinds of changes: without option ` + "`publication`" + ` the source makes one, which the table's owner may. It makes the slot, too; both are dropped with the source. While a source
is suspended, or does not get on, PostgreSQL keeps its log for it.

` + "`tilehouse.sources`" + ` has state (` + "`reading`" + `: the table is read as a whole), reason and lag, in bytes of PostgreSQL's log. What fails is tried again, at longer and longer intervals up to 30 seconds: a
server or login that is away, a publication, column or type that is not what it was. Columns that are added are not read. Where the slot was dropped or used by somebody else, the publication was
without the table, or the table was dropped and made anew, changes are lost: the table is read anew, its differences are versions, and the reason says so. REFRESH SOURCE of cdc does that, too, past whatever holds the source up. One
transaction's rows take at most about 1/32 of ` + "`--memory-limit`" + `.`,
		Options: []Option{
			{"connector", "`postgres`", "", "where the rows live"},
			{"connection", "a connection", "", "how to get there: see CREATE CONNECTION postgres"},
			{"table", "a name, with its schema before a dot", "schema public", "what is read, as PostgreSQL spells it"},
			{"mode", "`cdc` or `snapshot`", "`cdc`", "whether transactions are followed, or readings compared"},
			{"event_time", "a column of timestamptz that is NOT NULL", "none", "when a row's event happened, for windows over the rows"},
			{"refresh_every", "a duration, of snapshot", "by statement only", "how often the table is read"},
			{"publication", "a name, of cdc", "one of the source's own", "what PostgreSQL publishes the table by"},
			{"slot", "a name, of cdc", "one of the source's own", "the replication slot that is made; there must be none of the name"},
			{"future_bound", "a duration", "`1 day`", "an event time further ahead of the server's clock stops the source"},
			{"lateness", "a duration", "`0`", "how long after its end a day is first settled"},
		},
		Examples: []Example{{"Customers of an application, as they were at each instant:", []string{
			`CREATE SECRET app_password WITH (backend = 'env') AS 'APP_PASSWORD'`,
			`CREATE CONNECTION app WITH (type = 'postgres', host = '127.0.0.1', port = '5432', database = 'postgres', user = 'postgres', password = SECRET app_password, sslmode = 'disable')`,
			`CREATE SOURCE people WITH (connector = 'postgres', connection = 'app', table = 'people', mode = 'cdc')`,
			`CREATE FEATURE tier ON customer WITH (initial_valid_from = '-infinity') AS SELECT customer_id, tier FROM people`,
			`SELECT tier FROM customer WHERE customer_id = 42`,
			`SELECT customer_id, tier, __known, __deleted FROM people_versions ORDER BY __known`,
			`SELECT state, lag, rows, last_error FROM tilehouse.sources WHERE name = 'people'`,
		}}, {"A view, read every minute:", []string{
			`CREATE SOURCE totals (customer_id bigint, spent numeric(12,2), PRIMARY KEY (customer_id))
  WITH (connector = 'postgres', connection = 'app', table = 'totals', mode = 'snapshot', refresh_every = '1 minute')`,
		}}},
		Outside: "a PostgreSQL",
		See:     []string{"CREATE CONNECTION postgres", "CREATE FEATURE", "REFRESH"},
	},
	{
		Name:    "CREATE SOURCE dual",
		Purpose: "Make history from files and fresh rows from a stream one relation",
		Synopsis: `
CREATE SOURCE [IF NOT EXISTS] name FROM BATCH source STREAM {source | table}
  WITH (time_boundary = {'auto' | 'time'} [, dedupe_key = 'column, …'] [, option = value …])`,
		Text: `
The batch side is a source of files, the stream side a Kafka source or an event table. With a time boundary B, the rows are

- those of the batch side with an event time before B,
- those of the stream side with an event time from B on, and
- those of the stream side before B that came after the batch load that set B, and whose key the batch side lacks.

` + "`dedupe_key`" + ` is unique over all of them, and what the batch side has before B wins: of a key that it has there, no row of the stream counts, and a corrected row
takes the place of what the stream had. It is the primary key of the stream side, so that the stream's own rows are unique; of several rows of
the batch side with one key the last one counts, by event time and then by columns, however they are spread over files. Without a dedupe_key rows are not compared, and rows
of the stream that come late at the boundary are dropped and counted; the statement says so.

` + "`auto`" + ` is the last midnight, UTC, that the batch side is complete through: its option ` + "`complete_through`" + `, or its newest event time, less the delay of its watermark.
REFRESH SOURCE of either, the batch side's ` + "`refresh_every`" + `, and ALTER SOURCE of those options load the batch side's files: rows and boundary change at one position, in one version of the catalog,
while transactions of the stream side wait for some milliseconds. Where a file goes, or the boundary moves back, the stream's rows are there again. A load that fails changes nothing and is
tried again, also after a restart; until then the rows are those of the last one. What a transaction does to the stream side counts with its commit. Rows of the batch side without an event time, or with a NULL in the key, are left out.

Features, event views, SELECT, FOR SYSTEM_TIME and everything else read it as they read an event table. A label is complete with the stream side's watermark, and up to the
boundary. ` + "`tilehouse.dual_sources`" + ` has the boundary, the position and time at which it was set, whether the files changed since they were loaded, and counts of rows of the stream:
` + "`repeated`" + ` of keys that the batch side has, ` + "`lacked`" + ` those that the boundary passed and the batch side lacks, ` + "`late_dropped`" + ` those dropped for want of a key.

Both sides have the same columns, with the same types and the same event time; of the files those that are declared. They must not be dropped, and the stream side keeps all of its rows: no retention.
The rows are stored, those of the batch side too, so that every position of the past stays readable when files go. One load takes the rows that came, and they fit ` + "`--memory-limit`" + `; the first one takes any number. It runs outside of transactions,
and takes SELECT on both sides.`,
		Options: []Option{
			{"time_boundary", "`auto`, or a time", "", "rows before it are the batch side's; ALTER SOURCE changes it"},
			{"dedupe_key", "columns, with commas", "none", "what is unique over both sides: the stream side's primary key"},
			{"lateness", "a duration", "that of the stream side", "how long after its end a day is first settled; later rows count all the same"},
		},
		Examples: []Example{{"Departures of 2013 in a file, and those of the new year as they come:", []string{
			`CREATE SOURCE lake (flight_id bigint, carrier text, dep_delay bigint, scheduled timestamptz)
  WITH (connector = 'file', path = 'flights.parquet', event_time = 'scheduled')`,
			`CREATE TABLE live (flight_id bigint PRIMARY KEY, carrier text, dep_delay bigint, scheduled timestamptz NOT NULL) WITH (event_time = 'scheduled')`,
			`INSERT INTO live VALUES (336776, 'DL', 19, '2014-01-01 04:59Z'), (336777, 'UA', 3, '2014-01-01 10:15Z'), (1, 'UA', 999, '2013-01-01 10:15Z')`,
			`CREATE SOURCE departed FROM BATCH lake STREAM live WITH (time_boundary = 'auto', dedupe_key = 'flight_id')`,
			`SELECT min(scheduled), max(scheduled), count(*) FROM departed`,
			`CREATE ENTITY carrier (carrier text)`,
			`CREATE FEATURE delays_365d ON carrier AS SELECT carrier, count(*) AS n, max(dep_delay) AS worst FROM departed GROUP BY carrier WINDOW 365 DAYS`,
			`SET tilehouse.read_time = '2014-01-02 00:00Z'`,
			`SELECT delays_365d_n, delays_365d_worst FROM carrier WHERE carrier = 'UA'`,
			`INSERT INTO live VALUES (336778, 'UA', 5, '2014-01-01 23:00Z')`,
			`SELECT delays_365d_n, delays_365d_worst FROM carrier WHERE carrier = 'UA'`,
			`SELECT mode, time_boundary, repeated, lacked FROM tilehouse.dual_sources WHERE source = 'departed'`,
		}}},
		See: []string{"CREATE SOURCE", "CREATE SOURCE kafka", "REFRESH"},
	},
	{
		Name:    "CREATE CONNECTION",
		Purpose: "Say where brokers are and how to log in, and where credentials are found",
		Synopsis: `
CREATE [OR REPLACE] CONNECTION [IF NOT EXISTS] name WITH (type = 'kafka', brokers = 'host:port, …' [, option = value …])
CREATE [OR REPLACE] SECRET [IF NOT EXISTS] name WITH (backend = {'env' | 'file'}) AS 'place'
DROP {CONNECTION | SECRET} [IF EXISTS] name, … [CASCADE]
GRANT USAGE ON CONNECTION name TO role`,
		Text: `
A secret is the name of a variable of the server's environment, or the absolute path of a file that it can read, one line end at its end left out. The value is read whenever the server
connects, and kept nowhere; neither it nor its place is printed back. Passwords, tokens and keys are given by secrets only. What a connection says is used from the next
connection to a broker or a server on; OR REPLACE changes it for the sources that use it. Connections and secrets have names of their own, in no schema, and are made by superusers:
the server connects and reads files with its own rights. ` + "`tilehouse.connections` and `tilehouse.secrets`" + ` list them.`,
		Options: []Option{
			{"type", "`kafka`", "", "what answers there"},
			{"brokers", "`host:port`, with commas", "", "some of the cluster's brokers"},
			{"sasl.mechanism", "`PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`", "none", "how to log in"},
			{"sasl.username", "a text or SECRET", "", "of PLAIN and SCRAM"},
			{"sasl.password", "a SECRET", "", "of PLAIN and SCRAM"},
			{"sasl.token", "a SECRET", "", "of OAUTHBEARER"},
			{"tls", "a boolean", "`false`", "whether to encrypt; certificates are checked"},
			{"tls.ca", "a text or SECRET: PEM", "the system's", "authorities of the brokers' certificates"},
			{"tls.cert", "a text or SECRET: PEM", "none", "the client's certificate"},
			{"tls.key", "a SECRET: PEM", "none", "its key"},
			{"tls.server_name", "a name", "the broker's host", "whom the brokers' certificates must be of"},
			{"schema.registry", "`http://host:port` or https, with commas", "none", "a schema registry as Confluent's, for ENCODE AVRO and PROTOBUF; its certificate is checked by `tls.ca`, too"},
			{"schema.registry.username", "a text or SECRET", "none", "to log in by, over https"},
			{"schema.registry.password", "a SECRET", "none", "its password"},
		},
		Examples: []Example{{"A cluster that wants a login:", []string{
			`CREATE SECRET bus_password WITH (backend = 'env') AS 'KAFKA_PASSWORD'`,
			`CREATE CONNECTION bus WITH (type = 'kafka', brokers = '127.0.0.1:9092', sasl.mechanism = 'SCRAM-SHA-256',
  sasl.username = 'features', sasl.password = SECRET bus_password)`,
			`SELECT name, backend, connections FROM tilehouse.secrets`,
		}}},
		See: []string{"CREATE SOURCE kafka", "CREATE CONNECTION postgres", "CREATE CONNECTION cassandra"},
	},
	{
		Name:    "CREATE CONNECTION postgres",
		Purpose: "Say where a PostgreSQL is and how to log in",
		Synopsis: `
CREATE [OR REPLACE] CONNECTION [IF NOT EXISTS] name
  WITH (type = 'postgres', host = 'name', database = 'name', user = 'name' [, option = value …])`,
		Text: `
All that CREATE CONNECTION says of connections holds: they are made by superusers, passwords and keys are given by secrets only, and OR REPLACE
changes the connection for the sources that use it. Variables and files that PostgreSQL's own clients read a password from are not asked.`,
		Options: []Option{
			{"type", "`postgres`", "", "what answers there"},
			{"host", "a name or an address", "", "of PostgreSQL"},
			{"port", "a number", "`5432`", "of PostgreSQL"},
			{"database", "a name", "", "of PostgreSQL"},
			{"user", "a text or SECRET", "", "to log in by"},
			{"password", "a SECRET", "none", "its password"},
			{"sslmode", "`disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`", "`prefer`", "whether to encrypt, and what to check, as libpq does"},
			{"sslrootcert", "a text or SECRET: PEM", "the system's", "authorities of the server's certificate"},
			{"sslcert", "a text or SECRET: PEM", "none", "the client's certificate"},
			{"sslkey", "a SECRET: PEM", "none", "its key"},
		},
		Examples: []Example{{"A server whose certificate is checked:", []string{
			`CREATE SECRET shop_password WITH (backend = 'env') AS 'SHOP_PASSWORD'`,
			`CREATE CONNECTION shop WITH (type = 'postgres', host = 'db.internal', database = 'shop', user = 'features',
  password = SECRET shop_password, sslmode = 'verify-full')`,
			`SELECT name, type FROM tilehouse.connections`,
		}}},
		See: []string{"CREATE CONNECTION", "CREATE SOURCE postgres"},
	},
	{
		Name:    "CREATE CONNECTION cassandra",
		Purpose: "Keep online values in Cassandra too, where any number of gateways answer lookups",
		Synopsis: `
CREATE [OR REPLACE] CONNECTION [IF NOT EXISTS] name WITH (type = 'cassandra', hosts = 'host:port, …', keyspace = 'name' [, option = value …])
ALTER CONNECTION name {SET (option = value, …) | RESET (option, …)}
DROP CONNECTION name

tilehouse gateway --cassandra host:port --keyspace name [--listen host:port]`,
		Text: `
The connection of this type is the server's online store; there is one at most. From then on the values of all online features are kept there: first whole,
then what each commit changes. Lookups of the server itself do not need it, and commits do not wait for it. What is to be sent is named in a journal in the data directory, in the
batch of the commit: it survives restarts and Cassandra being away. Beyond 20 million changes (some 1.2 GB) the journal is given up, and everything is sent again.

A gateway is the same program with no data: it reads definitions, roles and passwords from the keyspace, follows them, and answers
` + "`SELECT columns FROM entity WHERE key = …`" + `, feature views, ` + "`features_for`" + ` and ` + "`features_at`" + `, with the bits that the server gives at the same position. What needs rows, history
or another position is refused (0A000). Definitions are published once all the values that they need have been sent; until then gateways answer by the ones before. A lookup reads the
record of each key and what its windows' ends cut, from one partition, as of one commit; two entities, or features over two tables, may be as of two.

` + "`tilehouse.online_store`" + ` says how it goes, one row: state (` + "`connecting`, `loading`, `following`, `waiting` for the next try, `failed`" + ` where somebody has to do something; on a gateway ` + "`reading`" + `
or ` + "`waiting`" + `), reason, epoch, definitions and newest_definitions, position and newest_position, lag, changes waiting, groups loading, and since the start rows and bytes sent, errors,
merged (changes that a later one took the place of), postponed (keys that waited for a state to be made anew), skipped (of groups that are not served) and deleted (keys of groups that are gone). All up to position is sent, also of
keys that waited; lag is how long ago position was the newest one.

A keyspace belongs to one data directory. It keeps user names and password verifiers of the server's roles: read access to it is theirs. DROP CONNECTION ends sending; what was
sent stays: DROP KEYSPACE in Cassandra frees it. What no definitions read any more is deleted a minute after gateways have others.`,
		Options: []Option{
			{"type", "`cassandra`", "", "what answers there"},
			{"hosts", "`host:port`, with commas", "", "some of the cluster's nodes, of CQL's port"},
			{"keyspace", "a name", "", "where values are kept; its tables are made"},
			{"replication", "`3`, or `datacenter:3, other:2`", "none", "how a keyspace that does not exist is made; without, it must exist"},
			{"datacenter", "a name", "any", "whose nodes are asked. Reads and writes are of a quorum of it (LOCAL_QUORUM)"},
			{"username", "a text or SECRET", "none", "to log in by"},
			{"password", "a SECRET", "none", "its password"},
			{"rows_per_second", "a whole number", "any", "how many rows are sent at most"},
			{"bytes_per_second", "a whole number", "any", "how many bytes of values"},
			{"take_over", "a boolean", "`false`", "whether to take a keyspace from the data directory that it belongs to"},
			{"tls", "a boolean", "`false`", "whether to encrypt; certificates are checked"},
			{"tls.ca", "a text or SECRET: PEM", "the system's", "authorities of the nodes' certificates"},
			{"tls.cert", "a text or SECRET: PEM", "none", "the client's certificate"},
			{"tls.key", "a SECRET: PEM", "none", "its key"},
			{"tls.server_name", "a name", "the node's host", "whom the nodes' certificates must be of"},
		},
		Examples: []Example{{"A cluster of three, its password in the server's environment, and a slower pace for an hour:", []string{
			`CREATE SECRET store_password WITH (backend = 'env') AS 'CASSANDRA_PASSWORD'`,
			`CREATE CONNECTION store WITH (type = 'cassandra', hosts = '10.0.0.1:9042, 10.0.0.2:9042', keyspace = 'features', replication = '3',
  username = 'tilehouse', password = SECRET store_password)`,
			`ALTER CONNECTION store SET (rows_per_second = 2000)`,
			`SELECT state, reason, waiting, lag FROM tilehouse.online_store`,
		}}},
		Outside: "a cluster of Cassandra",
		See:     []string{"CREATE CONNECTION", "CREATE FEATURE", "SELECT FROM an entity"},
	},
	{
		Name:    "CREATE VIEW",
		Purpose: "Make an event view: a projection and filter of a table or source, which features read like one",
		Synopsis: `
CREATE VIEW name WITH (event_time = 'column' [, option = value …]) AS
  SELECT expression [AS column], … FROM relation [WHERE condition]`,
		Text: `
An event view says what an event is, and when it happened. Its expressions are evaluated where features are materialized, so they
must be deterministic. It stores nothing.

Without ` + "`event_time`" + ` a view is PostgreSQL's: a name for any SELECT, also of entities, of feature views whose keys it binds, with ASOF JOIN and
TABLESAMPLE stratified: a training set that is always current. The time of FOR SYSTEM_TIME is fixed when
the view is made.`,
		Options: []Option{
			{"event_time", "a column of the view", "", "when the event happened"},
			{"lateness", "a duration", "that of the relation below", "how long after its end a day is first settled"},
		},
		Examples: []Example{{"Purchases that went through, in whole units:", []string{
			`CREATE VIEW paid WITH (event_time = 'ts') AS
  SELECT purchase_id, customer_id, ceil(amount)::bigint AS units, ts FROM purchases WHERE NOT declined`,
			`CREATE FEATURE paid_units_7d ON customer AS SELECT customer_id, sum(units) FROM paid GROUP BY customer_id WINDOW 7 DAYS`,
			`SELECT paid_units_7d FROM customer WHERE customer_id = 42`,
		}}, {"A training set as a view:", []string{
			`CREATE VIEW training AS
  SELECT l.label_id, l.is_fraud, c.spend_n_7d FROM labels l ASOF JOIN customer c ON c.customer_id = l.customer_id AND l.ts > c.ts`,
			`SELECT * FROM training ORDER BY label_id`,
		}}},
		See: []string{"CREATE SOURCE", "CREATE FEATURE", "ASOF JOIN"},
	},
	{
		Name:    "CREATE ENTITY",
		Purpose: "Name a key that features belong to",
		Synopsis: `
CREATE [OR REPLACE] ENTITY [IF NOT EXISTS] name (key type, …)`,
		Text: `
An entity is also a relation: all its features as columns, one row a key. See the page on reading it. OR REPLACE with the same
keys does nothing; with others it takes them while no feature or view is made of the old ones.`,
		Examples: []Example{{"A key of two columns:", []string{
			`CREATE ENTITY card_at_merchant (customer_id bigint, merchant_id bigint)`,
			`CREATE FEATURE visits_7d ON card_at_merchant AS
  SELECT customer_id, merchant_id, count(*) FROM purchases GROUP BY customer_id, merchant_id WINDOW 7 DAYS`,
			`SELECT visits_7d FROM card_at_merchant WHERE customer_id = 42 AND merchant_id = 9`,
		}}},
		See: []string{"CREATE FEATURE", "SELECT FROM an entity"},
	},
	{
		Name:    "CREATE FEATURE",
		Purpose: "Declare windowed aggregates, or the latest value, of an entity's key",
		Synopsis: `
CREATE [OR REPLACE] FEATURE [IF NOT EXISTS] name [ON entity] [WINDOW window, …] [WITH (option = value, …)] AS
  SELECT key, …, aggregate(expression, …) [FILTER (WHERE condition)] [AS alias], …
  FROM relation [, unnest(list) AS element | ASOF [LEFT] JOIN attributes ON …] [WHERE condition] GROUP BY key, … [WINDOW window, …]
  [WITH NO DATA]

CREATE FEATURE name [ON entity] [WITH (option = value, …)] AS SELECT key, …, expression [AS alias], … FROM relation

window: number {SECONDS | MINUTES | HOURS | DAYS | WEEKS} [FOLLOWING], or LIFETIME`,
		Text: `
One output and one window make the column ` + "`name`" + `; several outputs ` + "`name_alias`" + `; several windows add ` + "`_1h`, `_7d`, `_lifetime`" + `. Existing rows are
counted at once, with progress as messages and in ` + "`tilehouse.jobs`" + `; WITH NO DATA leaves that to REFRESH. OR REPLACE with the same definition
does nothing; with another one, an output over a window that was there keeps its column's name, and what comes beside it has a suffix. Features of one
relation and key share the partial states that they have in common. A start without a zone is the session's, and kept in UTC.

Lists of a row are unnested in FROM: ` + "`FROM purchases p, unnest(p.tags) AS tag`" + ` is an event for every element, and LEFT JOIN
unnest(…) ON true keeps a row without elements as one. An argument that is numeric without a precision is refused: cast it.

Attributes that change slowly are joined as of the event: ` + "`FROM purchases p ASOF LEFT JOIN plans a ON a.customer_id = p.customer_id AND p.ts >= a.ts`" + `
gives each purchase the row of plans that was in force at its time (before it, with >): the last one by event time, primary
key and then its columns. Without LEFT a purchase with no row in force does not count. The attributes are an event table, a source or an
event view, in which each change is a row of its own. A version that is newer than the events of its key costs nothing. One that was in force at events
which are there changes their values from its commit on; reads then join the rows themselves until the background has built the feature's states
anew. Earlier positions stay as they were.

In ` + "`tilehouse.features`" + `, lag is for how long something has been there that lookups do not count, as far as this server knows: 0 for event tables, whose commits count at once; of a topic, and of
a table of PostgreSQL, for how long the oldest message or change has been known (brokers say every three seconds, and with each answer, how far partitions go) that is not committed, and while they do not answer, how long ago
all was; of a dual source that of its stream side, with attributes the most of them; NULL where it is not known, while a source is suspended, and of files. lag_exceeded is whether it is more than target_lag, which
changes nothing else; metrics say the same, and docs/monitoring has an alert.

A body without an aggregate is a latest-value feature: the newest row before the instant. A version holds since its event time, and until the
next one of its key; options ` + "`valid_from`" + `, which names the event time, and ` + "`initial_valid_from = 'column'`" + ` say just that. Of a source of PostgreSQL a version holds since it became known: see CREATE SOURCE postgres. Rows without
a time become versions by an event view that gives them one. A window FOLLOWING is a label: it counts
what happens after the instant, is NULL until its source is complete, and is read by ASOF JOIN only.`,
		Options: []Option{
			{"delay", "a duration", "`0`", "the cut lies this much before the instant: what it takes until a row is known"},
			{"hop", "a duration", "none", "the window's lower end is rounded down to a multiple of it since 1970"},
			{"start", "a time", "none", "earlier events do not exist for the feature"},
			{"online", "a boolean", "`true`", "false: kept for ASOF JOIN only, lookups are refused"},
			{"max_state", "bytes", "`65536`", "bound of an exact multiset (`count(DISTINCT)`, maps); beyond it 54000"},
			{"lateness", "a duration", "that of the relation", "how long after its end a day is first settled"},
			{"target_lag", "a duration", "none", "how far lookups may be behind what is read; see lag"},
		},
		Examples: []Example{
			{"Three aggregates over two windows are six columns:", []string{
				`CREATE FEATURE cart ON customer AS
  SELECT customer_id, avg(amount) AS mean, max(amount) AS top, count(*) FILTER (WHERE declined) AS declines
  FROM purchases GROUP BY customer_id WINDOW 1 DAY, 30 DAYS`,
				`SELECT cart_mean_30d, cart_top_1d, cart_declines_30d FROM customer WHERE customer_id = 42`,
			}},
			{"The latest value, and a label:", []string{
				`CREATE FEATURE plan ON customer AS SELECT customer_id, plan FROM customers`,
				`CREATE FEATURE declined_next_3d ON customer AS
  SELECT customer_id, count(*) FROM purchases WHERE declined GROUP BY customer_id WINDOW 3 DAYS FOLLOWING`,
				`SELECT l.label_id, c.plan, c.declined_next_3d
FROM (VALUES (1, 42, timestamptz '2024-06-03 00:00:00Z'), (2, 42, '2024-06-05 12:00:00Z')) AS l(label_id, customer_id, ts)
  ASOF JOIN customer c ON c.customer_id = l.customer_id AND l.ts > c.ts ORDER BY label_id`,
			}},
		},
		See: []string{"CREATE ENTITY", "ASOF JOIN", "EXPLAIN FEATURE", "REFRESH"},
	},
}

package reference

// reads are the ways to read features.
var reads = []Statement{
	{
		Name:    "SELECT FROM an entity",
		Purpose: "Read features by key, as of now: the online lookup",
		Synopsis: `
SELECT column, … FROM entity [FOR SYSTEM_TIME AS OF time]
  WHERE key = value [AND key = value …] | key IN (value, …) | key = ANY (array)`,
		Text: `
One row comes for every distinct key that is not NULL, known or not: a key without events has a count of 0, and NULL for everything else. Row
order is not specified. Without a condition on every key, the rows are the keys that have an event in any partial of the
entity. The instant is now, or what ` + "`SET tilehouse.read_time`" + ` says. FOR SYSTEM_TIME AS OF reads what was known then: rows that were
committed later do not count. The time is a literal or a parameter.

An event table, a source or an event view FOR SYSTEM_TIME AS OF has the rows that it had then, by its columns of today; those of a table are
replayed from the log. In a view the time is fixed when the view is made.

Beside other relations the keys may also be bound by a join, an expression, a sub-SELECT, an array, or another entity's value; an alias
list reads an entity twice: ` + "`customer AS s(sender_id), customer AS r(receiver_id)`" + `.`,
		Examples: []Example{
			{"One key, and several:", []string{
				`SELECT spend_total_1d, spend_total_7d FROM customer WHERE customer_id = 42`,
				`SELECT customer_id, spend_n_7d FROM customer WHERE customer_id = ANY ('{42, 43, 999}') ORDER BY customer_id`,
			}},
			{"What was known at a time, of a customer and of the rows:", []string{
				`SELECT spend_n_7d FROM customer FOR SYSTEM_TIME AS OF '2020-01-01' WHERE customer_id = 42`,
				`SELECT count(*) FROM purchases FOR SYSTEM_TIME AS OF '2020-01-01'`,
			}},
			{"All keys:", []string{`SELECT customer_id, spend_total_7d FROM customer ORDER BY customer_id`}},
		},
		See: []string{"features_at", "features_for", "ASOF JOIN", "CREATE FEATURE"},
	},
	{
		Name:    "features_at",
		Purpose: "Read an entity's features as they were at an instant",
		Synopsis: `
SELECT column, … FROM features_at('entity', time) [WHERE key = value …]`,
		Text: `
The instant says which events count, and the newest commit which rows are known. With FOR SYSTEM_TIME AS OF it is the other way round.`,
		Examples: []Example{{"A customer's features on the fourth of June:", []string{
			`SELECT spend_total_7d, spend_n_7d FROM features_at('customer', '2024-06-04 00:00:00Z') WHERE customer_id = 42`,
		}}},
		See: []string{"SELECT FROM an entity"},
	},
	{
		Name:    "features_for",
		Purpose: "Read many keys at once, in their order",
		Synopsis: `
SELECT column, … FROM features_for('entity', array [, array …]) [AS f [(name, …)]]`,
		Text: `
There is one array for each key of the entity, and one row for each place in the arrays: in their order, repeated keys repeated. A key that is
NULL or unknown has the value of no events.`,
		Examples: []Example{{"Three places, one of them NULL:", []string{
			`SELECT customer_id, spend_n_7d FROM features_for('customer', ARRAY[43, NULL, 43])`,
		}}},
		See: []string{"SELECT FROM an entity"},
	},
	{
		Name:    "ASOF JOIN",
		Purpose: "Make a training set: for each row on the left, the features as they were at its time",
		Synopsis: `
FROM left [AS] l
  {ASOF JOIN | ASOF LEFT JOIN | ASOF INNER JOIN | LEFT ASOF JOIN} {entity [FOR SYSTEM_TIME AS OF time] | (SELECT … WINDOW …) | relation} [AS] f
    {ON f.key = l.key [AND …] [AND {l.time > f.ts | l.time >= f.ts}]
     | USING (key, …, ts) | MATCH_CONDITION (l.time >= f.ts) {ON … | USING (key, …)}} [TOLERANCE 'duration']
  [ASOF JOIN …]`,
		Text: `
A join to features drops no left row: a key without events, and a NULL key or time, has the value of no events. With ` + "`>`" + `, and where no
comparison is written, events strictly before the cut count; with ` + "`>=`" + ` those at the cut, too. The cut may be any expression over the left
row. A subquery with WINDOW is a window that no feature declares; it is served by the partial states that are there.

FOR SYSTEM_TIME AS OF joins what was known then: at one time for all rows, or, by an expression over the left row, at each row's own. The versions of
events are read once, however many times the rows say, unless events are joined to attributes that changed since or the features are labels: these are read
at each time, of which a statement then has at most 10,000.

A join to a table, a source, a view or a subquery takes its last row at or before the left time (` + "`>`" + `: before it; ` + "`<`, `<=`" + `: the first after it). Of
rows with equal times the last one counts by event time, primary key, and then the columns from first to last, NULL before every value. Such a
join is INNER unless LEFT is written, and a NULL key or time matches nothing. With TOLERANCE a row further away is no match; of a latest
value it is how long ago the value may have begun to hold.`,
		Examples: []Example{
			{"Each labelled payment with what was known just before it:", []string{
				`SELECT l.label_id, l.is_fraud, c.spend_total_1d, c.spend_n_7d
FROM labels l ASOF JOIN customer c ON c.customer_id = l.customer_id AND l.ts > c.ts ORDER BY label_id`,
			}},
			{"The payment itself counted as well, and a window of 51 hours:", []string{
				`SELECT l.label_id, c.spend_n_7d, x.n AS n_51h
FROM labels l ASOF JOIN customer c ON c.customer_id = l.customer_id AND l.ts >= c.ts
  ASOF JOIN (SELECT customer_id, count(*) AS n FROM purchases GROUP BY customer_id WINDOW 51 HOURS) x
    ON x.customer_id = l.customer_id AND l.ts >= x.ts ORDER BY label_id`,
			}},
			{"The same with what was known at the time of each payment; the purchases were written later:", []string{
				`SELECT l.label_id, c.spend_n_7d
FROM labels l ASOF JOIN customer FOR SYSTEM_TIME AS OF l.ts c ON c.customer_id = l.customer_id AND l.ts > c.ts ORDER BY label_id`,
			}},
			{"The last payment of the customer before it, of the last two days:", []string{
				`SELECT l.label_id, p.amount, p.ts
FROM labels l ASOF LEFT JOIN purchases p ON p.customer_id = l.customer_id AND l.ts > p.ts TOLERANCE '2 days' ORDER BY label_id`,
			}},
		},
		See: []string{"SELECT FROM an entity", "TABLESAMPLE", "EXPLAIN"},
	},
	{
		Name:    "TABLESAMPLE",
		Purpose: "Draw so many rows of each stratum",
		Synopsis: `
FROM relation [AS] l TABLESAMPLE stratified (rows [, expression …]) [REPEATABLE (seed)]`,
		Text: `
Rows with equal values of the expressions are a stratum; NULL is a value. Of each stratum as many rows are drawn as asked for, or all where there are
no more. Which ones depends on the rows and the seed alone: those whose hash of seed and row is least. Without REPEATABLE every execution
has a seed of its own.`,
		Examples: []Example{{"One label of each kind, with its features:", []string{
			`SELECT l.label_id, l.is_fraud, c.spend_n_7d
FROM labels l TABLESAMPLE stratified (1, is_fraud) REPEATABLE (42)
  ASOF JOIN customer c ON c.customer_id = l.customer_id AND l.ts > c.ts ORDER BY label_id`,
		}}},
		See: []string{"ASOF JOIN"},
	},
	{
		Name:    "EXPLAIN",
		Purpose: "Say which partial states, tiles, runs and rows serve a statement",
		Synopsis: `
EXPLAIN [ANALYZE] statement`,
		Text: `
ANALYZE runs the statement, and counts what was read.`,
		Examples: []Example{
			{"A lookup:", []string{`EXPLAIN SELECT spend_total_7d FROM customer WHERE customer_id = 42`}},
			{"A training join:", []string{
				`EXPLAIN SELECT l.label_id, c.spend_n_7d FROM labels l ASOF JOIN customer c ON c.customer_id = l.customer_id AND l.ts > c.ts`}},
		},
		See: []string{"EXPLAIN FEATURE"},
	},
	{
		Name:    "EXPLAIN FEATURE",
		Purpose: "Take one value apart: every partial state, tile and edge that it is put together from",
		Synopsis: `
EXPLAIN [(FORMAT {text | json})] FEATURE {feature | feature_view[.column]} FOR (key, … [, request value, …]) [AT time]`,
		Text: `
Without AT the instant is now. What is shown is what a read at that instant folds, in the same order, and the value so far with each piece.
Of a feature view the derivations come first, then what they read.`,
		Examples: []Example{{"The last seven days of a customer:", []string{`EXPLAIN FEATURE spend FOR (42) AT '2024-06-08 12:00Z'`}}},
		See:      []string{"EXPLAIN", "CREATE FEATURE"},
	},
}

package reference

var views = []Statement{
	{
		Name:    "CREATE FEATURE VIEW",
		Purpose: "Name what a model reads: columns of entities, expressions over them, and values of the request",
		Synopsis: `
CREATE [OR REPLACE] FEATURE VIEW [IF NOT EXISTS] name [WITH (option = value, …)] AS
  SELECT {column | expression [AS] name | alias.*}, …
  FROM {entity | view} [[AS] alias [(key, …)]], … [, request() AS alias(column type, …)]
DROP FEATURE VIEW [IF EXISTS] name, … [CASCADE]`,
		Text: `
A view has one row for every key. Its columns are the keys of what it reads, the request columns, its outputs, and ` + "`ts`" + ` in joins. Keys of
one name are one key; an alias list gives them other names: ` + "`customer AS s(sender_id), customer AS r(receiver_id)`" + `. Views may read views.

One engine evaluates the same text of an expression in a lookup and in an ASOF JOIN, so the bits are the same. Keys and request
columns are bound by ` + "`=`" + `, ` + "`IN`" + ` or ` + "`= ANY`" + `, in a join by equality with the left row; ` + "`amount = NULL`" + ` binds NULL. An expression has no
aggregates, subqueries or volatile functions. A view that reads a label (FOLLOWING) is for ASOF JOIN only.

OR REPLACE may add columns at the end; others keep their names and types. A feature that a view reads keeps the columns read: what would
change them is refused and names the view.`,
		Options: []Option{
			{"online", "a boolean", "`true`, of labels `false`", "false: for ASOF JOIN only, lookups are refused"},
			{"log_fraction", "a number from 0 to 1", "`0`", "the share of online reads that `tilehouse.feature_log` keeps, for 30 days"},
		},
		Examples: []Example{
			{"A ratio, and a value of the request compared with one known:", []string{
				`CREATE FEATURE amounts ON customer AS SELECT customer_id, avg(amount) AS mean FROM purchases GROUP BY customer_id WINDOW 30 DAYS`,
				`CREATE FEATURE shop_n ON merchant AS SELECT merchant_id, count(*) FROM purchases GROUP BY merchant_id WINDOW 30 DAYS`,
				`CREATE FEATURE VIEW fraud_v1 WITH (log_fraction = 1) AS
  SELECT c.spend_total_7d, c.spend_total_1d / NULLIF(c.spend_total_7d, 0) AS burst, r.amount / NULLIF(c.amounts, 0) AS vs_mean, m.shop_n
  FROM customer c, merchant m, request() AS r(amount numeric(12,2))`,
			}},
			{"Online, and as a training set:", []string{
				`SELECT * FROM fraud_v1 WHERE customer_id = 42 AND merchant_id = 7 AND amount = 99.90`,
				`SELECT l.label_id, l.is_fraud, f.burst, f.vs_mean FROM labels l
  ASOF JOIN fraud_v1 f ON f.customer_id = l.customer_id AND f.merchant_id = l.merchant_id AND f.amount = l.amount AND l.ts > f.ts
ORDER BY label_id`,
			}},
		},
		See: []string{"CREATE FEATURE", "tilehouse.skew", "ASOF JOIN", "EXPLAIN FEATURE"},
	},
	{
		Name:    "tilehouse.skew",
		Purpose: "Compare what a feature view served online with the same reads made again",
		Synopsis: `
FROM tilehouse.skew('view' [, since => time])`,
		Text: `
Each read that the view's ` + "`log_fraction`" + ` chose is made again at its instant and position, by an ASOF JOIN whose rows have a position each. For each
column: how many values were logged, how many came out with the same bits, how many did not, and one that did not. Rows that arrived
since change nothing; a view that was replaced by one with other expressions does.

` + "`tilehouse.feature_log`" + ` shows the newest 100,000 such reads of each view: an ASOF JOIN with ` + "`ts`" + ` before ` + "`read_time`" + `, FOR SYSTEM_TIME AS OF ` + "`committed`" + `, gives what
was served.`,
		Examples: []Example{
			{"Reads that were logged, compared, from an instant on and since yesterday:", []string{
				`CREATE FEATURE VIEW share WITH (log_fraction = 1) AS
  SELECT c.spend_total_1d / NULLIF(c.spend_total_7d, 0) AS burst, r.amount / c.spend_total_7d AS part FROM customer c, request() AS r(amount numeric(12,2))`,
				`SELECT burst, part FROM share WHERE customer_id IN (42, 43) AND amount = 9.90`,
				`SELECT * FROM tilehouse.skew('share', since => timestamptz '2024-06-01 00:00:00Z')`,
				`SELECT sum(different) AS different FROM tilehouse.skew('share', since => now() - INTERVAL '1 day')`,
			}},
		},
		See: []string{"CREATE FEATURE VIEW"},
	},
}

package reference

// upkeep is what keeps definitions and rows current, and shows them.
var upkeep = []Statement{
	{
		Name:    "REFRESH",
		Purpose: "Take in changed files, or compute a feature's partial states",
		Synopsis: `
REFRESH SOURCE name
REFRESH FEATURE name [FROM time TO time] [FULL]`,
		Text: `
REFRESH SOURCE looks at the files anew; added, changed and removed ones are one new position, and only the days they touch are built
again. REFRESH FEATURE computes what a feature made WITH NO DATA lacks; FULL rebuilds it from rows.`,
		Examples: []Example{{"A feature that is computed later:", []string{
			`CREATE FEATURE later_7d ON customer AS SELECT customer_id, count(*) FROM purchases GROUP BY customer_id WINDOW 7 DAYS WITH NO DATA`,
			`REFRESH FEATURE later_7d`,
			`SELECT later_7d FROM customer WHERE customer_id = 42`,
		}}},
		See: []string{"CREATE SOURCE", "CREATE FEATURE"},
	},
	{
		Name:    "SHOW",
		Purpose: "List what there is",
		Synopsis: `
SHOW {FEATURES | SOURCES | ENTITIES | MATERIALIZATIONS}`,
		Text: `
Each is a short form of a view of schema ` + "`tilehouse`" + `.`,
		Examples: []Example{{"Features and entities:", []string{`SHOW FEATURES`, `SHOW ENTITIES`}}},
	},
	{
		Name:    "DROP",
		Purpose: "Remove an object",
		Synopsis: `
DROP {TABLE | SOURCE | VIEW | ENTITY | FEATURE} [IF EXISTS] name, … [CASCADE | RESTRICT]`,
		Text: `
An object that others read is kept, and the refusal names its readers.`,
		Examples: []Example{{"A feature:", []string{
			`CREATE FEATURE short_1d ON customer AS SELECT customer_id, count(*) FROM purchases GROUP BY customer_id WINDOW 1 DAY`,
			`DROP FEATURE short_1d`,
		}}},
	},
}

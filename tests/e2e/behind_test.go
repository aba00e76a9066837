package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/tilehouse/tilehouse/tests/harness"
)

// So does a lookup of an older position, whose rows are not in the online store any more.
func TestOldLookupBeyondWhatIsFolded(t *testing.T) {
	ctx := context.Background()
	conn := harness.Start(t, harness.Options{MemoryLimit: 160 << 20, NoSettle: true}).Connect(t)
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TABLE events (k bigint, ts timestamptz NOT NULL) WITH (event_time = 'ts')`)
	exec(`CREATE ENTITY e (k bigint)`)
	exec(`CREATE FEATURE n ON e AS SELECT k, count(*) FROM events GROUP BY k WINDOW 1 DAY`)
	exec("SET tilehouse.read_time = '2024-06-01 12:00Z'")
	const rows = 250_000
	for round := 1; round <= 3; round++ {
		exec(fmt.Sprintf("INSERT INTO events SELECT g %% 100, TIMESTAMPTZ '2024-06-01 00:00Z' + g * INTERVAL '1 millisecond' FROM generate_series(1, %d) g", rows))
		var then string
		if err := conn.QueryRow(ctx, "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || 'Z'").Scan(&then); err != nil {
			t.Fatal(err)
		}
		exec("INSERT INTO events VALUES (7, '2024-06-01 00:00:00Z')")
		var old, now int64
		if err := conn.QueryRow(ctx, fmt.Sprintf("SELECT n FROM e FOR SYSTEM_TIME AS OF '%s' WHERE k = 7", then)).Scan(&old); err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRow(ctx, "SELECT n FROM e WHERE k = 7").Scan(&now); err != nil {
			t.Fatal(err)
		}
		if want := int64(round*rows/100 + round - 1); old != want || now != want+1 {
			t.Errorf("after %d rows key 7 had %d, and has %d, want %d", round*rows, old, now, want)
		}
	}
}

// A training set over more new rows than a read takes by itself, which the background has not folded yet, waits for them: it is no error.
func TestJoinBeyondWhatIsFolded(t *testing.T) {
	ctx := context.Background()
	conn := harness.Start(t, harness.Options{MemoryLimit: 160 << 20, NoSettle: true}).Connect(t)
	for _, sql := range []string{
		`CREATE TABLE events (k bigint, ts timestamptz NOT NULL) WITH (event_time = 'ts')`,
		`CREATE ENTITY e (k bigint)`,
		`CREATE FEATURE n ON e AS SELECT k, count(*) FROM events GROUP BY k WINDOW 1 DAY`,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	const rows = 250_000
	for round := 1; round <= 3; round++ {
		if _, err := conn.Exec(ctx, fmt.Sprintf("INSERT INTO events SELECT g %% 100, TIMESTAMPTZ '2024-06-01 00:00Z' + g * INTERVAL '1 millisecond' FROM generate_series(1, %d) g", rows)); err != nil {
			t.Fatal(err)
		}
		var n, keys int64
		if err := conn.QueryRow(ctx, `SELECT sum(f.n), count(*) FROM (SELECT g AS k, TIMESTAMPTZ '2024-06-01 12:00Z' AS at FROM generate_series(0, 99) g) l
			ASOF JOIN e f ON f.k = l.k AND l.at > f.ts`).Scan(&n, &keys); err != nil {
			t.Fatal(err)
		}
		if n != int64(round*rows) || keys != 100 {
			t.Errorf("after %d rows %d are counted, of %d keys", round*rows, n, keys)
		}
	}
}

package streams

import (
	"testing"
	"time"
)

// How far a feature's lookups are behind: not at all while its topic is read, and longer and longer while the broker does not answer, until it has
// all again.
func TestTargetLag(t *testing.T) {
	bus, line, client := cuttable(t, 2)
	conn := start(t, bus)
	exec(t, conn, source("s", ""))
	exec(t, conn, "CREATE TABLE own (id bigint PRIMARY KEY, k bigint, ts timestamptz NOT NULL) WITH (event_time = 'ts'); CREATE ENTITY e (k bigint)")
	exec(t, conn, "CREATE FEATURE near ON e WITH (target_lag = '5 seconds') AS SELECT k, count(*) FROM s GROUP BY k WINDOW LIFETIME")
	exec(t, conn, "CREATE FEATURE free ON e AS SELECT k, count(*) FROM s GROUP BY k WINDOW 1 DAY")
	exec(t, conn, "CREATE FEATURE own_n ON e WITH (target_lag = '1 millisecond') AS SELECT k, count(*) FROM own GROUP BY k WINDOW LIFETIME")
	produce(t, client, "events", 0, events(0, 5)...)
	eventually(t, conn, "SELECT count(*)::text FROM s", "5")
	rows := "SELECT string_agg(concat_ws(' ', name, lag < INTERVAL '5 seconds', target_lag, lag_exceeded), ', ' ORDER BY name) FROM tilehouse.features"
	eventually(t, conn, rows, "free true, near true 00:00:05 false, own_n true 00:00:00.001 false")
	eventually(t, conn, "SELECT lag::text FROM tilehouse.features WHERE name = 'near'", "00:00:00")
	line.set("closed")
	began := time.Now()
	eventually(t, conn, "SELECT lag_exceeded::text FROM tilehouse.features WHERE name = 'near'", "true")
	took := time.Since(began)
	// The last time that all was known to be there is at most a probe before the cut.
	if took < time.Second || took > 12*time.Second {
		t.Errorf("a lag of 5 seconds shows %v after the broker was gone", took)
	}
	produce(t, client, "events", 1, events(5, 9)...)
	eventually(t, conn, "SELECT concat_ws(' ', name, lag > INTERVAL '5 seconds', lag_exceeded) FROM tilehouse.features WHERE name = 'near'", "near true true")
	eventually(t, conn, "SELECT concat_ws(' ', lag > INTERVAL '5 seconds', lag_exceeded) FROM tilehouse.features WHERE name = 'free'", "true")
	line.set("")
	eventually(t, conn, "SELECT count(*)::text FROM s", "9")
	eventually(t, conn, rows, "free true, near true 00:00:05 false, own_n true 00:00:00.001 false")
	exec(t, conn, "ALTER FEATURE near SET (target_lag = '1 hour')")
	eventually(t, conn, "SELECT target_lag::text FROM tilehouse.features WHERE name = 'near'", "01:00:00")
	exec(t, conn, "ALTER FEATURE near RESET (target_lag)")
	eventually(t, conn, "SELECT concat_ws(' ', name, target_lag, lag_exceeded) FROM tilehouse.features WHERE name = 'near'", "near")
	exec(t, conn, "ALTER SOURCE s SUSPEND")
	eventually(t, conn, "SELECT concat_ws(' ', name, lag) FROM tilehouse.features WHERE name = 'near'", "near")
}

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestJobLine(t *testing.T) {
	total, percent, left := int64(20_000_000), int64(42), int64(75)
	ended := time.UnixMilli(12_340)
	for want, j := range map[string]jobRow{
		"spend: reading rows, 42 %, 9,000,000 of 20,000,000 rows (4,000,000 kept), 181 days, 500,000 rows/s, 1m15s left": {
			Object: "spend", Stage: "reading rows", Rows: 5_000_000, Kept: 4_000_000, Total: &total, Percent: &percent, Left: &left, Days: 181, Rate: 500_000},
		"lake: starting, 0 rows, 0 rows/s": {Object: "lake", Stage: "starting"},
		"spend: done, 20,000,000 of 20,000,000 rows, 7 keys, 1,620,745 rows/s, took 12.3s": {
			Object: "spend", Stage: "done", Rows: total, Total: &total, Percent: &percent, Keys: 7, Rate: 1_620_745, Started: time.UnixMilli(0), Ended: &ended},
		"spend: failed, 0 rows, 0 rows/s, took 12.3s: no space": {Object: "spend", Stage: "failed", Started: time.UnixMilli(0), Ended: &ended, Error: "no space"},
	} {
		if got := j.line(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestBars draws two jobs, of which one ends, as on a terminal.
func TestBars(t *testing.T) {
	var out bytes.Buffer
	total, percent := int64(1000), int64(50)
	ended := time.Now()
	a := jobRow{ID: 1, Object: "spend", Stage: "reading rows", Rows: 500, Total: &total, Percent: &percent}
	b := jobRow{ID: 2, Object: "lake", Stage: "writing runs", Rows: 7}
	d := &bars{out: &out, jobs: map[int64]*bar{}}
	d.show([]jobRow{a, b})
	if len(d.jobs) != 2 {
		t.Fatalf("%d bars", len(d.jobs))
	}
	b.Ended = &ended
	d.show([]jobRow{a, b})
	if len(d.jobs) != 1 || d.jobs[1] == nil {
		t.Fatalf("the bar of a job that ended stays: %d", len(d.jobs))
	}
	d.close()
	d.close()
}

// TestShowJobs runs a backfill and asks for it from the command line, by a connection of its own.
func TestShowJobs(t *testing.T) {
	r, err := start(t.Context(), &serveConfig{data: t.TempDir(), listen: "127.0.0.1:0", logLevel: "warn"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := r.engine.Close(); err != nil {
			t.Error(err)
		}
	}()
	host, port, _ := strings.Cut(r.addr(), ":")
	connect := withDefaults("host=" + host + " port=" + port)
	var out bytes.Buffer
	if err := showJobs(t.Context(), &out, connect, false); err != nil || out.String() != "no job ran since the server started\n" {
		t.Fatalf("%v: %s", err, out.String())
	}
	conn, err := pgx.Connect(t.Context(), connect)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, sql := range []string{
		"CREATE TABLE t (k bigint, ts timestamptz NOT NULL) WITH (event_time = 'ts')",
		"INSERT INTO t SELECT i % 7, TIMESTAMPTZ '2024-01-01 00:00:00Z' + i * INTERVAL '1 minute' FROM generate_series(1, 5000) AS g(i)",
		"CREATE ENTITY e (k bigint)",
		"CREATE FEATURE f ON e AS SELECT k, count(*) FROM t GROUP BY k WINDOW 1 DAY",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(sql, err)
		}
	}
	if err := showJobs(t.Context(), &out, connect, false); err != nil || !strings.Contains(out.String(), "f: done, 5,000 of 5,000 rows, 4 days, 7 keys") {
		t.Fatalf("%v: %s", err, out.String())
	}
	jobs, err := readJobs(t.Context(), conn)
	if err != nil || len(jobs) != 1 || jobs[0].Percent == nil || *jobs[0].Percent != 100 {
		t.Errorf("%v %+v", err, jobs)
	}
	if err := showJobs(t.Context(), &out, "host=127.0.0.1 port=1", false); err == nil {
		t.Error("no server, and no error")
	}
}

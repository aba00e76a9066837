package crash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/tests/harness"
)

// script is a workload of steps that each change rows or definitions, and the model of what is there.
type script struct {
	t        *testing.T
	srv      *harness.Server
	conn     *pgx.Conn
	rows     map[int64]row
	aged     map[int64]bool    // rows of a table that keeps a day, nil: there is none; row i is i minutes after base
	features map[string]string // to the column of feature extra that counts rows of x > 5
}

// step is a change. run does it; then says what is there afterwards.
type step struct {
	name string
	run  func(s *script) error
	then func(s *script)
}

func sqlStep(sql string, then func(s *script)) step {
	return step{name: sql, then: then, run: func(s *script) error {
		_, err := s.conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol)
		return err
	}}
}

// someRow is the row of an id: its keys, values and times repeat, and each 40 ids are a day.
func someRow(id int64) row {
	return row{k: id * 7 % keys, x: id*37%1000 - 500, f: float64(id%97) / 7, ts: base + id*36*60_000_000 + id*id%1_000_000}
}

func literal(id int64, r row) string {
	return fmt.Sprintf("(%d, %d, %d, %v, '%s')", id, r.k, r.x, r.f, stamp(r.ts))
}

func stamp(micros int64) string {
	return time.UnixMicro(micros).UTC().Format("2006-01-02 15:04:05.999999Z07:00")
}

func addRows(from, to int64) func(s *script) {
	return func(s *script) {
		for id := from; id < to; id++ {
			s.rows[id] = someRow(id)
		}
	}
}

func insertStep(from, to int64) step {
	var values []string
	for id := from; id < to; id++ {
		values = append(values, literal(id, someRow(id)))
	}
	return sqlStep("INSERT INTO ev VALUES "+strings.Join(values, ", "), addRows(from, to))
}

func copyStep(from, to int64) step {
	return step{name: fmt.Sprintf("COPY of %d rows", to-from), then: addRows(from, to), run: func(s *script) error {
		var text strings.Builder
		for id := from; id < to; id++ {
			r := someRow(id)
			fmt.Fprintf(&text, "%d\t%d\t%d\t%v\t%s\n", id, r.k, r.x, r.f, stamp(r.ts))
		}
		_, err := s.conn.PgConn().CopyFrom(context.Background(), strings.NewReader(text.String()), "COPY ev FROM STDIN")
		return err
	}}
}

// settleStep publishes the days that ended and folds tails into runs, which else happens in the background.
func settleStep() step {
	return step{name: "settle", then: func(*script) {}, run: func(s *script) error { return s.srv.Engine.Settle(context.Background()) }}
}

func (s *script) change(want func(id int64, r row) bool, to func(r *row)) {
	for id, r := range s.rows {
		if want(id, r) {
			to(&r)
			s.rows[id] = r
		}
	}
}

func unchanged(*script) {}

// steps are the workload: every kind of write, over every mechanism that writes.
func steps() []step {
	transaction := step{name: "transaction", run: func(s *script) error {
		tx, err := s.conn.Begin(context.Background())
		if err != nil {
			return err
		}
		defer tx.Rollback(context.Background()) // after a commit it does nothing
		for _, sql := range []string{"INSERT INTO ev VALUES " + literal(900, someRow(900)), "UPDATE ev SET x = x + 1 WHERE id = 900 OR id = 3", "DELETE FROM ev WHERE id = 4"} {
			if _, err := tx.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}
		}
		return tx.Commit(context.Background())
	}, then: func(s *script) {
		s.rows[900] = someRow(900)
		s.change(func(id int64, _ row) bool { return id == 900 || id == 3 }, func(r *row) { r.x++ })
		delete(s.rows, 4)
	}}
	return []step{
		insertStep(100, 103),
		copyStep(110, 400),
		sqlStep(fmt.Sprintf("UPDATE ev SET x = x + 1, k = (k + 1) %% %d, ts = ts + INTERVAL '1 hour' WHERE id %% 9 = 2", keys), func(s *script) {
			s.change(func(id int64, _ row) bool { return id%9 == 2 }, func(r *row) { r.x, r.k, r.ts = r.x+1, (r.k+1)%keys, r.ts+3_600_000_000 })
		}),
		sqlStep("DELETE FROM ev WHERE id % 11 = 5", func(s *script) {
			maps.DeleteFunc(s.rows, func(id int64, _ row) bool { return id%11 == 5 })
		}),
		transaction,
		settleStep(),
		sqlStep("CREATE FEATURE extra ON ent AS SELECT k, max(f) AS top, count(*) FILTER (WHERE x > 5) AS many FROM ev GROUP BY k WINDOW 7 DAYS",
			func(s *script) { s.features["extra"] = "extra_many" }),
		copyStep(1000, 2500),
		settleStep(),
		sqlStep("REFRESH FEATURE feat", unchanged),
		sqlStep("DROP FEATURE extra", func(s *script) { delete(s.features, "extra") }),
		sqlStep("CREATE FEATURE extra ON ent AS SELECT k, count(*) AS many FROM ev WHERE x > 5 GROUP BY k WINDOW 7 DAYS",
			func(s *script) { s.features["extra"] = "extra" }),
		insertStep(2500, 2510),
		settleStep(),
		sqlStep("CREATE TABLE aged (i bigint PRIMARY KEY, ts timestamptz NOT NULL) WITH (event_time = 'ts', retention = '1 day')", func(s *script) { s.aged = map[int64]bool{} }),
		agedStep(0, 2000),
		settleStep(),
		agedStep(4000, 6000), // of before, nothing is kept
		settleStep(),         // what is dropped is trimmed from the log
		agedStep(7000, 7100),
		settleStep(),
	}
}

// agedStep adds rows to the table that keeps a day.
func agedStep(from, to int64) step {
	return sqlStep(fmt.Sprintf("INSERT INTO aged SELECT i, TIMESTAMPTZ '%s' + i * INTERVAL '1 minute' FROM generate_series(%d, %d) AS g(i)", stamp(base), from, to-1), func(s *script) {
		for i := from; i < to; i++ {
			s.aged[i] = true
		}
	})
}

// kept are the rows of the table that keeps a day, but for those that it need not have.
func (s *script) kept() (out []string) {
	newest := int64(0)
	for i := range s.aged {
		newest = max(newest, i)
	}
	const day = 24 * 60
	for _, i := range slices.Sorted(maps.Keys(s.aged)) {
		if i >= (newest-day)/day*day {
			out = append(out, fmt.Sprint(i))
		}
	}
	return out
}

func (s *script) read(sql string) []string {
	s.t.Helper()
	conn := connect(s.t, s.srv.DSN) // a new session each time: those must work on a full disk, too
	defer conn.Close(context.Background())
	return text(s.t, conn, sql)
}

// lines are the rows of ev.
func (s *script) lines() (out []string) {
	for _, id := range slices.Sorted(maps.Keys(s.rows)) {
		r := s.rows[id]
		out = append(out, fmt.Sprintf("%d|%d|%d|%d", id, r.k, r.x, r.ts))
	}
	return out
}

// value is what the features of a key are at a time: feat_n_7d, feat_total_7d, feat_n_lifetime, and with extra that one.
func (s *script) value(k, at int64, extra bool) string {
	var n, total, ever, many int64
	for _, r := range s.rows {
		if r.k != k || r.ts >= at {
			continue
		}
		ever++
		if r.ts >= at-window {
			n, total = n+1, total+r.x
			if r.x > 5 {
				many++
			}
		}
	}
	out := fmt.Sprintf("%d|%d|%d", n, total, ever)
	if n == 0 {
		out = fmt.Sprintf("0|NULL|%d", ever)
	}
	if extra {
		out += fmt.Sprintf("|%d", many)
	}
	return out
}

// reads compares rows, features, lookups and an ASOF join with the model, or with one or the other of two: while a commit waits
// for space, a lookup may see it already. It returns what differs first, "" if nothing does.
func (s *script) reads(or ...*script) string {
	s.t.Helper()
	models := append([]*script{s}, or...)
	either := func(is func(m *script) bool) bool { return slices.ContainsFunc(models, is) }
	got := s.read("SELECT id, k, x, (extract(epoch FROM ts) * 1000000)::bigint FROM ev ORDER BY id")
	if !either(func(m *script) bool { return slices.Equal(got, m.lines()) }) {
		return fmt.Sprintf("SELECT gives %d rows, there are %d", len(got), len(s.rows))
	}
	if !either(func(m *script) bool { return m.aged == nil }) {
		all := s.read("SELECT i FROM aged ORDER BY i")
		if !either(func(m *script) bool {
			kept := m.kept()
			return len(all) >= len(kept) && slices.Equal(all[len(all)-len(kept):], kept)
		}) {
			return fmt.Sprintf("the table that keeps a day has %d rows, which are not the %d that are kept", len(all), len(s.kept()))
		}
	}
	names := s.read("SELECT name FROM tilehouse.features WHERE state = 'ready' ORDER BY name")
	at := slices.IndexFunc(models, func(m *script) bool { return slices.Equal(names, slices.Sorted(maps.Keys(m.features))) })
	if at < 0 {
		return fmt.Sprintf("features %v, not %v", names, s.features)
	}
	columns, extra := "feat_n_7d, feat_total_7d, feat_n_lifetime", models[at].features["extra"]
	if extra != "" {
		columns += ", " + extra
	}
	conn := connect(s.t, s.srv.DSN)
	defer conn.Close(context.Background())
	for _, at := range []int64{base + 2*window, someRow(300).ts, someRow(2400).ts + 1} {
		text(s.t, conn, "SET tilehouse.read_time = '"+stamp(at)+"'")
		for k := range int64(keys + 1) {
			got := strings.Join(text(s.t, conn, fmt.Sprintf("SELECT %s FROM ent WHERE k = %d", columns, k)), "; ")
			if !either(func(m *script) bool { return got == m.value(k, at, extra != "") }) {
				return fmt.Sprintf("lookup of key %d at %s gives %q, the rows %q", k, stamp(at), got, s.value(k, at, extra != ""))
			}
		}
	}
	got = s.read("SELECT l.id, " + columns + " FROM labels l ASOF JOIN ent e ON e.k = l.k AND l.ts > e.ts ORDER BY l.id")
	if len(got) != labelCount {
		return fmt.Sprintf("ASOF join gives %d rows of %d", len(got), labelCount)
	}
	for i, line := range got {
		want := func(m *script) string {
			return fmt.Sprintf("%d|%s", i, m.value(int64(i)%(keys+1), base+int64(i)*21*3_600_000_000, extra != ""))
		}
		if !either(func(m *script) bool { return line == want(m) }) {
			return fmt.Sprintf("ASOF join gives %q, the rows %q", line, want(s))
		}
	}
	return ""
}

const labelCount = 60

// noSpace reports whether a step was refused because the disk is full.
func noSpace(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code == "53100"
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, reclog.ErrDiskFull)
}

// hangsAfter is how long a step may take on a full disk before it counts as one that waits for space.
const hangsAfter = 300 * time.Millisecond

// fullAt runs the script on a disk that gets full at its n-th write, 0: never; hard: whatever is removed. It returns the writes of
// the whole script and what became of the step that met the full disk.
func fullAt(t *testing.T, n int, hard bool) (writes int, outcome string) {
	t.Helper()
	current := "the first steps"
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("full at write %d, hard %t, at %.80s: %s", n, hard, current, fmt.Sprintf(format, args...))
	}
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d := newDisk(hard)
	mem := &hookFS{FS: vfs.NewMem(), hook: d}
	start := func() *harness.Server {
		return harness.Start(t, harness.Options{Dir: dir, FS: mem, MemTable: 64 << 10, MemoryLimit: 256 << 20, NoSettle: true,
			Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	}
	s := &script{t: t, srv: start(), rows: map[int64]row{}, features: map[string]string{"feat": ""}}
	s.conn = connect(t, s.srv.DSN)
	for _, sql := range []string{
		"CREATE TABLE ev (id bigint PRIMARY KEY, k bigint NOT NULL, x bigint, f double precision, ts timestamptz NOT NULL) WITH (event_time = 'ts')",
		"CREATE ENTITY ent (k bigint)",
		"CREATE FEATURE feat ON ent AS SELECT k, count(*) AS n, sum(x) AS total, sum(f) AS exact, last_k(x, 3) AS newest FROM ev GROUP BY k WINDOW 7 DAYS, LIFETIME",
		"CREATE TABLE labels (id integer, k bigint, ts timestamptz)",
		fmt.Sprintf("INSERT INTO labels SELECT i, i %% %d, TIMESTAMPTZ '2024-03-01 00:00:00+00' + i * INTERVAL '21 hours' FROM generate_series(0, %d) AS g(i)", keys+1, labelCount-1),
	} {
		text(t, s.conn, sql)
	}
	first := insertStep(0, 60)
	if err := first.run(s); err != nil {
		t.Fatal(err)
	}
	first.then(s)

	check := func(when string) {
		t.Helper()
		if differs := s.reads(); differs != "" {
			fail("%s: %s", when, differs)
		}
	}
	// retry runs a step until it is not refused any more, now that there is space.
	retry := func(st step) {
		t.Helper()
		for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
			err := st.run(s)
			if err == nil {
				st.then(s)
				return
			}
			if !noSpace(err) || time.Since(began) > spaceBound {
				fail("with space again, after %v: %v", time.Since(began), err)
			}
		}
	}
	probe := insertStep(5000, 5001)
	d.fill(n)
	for _, st := range steps() {
		if current = st.name; outcome != "" {
			retry(st)
			continue
		}
		ended := make(chan error, 1)
		go func() { ended <- st.run(s) }()
		var err error
		hangs := false
		select {
		case err = <-ended:
		case <-d.full:
			select {
			case err = <-ended:
			case <-time.After(hangsAfter):
				hangs = true
			}
		}
		if !hangs && err == nil {
			st.then(s)
		}
		if !d.isFullNow() {
			if err != nil {
				fail("with space: %v", err)
			}
			continue
		}
		switch {
		case hangs:
			outcome = "waited"
			after := &script{rows: maps.Clone(s.rows), features: maps.Clone(s.features), aged: maps.Clone(s.aged)}
			st.then(after)
			if differs := s.reads(after); differs != "" {
				fail("full disk, while the step waits: %s", differs)
			}
		case err == nil:
			outcome = "done"
			check("full disk, after the step")
		case noSpace(err):
			outcome = "refused"
			check("full disk, after the step was refused")
		default:
			fail("on a full disk: %v", err)
		}
		if !hangs {
			err := probe.run(s)
			switch {
			case err == nil && !hard: // what was removed made room
				probe.then(s)
			case err == nil || !noSpace(err):
				fail("an INSERT on a full disk: %v, not 53100", err)
			}
			check("full disk, after an INSERT")
		}
		d.free()
		if hangs {
			select {
			case err = <-ended:
			case <-time.After(spaceBound):
				fail("still waits %v after space was freed", spaceBound)
			}
			if err == nil {
				st.then(s)
			} else if !noSpace(err) {
				fail("after space was freed: %v", err)
			}
		}
		check("space again")
		if err != nil {
			retry(st)
		}
	}
	current = "the end"
	if d.isFullNow() {
		outcome = "done"
		check("full disk")
	}
	d.free() // also where the n-th write never came
	writes = d.count()
	check("all steps done")
	s.conn.Close(context.Background())
	s.srv.Stop()
	s.srv = start()
	check("after a restart")
	for name := range s.features {
		s.read("REFRESH FEATURE " + name)
	}
	check("after a rebuild")
	s.srv.Stop()
	return writes, outcome
}

// The disk gets full at any write of a workload that reaches everything that writes. Reads go on and are right, in sessions opened
// then, too; what is refused is refused with 53100 and leaves nothing; with space again everything goes on without a restart, and
// after one it is as it was. Twice: removing files makes room, as on a disk; and it does not, as where somebody else fills it.
func TestNoSpaceAtAnyWrite(t *testing.T) {
	_, seed := roundsAndSeed(t, 0)
	r := rand.New(rand.NewPCG(seed, 2))
	writes, _ := fullAt(t, 0, false)
	at := r.Perm(writes)
	if !soak() {
		at = at[:3]
	}
	outcomes := map[string]int{}
	for _, i := range at {
		for _, hard := range []bool{false, true} {
			t.Run(fmt.Sprintf("write=%d,hard=%t", i+1, hard), func(t *testing.T) {
				_, outcome := fullAt(t, i+1, hard)
				outcomes[outcome]++
			})
			if t.Failed() {
				return
			}
		}
	}
	delete(outcomes, "") // a run that had fewer writes
	report(t, fmt.Sprintf("no space: full at each of %d of %d writes, with and without room after removals: the step at it was done, refused or waited %v; reads were right, writes resumed",
		len(at), writes, outcomes))
}

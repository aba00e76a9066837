package crash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tilehouse/tilehouse/tests/harness"
)

// gate is a hook that lets every op pass until the power fails, and holds up all that come after.
type gate struct {
	left   atomic.Int64 // ops until the power fails; less than 1: never by itself
	failed chan struct{}
	mu     sync.RWMutex // read-locked by an op under way, locked from the failure until release
	seen   *written
}

// written counts files that got whole: it shows that the workload reached the mechanisms.
type written struct{ runs, sorted atomic.Int64 }

// newGate is a gate where the power fails before the n-th op, 0: not by itself.
func (m *machine) newGate(n int64) *gate {
	g := &gate{failed: make(chan struct{}), seen: &m.seen}
	g.left.Store(n)
	return g
}

func (g *gate) begin(o *op) (end func(), err error) {
	if g.left.Add(-1) == 0 {
		g.mu.Lock()
		close(g.failed)
	}
	g.mu.RLock()
	switch {
	case o.kind == opRename && strings.Contains(o.to, "/runs/"):
		g.seen.runs.Add(1)
	case o.kind == opCreate && strings.HasSuffix(o.name, ".sst"):
		g.seen.sorted.Add(1)
	}
	return g.mu.RUnlock, nil
}

// fail makes the power fail now, if it has not failed already, and returns when no op is under way.
func (g *gate) fail() {
	if g.left.Swap(-1<<62) > 0 {
		g.mu.Lock()
		close(g.failed)
	}
	<-g.failed
}

// release lets ops pass again: what was held up ends in a world that nobody looks at.
func (g *gate) release() { g.mu.Unlock() }

// The ops of one round's work: small numbers are as likely as large ones.
const (
	minOps = 20
	maxOps = 8_000
)

// workload is what a machine works at, and what was acknowledged of it.
type workload interface {
	define(t *testing.T, dsn string)
	begin(ctx context.Context, dsn string) (wait func())
	check(t *testing.T, dsn string, round int, rng *rand.Rand) (rows, unknown int)
	transactions() int
	definitions() int
}

// machine is a workload on a file system that can lose what was not synced.
type machine struct {
	workload
	t    *testing.T
	rng  *rand.Rand
	fs   *vfs.MemFS
	dir  string
	seen written
	lost map[string]int // how often DuckDB's projections were kept, old, gone
}

// DuckDB writes its databases itself, outside the file system that crashes. tables.duckdb holds ordinary tables; it is DuckDB's to
// sync it, and the test keeps what DuckDB wrote. projections.duckdb is derived from the log of record: it may be as new as the
// log allows, of an earlier start, or gone.
const (
	tablesFile      = "tables.duckdb"
	projectionsFile = "projections.duckdb"
)

func (m *machine) start(g *gate) *harness.Server {
	return harness.Start(m.t, harness.Options{Dir: m.dir, FS: &hookFS{FS: m.fs, hook: g}, MemTable: 32 << 10, MemoryLimit: 256 << 20,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
}

// copyDuck copies a database of DuckDB and its log of writes, when nothing has changed either for a while.
func copyDuck(t *testing.T, from, to, name string) {
	t.Helper()
	states := func() string {
		var out string
		for _, n := range []string{name, name + ".wal"} {
			if info, err := os.Stat(filepath.Join(from, n)); err == nil {
				out += fmt.Sprint(n, info.Size(), info.ModTime())
			}
		}
		return out
	}
	for was := ""; ; {
		now := states()
		if now == was {
			break
		}
		was = now
		time.Sleep(15 * time.Millisecond)
	}
	for _, n := range []string{name, name + ".wal"} {
		data, err := os.ReadFile(filepath.Join(from, n))
		if errors.Is(err, os.ErrNotExist) {
			err = os.RemoveAll(filepath.Join(to, n))
		} else if err == nil {
			err = os.WriteFile(filepath.Join(to, n), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// crash takes what is left after the power failed. Every op is held up meanwhile; stop ends the clients.
func (m *machine) crash(g *gate, stop func(), s func() *harness.Server) {
	saved := m.t.TempDir()
	after := m.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 0, 10, 50, 100}[m.rng.IntN(5)], RNG: m.rng})
	stop()
	copyDuck(m.t, m.dir, saved, tablesFile)
	copyDuck(m.t, m.dir, saved, projectionsFile)
	g.release()
	s().Stop()
	m.fs = after
	copyDuck(m.t, saved, m.dir, tablesFile)
	what := "kept"
	switch old := filepath.Join(m.dir, "..", "old"); m.rng.IntN(5) {
	case 0:
		what = "gone"
		copyDuck(m.t, filepath.Join(m.dir, "nothing"), m.dir, projectionsFile)
	case 1:
		if _, err := os.Stat(old); err == nil {
			what = "old"
			copyDuck(m.t, old, m.dir, projectionsFile)
		}
	case 2:
		if err := os.MkdirAll(old, 0o755); err != nil {
			m.t.Fatal(err)
		}
		copyDuck(m.t, saved, old, projectionsFile)
		fallthrough
	default:
		copyDuck(m.t, saved, m.dir, projectionsFile)
	}
	m.lost[what]++
}

func newMachine(t *testing.T, rng *rand.Rand, w workload) *machine {
	m := &machine{workload: w, t: t, rng: rng, fs: vfs.NewCrashableMem(), dir: filepath.Join(t.TempDir(), "data"), lost: map[string]int{}}
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := m.start(m.newGate(0))
	m.define(t, s.DSN)
	s.Stop()
	return m
}

// The power fails at a random op of a random workload, or of a start, and a random part of what was not synced is lost. The next
// start is as quick as ever, every acknowledged row is there exactly once, transactions are whole or absent, and derived state
// equals one rebuilt from rows.
func TestPowerLoss(t *testing.T) {
	rounds, seed := roundsAndSeed(t, 6)
	loseThePower(t, "power loss", rounds, seed, rand.New(rand.NewPCG(seed, 1)), func(rng *rand.Rand) workload { return newModels(rng) })
}

// The same of a table with a retention: nothing that was acknowledged and is kept is lost, and nothing that was dropped comes back, also
// after the log was trimmed.
func TestPowerLossWithRetention(t *testing.T) {
	rounds, seed := roundsAndSeed(t, 5)
	var worlds []*agingWorld
	loseThePower(t, "power loss with retention", rounds, seed, rand.New(rand.NewPCG(seed, 4)), func(rng *rand.Rand) workload {
		worlds = append(worlds, newAgingWorld(rng))
		return worlds[len(worlds)-1]
	})
	trimmed := int64(0)
	for _, w := range worlds {
		trimmed += w.trimmed
	}
	report(t, fmt.Sprintf("power loss with retention: %d rows trimmed from the log", trimmed))
}

func loseThePower(t *testing.T, name string, rounds int, seed uint64, rng *rand.Rand, work func(rng *rand.Rand) workload) {
	var m *machine
	var slowest time.Duration
	var rows, unknown, starting, transactions, definitions int
	var runs, sorted int64
	lost := map[string]int{}
	tally := func() {
		transactions, definitions = transactions+m.transactions(), definitions+m.definitions()
		runs, sorted = runs+m.seen.runs.Load(), sorted+m.seen.sorted.Load()
	}
	for round := range rounds {
		if round%perDir == 0 {
			if m != nil {
				tally()
			}
			m = newMachine(t, rng, work(rng))
			m.lost = lost
		}
		if rng.IntN(4) == 0 && m.crashWhileStarting(1+rng.Int64N(40)) {
			starting++
		}
		g := m.newGate(0)
		began := time.Now()
		s := m.start(g)
		took := time.Since(began)
		slowest = max(slowest, took)
		if took > startBound {
			t.Errorf("round %d: ready after %v, more than %v", round, took, startBound)
		}
		n, u := m.check(t, s.DSN, round, rng)
		rows, unknown = rows+n, unknown+u
		if t.Failed() {
			t.Fatalf("round %d of seed %d failed", round, seed)
		}
		ctx, cancel := context.WithCancel(context.Background())
		g.left.Store(minOps + int64(math.Exp(rng.Float64()*math.Log(maxOps))))
		wait := m.begin(ctx, s.DSN)
		select {
		case <-g.failed:
		case <-time.After(time.Duration(50+rng.IntN(1000)) * time.Millisecond):
			g.fail()
		}
		m.crash(g, func() { cancel(); wait() }, func() *harness.Server { return s })
	}
	s := m.start(m.newGate(0))
	n, u := m.check(t, s.DSN, rounds, rng)
	tally()
	report(t, fmt.Sprintf("%s: %d at work and %d more while starting: %d rows compared, %d transactions acknowledged, %d of unknown fate whole or absent, %d definitions, %d run files and %d sorted files written, projections %v, slowest start %v",
		name, rounds, starting, rows+n, transactions, unknown+u, definitions, runs, sorted, lost, slowest.Round(time.Millisecond)))
}

// crashWhileStarting lets the power fail before the n-th op of a start; false: a start has fewer.
func (m *machine) crashWhileStarting(n int64) bool {
	g := m.newGate(n)
	started := make(chan *harness.Server, 1)
	go func() { started <- m.start(g) }()
	select {
	case <-g.failed:
		m.crash(g, func() {}, func() *harness.Server { return <-started })
		return true
	case s := <-started:
		g.left.Store(0)
		select {
		case <-g.failed: // the start's own background work came to it
			m.crash(g, func() {}, func() *harness.Server { return s })
			return true
		default:
			s.Stop()
			return false
		}
	}
}

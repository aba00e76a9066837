package materialize

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/runs"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tiles"
)

// Config is what a Manager works with. The stores are owned by the caller and closed after it.
type Config struct {
	Dir     string // holds run files and spill files
	FS      vfs.FS
	Log     *reclog.Log
	DB      *duck.DB
	Tiles   *tiles.Store
	Catalog *schema.Registry
	Roots   Roots
	Memory  int64 // bytes for one join or backfill
	// Spare is how many bytes others leave now, some of which fresh and recent rows may take. nil: none.
	Spare    func() int64
	Threads  int
	Logger   *slog.Logger
	Clock    func() time.Time
	Tracer   trace.Tracer // makes spans of builds, and of folding; nil: there are none
	NoSettle bool         // for tests: days are settled when a test says so
	Days     event.Days   // what daily states are of, those of Tiles too; 0: UTC days. Tests have others
	// FreshRows is how many rows a commit inserts at least that are kept fresh, in front of the tiles, until they are folded; 0:
	// DefaultFreshRows.
	FreshRows int
	// PortionRows is how many rows a build reads between two checkpoints; 0: DefaultPortionRows.
	PortionRows int64
}

// Manager keeps everything derived from the log of record and from files: projections, runs, partials, tiles. It is safe for
// concurrent use.
type Manager struct {
	cfg         Config
	runs        *runs.Store
	segments    *segments
	checkpoints *checkpoints
	schedule    *schedule
	graves      *graves
	proj        *projections
	eval        *evaluator
	jobs        jobs
	build       sync.Mutex // one build, refresh or settlement of a group at a time
	spill       atomic.Int64

	// apply is held by the committer from Apply until the outcome of its batch is known, and by whoever makes a group live.
	apply sync.Mutex
	live  atomic.Pointer[map[uint32]*Group] // published groups, by id

	overtaken   overtaken
	rejoinAfter time.Time // guarded by build

	expiredMu sync.Mutex
	expired   map[uint32]expired // by table: what retention has deleted since the start

	readers  Readers
	trimming trimming

	distant *Distant // of a gateway; nil: the data is here

	tailMu sync.Mutex
	tails  map[uint32]*tail
	recent *recent

	stop context.CancelFunc
	done sync.WaitGroup
	wake chan struct{}
	came atomic.Int64  // rows that came or went since the last settling began
	fold chan struct{} // fresh rows came
}

// New starts a manager: what unfinished builds left is removed, published groups are compiled and checked, the committer is
// told of them, and the settling of days, the refreshing of sources and the rebuilding of what is missing begin. The order of
// locks is build, apply, the catalog's, the tiles' writer. A transaction's definitions and rows are committed with the build and
// the catalog's lock held, while the committer takes apply: that is no deadlock because apply and the catalog's are taken together
// under build only.
func New(ctx context.Context, cfg Config) (*Manager, error) {
	if cfg.Tracer == nil {
		cfg.Tracer = noop.NewTracerProvider().Tracer("")
	}
	store, err := runs.Open(runs.StoreOptions{FS: cfg.FS, Dir: filepath.Join(cfg.Dir, "runs"), CacheBytes: min(runs.DefaultCacheBytes, max(cfg.Memory/2, 1<<20)), Days: cfg.Days})
	if err != nil {
		return nil, err
	}
	if err := cfg.FS.MkdirAll(filepath.Join(cfg.Dir, "spill"), 0o755); err != nil {
		return nil, err
	}
	conn, err := cfg.DB.Connect()
	if err != nil {
		return nil, err
	}
	m := &Manager{cfg: cfg, jobs: jobs{tracer: cfg.Tracer}, runs: store, segments: newSegments(store), tails: map[uint32]*tail{}, expired: map[uint32]expired{}, wake: make(chan struct{}, 1), fold: make(chan struct{}, 1),
		graves: &graves{since: cfg.Log.Position(), sources: map[reclog.SourceID]*graveList{}},
		proj:   &projections{db: cfg.DB, log: cfg.Log, catalog: cfg.Catalog.Current, tables: map[uint32]*projection{}},
		eval:   &evaluator{conn: conn, tables: map[uint32]map[string][]vector.Type{}, attributes: newAttributes(conn, cfg.Log)}}
	m.recent = newRecent(m.mostFresh)
	m.schedule, m.trimming.wake = newSchedule(), make(chan struct{}, 1)
	m.checkpoints = &checkpoints{m: m, by: map[string]*checkpoint{}}
	damaged, err := m.recover(ctx)
	if err == nil {
		err = m.readTails(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, errors.Join(err, store.Close())
	}
	cfg.Log.SetApplier(m)
	cfg.Log.SetFollower(&follower{catalog: cfg.Catalog.Current})
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	m.stop = stop
	m.done.Go(func() {
		m.repair(background, damaged)
		m.keepSettling(background)
	})
	m.done.Go(func() { m.keepRefreshing(background) })
	if !cfg.NoSettle {
		m.done.Go(func() { m.keepFolding(background) })
		m.done.Go(func() { m.keepTrimming(background) })
	}
	for _, r := range cfg.Catalog.Current().Relations {
		if r.Retention != 0 || r.KeptFrom != nil { // a crash may have left rows
			m.poke()
		}
	}
	return m, nil
}

// Close ends the background work and closes what the manager opened.
func (m *Manager) Close() error {
	if m.distant != nil {
		return nil
	}
	m.stop()
	m.done.Wait()
	m.eval.conn.Close()
	return errors.Join(m.segments.sweep(true), m.runs.Close())
}

// Group is the compiled form of a published group. A statement whose catalog is older than the group's runs gets the newer
// runs where they serve its positions too, as those of event tables do, or none where their files are gone: then it is
// answered from the log or the files.
func (m *Manager) Group(g *schema.Group) (*Group, error) {
	live := (*m.live.Load())[g.ID]
	if live != nil && live.Schema == g {
		return live, nil
	}
	if live != nil {
		if b, err := baseOf(m.cfg.Catalog.Current(), g.Relation); err == nil && b.Logged() {
			return live, nil
		}
	}
	c, err := Compile(g)
	if err == nil && c.Manifest != nil && !m.segments.whole(c.Manifest) {
		c.Manifest = nil
	}
	return c, err
}

// setLive replaces the published groups. The apply lock is held, or nothing commits yet.
func (m *Manager) setLive(change func(map[uint32]*Group)) {
	next := maps.Clone(*m.live.Load())
	change(next)
	m.live.Store(&next)
}

// Apply implements reclog.Applier: every online group over a changed event table gets its tiles in the batch that commits
// the change.
func (m *Manager) Apply(b *pebble.Batch, changes []reclog.Applied) (func(committed bool), error) {
	m.apply.Lock()
	var dones []func(bool)
	finish := func(committed bool) {
		for _, d := range dones {
			d(committed)
		}
		m.apply.Unlock()
	}
	for i := range changes {
		if c := &changes[i]; c.Deleted != nil && c.Deleted.N > 0 {
			forget := m.graves.note(c)
			dones = append(dones, func(committed bool) {
				if !committed {
					forget()
				}
			})
		}
	}
	undo, err := m.applyAttributes(b, changes)
	dones = append(dones, func(committed bool) {
		if !committed {
			undo()
		}
	})
	if err != nil {
		finish(false)
		return nil, err
	}
	ctx := context.Background()
	todo, err := m.toApply(ctx, changes)
	if err != nil {
		finish(false)
		return nil, err
	}
	for _, t := range todo {
		for _, c := range t.changes {
			done, err := m.applyChange(ctx, t.cat, b, t.group, c.Position, c, t.fresh)
			if done != nil {
				dones = append(dones, done)
			}
			if err != nil {
				finish(false)
				return nil, err
			}
		}
		if t.lacks {
			m.recent.forget(t.group.Schema.ID)
		}
	}
	rows := 0
	for i := range changes {
		if rows += len(changes[i].DeletedIDs); changes[i].Inserted != nil {
			rows += changes[i].Inserted.N
		}
	}
	return func(committed bool) {
		finish(committed)
		m.came.Add(int64(rows))
		m.poke()
	}, nil
}

// poke asks the background to look for work.
func (m *Manager) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// applyChange gives a group's tiles a change. fresh: it is kept in front of them.
func (m *Manager) applyChange(ctx context.Context, cat *schema.Catalog, b *pebble.Batch, g *Group, pos uint64, c *reclog.Applied, fresh bool) (func(bool), error) {
	var dead, born *event.Rows
	var err error
	if c.Deleted != nil && c.Deleted.N > 0 {
		ids := make([]int64, len(c.DeletedIDs))
		for i, id := range c.DeletedIDs {
			ids[i] = int64(id)
		}
		if dead, err = m.eval.rows(ctx, cat, g.Schema, c.Deleted, ids, pos); err != nil {
			return nil, err
		}
	}
	if c.Inserted != nil && c.Inserted.N > 0 {
		if born, err = m.eval.rows(ctx, cat, g.Schema, c.Inserted, consecutive(c.FirstInsertID, c.Inserted.N), pos); err != nil {
			return nil, err
		}
	}
	if dead == nil && born == nil {
		return nil, nil
	}
	if born != nil {
		g.marks.see(born) // a time that is then not committed only settles a day early, which changes no value
	}
	undo := func() {}
	if dead == nil {
		undo = m.recent.add(g.Schema.ID, pos, c.FirstInsertID, born)
	} else {
		m.recent.forget(g.Schema.ID)
	}
	done, err := m.applyRows(b, g, pos, dead, born, fresh)
	if err != nil {
		undo()
		return nil, err
	}
	return func(committed bool) {
		if done(committed); !committed {
			undo()
		}
	}, nil
}

// applyRows gives a group's tiles rows that go and come; one of them may be nil.
func (m *Manager) applyRows(b *pebble.Batch, g *Group, pos uint64, dead, born *event.Rows, fresh bool) (func(bool), error) {
	if fresh {
		return m.cfg.Tiles.Add(b, g.Tiles, pos, born)
	}
	if dead == nil {
		dead = event.NewRows(g.Schema.Layout, 0)
	}
	if born == nil {
		born = event.NewRows(g.Schema.Layout, 0)
	}
	return m.cfg.Tiles.Apply(b, g.Tiles, pos, dead, born)
}

// SpillPath is a fresh prefix for the spill files of one statement.
func (m *Manager) SpillPath() string {
	return filepath.Join(m.cfg.Dir, "spill", fmt.Sprintf("s%d", m.spill.Add(1)))
}

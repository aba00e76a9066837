package materialize

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/storage/runs"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// recover compiles the published groups, removes what the catalog does not name — files and tiles of builds that a crash or a
// cancelled statement left, old files of segments that were merged, projections of tables that were not committed or are
// dropped, spill files — and returns the groups of which something is missing. Those are served without it: from the relation's
// rows where run files are gone, from runs where tiles are. What checkpoints name stays for the builds that go on from them.
func (m *Manager) recover(ctx context.Context) (damaged []*schema.Group, err error) {
	cat := m.cfg.Catalog.Current()
	live := map[uint32]*Group{}
	used := map[string]bool{}
	for id, def := range cat.Groups {
		g, err := Compile(def)
		if err != nil {
			return nil, err
		}
		if g.Manifest != nil {
			for i := range g.Manifest.Segments {
				used[g.Manifest.Segments[i].RowFile.Name], used[g.Manifest.Segments[i].KeyFile.Name] = true, true
			}
		}
		live[id] = g
	}
	m.live.Store(&live)
	if err := m.overtaken.load(m.cfg.Log.DB(), cat); err != nil {
		return nil, err
	}
	if err := m.checkpoints.load(used); err != nil {
		return nil, err
	}
	for _, c := range m.checkpoints.list() {
		for _, s := range c.all() {
			used[s.RowFile.Name], used[s.KeyFile.Name] = true, true
		}
	}
	if err := errors.Join(m.removeFiles("runs", func(name string) bool { return !used[name] }),
		m.removeFiles("spill", func(name string) bool { return name != duckSpill }), m.dropUnknownTiles(cat), m.proj.dropUnknown(ctx, cat), m.dropUnknownRows(cat)); err != nil {
		return nil, err
	}
	for id, g := range live {
		missing, err := m.missingRuns(g.Manifest)
		if err != nil {
			return nil, err
		}
		whole := !missing
		if missing && g.Manifest != nil {
			m.segments.lose(g.Manifest)
			g.Manifest = nil
		}
		if m.overtaken.since(id) != 0 {
			g.Tiles, whole = nil, false
		}
		if g.Tiles != nil {
			ok, err := m.checkTiles(ctx, cat, g)
			if err != nil {
				return nil, err
			}
			if !ok {
				g.Tiles, whole = nil, false
			}
		}
		if !whole {
			damaged = append(damaged, cat.Groups[id])
		}
	}
	slices.SortFunc(damaged, func(a, b *schema.Group) int { return int(a.ID) - int(b.ID) })
	return damaged, nil
}

// duckSpill is DuckDB's own directory among the spill files.
const duckSpill = "duckdb"

// removeFiles removes the files of one of the manager's directories that are wanted no more.
func (m *Manager) removeFiles(dir string, unwanted func(name string) bool) error {
	path := filepath.Join(m.cfg.Dir, dir)
	names, err := m.cfg.FS.List(path)
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range names {
		if unwanted(n) {
			errs = append(errs, m.cfg.FS.RemoveAll(filepath.Join(path, n)))
		}
	}
	return errors.Join(errs...)
}

// missingRuns reports whether a file of a manifest is not there, not of the size it had, or of an older format.
func (m *Manager) missingRuns(man *runs.Manifest) (bool, error) {
	if man == nil {
		return true, nil
	}
	for i := range man.Segments {
		for _, f := range []runs.File{man.Segments[i].RowFile, man.Segments[i].KeyFile} {
			if lost, err := f.Lost(m.cfg.FS, filepath.Join(m.cfg.Dir, "runs")); lost || err != nil {
				return lost, err
			}
		}
	}
	return false, nil
}

// tilesSpace is the first byte of the tiles' keys; the group's id follows, 4 bytes, big-endian.
const tilesSpace = 't'

// dropUnknownTiles removes the tiles of groups that the catalog does not have.
func (m *Manager) dropUnknownTiles(cat *schema.Catalog) error {
	it, err := m.cfg.Log.DB().NewIter(&pebble.IterOptions{LowerBound: []byte{tilesSpace}, UpperBound: []byte{tilesSpace + 1}})
	if err != nil {
		return err
	}
	var unknown []uint32
	for ok := it.First(); ok; {
		k := it.Key()
		if len(k) < 5 {
			return errors.Join(fmt.Errorf("online store: key %x", k), it.Close())
		}
		id := binary.BigEndian.Uint32(k[1:])
		if g := cat.Groups[id]; g == nil || !g.Online {
			unknown = append(unknown, id)
		}
		if id == 1<<32-1 {
			break
		}
		ok = it.SeekGE(binary.BigEndian.AppendUint32([]byte{tilesSpace}, id+1))
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return err
	}
	for _, id := range unknown {
		if err := m.cfg.Tiles.Drop(id); err != nil {
			return err
		}
	}
	return nil
}

// dropUnknownRows removes the rows of relations that the catalog does not have: of a dual source whose making was cut short.
func (m *Manager) dropUnknownRows(cat *schema.Catalog) error {
	sources, err := m.cfg.Log.Sources()
	if err != nil {
		return err
	}
	for _, s := range sources {
		if cat.Relations[uint32(s)] == nil {
			if err := m.cfg.Log.DropSource(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkTiles applies to a group's tiles what the log has after them, and reports whether they can be used: they are there,
// and, of files, not of a refresh that was interrupted.
func (m *Manager) checkTiles(ctx context.Context, cat *schema.Catalog, g *Group) (bool, error) {
	b, err := baseOf(cat, g.Schema.Relation)
	if err != nil {
		return false, nil
	}
	at, there, err := m.cfg.Tiles.Position(m.cfg.Log.DB(), g.Tiles)
	if err != nil || !there {
		return false, err
	}
	if b.Kind == schema.FileSource {
		return at <= g.Schema.Position, nil
	}
	g.tilesAt = at
	return true, m.catchUp(ctx, cat, g)
}

// repair builds damaged groups anew, and finds the newest event times of tails. It runs in the background after the start.
func (m *Manager) repair(ctx context.Context, damaged []*schema.Group) {
	for _, old := range damaged {
		if err := m.rebuild(ctx, old); err != nil && ctx.Err() == nil && !errors.Is(err, errGroupGone) {
			m.cfg.Logger.Error("rebuilding derived data", "group", old.ID, "error", err)
		}
	}
	cat := m.cfg.Catalog.Current()
	for _, g := range *m.live.Load() {
		b, err := baseOf(cat, g.Schema.Relation)
		if err != nil || g.Manifest == nil || len(g.Schema.Joins) > 0 || !b.Logged() || ctx.Err() != nil {
			continue
		}
		v, err := m.tailAt(ctx, cat, b, g, m.cfg.Log.Position())
		if err != nil {
			if ctx.Err() == nil {
				m.cfg.Logger.Error("reading the log's tail", "group", g.Schema.ID, "error", err)
			}
			continue
		}
		if v.sorted != nil {
			g.marks.see(v.sorted.Rows)
		}
	}
	m.poke()
}

// rebuild puts a new group in the place of one of which something is missing.
func (m *Manager) rebuild(ctx context.Context, old *schema.Group) error {
	m.build.Lock()
	defer m.build.Unlock()
	return m.rebuildLocked(ctx, old)
}

func (m *Manager) rebuildLocked(ctx context.Context, old *schema.Group) error {
	cat := m.cfg.Catalog.Current()
	if cat.Groups[old.ID] != old {
		return nil // replaced or dropped meanwhile
	}
	r := cat.Relations[old.Relation]
	if r == nil {
		return nil
	}
	id, err := m.cfg.Log.Sequence("group")
	if err != nil {
		return err
	}
	def := *old
	def.ID, def.Ready = uint32(id), false
	job := m.jobs.begin(ctx, r.Name, r.ID, def.ID)
	err = m.replace(ctx, &def, old, job)
	job.end(err)
	return err
}

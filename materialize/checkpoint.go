package materialize

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tilehouse/tilehouse/storage/runs"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// Bounds of the work that is kept of builds that were cancelled, or cut short by the end of the server. What is beyond them goes.
const (
	maxKeptBuilds = 4
	keepBuildFor  = 24 * time.Hour
)

// checkpointVersion is the version of a checkpoint's JSON.
const checkpointVersion = 1

// checkpoint is what a build has done so far: rows segments, and which rows of its relation are in them. It is a file of the
// directory builds, replaced after every portion of rows, and removed when the build is published, or fails by its rows.
type checkpoint struct {
	Version  int            `json:"version"`
	Rows     string         `json:"rows"`   // identifies the event rows: relation, key, columns
	Base     uint32         `json:"base"`   // the relation whose rows they are
	Object   string         `json:"object"` // the feature or source that was built
	Saved    time.Time      `json:"saved"`
	Segments []runs.Segment `json:"segments"` // of rows

	// Of a file source: the rows of each file that were read, from its first on.
	Files []readFile `json:"files,omitempty"`
	// Rejected counts the rows read that have no key or no time, by file id.
	Rejected map[uint32]int64 `json:"rejected,omitempty"`

	// Of an event table: rows of ids below Next were read, or, where Next is 0, all that came at positions up to To. From is the
	// position of the first portion: what went after it may be in the segments.
	Next uint64 `json:"next,omitempty"`
	From uint64 `json:"from,omitempty"`
	To   uint64 `json:"to,omitempty"`

	// Days is the segment folded from all of Segments by the partials of these fingerprints; nil before.
	Days     *runs.Segment `json:"days,omitempty"`
	Partials string        `json:"partials,omitempty"`
}

// readFile is a content of a file, of which the rows before Upto were read.
type readFile struct {
	schema.FileVersion
	Upto int64 `json:"upto"`
}

// rowsIdentity identifies the event rows of a group: groups of equal identity have equal rows, whatever their partials.
func rowsIdentity(c *schema.Catalog, g *schema.Group) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d|%+v|%s", g.Relation, g.Layout, eventSQL(c, g, baseRows{sql: "rows", attributes: make([]string, len(g.Joins))}))
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// partialsIdentity identifies what a days segment of a group holds.
func partialsIdentity(g *schema.Group) string {
	prints := make([]string, len(g.Partials))
	for i, p := range g.Partials {
		prints[i] = p.Fingerprint
	}
	return strings.Join(prints, " ")
}

// rows is how many rows a checkpoint holds.
func (c *checkpoint) rows() int64 {
	var n int64
	for i := range c.Segments {
		n += c.Segments[i].Rows
	}
	return n
}

// all are a checkpoint's segments.
func (c *checkpoint) all() []runs.Segment {
	if c.Days == nil {
		return c.Segments
	}
	return append(slices.Clone(c.Segments), *c.Days)
}

// upto is how many rows of a file were read.
func (c *checkpoint) upto(file uint32) int64 {
	for i := range c.Files {
		if c.Files[i].ID == file {
			return c.Files[i].Upto
		}
	}
	return 0
}

// read notes that the rows of a file before upto were read.
func (c *checkpoint) read(f schema.FileVersion, upto int64) {
	i := slices.IndexFunc(c.Files, func(r readFile) bool { return r.ID == f.ID })
	if i < 0 {
		c.Files = append(c.Files, readFile{f, upto})
		return
	}
	c.Files[i].Upto = upto
}

// checkpoints are the builds of a data directory that were begun and not published.
type checkpoints struct {
	m  *Manager
	mu sync.Mutex
	by map[string]*checkpoint // by Rows; immutable once here
}

func (cs *checkpoints) dir() string { return filepath.Join(cs.m.cfg.Dir, "builds") }

func (cs *checkpoints) path(rows string) string { return filepath.Join(cs.dir(), rows+".json") }

// load reads what earlier builds left. A checkpoint that cannot be used, because a file of it is missing, a published manifest
// has its segments, or it is too old, is removed.
func (cs *checkpoints) load(published map[string]bool) error {
	fs := cs.m.cfg.FS
	if err := fs.MkdirAll(cs.dir(), 0o755); err != nil {
		return err
	}
	names, err := fs.List(cs.dir())
	if err != nil {
		return err
	}
	cat := cs.m.cfg.Catalog.Current()
	for _, n := range names {
		c, err := cs.readFile(filepath.Join(cs.dir(), n))
		if err == nil {
			usable := c.Version == checkpointVersion && n == c.Rows+".json" && cat.Relations[c.Base] != nil
			for _, s := range c.all() {
				usable = usable && !published[s.RowFile.Name]
			}
			missing := true
			if usable {
				missing, err = cs.m.missingRuns(&runs.Manifest{Segments: c.all()})
			}
			if err == nil && !missing {
				cs.by[c.Rows] = c
				continue
			}
		}
		if e := fs.RemoveAll(filepath.Join(cs.dir(), n)); e != nil {
			return errors.Join(err, e)
		}
	}
	return cs.expire()
}

func (cs *checkpoints) readFile(path string) (*checkpoint, error) {
	f, err := cs.m.cfg.FS.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	c := &checkpoint{}
	return c, json.Unmarshal(b, c)
}

// save makes c the checkpoint of its rows, durably.
func (cs *checkpoints) save(c *checkpoint) error {
	next := *c
	next.Version, next.Saved = checkpointVersion, cs.m.cfg.Clock()
	next.Segments, next.Files, next.Rejected = slices.Clone(c.Segments), slices.Clone(c.Files), maps.Clone(c.Rejected)
	b, err := json.Marshal(&next)
	if err != nil {
		return err
	}
	fs, path := cs.m.cfg.FS, cs.path(c.Rows)
	f, err := fs.Create(path+".tmp", "")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = fs.Rename(path+".tmp", path)
	}
	if err != nil {
		return err
	}
	d, err := fs.OpenDir(cs.dir())
	if err != nil {
		return err
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return err
	}
	cs.mu.Lock()
	cs.by[c.Rows] = &next
	cs.mu.Unlock()
	return nil
}

// of is what is kept of a build of some rows: a copy, empty where nothing is.
func (cs *checkpoints) of(rows string) *checkpoint {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c := cs.by[rows]; c != nil {
		out := *c
		out.Segments, out.Files, out.Rejected = slices.Clone(c.Segments), slices.Clone(c.Files), maps.Clone(c.Rejected)
		if out.Rejected == nil {
			out.Rejected = map[uint32]int64{}
		}
		return &out
	}
	return &checkpoint{Rows: rows, Rejected: map[uint32]int64{}}
}

// has reports whether a checkpoint names a segment.
func (cs *checkpoints) has(id string) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, c := range cs.by {
		if slices.ContainsFunc(c.all(), func(s runs.Segment) bool { return s.ID == id }) {
			return true
		}
	}
	return false
}

// fileID is the id under which an unpublished build has read a content of a source's file; 0: none has.
func (cs *checkpoints) fileID(source uint32, f *schema.FileVersion) uint32 {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, c := range cs.by {
		for i := range c.Files {
			if r := &c.Files[i]; c.Base == source && r.Path == f.Path && r.Size == f.Size && r.ModTime == f.ModTime {
				return r.ID
			}
		}
	}
	return 0
}

// forget removes the checkpoint of some rows, and leaves its segments, which a manifest has, or the caller removes.
func (cs *checkpoints) forget(rows string) error {
	cs.mu.Lock()
	_, have := cs.by[rows]
	delete(cs.by, rows)
	cs.mu.Unlock()
	if !have {
		return nil
	}
	return cs.m.cfg.FS.Remove(cs.path(rows))
}

// drop removes the checkpoints that gone chooses, with their segments.
func (cs *checkpoints) drop(gone func(*checkpoint) bool) error {
	cs.mu.Lock()
	var out []*checkpoint
	for _, c := range cs.by {
		if gone(c) {
			out = append(out, c)
		}
	}
	cs.mu.Unlock()
	var errs []error
	for _, c := range out {
		errs = append(errs, cs.forget(c.Rows), cs.m.segments.discard(c.all()...))
	}
	return errors.Join(errs...)
}

// expire removes what is kept too long, of relations that were dropped, and the oldest of too many. The build lock is held, or
// nothing is built yet.
func (cs *checkpoints) expire() error {
	kept := cs.list()
	now, cat := cs.m.cfg.Clock(), cs.m.cfg.Catalog.Current()
	return cs.drop(func(c *checkpoint) bool {
		i := slices.IndexFunc(kept, func(k *checkpoint) bool { return k.Rows == c.Rows })
		return i < len(kept)-maxKeptBuilds || now.Sub(c.Saved) > keepBuildFor || cat.Relations[c.Base] == nil
	})
}

// expireKept is expire where nothing is built now; a build that runs does so at its end.
func (m *Manager) expireKept() error {
	if !m.build.TryLock() {
		return nil
	}
	defer m.build.Unlock()
	return m.checkpoints.expire()
}

// list are the checkpoints, oldest first.
func (cs *checkpoints) list() []*checkpoint {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return slices.SortedFunc(maps.Values(cs.by), func(a, b *checkpoint) int {
		return cmp.Or(a.Saved.Compare(b.Saved), cmp.Compare(a.Rows, b.Rows))
	})
}

// Kept is what is kept of a build that was cancelled or cut short, for the next one of the same rows.
type Kept struct {
	Relation uint32
	Object   string
	Rows     int64
	Bytes    int64
	Until    time.Time
}

// Kept are the builds of which something is kept, oldest first; one that runs is among them.
func (m *Manager) Kept() []Kept {
	var out []Kept
	for _, c := range m.checkpoints.list() {
		k := Kept{Relation: c.Base, Object: c.Object, Rows: c.rows(), Until: c.Saved.Add(keepBuildFor)}
		for _, s := range c.all() {
			k.Bytes += s.Bytes()
		}
		out = append(out, k)
	}
	return out
}

package materialize

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/storage/cassandra"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tiles"
)

// ErrElsewhere is the error of a read that needs more than what a gateway has: the online values of the newest commits that were sent.
var ErrElsewhere = errors.New("a gateway has online values only")

// tornTries is how often a read of a key begins anew that changes while it is read, after waits of tornWait and more.
const (
	tornTries = 20
	tornWait  = 2 * time.Millisecond
)

// keptDefinitions is how many of the definitions that were read by last can still be read by.
const keptDefinitions = 16

// ExpectKeys is how many keys of a lookup are asked for together.
const ExpectKeys = 256

// Distant is where a gateway reads values: a keyspace, and the definitions by which it is read. It is safe for concurrent use.
type Distant struct {
	store *cassandra.Store
	mu    sync.Mutex
	known []definitions // the newest last
}

type definitions struct {
	cat       *schema.Catalog
	published cassandra.Published
}

// NewDistant reads values from a keyspace.
func NewDistant(store *cassandra.Store) *Distant { return &Distant{store: store} }

// Know has values read by a catalog that was published. It must be known before it becomes current.
func (d *Distant) Know(cat *schema.Catalog, p cassandra.Published) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.known) == keptDefinitions {
		d.known = append(d.known[:0:0], d.known[1:]...)
	}
	d.known = append(d.known, definitions{cat, p})
}

// of is by what a catalog's groups are read.
func (d *Distant) of(cat *schema.Catalog) (cassandra.Published, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := len(d.known) - 1; i >= 0; i-- {
		if k := d.known[i]; k.cat == cat || k.cat.Version == cat.Version {
			return k.published, nil
		}
	}
	return cassandra.Published{}, fmt.Errorf("%w: the definitions of the transaction are too old", ErrElsewhere)
}

// NewGateway is a manager of no data: it gives views of values that are elsewhere. Of the configuration it uses Tiles, which has none.
func NewGateway(cfg Config, d *Distant) *Manager {
	m := &Manager{cfg: cfg, distant: d, wake: make(chan struct{}, 1), stop: func() {}, schedule: newSchedule()}
	m.live.Store(&map[uint32]*Group{})
	return m
}

// Served are the tiles that the committer keeps now, by prefix: what disperse.Config.Groups asks for.
func (m *Manager) Served() map[uint32]*tiles.Group {
	out := map[uint32]*tiles.Group{}
	for id, g := range *m.live.Load() {
		if g.Tiles != nil && g.Schema.Ready && m.overtaken.since(id) == 0 {
			out[id] = g.Tiles
		}
	}
	return out
}

// KeptOf is the event time from which the table of a group that is served keeps events; event.Forever where it keeps all, or is being dropped.
func (m *Manager) KeptOf(prefix uint32) (int64, error) {
	g := (*m.live.Load())[prefix]
	if g == nil {
		return event.Forever, nil
	}
	cat := m.catalogOf(g)
	if _, err := baseOf(cat, g.Schema.Relation); err != nil {
		return event.Forever, nil
	}
	kept, _, err := m.KeptFrom(cat, g.Schema.Relation)
	return kept, err
}

// distantSource reads the values of one group of a catalog that are elsewhere. It is a tiles.Getter, for one goroutine.
type distantSource struct {
	d     *Distant
	store *tiles.Store
	ctx   context.Context
	err   error // of the definitions
	group int64
	keys  map[string]*cassandra.Values
	kept  int64 // the latest of the event times from which the tables of values that were read kept events
	stats *event.ReadStats
}

func (v *View) distantSource(g *Group, stats *event.ReadStats) (*tiles.Reader, *distantSource) {
	s := &distantSource{d: v.m.distant, store: v.m.cfg.Tiles, keys: map[string]*cassandra.Values{}, kept: event.Forever, stats: stats}
	p, err := s.d.of(v.cat)
	s.group, s.err = p.Group(g.Schema.ID), err
	r := v.m.cfg.Tiles.DistantReader(s, g.Tiles, stats)
	v.distant = append(v.distant, r)
	return r, s
}

// Get implements tiles.Getter.
func (s *distantSource) Get(key []byte) ([]byte, io.Closer, error) {
	p, err := tiles.PlaceOf(key)
	if err != nil {
		return nil, nil, err
	}
	v, err := s.values(p.Key)
	if err != nil {
		return nil, nil, err
	}
	var value []byte
	if p.Kind == tiles.GroupValue {
		var kept int64
		if value, err = s.d.store.GroupMeta(s.ctx, v); err == nil {
			value, kept, err = tiles.SplitKept(value)
			s.kept = max(s.kept, kept)
		}
	} else {
		var known bool
		if value, known = v.Parts[string(p.Part)]; !known {
			err = s.d.store.More(s.ctx, v, p.Part)
			value = v.Parts[string(p.Part)]
		}
	}
	if err == nil && len(value) == 0 {
		err = pebble.ErrNotFound
	}
	return value, noCloser{}, err
}

type noCloser struct{}

func (noCloser) Close() error { return nil }

func (s *distantSource) values(key []byte) (*cassandra.Values, error) {
	if s.err != nil {
		return nil, s.err
	}
	if v := s.keys[string(key)]; v != nil {
		return v, nil
	}
	got, err := s.d.store.Read(s.ctx, []cassandra.Asked{{Group: s.group, Key: key}})
	if err != nil {
		return nil, err
	}
	s.keys[string(key)] = got[0]
	return got[0], nil
}

// Expect says of which keys the pieces are asked for next, and which instants cut them, so that a distant store is asked once. Of keys
// before it forgets what it has. Where the store is here it does nothing.
func (s *Source) Expect(ctx context.Context, keys [][]byte, cuts []int64) error {
	if s.distant == nil {
		return nil
	}
	d := s.distant
	d.ctx = ctx
	clear(d.keys)
	if d.err != nil {
		return d.err
	}
	var parts [][]byte
	seen := map[string]bool{}
	for _, t := range cuts {
		if p := d.store.RootPart(t); !seen[string(p)] {
			seen[string(p)] = true
			parts = append(parts, p)
		}
	}
	asked := make([]cassandra.Asked, len(keys))
	for i, k := range keys {
		asked[i] = cassandra.Asked{Group: d.group, Key: k, Parts: parts}
	}
	return s.Untorn(ctx, func() error {
		got, err := d.d.store.Read(ctx, asked)
		if err != nil {
			return err
		}
		for i, v := range got {
			d.keys[string(keys[i])] = v
		}
		return nil
	})
}

// KeptFrom is the event time from which all events counted in what was read; event.Forever where the store is here, or all are kept.
func (s *Source) KeptFrom() int64 {
	if s.distant == nil {
		return event.Forever
	}
	return s.distant.kept
}

// Untorn runs a read of one key, and again where the key changed meanwhile. Where the store is here that does not happen.
func (s *Source) Untorn(ctx context.Context, read func() error) error {
	if s.distant == nil {
		return read()
	}
	for try := 1; ; try++ {
		err := read()
		if !errors.Is(err, cassandra.ErrTorn) || try == tornTries {
			return err
		}
		clear(s.distant.keys)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(try) * tornWait):
		}
	}
}

package engine

import (
	"context"
	"errors"
	"time"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tiles"
)

// bindLookup binds a lookup. Its buffers are made once and used by every execution.
func (s *Session) bindLookup(cat *schema.Catalog, st *parse.SQL, p *lookupPlan) (bound, error) {
	if err := p.read.check(cat); err != nil {
		return bound{}, err
	}
	run, err := s.newLookup(cat, p)
	if err != nil {
		return bound{}, err
	}
	return bound{params: p.params, columns: p.columns, utc: true, run: func(ctx context.Context, args []*vector.Vector) (session.Result, error) {
		asOf, t, err := s.times(st, p.entityRef, args)
		if err != nil {
			return nil, err
		}
		return run.execute(ctx, args, asOf, t)
	}}, nil
}

// lookup is a bound lookup with its reusable buffers; one execution at a time, as a session has one.
type lookup struct {
	s      *Session
	cat    *schema.Catalog
	plan   *lookupPlan
	groups []lookupGroup
	keys   *vector.Chunk    // the keys bound
	enc    *vector.Vector   // their encodings
	values []*vector.Vector // by output of the read plan
	parts  *lookupParts     // of a feature view; nil: groups
	out    vector.Chunk     // the result: columns of keys and values
	result chunkRows
	stats  event.ReadStats // of all executions, where EXPLAIN ANALYZE does not count
}

type lookupGroup struct {
	read *groupRead
	live *materialize.Group
	as   *assembler
}

func (s *Session) newLookup(cat *schema.Catalog, p *lookupPlan) (*lookup, error) {
	l := &lookup{s: s, cat: cat, plan: p, enc: vector.New(vector.T(vector.Bytes), 1)}
	types := make([]vector.Type, len(p.entity.Keys))
	for i, k := range p.entity.Keys {
		types[i] = k.Type
	}
	l.keys = vector.NewChunk(types, 1)
	for _, w := range p.read.outputs {
		l.values = append(l.values, vector.New(w.output.Type, 1))
	}
	if p.read.view != nil {
		var err error
		if l.parts, err = s.newLookupParts(cat, p.read.view); err != nil {
			return nil, err
		}
	}
	for i := range p.read.groups {
		g := &p.read.groups[i]
		live, err := s.e.mat.Group(g.group)
		if err != nil {
			return nil, err
		}
		l.groups = append(l.groups, lookupGroup{read: g, live: live, as: p.read.assembler(g, live)})
	}
	for _, it := range p.items {
		if it.key >= 0 {
			l.out.Cols = append(l.out.Cols, l.keys.Cols[it.key])
		} else {
			l.out.Cols = append(l.out.Cols, l.values[it.output])
		}
	}
	return l, nil
}

func (l *lookup) execute(ctx context.Context, args []*vector.Vector, asOf *uint64, t *int64) (session.Result, error) {
	l.reset()
	began := time.Now()
	if err := l.plan.keysOf(args, l.keys, l.enc); err != nil {
		return nil, err
	}
	if err := l.fill(ctx, asOf, t); err != nil {
		return nil, err
	}
	l.s.e.lookups.Observe(time.Since(began).Seconds())
	l.out.N = l.keys.N
	l.result = chunkRows{noRows: noRows{"SELECT"}, chunk: &l.out}
	return &l.result, nil
}

// reset empties the buffers before the keys of a read.
func (l *lookup) reset() {
	l.keys.Reset()
	l.enc.Reset()
	for _, v := range l.values {
		v.Reset()
	}
}

// errStalePlan says that the catalog changed since a statement was bound; it is bound again and tried once more.
var errStalePlan = errors.New("the catalog changed while the statement was running")

// fill assembles the values of the keys at one instant and position: the newest, or asOf; t nil is the session's read time.
func (l *lookup) fill(ctx context.Context, asOf *uint64, t *int64) error {
	if err := l.refuseOwnWrites(); err != nil {
		return err
	}
	var when int64
	view := l.s.e.mat.View(l.cat) // the position first, then the instant: rows that the server timed before it all count
	defer view.Close()
	if l.s.catalog() != l.cat {
		return errStalePlan // a group may have been replaced, and its tiles dropped, before the view was opened
	}
	if t != nil {
		when = *t
	} else {
		when = l.s.readTime()
		if !l.s.toldOld && asOf == nil {
			l.tellOld(when)
		}
	}
	if err := l.read(ctx, view, asOf, when); err != nil || asOf != nil {
		return err
	}
	if l.s.e.gateway != nil {
		return nil // the feature log is the server's
	}
	return l.sample(view, when)
}

// refuseOwnWrites refuses a read of what the open block wrote.
func (l *lookup) refuseOwnWrites() error {
	for _, g := range l.groups {
		if err := l.s.refuseOwnWrites(l.cat, g.read.group); err != nil {
			return err
		}
	}
	if l.parts != nil {
		for _, p := range l.parts.parts {
			if err := p.refuseOwnWrites(); err != nil {
				return err
			}
		}
	}
	return nil
}

// read assembles the values of the keys from one view of the store.
func (l *lookup) read(ctx context.Context, view *materialize.View, asOf *uint64, when int64) error {
	if l.parts != nil {
		return l.parts.fill(ctx, l.s, view, asOf, when, l.keys, l.values)
	}
	stats := &l.stats
	if l.s.reads != nil {
		stats = l.s.reads
	}
	for _, g := range l.groups {
		if err := g.read.kept(l.s.e, l.cat, when); err != nil {
			return err
		}
		if err := l.s.e.servedHere(g.read.group, asOf); err != nil {
			return err
		}
		src := view.Source(g.live, l.s.readsGroup(l.cat, g.read.group, asOf), l.s.readFlags(), stats)
		for i := range l.keys.N {
			if i&1023 == 1023 && ctx.Err() != nil {
				return ctx.Err()
			}
			if l.s.e.gateway != nil && i%materialize.ExpectKeys == 0 {
				if err := l.expect(ctx, src, g.read, i, when); err != nil {
					return elsewhere(err)
				}
			}
			key := l.enc.Bytes(i)
			var pieces event.Pieces
			err := src.Untorn(ctx, func() (err error) {
				if pieces, err = src.Key(ctx, key); err == nil {
					err = g.read.values(g.as, pieces, when, false, l.values)
				}
				return err
			})
			if errors.Is(err, tiles.ErrNotRetained) { // older than the online store keeps: the runs have it
				if err := g.read.keptFrom(l.cat, src.KeptFrom(), when); err != nil {
					return err
				}
				if pieces, err = src.History(ctx, key); err == nil {
					err = g.read.values(g.as, pieces, when, false, l.values)
				}
			}
			if err != nil {
				return elsewhere(err)
			}
		}
		if err := g.read.keptFrom(l.cat, src.KeptFrom(), when); err != nil { // elsewhere the values say it
			return err
		}
	}
	return nil
}

// positionOf is the last position committed by the time that n, a literal or a parameter, says.
func (s *Session) positionOf(n *pg_query.Node, args []*vector.Vector) (uint64, error) {
	t, err := s.timeOf(n, args)
	if err != nil {
		return 0, err
	}
	return s.e.log.PositionAt(t), nil
}

// timeOf is the timestamptz that a literal or a parameter says, in microseconds.
func (s *Session) timeOf(n *pg_query.Node, args []*vector.Vector) (int64, error) {
	if r := uncast(n).GetParamRef(); r != nil && int(r.Number) <= len(args) {
		v := args[r.Number-1]
		if v.IsNull(0) {
			return 0, fail("22004", "the time must not be NULL")
		}
		if v.Type.Kind == vector.TimestampTZ {
			return v.I64[0], nil
		}
		return parseTime(string(v.Bytes(0)), s.location)
	}
	text, null, ok := constantText(n)
	if !ok || null {
		return 0, hint(fail(codeUnsupported, "the time must be a literal or a parameter"), "AS OF '2024-06-01 12:00Z'")
	}
	return parseTime(text, s.location)
}

// readTime is the instant of an online read: tilehouse.read_time, or the clock.
func (s *Session) readTime() int64 {
	if v := s.Setting("tilehouse.read_time"); v != "" {
		if t, err := parseTime(v, s.location); err == nil {
			return t
		}
	}
	return s.e.readTime()
}

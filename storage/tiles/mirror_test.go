package tiles

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/storage/event"
)

// mirror is a copy of a group's values that somebody keeps elsewhere by the journal: a map of each key's values, with what was retained of
// the group when the key was sent last.
type mirror struct {
	m     *model
	s     *Store
	keys  map[string]*mirrored
	group []byte
	whole bool // all keys were sent once
	given int  // how often the journal was given up
}

type mirrored struct {
	meta  []byte
	parts map[string][]byte
}

// follow has the store's journal kept, anew after a restart: before its first change.
func (x *mirror) follow() {
	if x.s != x.m.s {
		x.s = x.m.s
		if _, err := x.s.FollowChanges(true); err != nil {
			x.m.t.Fatal(err)
		}
	}
}

// sync sends what changed, as dispersal does: places of the journal, values of a snapshot.
func (x *mirror) sync() {
	m := x.m
	must := func(err error) {
		if err != nil {
			m.t.Fatal(err)
		}
	}
	if _, given := m.s.Waiting(); given {
		x.given++
		x.whole = false
		must(m.s.RestartJournal())
	}
	snap := m.db.NewSnapshot()
	defer func() { _ = snap.Close() }()
	meta, err := m.s.Encoded(snap, Place{Prefix: m.g.Prefix, Kind: GroupValue})
	must(err)
	if !x.whole {
		x.whole, x.keys, x.group = true, map[string]*mirrored{}, meta
		must(m.s.Keys(snap, m.g, nil, func(key []byte) (bool, error) {
			record, err := m.s.Encoded(snap, Place{Prefix: m.g.Prefix, Kind: RecordValue, Key: key})
			must(err)
			k := &mirrored{meta: meta, parts: map[string][]byte{"": record}}
			x.keys[string(key)] = k
			return true, m.s.EachNode(snap, m.g, key, func(part, value []byte) error {
				k.parts[string(part)] = bytes.Clone(value)
				return nil
			})
		}))
	}
	type change struct{ parts map[string]bool }
	taken, under := uint64(0), int64(0) // what is read of the journal, and how many entries of that are in it still
	for {
		changes := map[string]*change{}
		upTo, n, err := m.s.Changes(snap, taken, 1+m.r.IntN(20), func(p Place) error {
			if p.Kind == GroupValue {
				x.group = meta
				return nil
			}
			c := changes[string(p.Key)]
			if c == nil {
				c = &change{map[string]bool{}}
				changes[string(p.Key)] = c
			}
			c.parts[string(p.Part)] = true
			return nil
		})
		must(err)
		if n == 0 {
			break
		}
		for key, c := range changes {
			k := x.keys[key]
			if k == nil {
				k = &mirrored{parts: map[string][]byte{}}
			}
			record, err := m.s.Encoded(snap, Place{Prefix: m.g.Prefix, Kind: RecordValue, Key: []byte(key)})
			must(err)
			if waits, err := Waits(m.g, record); waits || err != nil {
				must(err)
				continue
			}
			for part := range c.parts {
				place := Place{Prefix: m.g.Prefix, Kind: NodeValue, Key: []byte(key), Part: []byte(part)}
				if part == "" {
					place.Kind = RecordValue
				}
				if k.parts[part], err = m.s.Encoded(snap, place); err != nil {
					m.t.Fatal(err)
				}
			}
			k.meta = meta
			x.keys[key] = k
		}
		taken, under = upTo, under+n
		if m.r.IntN(3) == 0 { // what is under way leaves it later
			continue
		}
		must(m.s.Sent(upTo, under))
		under = 0
		fresh := m.db.NewSnapshot() // in which the entries are gone
		must(snap.Close())
		snap = fresh
	}
	must(m.s.Sent(taken, under))
	if waiting, _ := m.s.Waiting(); waiting != 0 {
		m.t.Fatalf("the journal is sent, and %d entries wait", waiting)
	}
}

// Get implements Getter.
func (x *mirror) Get(key []byte) ([]byte, io.Closer, error) {
	p, err := PlaceOf(key)
	if err != nil {
		return nil, nil, err
	}
	k := x.keys[string(p.Key)]
	var v []byte
	switch {
	case p.Kind == GroupValue && k == nil:
		v = x.group
	case p.Kind == GroupValue:
		v = k.meta
	case k != nil:
		v = k.parts[string(p.Part)]
	}
	if len(v) == 0 {
		return nil, nil, pebble.ErrNotFound
	}
	return v, io.NopCloser(nil), nil
}

// read compares what the mirror and the store say of a key.
func (x *mirror) read(key []byte, iv event.Interval) {
	m := x.m
	if m.lost[string(key)] { // it waits for Rebuild, and is sent then
		return
	}
	here, there := newTally(m.t, m.g, iv), newTally(m.t, m.g, iv)
	near := m.s.Reader(m.db, m.g, nil).Key(key).Cover(iv, here)
	r := m.s.DistantReader(x, m.g, nil)
	defer r.Release()
	far := r.Key(key).Cover(iv, there)
	if errors.Is(near, ErrNotRetained) && far == nil { // of a key that pruning did not touch the mirror has what was there before
		if want := oracle(m.t, m.g, m.rows, key, iv); !equal(there.bytes(), want) {
			m.t.Fatalf("key %x, %v: the mirror has %x, want %x", key, iv, there.bytes(), want)
		}
		return
	}
	if fmt.Sprint(near) != fmt.Sprint(far) || near == nil && !equal(here.bytes(), there.bytes()) {
		m.t.Fatalf("key %x, %v: the mirror has %x, %v; the store %x, %v", key, iv, there.bytes(), far, here.bytes(), near)
	}
}

// What the journal names is enough to keep a copy of all values.
func TestMirror(t *testing.T) {
	for _, o := range []Options{{PackRows: 8}, {PackRows: 8, NoInline: true}, {PackRows: 3, JournalEntries: 60}} {
		for _, lifetime := range []bool{false, true} {
			t.Run(fmt.Sprintf("pack%d-noinline%v-entries%d-life%v", o.PackRows, o.NoInline, o.JournalEntries, lifetime), func(t *testing.T) {
				seed := rand.Uint64()
				t.Logf("seed %d", seed)
				runModel(t, rand.New(rand.NewPCG(seed, 3)), o, lifetime, func(m *model) func(now int64) {
					x := &mirror{m: m}
					x.follow()
					x.sync()
					return func(now int64) {
						x.follow()
						if m.waits() { // rows that are fresh are not followed
							return
						}
						if m.r.IntN(3) == 0 {
							x.sync()
						}
						if waiting, given := m.s.Waiting(); waiting > 0 || given || !x.whole {
							return
						}
						for range 4 {
							a, b := m.ts(now+1), m.ts(now+1)
							x.read(m.key(), event.Interval{Lo: min(a, b), Hi: max(a, b)})
						}
					}
				})
			})
		}
	}
}

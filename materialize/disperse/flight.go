package disperse

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/storage/cassandra"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/tiles"
)

// Rounds of changes overlap: while one is synced and written the next one is prepared and sent, but for the keys that an earlier one is still
// writing; those follow it. They land in order, and only then leave the journal.

const (
	// mostFlights is how many rounds are under way at once.
	mostFlights = 3
	// roundEvery is how long after another one a round begins while there is one under way: small rounds cost more than they hasten.
	roundEvery = 4 * time.Millisecond
)

// flight is a round of changes that is under way.
type flight struct {
	snap    *pebble.Snapshot
	groups  map[uint32]*tiles.Group
	extent  extent // of the values of the snapshot
	upTo    uint64 // the journal's last transaction of the round
	entries int64  // of the journal
	whole   bool   // the snapshot's journal had no more
	keys    map[string]*change
	unsent  map[uint32]bool // groups of keys that are not served

	merged, skipped, postponed int64

	done chan struct{} // closed once this round and all before it are written, or one has failed
	err  error         // to be read then
}

// sendChanges takes off with what the journal names of the oldest commits that are not under way, and reports whether there was something.
func (s *sender) sendChanges(ctx context.Context) (more bool, err error) {
	if len(s.flights) == mostFlights {
		return true, s.land(ctx)
	}
	switch waiting, _ := s.d.cfg.Tiles.Waiting(); {
	case waiting > s.aloft:
	case len(s.flights) > 0:
		return false, nil
	case s.d.cfg.Clock().Sub(s.told) < progressEvery:
		return false, nil
	}
	if len(s.flights) > 0 {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(time.Until(s.began.Add(roundEvery))):
		}
	}
	s.began = time.Now()
	f, err := s.prepare(ctx)
	if f == nil || err != nil {
		return err == nil && f == nil && s.givenUp(), err
	}
	if f.entries == 0 {
		var err error
		if len(s.flights) == 0 {
			err = s.tell(ctx, f)
		}
		return false, errors.Join(err, f.snap.Close())
	}
	if err := s.takeOff(ctx, f); err != nil {
		return false, errors.Join(err, f.snap.Close())
	}
	return true, nil
}

func (s *sender) givenUp() bool {
	_, given := s.d.cfg.Tiles.Waiting()
	return given
}

// prepare reads the journal into a round; nil where it was given up just now. What a crash takes back may be in it.
func (s *sender) prepare(ctx context.Context) (f *flight, err error) {
	now := s.d.cfg.Clock()
	f = &flight{snap: s.d.cfg.DB.NewSnapshot(), keys: map[string]*change{}, unsent: map[uint32]bool{}, done: make(chan struct{})}
	fail := func(err error) (*flight, error) {
		return nil, errors.Join(err, f.snap.Close())
	}
	position, err := reclog.PositionIn(f.snap)
	if err != nil {
		return fail(err)
	}
	f.extent = extent{position, now}
	f.groups = s.d.cfg.Groups() // after the snapshot: it then has their tiles whole
	metas := map[uint32]bool{}
	upTo, n, err := s.d.cfg.Tiles.Changes(f.snap, s.taken, roundEntries, func(p tiles.Place) error {
		if p.Kind == tiles.GroupValue {
			metas[p.Prefix] = true
			return nil
		}
		if f.note(p) {
			f.merged++
		}
		return nil
	})
	if errors.Is(err, tiles.ErrGivenUp) { // run starts over
		return fail(nil)
	}
	if err != nil {
		return fail(err)
	}
	f.upTo, f.entries, f.whole = upTo, n, n < roundEntries
	if len(metas) > 0 {
		if err := s.sendMetas(ctx, f, metas); err != nil {
			return fail(err)
		}
	}
	return f, nil
}

// note notes a place that changed, and reports whether it was noted before.
func (f *flight) note(p tiles.Place) (again bool) {
	id := keyID(p.Prefix, p.Key)
	c := f.keys[id]
	if c == nil {
		c = &change{prefix: p.Prefix, key: slices.Clone(p.Key), parts: map[string]bool{}}
		f.keys[id] = c
	}
	if p.Kind == tiles.RecordValue {
		again, c.record = c.record, true
		return again
	}
	again = c.parts[string(p.Part)]
	c.parts[string(p.Part)] = true
	return again
}

// sendMetas sends what is retained of groups, once all that was before it has landed.
func (s *sender) sendMetas(ctx context.Context, f *flight, metas map[uint32]bool) error {
	if err := cmp.Or(s.landAll(ctx), s.sync()); err != nil {
		return err
	}
	for prefix := range metas {
		if g := f.groups[prefix]; g != nil {
			if err := s.sendMeta(ctx, f.snap, g); err != nil {
				return err
			}
		}
	}
	return nil
}

// takeOff reads the values of a round and begins to send them.
func (s *sender) takeOff(ctx context.Context, f *flight) error {
	var free, held []cassandra.Partition
	metas := map[uint32][]byte{}
	for _, id := range slices.Sorted(maps.Keys(f.keys)) {
		c := f.keys[id]
		g := f.groups[c.prefix]
		if g == nil {
			f.skipped++
			f.unsent[c.prefix] = true
			continue
		}
		p, wait, err := s.partition(f.snap, g, c, metas)
		switch {
		case err != nil:
			return err
		case wait:
			f.postponed++
			c.waits = true
		case s.isAloft(id):
			held = append(held, p)
		default:
			free = append(free, p)
		}
	}
	for prefix := range f.unsent {
		if err := s.notServed(prefix); err != nil {
			return err
		}
	}
	stamp := int64(0)
	if len(free)+len(held) > 0 {
		var err error
		if stamp, err = s.stamp(ctx); err != nil {
			return err
		}
	}
	var before *flight
	if n := len(s.flights); n > 0 {
		before = s.flights[n-1]
	}
	s.flights, s.taken, s.aloft = append(s.flights, f), f.upTo, s.aloft+f.entries
	go func() {
		defer close(f.done)
		f.err = s.fly(ctx, stamp, free, held, before)
	}()
	return nil
}

// notServed has a group sent whole if it is served again: some of what changed is not sent.
func (s *sender) notServed(prefix uint32) error {
	delete(s.loads, prefix)
	return s.d.cfg.DB.Delete(loadKey(prefix), pebble.NoSync)
}

// isAloft reports whether a round under way writes a key.
func (s *sender) isAloft(id string) bool {
	for _, f := range s.flights {
		if f.keys[id] != nil {
			return true
		}
	}
	return false
}

// fly sends a round: what no earlier one writes once the snapshot is durable, the rest after the one before has landed. It returns when both are done.
func (s *sender) fly(ctx context.Context, stamp int64, free, held []cassandra.Partition, before *flight) error {
	landed := func() error {
		if before == nil {
			return nil
		}
		<-before.done
		return before.err
	}
	err := s.sync() // what a crash takes back is not sent
	if err == nil && len(free)+len(held) > 0 {
		err = s.write(ctx, stamp, free, held, landed)
	}
	return cmp.Or(landed(), err)
}

// land waits for the oldest round, and takes what it wrote out of the journal.
func (s *sender) land(ctx context.Context) error {
	f := s.flights[0]
	<-f.done
	s.flights = s.flights[1:]
	s.aloft -= f.entries
	err := f.err
	if err == nil {
		err = s.d.cfg.Tiles.Sent(f.upTo, f.entries)
	}
	if err == nil {
		s.d.update(func(st *Status) {
			st.Merged, st.Skipped, st.Postponed = st.Merged+f.merged, st.Skipped+f.skipped, st.Postponed+f.postponed
		})
		s.noteWaiting(f)
		if f.whole {
			err = s.tell(ctx, f)
		}
	}
	return errors.Join(err, f.snap.Close())
}

// noteWaiting notes which keys of a round that has landed wait, and which were sent. Of those that wait, what the rounds before brought was.
func (s *sender) noteWaiting(f *flight) {
	for id, c := range f.keys {
		if c.waits {
			s.waiting.add(id, s.sent)
		} else {
			s.waiting.remove(id)
		}
	}
	for prefix := range f.unsent {
		s.waiting.removeGroup(prefix)
	}
}

// landAll waits for all rounds under way.
func (s *sender) landAll(ctx context.Context) error {
	for len(s.flights) > 0 {
		if err := s.land(ctx); err != nil {
			return err
		}
	}
	return nil
}

// landed is readable when a round has landed that was under way; nil where none is.
func (s *sender) landed() <-chan struct{} {
	if len(s.flights) == 0 {
		return nil
	}
	return s.flights[0].done
}

// abandon waits until nothing is written any more, after an error, and keeps the journal as it is.
func (s *sender) abandon() error {
	var errs []error
	for _, f := range s.flights {
		<-f.done
		errs = append(errs, f.snap.Close())
	}
	s.flights = nil
	return errors.Join(errs...)
}

package disperse

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tilehouse/tilehouse/storage/cassandra"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tiles"
)

const (
	// roundEntries is how many entries of the journal a round takes, about.
	roundEntries = 4096
	// loadBytes and loadKeys are how much of a group that was never sent a round takes, about.
	loadBytes = 2 << 20
	loadKeys  = 512
	// sendRows is how many rows are paced at once.
	sendRows = 256
	// progressEvery is how often it is written how far values are, ownEvery how often it is asked whether the keyspace is still this server's.
	progressEvery = time.Second
	ownEvery      = 10 * time.Second
)

// The keys of what dispersal remembers: 'j', 'c', what was claimed, as JSON; 'j', 'w', a group's prefix (uint32): how far it is sent whole:
// 00 and the last key that is, or 01 for all of it.
var claimKey = []byte{reclog.KeyJournal, 'c'}

func loadKey(prefix uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{reclog.KeyJournal, 'w'}, prefix)
}

var loadBounds = [2][]byte{{reclog.KeyJournal, 'w'}, {reclog.KeyJournal, 'w' + 1}}

// sender is dispersal while it is connected. It is for one goroutine.
type sender struct {
	d       *Disperser
	store   *cassandra.Store
	changed <-chan struct{}
	pace    *pace

	claimed   cassandra.Claimed
	round     int64
	loads     map[uint32]*load
	published []uint64 // versions: the newest last, and the one before it
	sent      extent   // of all keys but those that wait; not known before the first round
	waiting   *waiting
	told      time.Time
	asked     time.Time
	reading   []int64 // groups of the definitions that gateways read by
	sweep     sweep

	flights []*flight // rounds of changes that are under way, the oldest first
	taken   uint64    // the journal's last transaction that is in one of them, or in one before
	aloft   int64     // entries of the journal that are in them
	began   time.Time // when the last one was
}

// load is how far a group is sent whole.
type load struct {
	after []byte // the last key that is; nil: none
	whole bool
}

// claimed is what the data directory remembers of the keyspace that it wrote to; the zero value: nothing.
func (d *Disperser) claimed() (c cassandra.Claimed, err error) {
	b, closer, err := d.cfg.DB.Get(claimKey)
	switch {
	case err == nil:
		err = errors.Join(json.Unmarshal(b, &c), closer.Close())
	case errors.Is(err, pebble.ErrNotFound):
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("what was claimed: %w", err)
	}
	return c, err
}

// claim takes rounds to write with, and reads how far groups are sent.
func (s *sender) claim(ctx context.Context, takeOver bool) error {
	before, err := s.d.claimed()
	if err != nil {
		return err
	}
	s.claimed, err = s.store.Claim(ctx, before, takeOver, func(c cassandra.Claimed) error {
		batch := s.d.cfg.DB.NewBatch()
		defer batch.Close()
		if c.Epoch != before.Epoch { // nothing was sent in it
			if err := batch.DeleteRange(loadBounds[0], loadBounds[1], nil); err != nil {
				return err
			}
		}
		if err := remember(batch, c); err != nil {
			return err
		}
		return batch.Commit(pebble.Sync)
	})
	if err != nil {
		return err
	}
	s.round, s.loads = 0, map[uint32]*load{}
	it, err := s.d.cfg.DB.NewIter(&pebble.IterOptions{LowerBound: loadBounds[0], UpperBound: loadBounds[1]})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		if v := it.Value(); len(it.Key()) == 6 && len(v) > 0 {
			s.loads[binary.BigEndian.Uint32(it.Key()[2:])] = &load{after: slices.Clone(v[1:]), whole: v[0] == 1}
		}
	}
	s.d.update(func(st *Status) { st.Epoch = s.claimed.Epoch })
	if s.claimed.Epoch != before.Epoch && s.claimed.Epoch > 1 { // what was sent in the ones before
		err = s.planSweep()
	} else {
		err = s.resumeSweep()
	}
	return errors.Join(err, it.Error(), it.Close())
}

// forget makes the directory forget that it ever sent: the next connection to Cassandra begins a new epoch.
func (d *Disperser) forget() error {
	_, err := d.cfg.Tiles.FollowChanges(false)
	c, of := d.claimed()
	if of != nil {
		return errors.Join(err, of)
	}
	c.Store = ""
	batch := d.cfg.DB.NewBatch()
	defer batch.Close()
	return errors.Join(err, batch.DeleteRange(loadBounds[0], loadBounds[1], nil), remember(batch, c), batch.Commit(pebble.Sync))
}

// remember adds to a batch what is claimed.
func remember(b *pebble.Batch, c cassandra.Claimed) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return b.Set(claimKey, body, nil)
}

// run sends rounds until one fails.
func (s *sender) run(ctx context.Context) (err error) {
	ctx, end := context.WithCancel(ctx)
	defer func() {
		end()
		err = errors.Join(err, s.abandon())
	}()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	s.asked = s.d.cfg.Clock()
	if err := s.resume(ctx); err != nil {
		return err
	}
	for {
		catalogChanged := s.d.cfg.Catalog.Changed()
		if s.givenUp() {
			if err := cmp.Or(s.landAll(ctx), s.startOver()); err != nil {
				return err
			}
		}
		journal, err := s.sendChanges(ctx)
		if err != nil {
			return err
		}
		loaded, err := s.sendLoad(ctx)
		if err != nil {
			return err
		}
		if err := errors.Join(s.publish(ctx), s.stillOurs(ctx), s.sweepSome(ctx)); err != nil {
			return err
		}
		if journal || loaded || s.sweep.from != nil {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.changed:
		case <-catalogChanged:
		case <-s.landed():
			if err := s.land(ctx); err != nil {
				return err
			}
		case <-tick.C:
		}
	}
}

// startOver has everything sent again after the journal was given up.
func (s *sender) startOver() error {
	s.loads, s.waiting = map[uint32]*load{}, newWaiting()
	return errors.Join(s.d.cfg.DB.DeleteRange(loadBounds[0], loadBounds[1], pebble.Sync), s.d.cfg.Tiles.RestartJournal())
}

// snapshot is what a round sends: of commits that a crash does not take back.
func (s *sender) snapshot() (*pebble.Snapshot, error) {
	snap := s.d.cfg.DB.NewSnapshot()
	if err := s.sync(); err != nil {
		return nil, errors.Join(err, snap.Close())
	}
	return snap, nil
}

// sync makes durable what is committed.
func (s *sender) sync() error { return s.d.cfg.DB.LogData(nil, pebble.Sync) }

// stamp is the timestamp of the next round.
func (s *sender) stamp(ctx context.Context) (int64, error) {
	if s.round++; s.round >= cassandra.Rounds {
		if err := s.claim(ctx, false); err != nil {
			return 0, err
		}
		s.round++
	}
	return s.claimed.Timestamp(s.round), nil
}

// change is what the journal says of one key.
type change struct {
	prefix uint32
	key    []byte
	record bool
	parts  map[string]bool
	waits  bool // to be made anew, and is not sent
}

// partition is what is sent of a change of a key; wait says that another change is to come before it can be. metas are those of groups in the
// snapshot, as far as they were read.
func (s *sender) partition(snap *pebble.Snapshot, g *tiles.Group, c *change, metas map[uint32][]byte) (p cassandra.Partition, wait bool, err error) {
	t := s.d.cfg.Tiles
	meta, known := metas[g.Prefix]
	if !known {
		if meta, err = s.meta(snap, g); err != nil {
			return p, false, err
		}
		metas[g.Prefix] = meta
	}
	p = cassandra.Partition{Group: s.claimed.Group(g.Prefix), Key: c.key, Meta: meta}
	if c.record {
		record, err := t.Encoded(snap, tiles.Place{Prefix: g.Prefix, Kind: tiles.RecordValue, Key: c.key})
		if err != nil {
			return p, false, err
		}
		if wait, err := tiles.Waits(g, record); wait || err != nil {
			return p, wait, err
		}
		p.Rows = append(p.Rows, cassandra.Row{Value: record})
	}
	for _, part := range slices.Sorted(maps.Keys(c.parts)) {
		v, err := t.Encoded(snap, tiles.Place{Prefix: g.Prefix, Kind: tiles.NodeValue, Key: c.key, Part: []byte(part)})
		if err != nil {
			return p, false, err
		}
		p.Rows = append(p.Rows, cassandra.Row{Part: []byte(part), Value: v})
	}
	return p, false, nil
}

// write sends partitions as one round, at the connection's pace: held ones once before returns, which is not called where there are none.
func (s *sender) write(ctx context.Context, stamp int64, free, held []cassandra.Partition, before func() error) (err error) {
	ctx, span := s.roundSpan(ctx, len(free)+len(held))
	var rows, bytes int64
	defer func() { endRound(span, rows, bytes, err) }()
	round := s.store.Begin(ctx, stamp)
	rows, bytes, err = s.add(ctx, round, free)
	if err == nil && len(held) > 0 {
		if err = before(); err == nil {
			var more, size int64
			more, size, err = s.add(ctx, round, held)
			rows, bytes = rows+more, bytes+size
		}
	}
	if wrote := round.Wait(); wrote != nil || err != nil {
		return cmp.Or(wrote, err)
	}
	s.d.update(func(st *Status) { st.Rows, st.Bytes, st.Rounds = st.Rows+rows, st.Bytes+bytes, st.Rounds+1 })
	return nil
}

// add adds partitions to a round, sendRows about at once.
func (s *sender) add(ctx context.Context, round *cassandra.Round, parts []cassandra.Partition) (rows, bytes int64, err error) {
	for len(parts) > 0 {
		n, some, size := 0, int64(0), int64(0)
		for n < len(parts) && some < sendRows {
			some += int64(len(parts[n].Rows))
			size += parts[n].Bytes()
			n++
		}
		if err := s.pace.wait(ctx, some, size); err != nil {
			return rows, bytes, err
		}
		round.Write(parts[:n])
		parts, rows, bytes = parts[n:], rows+some, bytes+size
	}
	return rows, bytes, nil
}

// meta is what is retained of a group: of its tiles as of the snapshot, and of its table as of now or before, so that of a partition that lacks
// events of its table its meta says so.
func (s *sender) meta(snap pebble.Reader, g *tiles.Group) ([]byte, error) {
	meta, err := s.d.cfg.Tiles.Encoded(snap, tiles.Place{Prefix: g.Prefix, Kind: tiles.GroupValue})
	if err != nil {
		return nil, err
	}
	kept, err := s.d.cfg.Kept(g.Prefix)
	return tiles.WithKept(meta, kept), err
}

func (s *sender) sendMeta(ctx context.Context, snap pebble.Reader, g *tiles.Group) error {
	meta, err := s.meta(snap, g)
	if err != nil {
		return err
	}
	stamp, err := s.stamp(ctx)
	if err != nil {
		return err
	}
	return s.store.WriteGroup(ctx, stamp, s.claimed.Group(g.Prefix), meta)
}

// sendLoad sends some keys of a group that is not sent whole yet, and reports whether there is one.
func (s *sender) sendLoad(ctx context.Context) (more bool, err error) {
	snap, err := s.next()
	if err != nil || snap == nil {
		return false, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	if err := s.landAll(ctx); err != nil { // they may write the same keys
		return false, err
	}
	groups := s.d.cfg.Groups()
	var g *tiles.Group
	pending := 0
	for _, prefix := range slices.Sorted(maps.Keys(groups)) {
		if l := s.loads[prefix]; l == nil || !l.whole {
			if pending++; g == nil {
				g = groups[prefix]
			}
		}
	}
	s.d.update(func(st *Status) { st.Loading = pending })
	if g == nil {
		s.d.set(StateFollowing, nil)
		return false, nil
	}
	s.d.set(StateLoading, nil)
	l := s.loads[g.Prefix]
	if l == nil {
		l = &load{}
	}
	var parts []cassandra.Partition
	var size, postponed int64
	metas := map[uint32][]byte{}
	var keys []string
	last, whole := l.after, true
	t := s.d.cfg.Tiles
	err = t.Keys(snap, g, l.after, func(key []byte) (bool, error) {
		if len(parts) >= loadKeys || size >= loadBytes {
			whole = false
			return false, nil
		}
		k := slices.Clone(key)
		p, wait, err := s.partition(snap, g, &change{prefix: g.Prefix, key: k, record: true}, metas)
		if err != nil {
			return false, err
		}
		if wait { // it is made anew in a moment
			postponed, whole = postponed+1, false
			return false, nil
		}
		last = k
		keys = append(keys, keyID(g.Prefix, k))
		err = t.EachNode(snap, g, key, func(part, value []byte) error {
			p.Rows = append(p.Rows, cassandra.Row{Part: slices.Clone(part), Value: slices.Clone(value)})
			return nil
		})
		parts = append(parts, p)
		size += p.Bytes()
		return true, err
	})
	if err != nil {
		return false, err
	}
	if len(parts) > 0 {
		stamp, err := s.stamp(ctx)
		if err == nil {
			err = s.write(ctx, stamp, parts, nil, nil)
		}
		if err != nil {
			return false, err
		}
	}
	for _, id := range keys {
		s.waiting.remove(id)
	}
	if whole {
		if err := s.sendMeta(ctx, snap, g); err != nil {
			return false, err
		}
	}
	done := &load{after: last, whole: whole}
	mark := append([]byte{0}, last...)
	if whole {
		mark = []byte{1}
	}
	s.loads[g.Prefix] = done
	s.d.update(func(st *Status) { st.Postponed += postponed })
	return whole || len(parts) > 0, s.d.cfg.DB.Set(loadKey(g.Prefix), mark, pebble.NoSync)
}

// next is a snapshot if a group is not sent whole yet, nil otherwise.
func (s *sender) next() (*pebble.Snapshot, error) {
	for prefix := range s.d.cfg.Groups() {
		if l := s.loads[prefix]; l == nil || !l.whole {
			return s.snapshot()
		}
	}
	s.d.update(func(st *Status) { st.Loading = 0 })
	s.d.set(StateFollowing, nil)
	return nil, nil
}

// publish makes the catalog's definitions those of gateways, once all groups that they name are sent whole.
func (s *sender) publish(ctx context.Context) error {
	cat := s.d.cfg.Catalog.Current()
	if n := len(s.published); n > 0 && s.published[n-1] == cat.Version {
		return nil
	}
	groups := s.d.cfg.Groups()
	for id, g := range cat.Groups {
		if l := s.loads[id]; g.Online && (groups[id] == nil || l == nil || !l.whole) {
			return nil
		}
	}
	body, err := cat.Published()
	if err != nil {
		return err
	}
	stamp, err := s.stamp(ctx)
	if err != nil {
		return err
	}
	if err := s.store.Publish(ctx, stamp, s.claimed, cat.Version, body); err != nil {
		return err
	}
	s.published = append(s.published, cat.Version)
	if len(s.published) > 2 { // a gateway may be reading the one before
		if err := s.store.Forget(ctx, stamp, s.claimed, s.published[0]); err != nil {
			return err
		}
		s.published = s.published[1:]
	}
	s.reading = s.reading[:0]
	for id := range cat.Groups {
		s.reading = append(s.reading, s.claimed.Group(id))
	}
	if gone := s.forgetLoads(cat); gone || !s.sweep.due.IsZero() { // gateways read by the ones before for a moment
		if err := s.planSweep(); err != nil {
			return err
		}
	}
	s.d.update(func(st *Status) { st.Version = cat.Version })
	return nil
}

// forgetLoads forgets groups that are gone, and reports whether there were some.
func (s *sender) forgetLoads(cat *schema.Catalog) (gone bool) {
	groups := s.d.cfg.Groups()
	for prefix := range s.loads {
		if cat.Groups[prefix] == nil && groups[prefix] == nil {
			gone = true
			delete(s.loads, prefix)
			if err := s.d.cfg.DB.Delete(loadKey(prefix), pebble.NoSync); err != nil {
				s.d.cfg.Logger.Error("forgetting a group of dispersal", "group", prefix, "error", err)
			}
		}
	}
	return gone
}

// resume finds out how far values are that were sent before, and which keys have waited since.
func (s *sender) resume(ctx context.Context) error {
	s.waiting = newWaiting()
	if len(s.loads) == 0 { // nothing was sent in this epoch, and what is written there is of another one
		stamp, err := s.stamp(ctx)
		if err != nil {
			return err
		}
		return s.store.WriteProgress(ctx, stamp, 0, s.d.cfg.Clock())
	}
	position, at, err := s.store.Progress(ctx)
	if err != nil {
		return err
	}
	s.sent = extent{position, at}
	if st := s.d.Status(); st.Position > position { // it is written now and then only
		s.sent = extent{st.Position, st.At}
	}
	for prefix, g := range s.d.cfg.Groups() {
		if s.loads[prefix] == nil { // all of it is still to be sent
			continue
		}
		for after := []byte(nil); !s.waiting.crowded; {
			keys, err := s.d.cfg.Tiles.Broken(g, after, roundEntries)
			if err != nil {
				return err
			}
			if len(keys) == 0 {
				break
			}
			for _, key := range keys {
				s.waiting.add(keyID(prefix, key), s.sent)
			}
			after = keys[len(keys)-1]
		}
	}
	return nil
}

// tell writes how far values are once a round has landed after which the journal is empty in its snapshot: all commits are sent, but for what
// keys lack that wait.
func (s *sender) tell(ctx context.Context, f *flight) error {
	s.sent = f.extent
	for {
		prefix, ok := s.waiting.oldest()
		if !ok || f.groups[prefix] != nil {
			break
		}
		s.waiting.removeGroup(prefix) // it is gone
		if err := s.notServed(prefix); err != nil {
			return err
		}
	}
	if s.waiting.crowded {
		broken := false
		for _, g := range f.groups {
			b, err := s.d.cfg.Tiles.AnyBroken(f.snap, g)
			if err != nil {
				return err
			}
			broken = broken || b
		}
		if !broken { // whatever waited was made anew, and with it changed, and was sent
			s.waiting = newWaiting()
		}
	}
	all := s.waiting.least(s.sent)
	s.d.update(func(st *Status) {
		if st.complete = s.waiting.none(); all.position > 0 {
			st.Position, st.At = all.position, all.at
		}
	})
	now := s.d.cfg.Clock()
	if now.Sub(s.told) < progressEvery {
		return nil
	}
	if s.told = now; all.position == 0 {
		return nil
	}
	stamp, err := s.stamp(ctx)
	if err != nil {
		return err
	}
	return s.store.WriteProgress(ctx, stamp, all.position, all.at)
}

// stillOurs checks now and then that no other process has taken the keyspace.
func (s *sender) stillOurs(ctx context.Context) error {
	now := s.d.cfg.Clock()
	if now.Sub(s.asked) < ownEvery {
		return nil
	}
	s.asked = now
	return s.store.Owns(ctx, s.claimed)
}

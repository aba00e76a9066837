package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/storage/archive"
	"github.com/tilehouse/tilehouse/storage/schema"
)

const (
	// entryLinger is how long after an entry a collector adds the next one at the soonest: a single message goes at once when it is quiet.
	entryLinger = 10 * time.Millisecond
	// heartbeat is how often a server gives a sign of life, and hears of others that join or leave; leastBeats is how often it does so within its session's timeout at least.
	heartbeat  = 500 * time.Millisecond
	leastBeats = 4
	// rebalanceTimeout is how long it may take to give up partitions.
	rebalanceTimeout = 10 * time.Second
	// stepsBehind is how many entries of others a collector reads one by one before it looks for the end.
	stepsBehind = 8
)

// DefaultSession is after how long without a sign of life a server's partitions go to others: the least that brokers allow by default. Microseconds.
const DefaultSession = 6_000_000

// collector reads the partitions that the broker gives this server, as a member of a consumer group, and adds what it reads to the archive.
type collector struct {
	f        *follower
	decoding *consumer // of its own decoder
	r        *schema.Relation
	client   *kgo.Client
	have     chan struct{} // something waits
	room     chan struct{} // what waited was taken
	progress bool          // an entry was added since the last error; run's

	ends sync.Mutex
	end  archive.Position // of the archive, as far as is known

	mu    sync.Mutex // held while messages are decoded, which may wait for a schema registry
	owned map[int32]*ownership
	given uint64 // ownerships so far
	load  *load
	of    []uint64 // by message of load: the ownership that it was read by
}

// ownership is a partition being this server's. What is read of it has no gap from an end of the archive's on.
type ownership struct {
	id   uint64
	from int64 // −1: not known yet
	next int64 // the first offset that was not read
}

func newCollector(f *follower, r *schema.Relation, end archive.Position) *collector {
	return &collector{f: f, r: r, end: end}
}

// advance notes that the archive goes on to a position.
func (c *collector) advance(p archive.Position) {
	c.ends.Lock()
	defer c.ends.Unlock()
	if p.Entry > c.end.Entry {
		c.end = p
	}
}

// known is the archive's end as far as is known.
func (c *collector) known() archive.Position {
	c.ends.Lock()
	defer c.ends.Unlock()
	return c.end
}

// keepRunning runs until ctx ends, and again after each error.
func (c *collector) keepRunning(ctx context.Context) {
	wait := leastBackoff
	for {
		began := time.Now()
		c.progress = false
		err := c.run(ctx)
		c.mu.Lock()
		c.owned = nil
		c.mu.Unlock()
		c.show()
		if ctx.Err() != nil {
			c.f.beside.state(StateRunning, "", c.f.cfg.Clock())
			return
		}
		if c.progress || time.Since(began) > mostBackoff {
			wait = leastBackoff
		}
		c.fail(err)
		select {
		case <-time.After(wait/2 + rand.N(wait/2)):
		case <-ctx.Done():
		}
		wait = min(2*wait, mostBackoff)
	}
}

// fail shows an error beside what the follower is at.
func (c *collector) fail(err error) {
	w := worker{cfg: c.f.cfg, name: c.f.name, status: c.f.beside}
	w.fail(err)
}

// run reads and adds until something fails.
func (c *collector) run(ctx context.Context) error {
	f := c.f
	cat := f.cfg.Catalog.Current()
	if f.connection == nil {
		return errors.New("its connection is gone")
	}
	decoder, err := f.cfg.Decoder(cat, c.r)
	if err != nil {
		return err
	}
	c.decoding = &consumer{worker: worker{cfg: f.cfg, id: f.id, name: f.name, status: f.status}, kafka: f.kafka, decoder: decoder}
	opts, err := ClientOptions(cat, f.connection)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.have, c.room = make(chan struct{}, 1), make(chan struct{}, 1)
	c.owned, c.load, c.of = map[int32]*ownership{}, &load{}, nil
	c.mu.Unlock()
	session := time.Duration(cmp.Or(f.kafka.SessionTimeout, DefaultSession)) * time.Microsecond
	c.client, err = kgo.NewClient(append(append(opts, f.fetchOptions()...),
		kgo.ConsumeTopics(f.kafka.Topic), kgo.ConsumerGroup(f.cfg.ArchiveGroup+"tilehouse-"+f.kafka.ArchiveID), kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(session), kgo.HeartbeatInterval(min(heartbeat, session/leastBeats)), kgo.RebalanceTimeout(rebalanceTimeout),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { c.assigned(p[f.kafka.Topic]) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { c.lost(p[f.kafka.Topic]) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { c.lost(p[f.kafka.Topic]) }),
		kgo.AdjustFetchOffsetsFn(c.begin))...)
	if err != nil {
		return err
	}
	defer c.client.CloseAllowingRebalance()
	adm := kadm.NewClient(c.client)
	if _, err := c.decoding.look(ctx, adm); err != nil {
		return err
	}
	f.beside.state(StateRunning, "", f.cfg.Clock())
	working, stop := context.WithCancel(ctx)
	failed := make(chan error, 2)
	var done sync.WaitGroup
	partitions := make(chan int, 1)
	done.Go(func() { c.decoding.keepProbing(working, adm, partitions, failed) })
	done.Go(func() {
		if err := c.read(working); err != nil {
			failed <- err
		}
	})
	defer func() { stop(); done.Wait() }()
	var added time.Time
	for {
		select {
		case <-c.have:
		case <-partitions: // the group's leader is to hear of it, whoever that is
			c.client.ForceMetadataRefresh()
			continue
		case err := <-failed: // what other partitions gave is added, whatever one of them has
			return errors.Join(err, c.add(ctx))
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-time.After(entryLinger - time.Since(added)):
		case <-ctx.Done():
			return ctx.Err()
		}
		added = time.Now()
		if err := c.add(ctx); err != nil {
			return err
		}
	}
}

// assigned notes that partitions are this server's.
func (c *collector) assigned(partitions []int32) {
	c.mu.Lock()
	for _, p := range partitions {
		c.given++
		c.owned[p] = &ownership{id: c.given, from: -1}
	}
	c.mu.Unlock()
	c.show()
}

// lost notes that partitions are not this server's any more. What was read of them and not added is left to others.
func (c *collector) lost(partitions []int32) {
	c.mu.Lock()
	for _, p := range partitions {
		delete(c.owned, p)
	}
	c.mu.Unlock()
	c.show()
}

// show shows which partitions this server reads.
func (c *collector) show() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.f.status.set(func(s *Status) {
		for p := range c.owned {
			s.partition(int(p))
		}
		for p := range s.Partitions {
			s.Partitions[p].Mine = c.owned[int32(p)] != nil
		}
	})
}

// begin says where the reading of partitions begins that are this server's from now on: at the archive's end, whatever the broker has.
func (c *collector) begin(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	end, err := c.f.arch.End()
	if err != nil {
		return nil, c.f.failed(err)
	}
	if known := c.known(); end.Entry < known.Entry { // who read it may have read more by now
		end = known
	}
	c.advance(end)
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[int32]kgo.Offset{}
	for p := range offsets[c.f.kafka.Topic] {
		out[p] = kgo.NewOffset().At(end.Of(p))
	}
	for p, o := range c.owned {
		if o.from < 0 {
			out[p] = kgo.NewOffset().At(end.Of(p))
		}
		if _, begins := out[p]; begins {
			c.given++
			c.owned[p] = &ownership{id: c.given, from: end.Of(p), next: end.Of(p)}
		}
	}
	return map[string]map[int32]kgo.Offset{c.f.kafka.Topic: out}, nil
}

// read reads and decodes until ctx ends or something fails. No rebalance comes between a message's being given and its ownership's being noted.
func (c *collector) read(ctx context.Context) error {
	for ctx.Err() == nil {
		fetches := c.client.PollRecords(ctx, batchMessages)
		err := c.took(fetches)
		c.client.AllowRebalance()
		if err != nil {
			return err
		}
		for c.full() {
			select {
			case <-c.room:
			case <-ctx.Done():
				return nil
			}
		}
	}
	return nil
}

// took puts messages behind those that wait.
func (c *collector) took(fetches kgo.Fetches) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := map[int32]int64{}
	for p, o := range c.owned {
		next[p] = o.next
	}
	var records []message
	arrived := c.f.cfg.Clock().UnixMicro()
	fetches.EachRecord(func(r *kgo.Record) {
		if o := c.owned[r.Partition]; o != nil && o.from >= 0 && r.Offset >= o.next {
			o.next = r.Offset + 1
			records = append(records, message{Record: r, headers: headers(r), arrived: arrived})
			c.of = append(c.of, o.id)
		}
	})
	l := c.load
	if len(records) > 0 {
		if l.builder == nil {
			l.builder = c.decoding.newBuilder(schema.Empty(), c.r, len(records)) // keys of features are each server's own
		}
		if err := l.builder.addAll(records); err != nil {
			c.of = c.of[:len(l.builder.refused)]
			l.records = append(l.records, records[:len(l.builder.refused)-len(l.records)]...)
			signal(c.have)
			return err
		}
		l.records = append(l.records, records...)
		for i := range records {
			m := &records[i]
			l.bytes += int64(len(m.Key)+len(m.Value)+len(m.headers)) + recordBytes
		}
		signal(c.have)
	}
	return fetchError(fetches, next)
}

// full reports whether what waits is as much as an entry takes.
func (c *collector) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.load.records)+batchMessages > mostMessages || c.load.bytes > int64(c.f.fetch)*maxFetches/2
}

// add adds what waits as an entry, after those that others have added meanwhile. While the folder cannot be used it tries again.
func (c *collector) add(ctx context.Context) error {
	c.mu.Lock()
	l, of := c.load, c.of
	c.load, c.of = &load{}, nil
	signal(c.room)
	c.mu.Unlock()
	keep := make([]bool, len(l.records))
	for {
		at, covers, err := c.left(l.records, of, keep)
		if err != nil || len(covers) == 0 {
			return err
		}
		next, added, err := c.f.arch.Add(at, covers, l.builder.entryRows(l.records, func(i int) bool { return keep[i] }))
		if added {
			c.progress = true
			c.advance(next)
			signal(c.f.added)
			c.f.beside.state(StateRunning, "", c.f.cfg.Clock())
			return nil
		}
		if err == nil {
			err = c.catchUp(at)
		}
		if err == nil {
			continue
		}
		if errors.Is(err, archive.ErrBehind) || errors.Is(err, archive.ErrCorrupt) {
			return c.f.failed(err)
		}
		c.fail(c.f.failed(err))
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err = c.f.arch.Check(); err == nil {
			err = c.catchUp(at) // what failed may have been added
		}
		if err == nil {
			c.f.beside.state(StateRunning, "", c.f.cfg.Clock())
		}
	}
}

// left says of messages which of them the archive lacks and are this server's, and what they cover from the archive's end on.
func (c *collector) left(records []message, of []uint64, keep []bool) (archive.Position, []archive.Range, error) {
	at := c.known()
	c.mu.Lock()
	defer c.mu.Unlock()
	var covers []archive.Range
	place := map[int32]int{} // in covers
	for i := range records {
		m := &records[i]
		o, from := c.owned[m.Partition], at.Of(m.Partition)
		if keep[i] = o != nil && o.id == of[i] && m.Offset >= from; !keep[i] {
			continue
		}
		if o.from > from {
			return at, nil, c.f.failed(fmt.Errorf("%w: partition %d was at offset %d, and is at %d", archive.ErrBehind, m.Partition, o.from, from))
		}
		i, ok := place[m.Partition]
		if !ok {
			i = len(covers)
			place[m.Partition] = i
			covers = append(covers, archive.Range{Partition: m.Partition, From: from})
		}
		covers[i].To = m.Offset + 1
	}
	return at, covers, nil
}

// catchUp reads what was added after a position.
func (c *collector) catchUp(at archive.Position) error {
	for range stepsBehind {
		next, more, err := c.f.arch.After(at)
		if err != nil {
			return err
		}
		if !more {
			c.advance(at)
			return nil
		}
		at = next
	}
	end, err := c.f.arch.End()
	if err == nil {
		c.advance(end)
	}
	return err
}

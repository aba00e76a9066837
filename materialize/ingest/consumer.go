package ingest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/streams"
)

const (
	// leastBackoff and mostBackoff bound the wait after an error; it doubles with each.
	leastBackoff = 200 * time.Millisecond
	mostBackoff  = 30 * time.Second
	// probeEvery is how often the brokers are asked for the topic's partitions and ends.
	probeEvery = 3 * time.Second
	// steadyAfter is how long after an error reading goes well before it is said to: longer than brokers take to refuse a fetch.
	steadyAfter = 2 * time.Second
	// tick is how often a consumer without messages looks whether partitions have become idle.
	tick = 500 * time.Millisecond
)

// errGone: the source was dropped or suspended while a transaction of its waited.
var errGone = errors.New("the source is not read any more")

// consumer reads the topic of one source.
type consumer struct {
	worker
	kafka *schema.Kafka
	fetch int32 // bytes of a fetch

	decoding sync.Mutex // of the decoder
	decoder  Decoder

	// What follows belongs to run.
	last   []time.Time // of each partition, when it last gave a message, or when the reading began
	marked int64       // the newest mark that was committed; streams.NoEvent: none since the reading began
}

func newConsumer(cfg Config, cat *schema.Catalog, r *schema.Relation, turn turn, fetch int32) *consumer {
	return &consumer{worker: newWorker(cfg, cat, r, turn), kafka: r.Kafka, fetch: fetch}
}

func secretsOf(cat *schema.Catalog, c *schema.Connection) []*schema.Secret {
	if c == nil {
		return nil
	}
	var out []*schema.Secret
	for _, option := range slices.Sorted(maps.Keys(c.Secrets)) {
		out = append(out, cat.Secrets[c.Secrets[option]])
	}
	return out
}

// fits reports whether the consumer reads what the source says.
func (c *consumer) fits(cat *schema.Catalog, r *schema.Relation) bool {
	return c.kafka == r.Kafka && c.sameWay(cat, r)
}

// read reads from where the log is until something fails.
func (c *consumer) read(ctx context.Context) error {
	cat := c.cfg.Catalog.Current()
	r := cat.Relations[c.id]
	if r == nil {
		return errGone
	}
	if c.connection == nil {
		return errors.New("its connection is gone")
	}
	var err error
	if c.decoder, err = c.cfg.Decoder(cat, r); err != nil {
		return err
	}
	if c.state, err = streams.Load(c.cfg.Log, reclog.SourceID(c.id)); err != nil {
		return err
	}
	opts, err := ClientOptions(cat, c.connection)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(opts, c.fetchOptions()...)...)
	if err != nil {
		return err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	if err := c.probe(ctx, client, adm); err != nil {
		return err
	}
	failed := make(chan error, 1)
	probing, end := context.WithCancel(ctx)
	partitions := make(chan int, 1) // that a probe found
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		c.keepProbing(probing, adm, partitions, failed)
	}()
	defer func() { end(); <-stopped }()
	a := c.readAhead(ctx, client)
	defer a.stop()
	steady := time.NewTimer(steadyAfter)
	defer steady.Stop()
	for {
		select {
		case <-steady.C:
			c.recovered()
		case err := <-failed:
			return err
		case n := <-partitions:
			c.add(client, n)
		default:
		}
		if err := c.next(ctx, a); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// fetchOptions are the options of a client that reads the topic.
func (c *consumer) fetchOptions() []kgo.Opt {
	return []kgo.Opt{kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxBytes(c.fetch), kgo.FetchMaxPartitionBytes(max(c.fetch/4, leastFetch)),
		kgo.MaxConcurrentFetches(maxFetches), kgo.MaxDecompressBatchBytes(batchBytes), kgo.FetchMaxWait(tick), kgo.ConsumeResetOffset(kgo.NoResetOffset())}
}

// next takes what was read ahead, or waits a tick for some.
func (c *consumer) next(ctx context.Context, a *ahead) error {
	l := a.take(ctx)
	if err := c.take(ctx, l); err != nil { // what other partitions gave is taken, whatever one of them has
		return err
	}
	return l.failure
}

// take commits messages, which are in the order of their offsets by partition, and tries again while the disk is full.
func (c *consumer) take(ctx context.Context, l *load) error {
	now := c.cfg.Clock()
	for _, r := range l.records {
		c.last[r.Partition] = now
	}
	for {
		err := c.inTurn(ctx, func() error { return c.commitLoad(ctx, l) })
		if !errors.Is(err, reclog.ErrDiskFull) {
			return err
		}
		c.fail(err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// commit commits messages in one transaction, those of which a row is refused as dead letters.
func (c *consumer) commit(ctx context.Context, records []message) error {
	return c.commitBut(ctx, records, nil)
}

// commitLoad is commit of what was read ahead.
func (c *consumer) commitLoad(ctx context.Context, l *load) error {
	cat, b := c.cfg.Catalog.Current(), l.builder
	r := cat.Relations[c.id]
	if r == nil || r.Suspended {
		return errGone
	}
	if l.builder = nil; b == nil || !b.fits(cat, r) { // decoded before the source or its features changed, or tried before
		return c.commit(ctx, l.records)
	}
	out, err := b.complete(ctx, l.records)
	if err != nil || out == nil {
		return err
	}
	return c.commitBatch(ctx, cat, l.records, out, nil)
}

// commitBut is commit; rejected, if it is not nil, is by message why it is no row, as far as that is known.
func (c *consumer) commitBut(ctx context.Context, records []message, rejected []*Rejected) error {
	cat := c.cfg.Catalog.Current()
	r := cat.Relations[c.id]
	if r == nil || r.Suspended {
		return errGone
	}
	b, err := c.build(ctx, cat, r, records, rejected)
	if err != nil || b == nil {
		return err
	}
	return c.commitBatch(ctx, cat, records, b, rejected)
}

// commitBatch commits the batch of messages. Where it is refused, the rows that are to blame are looked for, and the rest is committed without them; where none is found, halves of
// the messages are committed, in the end each alone.
func (c *consumer) commitBatch(ctx context.Context, cat *schema.Catalog, records []message, b *batch, rejected []*Rejected) error {
	err := c.write(ctx, b)
	if err == nil {
		return nil
	}
	why := c.cfg.OfRow(cat, b.changes, err)
	switch {
	case why == nil || len(records) == 1 && rejected != nil:
		return err
	case len(records) == 1:
		return c.commitBut(ctx, records, []*Rejected{why})
	}
	if rejected == nil {
		rejected = make([]*Rejected, len(records))
	}
	found, err := c.refusals(ctx, cat, records, b, rejected)
	if err != nil {
		return err
	}
	if found {
		return c.commitBut(ctx, records, rejected)
	}
	half := len(records) / 2
	for _, part := range [][2]int{{0, half}, {half, len(records)}} {
		known := rejected[part[0]:part[1]]
		if len(known) == 1 && known[0] == nil {
			known = nil
		}
		if err := c.commitBut(ctx, records[part[0]:part[1]], known); err != nil {
			return err
		}
	}
	return nil
}

// refusals notes in rejected which messages of a batch are rows of which features cannot be computed, and reports whether there are some.
func (c *consumer) refusals(ctx context.Context, cat *schema.Catalog, records []message, b *batch, rejected []*Rejected) (found bool, err error) {
	type place struct{ partition, offset int64 }
	places := make(map[place]int, len(records))
	for i := range records {
		places[place{int64(records[i].Partition), records[i].Offset}] = i
	}
	for i := range b.changes {
		rows := b.changes[i].Inserts
		if rows == nil {
			continue
		}
		why, err := c.cfg.Refusals(ctx, cat, uint32(b.changes[i].Source), rows)
		if err != nil {
			return false, err
		}
		for row, w := range why {
			if at, ok := places[place{rows.Cols[b.declared].I64[row], rows.Cols[b.declared+1].I64[row]}]; ok && rejected[at] == nil {
				rejected[at], found = w, true
			}
		}
	}
	return found, nil
}

// write commits a batch.
func (c *consumer) write(ctx context.Context, b *batch) error {
	ctx, span := c.commitSpan(ctx, b)
	_, err := c.cfg.Log.Commit(ctx, &reclog.Txn{Changes: b.changes, Extra: func(w *pebble.Batch, pos uint64) error {
		// In the committer: the source is dropped from the log after it has left the catalog.
		if now := c.cfg.Catalog.Current().Relations[c.id]; now == nil || now.Suspended {
			return errGone
		}
		return b.Extra(c.cfg.Log, w, pos)
	}})
	endCommit(span, err)
	if err == nil {
		c.committed(b)
	}
	return err
}

// committed notes a batch.
func (c *consumer) committed(b *batch) {
	taken := b.State.Good+b.State.Dead > c.state.Good+c.state.Dead // else it is a mark
	c.state = b.State
	if c.last == nil { // dead letters tried again: nobody reads
		return
	}
	if b.mark != streams.NoEvent {
		c.marked = b.mark
	}
	now := c.cfg.Clock()
	c.progress = c.progress || taken
	c.observe(b, now)
	c.status.set(func(s *Status) {
		s.LastCommit = now
		for p := range c.state.Partitions {
			e := s.partition(p)
			e.Next, e.Newest, e.Idle = c.state.Partitions[p].Next, c.state.Partitions[p].Newest, c.idle(p, now)
			e.End = max(e.End, e.Next)
		}
		if s.State != StateRunning && (taken || s.State == StatePaused) {
			s.State, s.Reason, s.Since = StateRunning, "", now
		}
	})
}

// observe tells how long the rows of a batch took from their messages' times on.
func (c *consumer) observe(b *batch, now time.Time) {
	if c.cfg.Freshness == nil {
		return
	}
	to := c.cfg.Freshness.WithLabelValues(c.name)
	for i := range b.changes {
		rows := b.changes[i].Inserts
		if rows == nil {
			continue
		}
		for _, t := range rows.Cols[b.declared+messageTime].I64 {
			to.Observe(max(0, float64(now.UnixMicro()-t)/1e6))
		}
	}
}

// idle reports whether a partition does not hold the watermark back.
func (c *consumer) idle(p int, now time.Time) bool {
	return now.Sub(c.last[p]) >= time.Duration(c.kafka.IdleTimeout)*time.Microsecond
}

// probe asks for the topic's partitions and begins to read them.
func (c *consumer) probe(ctx context.Context, client *kgo.Client, adm *kadm.Client) error {
	n, err := c.look(ctx, adm)
	if err != nil {
		return err
	}
	c.last, c.marked = nil, streams.NoEvent
	c.add(client, n)
	if c.status.get().State == StateStarting { // after an error that is told when it has gone well for a while
		c.recovered()
	}
	return nil
}

// recovered says that the topic is read.
func (c *consumer) recovered() { c.status.state(StateRunning, "", c.cfg.Clock()) }

// add begins to read partitions up to a number of them.
func (c *consumer) add(client *kgo.Client, n int) {
	now := c.cfg.Clock()
	next := c.state.Clone()
	at := map[int32]kgo.Offset{}
	for p := len(c.last); p < n; p++ {
		if p >= len(next.Partitions) {
			o := int64(0) // a partition that came later has nothing from before the source
			if p < len(c.kafka.Start) {
				o = c.kafka.Start[p]
			}
			next.Partitions = append(next.Partitions, streams.Partition{Next: o, Newest: streams.NoEvent})
		}
		at[int32(p)] = kgo.NewOffset().At(next.Partitions[p].Next)
		c.last = append(c.last, now)
	}
	c.state = next
	if len(at) > 0 {
		client.AddConsumePartitions(map[string]map[int32]kgo.Offset{c.kafka.Topic: at})
	}
	c.status.set(func(s *Status) {
		s.direct = true
		for p := range c.state.Partitions {
			e := s.partition(p)
			e.Next, e.Newest = c.state.Partitions[p].Next, c.state.Partitions[p].Newest
		}
	})
}

// look asks the brokers for the topic: how many partitions it has, and their ends, which it notes.
func (c *consumer) look(ctx context.Context, adm *kadm.Client) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	d, err := describe(ctx, adm, c.kafka.Topic)
	if err != nil {
		return 0, err
	}
	if id := topicID(d); id != c.kafka.TopicID && c.kafka.TopicID != "" {
		return 0, errors.New("the topic was deleted and made anew: DROP SOURCE and CREATE SOURCE read the new one")
	}
	if len(d.Partitions) < len(c.kafka.Start) {
		return 0, fmt.Errorf("the topic has %d partitions, and had %d", len(d.Partitions), len(c.kafka.Start))
	}
	now := c.cfg.Clock() // before: what comes meanwhile may not be in the ends
	ends, err := offsets(adm.ListCommittedOffsets(ctx, c.kafka.Topic))
	if err != nil {
		return 0, err
	}
	c.status.set(func(s *Status) {
		ends.Each(func(o kadm.ListedOffset) {
			e := s.partition(int(o.Partition))
			e.End = max(o.Offset, e.Next)
			e.see(now, e.End)
		})
		s.heard(now)
	})
	return len(d.Partitions), nil
}

// keepProbing asks for the topic every so often: its new partitions go to partitions, an error that lasts to failed.
func (c *consumer) keepProbing(ctx context.Context, adm *kadm.Client, partitions chan<- int, failed chan<- error) {
	known := 0
	for {
		select {
		case <-time.After(probeEvery):
		case <-ctx.Done():
			return
		}
		n, err := c.look(ctx, adm)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			failed <- err
			return
		}
		if n > known {
			select {
			case partitions <- n:
				known = n
			default: // the one before was not taken yet
			}
		}
	}
}

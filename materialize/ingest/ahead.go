package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// batchMessages is how many messages are taken from the client at once, and how many dead letters one transaction tries again.
	batchMessages = 4096
	// mostMessages is how many messages one transaction takes. As many come together where reading is behind: what a commit costs a
	// transaction, a key and a tile is then paid for many rows.
	mostMessages = 64 << 10
	// recordBytes is about what a message takes beside its key, value and headers.
	recordBytes = 128
)

// ahead reads messages and decodes them while the ones before are committed.
type ahead struct {
	c      *consumer
	client *kgo.Client
	bytes  int64         // of messages that may wait
	have   chan struct{} // something waits, or failed
	room   chan struct{} // what waited was taken
	cancel context.CancelFunc
	ended  chan struct{}

	mu   sync.Mutex
	load *load
	last int // messages of the load before, which the next one is made for
}

// load is messages that one transaction is to take, decoded.
type load struct {
	records []message
	builder *builder // by the catalog when the first one came; nil: there was no source
	bytes   int64
	failure error // after them
}

// readAhead begins to read what the client gives, until stop. The consumer's state says where.
func (c *consumer) readAhead(ctx context.Context, client *kgo.Client) *ahead {
	ctx, cancel := context.WithCancel(ctx)
	a := &ahead{c: c, client: client, bytes: int64(c.fetch) * maxFetches / 2, load: &load{}, cancel: cancel,
		have: make(chan struct{}, 1), room: make(chan struct{}, 1), ended: make(chan struct{})}
	next := map[int32]int64{}
	for p, s := range c.state.Partitions {
		next[int32(p)] = s.Next
	}
	go a.run(ctx, next)
	return a
}

// stop ends the reading. What waits is given up: it is read again.
func (a *ahead) stop() {
	a.cancel()
	<-a.ended
}

// take is what waits. Where nothing does, it waits for a tick.
func (a *ahead) take(ctx context.Context) *load {
	idle := time.NewTimer(tick)
	defer idle.Stop()
	select {
	case <-a.have:
	case <-idle.C:
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.load
	a.load, a.last = &load{}, len(l.records)
	signal(a.room)
	return l
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run reads. next is the first offset of each partition that is not read yet; of one that comes later any is.
func (a *ahead) run(ctx context.Context, next map[int32]int64) {
	defer close(a.ended)
	for ctx.Err() == nil {
		fetches := a.client.PollRecords(ctx, batchMessages)
		var records []message
		arrived := a.c.cfg.Clock().UnixMicro()
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset >= next[r.Partition] { // a broker may give what was given before
				records = append(records, message{Record: r, headers: headers(r), arrived: arrived})
				next[r.Partition] = r.Offset + 1
			}
		})
		if len(records) > 0 {
			a.c.saw(fetches)
		}
		failure := fetchError(fetches, next)
		if a.add(records, failure) || ctx.Err() != nil {
			return
		}
		for a.full() {
			select {
			case <-a.room:
			case <-ctx.Done():
			}
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// add decodes messages and puts them behind those that wait. It reports whether that is the end: something failed.
func (a *ahead) add(records []message, failure error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.load
	if len(records) > 0 {
		if l.builder == nil && len(l.records) == 0 {
			cat := a.c.cfg.Catalog.Current()
			if r := cat.Relations[a.c.id]; r != nil {
				l.builder = a.c.newBuilder(cat, r, max(len(records), a.last))
				l.records = make([]message, 0, max(len(records), a.last))
			}
		}
		if l.builder != nil {
			if err := l.builder.addAll(records); err != nil {
				records, failure = records[:len(l.builder.refused)-len(l.records)], err
			}
		}
		l.records = append(l.records, records...)
		for i := range records {
			r := &records[i]
			l.bytes += int64(len(r.Key)+len(r.Value)+len(r.headers)) + recordBytes
		}
	}
	l.failure = failure
	if len(l.records) > 0 || failure != nil {
		signal(a.have)
	}
	return failure != nil
}

// full reports whether what waits is as much as one transaction takes, so that the next messages may be too many.
func (a *ahead) full() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.load.records)+batchMessages > mostMessages || a.load.bytes > a.bytes
}

// fetchError is what the client could not read. next is the first offset of each partition that was not read.
func fetchError(fetches kgo.Fetches, next map[int32]int64) error {
	var failure error
	fetches.EachError(func(_ string, p int32, err error) {
		switch {
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		case errors.Is(err, kerr.OffsetOutOfRange):
			failure = fmt.Errorf("offset %d of partition %d is not there: messages were deleted before they were read, or the topic was made anew", next[p], p)
		case errors.As(err, new(*kgo.ErrDecompressTooLarge)):
			failure = fmt.Errorf("a batch of messages from offset %d of partition %d on is of more than %d bytes, compressed", next[p], p, batchBytes)
		case errors.As(err, new(*kgo.ErrGroupSession)): // of no partition
			failure = brokerError(err)
		case failure == nil:
			failure = fmt.Errorf("partition %d: %w", p, brokerError(err))
		}
	})
	return failure
}

package ingest

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/streams"
)

// replayBytes is how many bytes of dead letters one transaction tries again, but for a single one that is larger.
const replayBytes = 4 << 20

// ErrSuspended: nothing of a suspended source is committed.
var ErrSuspended = errors.New("the source is suspended")

// turn is held by who writes a source: its consumer, or what tries its dead letters again.
type turn chan struct{}

// turnOf is the turn of a source. The caller holds in.mu.
func (in *Ingest) turnOf(id uint32) turn {
	t, ok := in.turns[id]
	if !ok {
		t = make(turn, 1)
		in.turns[id] = t
	}
	return t
}

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (t turn) give() { <-t }

// inTurn calls f while nobody else writes the source, with the state that is the newest then.
func (c *consumer) inTurn(ctx context.Context, f func() error) error {
	if err := c.turn.take(ctx); err != nil {
		return err
	}
	defer c.turn.give()
	have, err := streams.Load(c.cfg.Log, reclog.SourceID(c.id))
	if err != nil {
		return err
	}
	if have.Batches != c.state.Batches { // partitions that gave nothing yet are only here
		if n := len(have.Partitions); n < len(c.state.Partitions) {
			have.Partitions = append(have.Partitions, c.state.Partitions[n:]...)
		}
		c.state = have
	}
	return f()
}

// Replayed is what became of dead letters that were tried again, or thrown away.
type Replayed struct {
	Good int64 // they are gone: their messages did what they say, or are older than what is known
	Dead int64 // they stay, with the reason of now
	Gone int64 // thrown away
}

// Replay reads the messages of dead letters again, in the order of their numbers, which ascend. Each that can be taken is, at a position
// of its transaction, in which its letter goes; the others have the reason of now. Letters that are not kept any more are left
// out. drop throws them away instead. done is told after each transaction; what an error leaves behind is whole transactions.
// Errors: ErrSuspended, those of the log.
func (in *Ingest) Replay(ctx context.Context, r *schema.Relation, numbers []uint64, drop bool, done func(Replayed)) (Replayed, error) {
	var out Replayed
	in.mu.Lock()
	c := &consumer{worker: worker{cfg: in.cfg, id: r.ID, name: r.Name, turn: in.turnOf(r.ID), state: &streams.State{}}, kafka: r.Kafka, marked: streams.NoEvent}
	in.mu.Unlock()
	if r.Suspended {
		return out, ErrSuspended
	}
	var err error
	if c.decoder, err = in.cfg.Decoder(in.cfg.Catalog.Current(), r); err != nil {
		return out, err
	}
	for len(numbers) > 0 {
		err := c.inTurn(ctx, func() error {
			var letters []message
			for bytes := 0; len(numbers) > 0 && len(letters) < batchMessages; numbers = numbers[1:] {
				l, err := streams.ReadLetter(in.cfg.Log, reclog.SourceID(r.ID), numbers[0])
				if err != nil {
					return err
				}
				if l == nil {
					continue
				}
				if bytes += len(l.Value) + len(l.Key) + len(l.Headers); bytes > replayBytes && len(letters) > 0 {
					break
				}
				rec := &kgo.Record{Partition: l.Partition, Offset: l.Offset, Timestamp: time.UnixMicro(l.Time), Key: l.Key, Value: l.Value}
				letters = append(letters, message{Record: rec, headers: l.Headers, arrived: l.Arrived, letter: l})
			}
			if len(letters) == 0 {
				return nil
			}
			before := *c.state
			if err := c.again(ctx, letters, drop); err != nil {
				return err
			}
			good := before.Dead - c.state.Dead
			out.Good += good
			if drop {
				out.Gone += int64(len(letters))
			} else {
				out.Dead += int64(len(letters)) - good
			}
			return nil
		})
		if errors.Is(err, errGone) {
			err = ErrSuspended
		}
		if err != nil {
			return out, err
		}
		done(out)
	}
	return out, nil
}

// again commits letters, or that they are gone.
func (c *consumer) again(ctx context.Context, letters []message, drop bool) error {
	if !drop {
		return c.commit(ctx, letters)
	}
	b := &batch{Batch: streams.Batch{Source: reclog.SourceID(c.id), State: c.state.Clone()}, mark: streams.NoEvent}
	for i := range letters {
		b.Forget(letters[i].letter)
	}
	if err := b.Seal(c.cfg.Log, c.cfg.LetterBytes); err != nil {
		return err
	}
	return c.write(ctx, b)
}

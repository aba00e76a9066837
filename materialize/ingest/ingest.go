package ingest

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// Message is what a decoder reads of one; nil is NULL.
type Message struct{ Key, Value []byte }

// Effect is what a message does to the rows of its source: some of the constants. None of them: nothing.
type Effect uint8

// The effects. A message with both takes a row away first.
const (
	Takes Effect = 1 << iota // the row of a primary key is gone
	Puts                     // there is a row
)

// Decoder makes changes of rows of messages. It is used by one goroutine.
type Decoder interface {
	// Append appends, where the message puts a row, one value to each of the columns of rows that the source declares, the first
	// ones; rows may have more; and where it takes one, its primary key to gone, whose columns are those of the key. After an
	// error they are as they were. rows.N and gone.N are the caller's. Errors: *Rejected; others, of a schema registry, say that the
	// message cannot be read now.
	Append(rows, gone *vector.Chunk, m Message) (Effect, error)
}

// Rejected says why a message is no row.
type Rejected struct {
	Code   string // SQLSTATE
	Reason string
}

func (r *Rejected) Error() string { return r.Reason + " (" + r.Code + ")" }

// Config is what an Ingest works with. The log and the catalog are owned by the caller and closed after it.
type Config struct {
	Log     *reclog.Log
	Catalog *schema.Registry
	Decoder func(cat *schema.Catalog, r *schema.Relation) (Decoder, error)
	// OfRow says whether an error of committing rows is one of the rows themselves, that any try would have: a feature cannot be
	// computed of one. Then it is a *Rejected.
	OfRow func(cat *schema.Catalog, changes []reclog.Change, err error) *Rejected
	// Refusals finds which rows of a source have such an error, by row, without committing any. It may leave some out.
	Refusals func(ctx context.Context, cat *schema.Catalog, source uint32, rows *vector.Chunk) (map[int]*Rejected, error)
	Clock    func() time.Time
	Logger   *slog.Logger
	// Tracer makes a span of each transaction of a source; nil: there are none.
	Tracer trace.Tracer
	// Freshness takes, by source, the seconds from the time of each message that became a row to the commit that makes it count; nil:
	// nobody asks.
	Freshness *prometheus.HistogramVec
	// FetchBytes is about how many bytes of messages that are fetched, and not yet committed, the consumers hold together.
	FetchBytes int64
	// Text appends the value of a column that PostgreSQL writes as a text. bare: the column was declared numeric without precision, and takes
	// no value that it would have to round.
	Text func(v *vector.Vector, bare bool, text []byte) error
	// Live calls emit with the rows of a relation that live at a position, and their ids.
	Live func(ctx context.Context, r *schema.Relation, position uint64, emit func(rows *vector.Chunk, ids []int64) error) error
	// Assigned is told of a time that a row is about to be given: reads from its commit on count the row.
	Assigned func(t int64)
	// LetterBytes is streams.MaxLetterBytes but for tests.
	LetterBytes int64
	// ArchiveRoot is the folder that archives are below; "": none.
	ArchiveRoot string
	// ArchiveGroup begins the names of the consumer groups; "" but for tests, in which servers that do not know of each other read the same partitions.
	ArchiveGroup string
}

// Ingest runs the readers of the Kafka and PostgreSQL sources of a catalog. It is safe for concurrent use.
type Ingest struct {
	cfg  Config
	stop context.CancelFunc
	done sync.WaitGroup

	mu      sync.Mutex
	readers map[uint32]reader
	turns   map[uint32]turn     // by source
	slots   map[uint32]heldSlot // of PostgreSQL sources: what is to be dropped with them
}

// New starts a reader for each Kafka or PostgreSQL source of the catalog that is not suspended, and goes on to follow the catalog.
func New(ctx context.Context, cfg Config) *Ingest {
	if cfg.Tracer == nil {
		cfg.Tracer = noop.NewTracerProvider().Tracer("")
	}
	in := &Ingest{cfg: cfg, readers: map[uint32]reader{}, turns: map[uint32]turn{}, slots: map[uint32]heldSlot{}}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	in.stop = stop
	in.done.Go(func() {
		for {
			changed := cfg.Catalog.Changed() // before the catalog is read
			in.follow(background, cfg.Catalog.Current())
			select {
			case <-changed:
			case <-background.Done():
				in.follow(background, schema.Empty())
				return
			}
		}
	})
	return in
}

// Close ends the readers. What they have not committed is read again by the next ones.
func (in *Ingest) Close() {
	in.stop()
	in.done.Wait()
}

// follow makes the readers those of a catalog's sources: it ends those that have none, or another connection than before.
func (in *Ingest) follow(ctx context.Context, cat *schema.Catalog) {
	in.mu.Lock()
	var ended []reader
	for id, c := range in.readers {
		if r := cat.Relations[id]; r == nil || r.Suspended || !c.fits(cat, r) {
			ended = append(ended, c)
		}
	}
	in.mu.Unlock()
	for _, c := range ended {
		c.self().cancel()
	}
	for _, c := range ended {
		<-c.self().ended
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, c := range ended {
		delete(in.readers, c.self().id)
		if in.cfg.Freshness != nil && cat.Relations[c.self().id] == nil {
			in.cfg.Freshness.DeleteLabelValues(c.self().name)
		}
	}
	maps.DeleteFunc(in.turns, func(id uint32, _ turn) bool { return cat.Relations[id] == nil })
	if ctx.Err() != nil {
		return
	}
	in.dropSlots(ctx, cat)
	wanted := 0 // consumers of before keep what they fetch at once: together at most 1 + ln(wanted) times FetchBytes
	for _, r := range cat.Relations {
		if r.Streamed() && !r.Suspended {
			wanted++
		}
	}
	for id, r := range cat.Relations {
		if !r.Streamed() || r.Suspended || in.readers[id] != nil {
			continue
		}
		var c reader
		if r.Kafka != nil {
			k := newConsumer(in.cfg, cat, r, in.turnOf(id), fetchBytes(in.cfg.FetchBytes, wanted))
			if c = k; r.Kafka.Archive != "" {
				c = newFollower(k)
			}
		} else {
			c = newTableReader(in.cfg, cat, r, in.turnOf(id), in.cfg.FetchBytes/int64(wanted))
		}
		in.readers[id] = c
		running, cancel := context.WithCancel(ctx)
		c.self().cancel = cancel
		go run(running, c)
	}
}

// Status is what is known of the reader of a source.
func (in *Ingest) Status(r *schema.Relation) Status {
	in.mu.Lock()
	c := in.readers[r.ID]
	in.mu.Unlock()
	switch {
	case r.Suspended:
		return Status{State: StateSuspended}
	case c == nil:
		return Status{State: StateStarting}
	}
	return c.self().shown()
}

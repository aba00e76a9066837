package disperse

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tilehouse/tilehouse/storage/cassandra"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tiles"
)

// Config is what a Disperser works with. What it names is owned by the caller and closed after it.
type Config struct {
	DB      *pebble.DB // of Tiles
	Tiles   *tiles.Store
	Catalog *schema.Registry
	// Groups are the tiles that the committer keeps now, by prefix.
	Groups func() map[uint32]*tiles.Group
	// Kept is the event time from which the table of a group keeps events, event.Forever where it keeps all. It does not fall but by a definition.
	Kept func(prefix uint32) (int64, error)
	// Fold takes rows that are in front of the tiles to them. Once changes are followed none come there any more.
	Fold   func(context.Context) error
	Clock  func() time.Time
	Logger *slog.Logger
	Tracer trace.Tracer // makes a span of each round that is sent; nil: there are none
}

// Disperser follows the catalog: while it has a connection to Cassandra, values are sent there. It is safe for concurrent use.
type Disperser struct {
	cfg  Config
	stop context.CancelFunc
	done sync.WaitGroup

	missing time.Time // since when the keyspace is; of the goroutine that sends

	mu     sync.Mutex
	status Status
}

// New starts dispersal. It returns once the journal is kept where the catalog says so.
func New(ctx context.Context, cfg Config) (*Disperser, error) {
	if cfg.Tracer == nil {
		cfg.Tracer = noop.NewTracerProvider().Tracer("")
	}
	d := &Disperser{cfg: cfg}
	changed := cfg.Catalog.Changed() // before the catalog is read
	conn := ConnectionOf(cfg.Catalog.Current())
	if conn != nil {
		if _, err := cfg.Tiles.FollowChanges(true); err != nil {
			return nil, err
		}
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.stop = stop
	d.done.Go(func() { d.follow(background, conn, changed) })
	return d, nil
}

// Close ends dispersal. What was not sent stays in the journal.
func (d *Disperser) Close() {
	d.stop()
	d.done.Wait()
}

// ConnectionOf is the catalog's connection to Cassandra, nil if there is none. There is one at most.
func ConnectionOf(cat *schema.Catalog) *schema.Connection {
	for _, c := range cat.Connections {
		if c.Type == ConnectionType {
			return c
		}
	}
	return nil
}

// follow runs dispersal to the catalog's connection, anew whenever the connection becomes another one, until ctx ends.
func (d *Disperser) follow(ctx context.Context, conn *schema.Connection, changed <-chan struct{}) {
	for {
		var running sync.WaitGroup
		end := func() {}
		if conn != nil {
			run, cancel := context.WithCancel(ctx)
			end = cancel
			d.begin(conn)
			running.Go(func() { d.run(run, conn) })
		}
		next := conn
		for next == conn {
			select {
			case <-ctx.Done():
				end()
				running.Wait()
				return
			case <-changed:
			}
			changed = d.cfg.Catalog.Changed()
			next = ConnectionOf(d.cfg.Catalog.Current())
		}
		end()
		running.Wait()
		if next == nil {
			d.end()
			if err := d.forget(); err != nil {
				d.cfg.Logger.Error("ending dispersal", "error", err)
			}
		}
		conn = next
	}
}

// The waits between tries after something failed.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 5 * time.Second
)

// run sends until ctx ends, and begins anew after what fails.
func (d *Disperser) run(ctx context.Context, conn *schema.Connection) {
	wait := firstWait
	for ctx.Err() == nil {
		began := d.cfg.Clock()
		err := d.send(ctx, conn)
		if ctx.Err() != nil {
			return
		}
		if d.cfg.Clock().Sub(began) > lastWait {
			wait = firstWait
		}
		state := StateWaiting
		if isFinal(err) {
			state = StateFailed
		}
		d.set(state, err)
		d.cfg.Logger.Warn("dispersal to Cassandra", "connection", conn.Name, "state", state, "error", err, "again in", wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, lastWait)
	}
}

// missingFor is how long a keyspace that was written to must be missing before it is made anew: a node that has just started may not know it.
const missingFor = 30 * time.Second

// open connects, and makes the keyspace's tables where they were never made, or are gone.
func (d *Disperser) open(ctx context.Context, o *options) (*cassandra.Store, error) {
	claimed, err := d.claimed()
	if err != nil {
		return nil, err
	}
	store, err := cassandra.Open(ctx, o.Options, claimed.Store == "")
	if !errors.Is(err, cassandra.ErrNoKeyspace) || claimed.Store == "" {
		d.missing = time.Time{}
		return store, err
	}
	if now := d.cfg.Clock(); d.missing.IsZero() {
		d.missing = now
	} else if now.Sub(d.missing) >= missingFor {
		return cassandra.Open(ctx, o.Options, true)
	}
	return nil, err
}

// send connects, claims the keyspace, and sends rounds until something fails.
func (d *Disperser) send(ctx context.Context, conn *schema.Connection) error {
	changed, err := d.cfg.Tiles.FollowChanges(true)
	if err == nil {
		err = d.cfg.Fold(ctx)
	}
	if err != nil {
		return err
	}
	o, err := OptionsOf(d.cfg.Catalog.Current(), conn)
	if err != nil {
		return err
	}
	store, err := d.open(ctx, o)
	if err != nil {
		return err
	}
	defer store.Close()
	s := &sender{d: d, store: store, changed: changed, pace: o.pace()}
	if err := s.claim(ctx, o.TakeOver); err != nil {
		return err
	}
	return s.run(ctx)
}

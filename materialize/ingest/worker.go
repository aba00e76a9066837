package ingest

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/streams"
)

// reader reads one source: a consumer of a topic, or a reader of a table.
type reader interface {
	self() *worker
	// fits reports whether it reads what the source says.
	fits(cat *schema.Catalog, r *schema.Relation) bool
	// read reads from where the log is until something fails, or ctx ends. Without an error it is called again at once.
	read(ctx context.Context) error
}

// worker is what all readers have.
type worker struct {
	cfg        Config
	id         uint32
	name       string
	connection *schema.Connection
	secrets    []*schema.Secret
	cancel     context.CancelFunc
	ended      chan struct{}
	wake       chan struct{} // ends a wait after an error
	status     *statusBox
	beside     *statusBox // of what works beside it
	turn       turn       // of the source: who has it writes

	// What follows belongs to the reader's goroutine.
	state    *streams.State
	progress bool // something was committed since the last error
}

func newWorker(cfg Config, cat *schema.Catalog, r *schema.Relation, turn turn) worker {
	w := worker{cfg: cfg, id: r.ID, name: r.Name, connection: cat.Connections[r.StreamConnection()], turn: turn, ended: make(chan struct{}), wake: make(chan struct{}, 1)}
	w.secrets = secretsOf(cat, w.connection)
	w.status = &statusBox{s: Status{State: StateStarting, Since: cfg.Clock()}}
	w.beside = &statusBox{s: Status{State: StateRunning, Since: cfg.Clock()}}
	return w
}

func (w *worker) self() *worker { return w }

// shown is the worker's status: while it runs, that of what works beside it where that has failed.
func (w *worker) shown() Status {
	s, b := w.status.get(), w.beside.get()
	if s.Failures += b.Failures; s.State == StateRunning && b.State != StateRunning {
		s.State, s.Reason, s.Since = b.State, b.Reason, b.Since
	}
	return s
}

// sameWay reports whether a source's connection is what it was.
func (w *worker) sameWay(cat *schema.Catalog, r *schema.Relation) bool {
	now := cat.Connections[r.StreamConnection()]
	if w.connection != now || len(w.secrets) != len(secretsOf(cat, now)) {
		return false
	}
	for i, s := range secretsOf(cat, now) {
		if w.secrets[i] != s {
			return false
		}
	}
	return true
}

// run lets r read until ctx ends, and again after each error.
func run(ctx context.Context, r reader) {
	w := r.self()
	defer close(w.ended)
	wait := leastBackoff
	for {
		w.progress = false
		err := r.read(ctx)
		if ctx.Err() != nil {
			return
		}
		if w.progress {
			wait = leastBackoff
		}
		if err == nil { // it is to begin anew
			continue
		}
		w.fail(err)
		select {
		case <-time.After(wait/2 + rand.N(wait/2)):
		case <-w.wake:
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, mostBackoff)
	}
}

// fail shows an error.
func (w *worker) fail(err error) {
	state := StateRetrying
	if errors.Is(err, reclog.ErrDiskFull) || errors.As(err, new(*ArchiveError)) {
		state = StatePaused
	}
	if s := w.status.get(); s.State != state || s.Reason != err.Error() {
		w.cfg.Logger.Warn("reading a source", "source", w.name, "error", err)
	}
	w.status.state(state, err.Error(), w.cfg.Clock())
	w.status.set(func(s *Status) { s.Failures++ })
}

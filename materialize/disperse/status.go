package disperse

import (
	"errors"
	"time"

	"github.com/tilehouse/tilehouse/storage/cassandra"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// State is what dispersal does.
type State string

// The states.
const (
	StateConnecting State = "connecting"
	StateLoading    State = "loading"   // values that were never sent, whole groups
	StateFollowing  State = "following" // commits
	StateWaiting    State = "waiting"   // for the next try after an error
	StateFailed     State = "failed"    // by something that another try does not change, though it is tried
)

// States are all of them.
var States = []State{StateConnecting, StateLoading, StateFollowing, StateWaiting, StateFailed}

// Status is what can be seen of dispersal.
type Status struct {
	Connection *schema.Connection // nil: none
	State      State
	Since      time.Time
	Began      time.Time // when the connection was made, or the server started
	Err        error     // of StateWaiting and StateFailed, nil otherwise
	Epoch      int64
	Version    uint64    // of the definitions that gateways read by; 0: not known yet
	Position   uint64    // of the log, up to which all values were sent, also those of keys that wait; 0: not known yet
	At         time.Time // when that was the newest position
	complete   bool      // the last round ended with all of its snapshot sent, and no key waits
	Waiting    int64     // changes in the journal
	GivenUp    bool      // the journal was: everything is sent again
	Loading    int       // groups that are not sent whole yet
	// What was sent since the start, and what was not: of changes that a later one of the same value took the place of (Merged), of keys that
	// wait for a state to be made anew (Postponed), of groups that are not served (Skipped).
	Rows, Bytes, Rounds, Errors, Merged, Postponed, Skipped int64
	Deleted                                                 int64 // partitions of groups that are gone
}

// Status is the state of dispersal now, to the connection of the current catalog also in the moment before it is begun.
func (d *Disperser) Status() Status {
	conn := ConnectionOf(d.cfg.Catalog.Current())
	d.mu.Lock()
	s := d.status
	d.mu.Unlock()
	switch {
	case conn == nil:
		return Status{}
	case s.Connection != conn:
		s = begun(conn, d.cfg.Clock())
	}
	s.Waiting, s.GivenUp = d.cfg.Tiles.Waiting()
	if s.State == StateFollowing && s.Waiting == 0 && !s.GivenUp && s.complete {
		s.At = d.cfg.Clock()
	}
	return s
}

func (d *Disperser) begin(c *schema.Connection) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status = begun(c, d.cfg.Clock())
}

func begun(c *schema.Connection, now time.Time) Status {
	return Status{Connection: c, State: StateConnecting, Since: now, Began: now}
}

func (d *Disperser) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status = Status{}
}

func (d *Disperser) set(s State, err error) {
	d.update(func(now *Status) {
		if now.State != s {
			now.State, now.Since = s, d.cfg.Clock()
		}
		if now.Err = err; err != nil {
			now.Errors++
		}
	})
}

func (d *Disperser) update(change func(s *Status)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.status)
}

// isFinal reports whether somebody has to do something about an error.
func isFinal(err error) bool {
	for _, e := range []error{cassandra.ErrNoKeyspace, cassandra.ErrRefused, cassandra.ErrCertificate, cassandra.ErrForbidden, cassandra.ErrOwned, cassandra.ErrLost} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

package ingest

import (
	"slices"
	"sync"
	"time"
)

// State is what a consumer is doing.
type State string

// The states.
const (
	StateStarting  State = "starting"
	StateReading   State = "reading" // a table of PostgreSQL is read as a whole
	StateRunning   State = "running"
	StateRetrying  State = "retrying"  // something failed, and is tried again; Reason says what
	StatePaused    State = "paused"    // the disk is full, or the archive cannot be used; reads go on
	StateSuspended State = "suspended" // by ALTER SOURCE … SUSPEND
)

// States are all of them.
var States = []State{StateStarting, StateReading, StateRunning, StateRetrying, StatePaused, StateSuspended}

// Status is what is known of a consumer since it began.
type Status struct {
	State      State
	Reason     string    // of StateRetrying and StatePaused; of StateRunning what else is to be known; "": nothing
	Since      time.Time // when the state began
	Failures   int64     // so far
	LastCommit time.Time // zero: none yet
	ArchiveEnd uint64    // the newest entry of its archive that is known; 0: none
	Heard      time.Time // when what is read last said where it ends; zero: not yet
	Whole      time.Time // when rows last were known to have all of that; zero: not since the reader began
	Came       time.Time // when messages or changes last came
	Partitions []PartitionStatus

	direct bool          // this reader is given all that comes, so that offsets for which nothing does have no message
	quiet  time.Duration // for how long what is read may say nothing while all is well; 0: silentAfter
}

// PartitionStatus is what is known of one partition.
type PartitionStatus struct {
	Partition int32
	Next      int64 // the first offset that is not committed
	End       int64 // the offset after the newest message, as the broker last said; −1: not known yet
	Newest    int64 // event time of its rows; streams.NoEvent: none
	Mine      bool  // of an archived source: this server reads it
	Idle      bool  // it gave nothing for the idle timeout, and does not hold the watermark back

	sightings []sighting    // ends that are not reached yet, oldest first
	spacing   time.Duration // how far they are apart at least
}

// Lag is how many messages are not read yet, as far as is known: compaction and aborted transactions leave offsets without one.
func (p *PartitionStatus) Lag() int64 {
	if p.End < p.Next {
		return 0
	}
	return p.End - p.Next
}

type statusBox struct {
	mu sync.Mutex
	s  Status
}

func (b *statusBox) get() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.s
	s.Partitions = slices.Clone(s.Partitions)
	for i := range s.Partitions {
		s.Partitions[i].sightings = slices.Clone(s.Partitions[i].sightings)
	}
	return s
}

func (b *statusBox) set(change func(s *Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.s)
}

func (b *statusBox) state(to State, reason string, now time.Time) {
	b.set(func(s *Status) {
		if s.State != to {
			s.Since = now
		}
		s.State, s.Reason = to, reason
	})
}

// partition is the entry of a partition, which is made where there is none.
func (s *Status) partition(p int) *PartitionStatus {
	for len(s.Partitions) <= p {
		s.Partitions = append(s.Partitions, PartitionStatus{Partition: int32(len(s.Partitions)), End: -1})
	}
	return &s.Partitions[p]
}

package ingest

import (
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// mostSightings is how many ends of a partition that are not reached yet are remembered, the further apart the further back the oldest one
	// lies: a lag may be shown too long by a sixteenth of what it has been since the partition was caught up with.
	mostSightings = 32
	// silentAfter is how long after the last message came offsets that are not reached count as such without a message: of the marks of transactions, of
	// compaction.
	silentAfter = 2 * probeEvery
)

// sighting is where a partition ended at a time.
type sighting struct {
	at  time.Time
	end int64
}

// see notes that a partition ended somewhere at a time, which is not before those noted already.
func (p *PartitionStatus) see(at time.Time, end int64) {
	p.reached()
	n := len(p.sightings)
	switch {
	case end <= p.Next || n > 0 && p.sightings[n-1].end >= end:
		return
	case n == 0:
		p.spacing = 0
	case at.Sub(p.sightings[n-1].at) < p.spacing:
		p.sightings[n-1].end = end
		return
	}
	p.sightings = append(p.sightings, sighting{at, end})
	if n < mostSightings {
		return
	}
	kept := p.sightings[:0] // two become one, which is as old as the older one
	for i := 0; i < len(p.sightings); i += 2 {
		kept = append(kept, sighting{p.sightings[i].at, p.sightings[min(i+1, len(p.sightings)-1)].end})
	}
	p.sightings, p.spacing = kept, at.Sub(kept[0].at)/(mostSightings/2)
}

// reached forgets the ends that are reached.
func (p *PartitionStatus) reached() {
	n := 0
	for n < len(p.sightings) && p.sightings[n].end <= p.Next {
		n++
	}
	p.sightings = p.sightings[n:]
}

// heard notes that what is read answered at a time, after see of its partitions.
func (s *Status) heard(now time.Time) {
	s.Heard = now
	if _, behind := s.behind(now); !behind {
		s.Whole = now
	}
}

// behind is since when there is something that is known and not committed.
func (s *Status) behind(now time.Time) (since time.Time, behind bool) {
	for i := range s.Partitions {
		p := &s.Partitions[i]
		p.reached()
		if len(p.sightings) > 0 && (!behind || p.sightings[0].at.Before(since)) {
			since, behind = p.sightings[0].at, true
		}
	}
	if behind && s.direct && now.Sub(since) > silentAfter && now.Sub(s.Came) > silentAfter && s.Heard.After(s.Came) {
		return time.Time{}, false
	}
	return since, behind
}

// Lag is for how long something has been there, as far as is known, that rows do not have; while what is read does not answer, or is not read, how
// long ago the rows were known to have all. false: that is not known, as long as they never were since the reader began.
func (s *Status) Lag(now time.Time) (time.Duration, bool) {
	since, behind := s.behind(now)
	switch {
	case s.State == StateRunning && behind:
	case s.State == StateRunning && !s.Heard.IsZero() && now.Sub(s.Heard) <= max(s.quiet, silentAfter):
		return 0, true
	case s.Whole.IsZero() && !behind:
		return 0, false
	case s.Whole.IsZero():
	case !behind || s.Whole.Before(since):
		since = s.Whole
	}
	return max(0, now.Sub(since)), true
}

// whole notes that all of PostgreSQL's log was taken that there was a moment ago.
func (s *tableStream) whole() {
	now := s.cfg.Clock()
	s.status.set(func(st *Status) {
		st.direct, st.quiet = true, silence
		st.partition(placePartition).sightings = nil
		st.heard(now)
	})
}

// came notes a change at a place of PostgreSQL's log.
func (s *tableStream) came(at pglogrepl.LSN) {
	now := s.cfg.Clock()
	s.status.set(func(st *Status) {
		st.direct, st.quiet, st.Came = true, silence, now
		p := st.partition(placePartition)
		p.Next = s.state.Partitions[placePartition].Next
		p.see(now, int64(at))
		st.heard(now)
	})
}

// saw notes what fetches say of the ends of partitions.
func (c *consumer) saw(fetches kgo.Fetches) {
	now := c.cfg.Clock()
	c.status.set(func(s *Status) {
		s.Came = now
		fetches.EachPartition(func(t kgo.FetchTopicPartition) {
			end := t.LastStableOffset
			if end < 0 {
				end = t.HighWatermark
			}
			s.partition(int(t.Partition)).see(now, end)
		})
	})
}

package ingest

import (
	"testing"
	"time"
)

func TestLag(t *testing.T) {
	at := func(s float64) time.Time { return time.Unix(1e9, 0).Add(time.Duration(s * float64(time.Second))) }
	s := Status{State: StateRunning, direct: true}
	is := func(now, want float64) {
		t.Helper()
		got, known := s.Lag(at(now))
		if want < 0 {
			if known {
				t.Errorf("at %v the lag is %v, want none", now, got)
			}
		} else if !known || got != time.Duration(want*float64(time.Second)) {
			t.Errorf("at %v the lag is %v, %v, want %v s", now, got, known, want)
		}
	}
	probe := func(now float64, ends ...int64) {
		for p, end := range ends {
			s.partition(p).see(at(now), end)
		}
		s.heard(at(now))
	}
	is(0, -1) // nothing is known yet
	probe(1, 0, 0)
	is(1.5, 0)
	// A backlog: as old as the oldest end that is not reached.
	probe(4, 10, 0)
	s.Came = at(4)
	probe(6, 20, 5)
	s.Came = at(6)
	is(7, 3)
	s.Partitions[0].Next = 10
	is(7, 1)
	s.Partitions[0].Next, s.Partitions[1].Next = 20, 4
	is(7, 1)
	s.Partitions[1].Next = 5
	is(7, 0)
	probe(9, 20, 5)
	is(14, 0)
	// It does not answer any more.
	is(20, 11)
	s.State = StateRetrying
	is(30, 21)
	s.State = StatePaused // with something that came since
	s.partition(0).see(at(31), 25)
	is(40, 31)
	// It answers, and has offsets that no message comes for: marks of transactions.
	s.State = StateRunning
	probe(50, 25, 5)
	is(50, 0)
	s.direct = false // unless others are given them
	is(50, 19)
	s.direct, s.Came = true, at(49) // or messages come
	is(50, 19)
	s.Partitions[0].Next = 25
	is(50, 0)
	// Many ends: the oldest stays.
	for i := range 1000 {
		s.partition(0).see(at(60+float64(i)), int64(100+i))
	}
	s.Came = at(1060)
	s.heard(at(1060))
	if n := len(s.Partitions[0].sightings); n > mostSightings {
		t.Errorf("%d ends are remembered", n)
	}
	is(1060, 1000)
	for next := int64(100); next < 1099; next += 7 {
		s.Partitions[0].Next = next // the end after next was seen at 60 + next − 99
		if got, _ := s.Lag(at(1060)); got < time.Duration(1099-next)*time.Second || got > time.Duration(1099-next+1000/16*2)*time.Second {
			t.Errorf("up to %d the lag is %v, and was %d s", next, got, 1099-next)
		}
	}
	s.Partitions[0].Next = 1099
	is(1060, 0)
}

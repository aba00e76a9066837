package pointintime

import (
	"math"

	"github.com/tilehouse/tilehouse/storage/event"
)

// Window is what a feature says about which events count. All durations are microseconds.
type Window struct {
	Length    int64 `json:"length"` // > 0; ignored for Lifetime
	Lifetime  bool  `json:"lifetime,omitempty"`
	Following bool  `json:"following,omitempty"` // a label: t < e.ts ≤ t + Length; Delay and Hop are 0
	Delay     int64 `json:"delay,omitempty"`     // ≥ 0
	Hop       int64 `json:"hop,omitempty"`       // > 0 where declared: the lower end is aligned to it, from the epoch
	Start     int64 `json:"start"`               // events before it do not exist; event.Forever: none
}

// Interval is the events that count at the cut t: half-open in microseconds, so that "strictly before u" is Hi = u and
// "up to and including u" is Hi = u + 1. Ends beyond the range of time saturate. An empty interval has Lo ≥ Hi.
func (w Window) Interval(t int64, inclusive bool) event.Interval {
	if w.Following {
		return w.clip(event.Interval{Lo: add(t, 1), Hi: add(add(t, w.Length), 1)})
	}
	u := add(t, -w.Delay)
	iv := event.Interval{Lo: event.Forever, Hi: u}
	if inclusive {
		iv.Hi = add(u, 1)
	}
	switch {
	case w.Lifetime:
	case w.Hop > 0:
		iv.Lo = floor(add(u, -w.Length), w.Hop)
	case inclusive:
		iv.Lo = add(add(u, -w.Length), 1)
	default:
		iv.Lo = add(u, -w.Length)
	}
	return w.clip(iv)
}

// Known reports whether a value at the cut t is known where the events are complete through a time, inclusive: a label is not
// before its window has ended there.
func (w Window) Known(t, through int64) bool {
	return !w.Following || add(t, w.Length) <= through
}

func (w Window) clip(iv event.Interval) event.Interval {
	if w.Start != event.Forever && iv.Lo < w.Start {
		iv.Lo = w.Start
	}
	return iv
}

func add(a, b int64) int64 {
	s := a + b
	switch {
	case a > 0 && b > 0 && s < 0:
		return math.MaxInt64
	case a < 0 && b < 0 && s >= 0:
		return math.MinInt64
	}
	return s
}

func floor(x, h int64) int64 {
	r := x % h
	if r < 0 {
		r += h
	}
	if x < math.MinInt64+r {
		return math.MinInt64
	}
	return x - r
}

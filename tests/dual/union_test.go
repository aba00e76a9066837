package dual

import (
	"cmp"
	"fmt"
	"slices"
)

// row is a row of either side.
type row struct {
	id, k  int64
	cents  int64
	shop   string
	ts     int64 // microseconds
	hasTS  bool  // files may have rows without a time
	hasKey bool
}

func (r row) columns() string { return fmt.Sprintf("%d %d %d %s %d", r.id, r.k, r.cents, r.shop, r.ts) }

// arrived is a row of the stream, and when it came: later is greater.
type arrived struct {
	row
	came int
}

// union is a dual source by the definition: batch rows with ts < B, stream rows with ts ≥ B, and stream rows with ts < B that arrived after
// the batch load that set B, at set, and whose key batch lacks. The key is unique over the union; batch wins below B. Without a key, rows
// late at the boundary are dropped. Of several batch rows of a key the last one counts, by time and then by columns. bound is nil while
// batch is complete through no midnight.
func union(batch []row, stream []arrived, bound *int64, set int, keyed bool) []row {
	var out []row
	below := func(r row) bool { return bound != nil && r.ts < *bound }
	have := map[int64]row{}
	for _, r := range batch {
		if !r.hasTS || keyed && !r.hasKey || !below(r) {
			continue
		}
		if !keyed {
			out = append(out, r)
			continue
		}
		if old, ok := have[r.id]; !ok || cmp.Or(cmp.Compare(old.ts, r.ts), cmp.Compare(old.k, r.k), cmp.Compare(old.cents, r.cents), cmp.Compare(old.shop, r.shop)) < 0 {
			have[r.id] = r
		}
	}
	for _, r := range have {
		out = append(out, r)
	}
	for _, r := range stream {
		_, wins := have[r.id]
		if !wins && (!below(r.row) || keyed && r.came > set) {
			out = append(out, r.row)
		}
	}
	slices.SortFunc(out, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.ts, b.ts), cmp.Compare(a.k, b.k), cmp.Compare(a.cents, b.cents), cmp.Compare(a.shop, b.shop))
	})
	return out
}

// midnight is the last midnight, UTC, that files are complete through: through what the option says, 0: through the newest event time.
func midnight(batch []row, option int64) *int64 {
	through, ok := option, option != 0
	if !ok {
		for _, r := range batch {
			if r.hasTS && (!ok || r.ts > through) {
				through, ok = r.ts, true
			}
		}
	}
	if !ok {
		return nil
	}
	const day = 24 * 3600 * 1_000_000
	at := through / day * day
	return &at
}

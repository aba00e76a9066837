package latest

import (
	"fmt"
	"sort"
)

const (
	second = int64(1_000_000)
	hour   = 3600 * second
	day    = 24 * hour
)

// version is a row of a table of versions; nil is NULL.
type version struct {
	id       int64
	customer int64
	plan     *string
	seats    *int64
	since    int64 // microseconds since 1970
}

// feature is what an output of a latest-value feature means.
type feature struct {
	column string // of the entity
	from   string // the table of versions
	keyed  bool   // id is the table's primary key
	value  func(*version) any
	where  func(*version) bool
	shift  int64 // of the event time of a view, microseconds
	delay  int64
	start  int64 // 0: none
}

// at is the feature's value for a customer at the cut t: the value of the version that came last before it.
func (f *feature) at(versions []version, customer, t int64, inclusive bool) string {
	u := t - f.delay
	var in []*version
	for i := range versions {
		v := &versions[i]
		since := v.since + f.shift
		before := since < u || inclusive && since == u
		if v.customer == customer && before && (f.start == 0 || since >= f.start) && (f.where == nil || f.where(v)) {
			in = append(in, v)
		}
	}
	sort.Slice(in, func(i, j int) bool {
		a, b := in[i], in[j]
		switch {
		case a.since != b.since:
			return a.since > b.since
		case f.keyed:
			return a.id > b.id
		}
		return above(f.value(a), f.value(b))
	})
	if len(in) == 0 {
		return null
	}
	return text(f.value(in[0]))
}

const null = "NULL"

func text(v any) string {
	if v == nil {
		return null
	}
	return fmt.Sprint(v)
}

// above orders values of one type, NULL below all others.
func above(a, b any) bool {
	switch x := a.(type) {
	case string:
		y, ok := b.(string)
		return !ok || x > y
	case int64:
		y, ok := b.(int64)
		return !ok || x > y
	}
	return false
}

func plan(v *version) any {
	if v.plan == nil {
		return nil
	}
	return *v.plan
}

func seats(v *version) any {
	if v.seats == nil {
		return nil
	}
	return *v.seats
}

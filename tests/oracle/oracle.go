package oracle

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"sort"
	"strconv"
	"strings"
)

// Dec is a decimal: Unscaled·10^−Scale.
type Dec struct {
	Unscaled int64
	Scale    int
}

func (d Dec) rat() *big.Rat { return new(big.Rat).SetFrac(big.NewInt(d.Unscaled), pow10(d.Scale)) }

func (d Dec) String() string { return decimal(d.rat(), d.Scale) }

// Row is a version of an event: it was there from the position Added on, and is gone from Removed on (0: never).
type Row struct {
	TS             int64
	PK             int64 // orders ties; equal in all rows of a relation without a primary key
	Cells          map[string]any
	Added, Removed int64
}

// Feature is one output over one window. Cells and arguments are nil (NULL), int64, float64, string or Dec.
type Feature struct {
	Func      string // as in SQL; count_distinct for count(DISTINCT x)
	Args      []func(*Row) any
	Filter    func(*Row) bool // nil: all rows
	K         int             // of last_k
	Big       bool            // the argument is bigint: sums are numeric(38,0)
	Window    int64           // microseconds
	Lifetime  bool
	Following bool
	Delay     int64
	Hop       int64  // 0: none
	Start     *int64 // nil: none
}

// Counts reports whether an event at ts lies in the interval of a read at t: LANGUAGE.md §2, the table.
func (f *Feature) Counts(ts, t int64, inclusive bool) bool {
	u := t - f.Delay
	switch {
	case f.Start != nil && ts < *f.Start:
		return false
	case f.Following:
		return t < ts && ts <= t+f.Window
	case inclusive && ts > u, !inclusive && ts >= u:
		return false
	case f.Lifetime:
		return true
	case f.Hop > 0:
		l := new(big.Int).Div(big.NewInt(u-f.Window), big.NewInt(f.Hop)) // Euclid's division: the floor
		return ts >= l.Int64()*f.Hop
	case inclusive:
		return ts > u-f.Window
	}
	return ts >= u-f.Window
}

// Value is the feature's value for the key whose row versions are given, at the instant t and the position p: the text that
// PostgreSQL prints, "NULL" where it is NULL.
func (f *Feature) Value(rows []Row, t, p int64, inclusive bool) string {
	var in []*Row
	for i := range rows {
		r := &rows[i]
		if r.Added <= p && (r.Removed == 0 || p < r.Removed) && f.Counts(r.TS, t, inclusive) && (f.Filter == nil || f.Filter(r)) {
			in = append(in, r)
		}
	}
	if f.Func == "count" && len(f.Args) == 0 {
		return strconv.Itoa(len(in))
	}
	var live []*Row // rows with no NULL argument
	for _, r := range in {
		null := false
		for _, a := range f.Args {
			null = null || a(r) == nil
		}
		if !null {
			live = append(live, r)
		}
	}
	switch f.Func {
	case "count":
		return strconv.Itoa(len(live))
	case "count_distinct":
		return strconv.Itoa(len(f.distinct(live)))
	}
	if len(live) == 0 {
		return "NULL"
	}
	x := f.Args[0]
	switch f.Func {
	case "sum":
		return total(live, x, 1)
	case "avg":
		return total(live, x, int64(len(live)))
	case "min", "max":
		sort.SliceStable(live, func(i, j int) bool { return less(x(live[i]), x(live[j])) })
		if f.Func == "min" {
			return Text(x(live[0]))
		}
		return Text(x(live[len(live)-1]))
	case "last", "last_k":
		return f.newest(live)
	case "approx_count_distinct":
		return f.approximate(live)
	case "sum_map":
		return f.sums(live)
	}
	panic("no oracle for " + f.Func)
}

func (f *Feature) distinct(rows []*Row) map[string][]*Row {
	m := map[string][]*Row{}
	for _, r := range rows {
		k := Text(f.Args[0](r))
		m[k] = append(m[k], r)
	}
	return m
}

// total is the sum of x divided by n, exact until the end.
func total(rows []*Row, x func(*Row) any, n int64) string {
	sum := new(big.Float).SetPrec(2400) // holds every sum of doubles exactly: 2,098 bits and room for 2³⁰⁰ rows
	whole, scale, special, double := new(big.Rat), 0, 0.0, false
	for _, r := range rows {
		switch v := x(r).(type) {
		case int64:
			whole.Add(whole, new(big.Rat).SetInt64(v))
		case Dec:
			whole.Add(whole, v.rat())
			scale = v.Scale
		case float64:
			double = true
			if math.IsNaN(v) || math.IsInf(v, 0) {
				special += v // NaN wins, and opposite infinities make it
			} else {
				sum.Add(sum, new(big.Float).SetFloat64(v))
			}
		}
	}
	if double {
		if special != 0 {
			return Text(special)
		}
		exact, _ := sum.Rat(nil)
		v, _ := exact.Quo(exact, new(big.Rat).SetInt64(n)).Float64()
		return Text(v)
	}
	if n > 1 || isAvg(n, scale) {
		scale = max(scale, 16)
	}
	return decimal(whole.Quo(whole, new(big.Rat).SetInt64(n)), scale)
}

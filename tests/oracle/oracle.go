package oracle

import (
	"math/big"
	"strings"
)

// Row is a version of an event: it was there from the position Added on, and is gone from Removed on (0: never).
type Row struct {
	TS             int64
	PK             int64 // orders ties; equal in all rows of a relation without a primary key
	Cells          map[string]any
	Added, Removed int64
}

// Feature is one output over one window. Cells and arguments are nil (NULL) or of the types that Text prints.
type Feature struct {
	Func      string // as in SQL; count_distinct for count(DISTINCT x)
	Args      []func(*Row) any
	Constants []string        // the constant arguments: "5", "{0.5,0.9}"
	Filter    func(*Row) bool // nil: all rows
	Window    int64           // microseconds
	Lifetime  bool
	Following bool
	Delay     int64
	Hop       int64  // 0: none
	Start     *int64 // nil: none
}

// Counts reports whether an event at ts lies in the interval of a read at t: the README's table.
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
// PostgreSQL prints, "NULL" where it is NULL, the SQLSTATE where it is an error.
func (f *Feature) Value(rows []Row, t, p int64, inclusive bool) string {
	var in []*Row
	for i := range rows {
		r := &rows[i]
		if r.Added <= p && (r.Removed == 0 || p < r.Removed) && f.Counts(r.TS, t, inclusive) && (f.Filter == nil || f.Filter(r)) {
			in = append(in, r)
		}
	}
	return f.Aggregate(in)
}

// Aggregate is the value of the rows given.
func (f *Feature) Aggregate(in []*Row) string {
	compute, ok := aggregates[f.Func]
	if !ok {
		panic("no oracle for " + f.Func)
	}
	var live []*Row // rows with no NULL argument
	for _, r := range in {
		null := false
		for _, a := range f.Args {
			null = null || a(r) == nil
		}
		if !null || f.Func == "latest" { // a version that says NULL is in force
			live = append(live, r)
		}
	}
	if len(live) == 0 && !strings.HasPrefix(f.Func, "count") || f.Func == "count_map" && len(live) == 0 {
		return "NULL"
	}
	return compute(f, live)
}

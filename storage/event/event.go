// Package event holds event rows as a feature group sees them: keyed, timed, with the evaluated argument columns of the
// group's aggregates. It is what runs, tiles, the log's tail and the point-in-time merge exchange.
//
//	source row ──(key, WHERE, argument and FILTER expressions, by DuckDB)──► event row (key, ts, row id, tie, columns…)
//
// Invariants: Key and TS are never NULL; rows of one key are in Order wherever a slice is called sorted.
package event

import (
	"bytes"
	"math"
	"slices"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/functions/vector"
)

// Layout is the shape of a group's rows.
type Layout struct {
	Keys    []vector.Type `json:"keys"`
	Tie     bool          `json:"tie"`     // rows carry the key encoding of the declared primary key
	Columns []vector.Type `json:"columns"` // arguments, and filters as Bool
}

// Rows is columns of event rows, all of length N().
type Rows struct {
	Key   *vector.Vector // Bytes: concatenated key encodings (vector.AppendKey) of the entity key
	TS    []int64        // event time, microseconds UTC
	RowID []int64        // identity of the row version in its source: table rows count up, file rows are file id <<40 | row number
	Tie   *vector.Vector // Bytes; nil unless Layout.Tie
	Cols  []*vector.Vector
}

// NewRows is empty rows of a layout with room for n.
func NewRows(l Layout, n int) *Rows {
	r := &Rows{Key: vector.New(vector.T(vector.Bytes), n), TS: make([]int64, 0, n), RowID: make([]int64, 0, n)}
	if l.Tie {
		r.Tie = vector.New(vector.T(vector.Bytes), n)
	}
	for _, t := range l.Columns {
		r.Cols = append(r.Cols, vector.New(t, n))
	}
	return r
}

// N is the number of rows.
func (r *Rows) N() int { return len(r.TS) }

// MemBytes is about how many bytes the rows take.
func (r *Rows) MemBytes() int64 {
	n := int64(r.N())*(8+8) + int64(r.Key.MemBytes())
	if r.Tie != nil {
		n += int64(r.Tie.MemBytes())
	}
	for _, c := range r.Cols {
		n += int64(c.MemBytes())
	}
	return n
}

// Append appends row i of src, of the same layout.
func (r *Rows) Append(src *Rows, i int) {
	r.Key.AppendFrom(src.Key, i)
	r.TS = append(r.TS, src.TS[i])
	r.RowID = append(r.RowID, src.RowID[i])
	if r.Tie != nil {
		r.Tie.AppendFrom(src.Tie, i)
	}
	for c := range r.Cols {
		r.Cols[c].AppendFrom(src.Cols[c], i)
	}
}

// AppendRange appends rows from ≤ i < to of src, of the same layout.
func (r *Rows) AppendRange(src *Rows, from, to int) {
	r.Key.AppendRange(src.Key, from, to)
	r.TS = append(r.TS, src.TS[from:to]...)
	r.RowID = append(r.RowID, src.RowID[from:to]...)
	if r.Tie != nil {
		r.Tie.AppendRange(src.Tie, from, to)
	}
	for c := range r.Cols {
		r.Cols[c].AppendRange(src.Cols[c], from, to)
	}
}

// Compare orders row i of a and row j of b, of one key: event time, primary key, row id (the last only so that the order is
// total; no value depends on it). Event rows made of the elements of one source row's list are equal: they come and go together,
// and no value depends on their order.
func Compare(a *Rows, i int, b *Rows, j int) int {
	if a.TS[i] != b.TS[j] {
		if a.TS[i] < b.TS[j] {
			return -1
		}
		return 1
	}
	if a.Tie != nil {
		if c := bytes.Compare(a.Tie.Bytes(i), b.Tie.Bytes(j)); c != 0 {
			return c
		}
	}
	switch {
	case a.RowID[i] < b.RowID[j]:
		return -1
	case a.RowID[i] > b.RowID[j]:
		return 1
	}
	return 0
}

// Partial is one partial state of a group: an aggregate over some of the layout's columns.
type Partial struct {
	Agg    functions.Aggregate
	Args   []int // columns of the layout
	Filter int   // a Bool column: rows where it is not true are skipped; -1: none
}

// Input is the view of rows that p's states are updated from. It shares r's buffers.
func (p *Partial) Input(r *Rows) *functions.Input {
	in := &functions.Input{TS: r.TS, Tie: r.Tie, Args: make([]*vector.Vector, len(p.Args))}
	for i, c := range p.Args {
		in.Args[i] = r.Cols[c]
	}
	return in
}

// SameState reports whether p and o are two aggregates of one state over the same rows (functions.SameState).
func (p *Partial) SameState(o *Partial) bool {
	return p.Filter == o.Filter && slices.Equal(p.Args, o.Args) && functions.SameState(p.Agg, o.Agg)
}

// Passes reports whether row i of r counts for p.
func (p *Partial) Passes(r *Rows, i int) bool { return p.Filter < 0 || r.Cols[p.Filter].Bool(i) }

// Interval is the half-open interval of event times [Lo, Hi), in microseconds. Lo = Forever is no lower bound.
type Interval struct{ Lo, Hi int64 }

// Forever is the lower end of LIFETIME.
const Forever = math.MinInt64

// Day is the length of a day in microseconds: 86,400 s, UTC, no leap seconds.
const Day = 86_400_000_000

// DayOf is the number of the UTC day that holds ts (days since 1970-01-01, rounded down).
func DayOf(ts int64) int64 { return Days(Day).Of(ts) }

// Days is a division of time into stretches of equal length, in microseconds, counted from 1970-01-01: what daily states are
// kept for. 0 stands for Day, which is what a server uses; tests use others, because no value depends on it.
type Days int64

// Length is the microseconds of a day.
func (d Days) Length() int64 {
	if d == 0 {
		return Day
	}
	return int64(d)
}

// Of is the number of the day that holds ts, rounded down.
func (d Days) Of(ts int64) int64 {
	n := d.Length()
	q := ts / n
	if ts%n < 0 {
		q--
	}
	return q
}

// Start is the first microsecond of a day. For the first day of int64 it wraps: differences from it are right all the same.
func (d Days) Start(day int64) int64 { return day * d.Length() }

package oracle

import (
	"math"
	"testing"
)

// The values are worked out by hand, from the README's table of what counts.
func TestIntervals(t *testing.T) {
	start := int64(95)
	for _, c := range []struct {
		name      string
		f         Feature
		inclusive bool
		in, out   []int64 // of a read at 100
	}{
		{"strict", Feature{Window: 10}, false, []int64{90, 99}, []int64{89, 100}},
		{"inclusive", Feature{Window: 10}, true, []int64{91, 100}, []int64{90, 101}},
		{"delay", Feature{Window: 10, Delay: 7}, false, []int64{83, 92}, []int64{82, 93}},
		{"hop strict", Feature{Window: 10, Hop: 20}, false, []int64{80, 99}, []int64{79, 100}},
		{"hop inclusive", Feature{Window: 10, Hop: 20}, true, []int64{80, 100}, []int64{79, 101}},
		{"hop before the epoch", Feature{Window: 110, Hop: 20}, false, []int64{-20, 99}, []int64{-21, 100}},
		{"lifetime", Feature{Lifetime: true}, false, []int64{math.MinInt64, 99}, []int64{100}},
		{"start", Feature{Lifetime: true, Start: &start}, false, []int64{95, 99}, []int64{94, 100}},
		{"following", Feature{Window: 10, Following: true}, false, []int64{101, 110}, []int64{100, 111}},
	} {
		for _, ts := range c.in {
			if !c.f.Counts(ts, 100, c.inclusive) {
				t.Errorf("%s: %d does not count", c.name, ts)
			}
		}
		for _, ts := range c.out {
			if c.f.Counts(ts, 100, c.inclusive) {
				t.Errorf("%s: %d counts", c.name, ts)
			}
		}
	}
}

func TestValues(t *testing.T) {
	x := func(r *Row) any { return r.Cells["x"] }
	b := func(r *Row) any { return r.Cells["b"] }
	row := func(ts int64, v any, bucket any) Row {
		return Row{TS: ts, PK: ts, Added: 1, Cells: map[string]any{"x": v, "b": bucket}}
	}
	floats := []Row{row(1, 1e100, "b"), row(2, 1.0, "a"), row(3, -1e100, "b"), row(4, nil, "a"), row(4, 0.25, nil)}
	decimals := []Row{row(1, Dec{100, 2}, int64(1)), row(2, Dec{1, 2}, int64(1)), row(3, Dec{-3, 2}, int64(-1))}
	gone := []Row{row(1, int64(7), "a"), row(2, int64(8), "b")}
	gone[1].Removed = 5
	for _, c := range []struct {
		name string
		f    Feature
		rows []Row
		p    int64
		want string
	}{
		{"sum of doubles", Feature{Func: "sum", Args: []func(*Row) any{x}}, floats, 1, "1.25"},
		{"avg of doubles", Feature{Func: "avg", Args: []func(*Row) any{x}}, floats, 1, "0.3125"},
		{"count(*)", Feature{Func: "count"}, floats, 1, "5"},
		{"count(x)", Feature{Func: "count", Args: []func(*Row) any{x}}, floats, 1, "4"},
		{"distinct", Feature{Func: "count_distinct", Args: []func(*Row) any{b}}, floats, 1, "2"},
		{"sum_map", Feature{Func: "sum_map", Args: []func(*Row) any{b, x}}, floats, 1, `{"a":1,"b":0}`},
		{"min", Feature{Func: "min", Args: []func(*Row) any{x}}, floats, 1, "-1e+100"},
		{"last", Feature{Func: "last", Args: []func(*Row) any{x}}, floats, 1, "0.25"},
		{"last_k", Feature{Func: "last_k", Constants: []string{"2"}, Args: []func(*Row) any{b}}, floats[:3], 1, "{b,a}"},
		{"sum of decimals", Feature{Func: "sum", Args: []func(*Row) any{x}}, decimals, 1, "0.98"},
		{"avg of decimals", Feature{Func: "avg", Args: []func(*Row) any{x}}, decimals, 1, "0.3266666666666667"},
		{"sum_map of integers", Feature{Func: "sum_map", Args: []func(*Row) any{b, x}}, decimals, 1, `{"-1":-0.03,"1":1.01}`},
		{"a few distinct", Feature{Func: "approx_count_distinct", Args: []func(*Row) any{x}}, decimals, 1, "3"},
		{"no rows", Feature{Func: "sum", Args: []func(*Row) any{x}}, decimals, 0, "NULL"},
		{"no rows counted", Feature{Func: "count"}, decimals, 0, "0"},
		{"before a delete", Feature{Func: "sum", Args: []func(*Row) any{x}}, gone, 4, "15"},
		{"after a delete", Feature{Func: "sum", Args: []func(*Row) any{x}}, gone, 5, "7"},
	} {
		c.f.Lifetime = true
		if got := c.f.Value(c.rows, 100, c.p, false); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

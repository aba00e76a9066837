package e2e_test

import (
	"fmt"
	"strings"

	"github.com/tilehouse/tilehouse/tests/oracle"
)

const (
	second = int64(1_000_000) // microseconds
	hour   = 3600 * second
	day    = 24 * hour
)

// aggregate is a call in SQL, and what the oracle computes for it.
type aggregate struct {
	name, sql string
	fn        string
	args      []func(*oracle.Row) any
	constants []string
	filter    func(*oracle.Row) bool
}

func cell(name string) func(*oracle.Row) any { return func(r *oracle.Row) any { return r.Cells[name] } }

func args(names ...string) (out []func(*oracle.Row) any) {
	for _, n := range names {
		out = append(out, cell(n))
	}
	return out
}

// positive is qty > 0, which is not true where qty is NULL.
func positive(r *oracle.Row) bool { q, ok := r.Cells["qty"].(int64); return ok && q > 0 }

// plain are aggregates of the list over plain columns, and more are the rest of them; computed ones have expressions, which DuckDB
// evaluates.
var plain = []aggregate{
	{name: "n", sql: "count(*)", fn: "count"},
	{name: "nc", sql: "count(cat)", fn: "count", args: args("cat")},
	{name: "nd", sql: "count(DISTINCT cat)", fn: "count_distinct", args: args("cat")},
	{name: "ndq", sql: "count(DISTINCT qty)", fn: "count_distinct", args: args("qty")},
	{name: "sq", sql: "sum(qty)", fn: "sum", args: args("qty")},
	{name: "sb", sql: "sum(big)", fn: "sum", args: args("big")},
	{name: "sa", sql: "sum(amount)", fn: "sum", args: args("amount")},
	{name: "sp", sql: "sum(price)", fn: "sum", args: args("price")},
	{name: "aq", sql: "avg(qty)", fn: "avg", args: args("qty")},
	{name: "aa", sql: "avg(amount)", fn: "avg", args: args("amount")},
	{name: "ap", sql: "avg(price)", fn: "avg", args: args("price")},
	{name: "lop", sql: "min(price)", fn: "min", args: args("price")},
	{name: "hia", sql: "max(amount)", fn: "max", args: args("amount")},
	{name: "loc", sql: "min(cat)", fn: "min", args: args("cat")},
	{name: "hiq", sql: "max(qty)", fn: "max", args: args("qty")},
	{name: "lc", sql: "last(cat)", fn: "last", args: args("cat")},
	{name: "lp", sql: "last(price)", fn: "last", args: args("price")},
	{name: "lkq", sql: "last_k(qty, 3)", fn: "last_k", args: args("qty"), constants: []string{"3"}},
	{name: "lkc", sql: "last_k(cat, 2)", fn: "last_k", args: args("cat"), constants: []string{"2"}},
	{name: "dc", sql: "approx_count_distinct(cat)", fn: "approx_count_distinct", args: args("cat")},
	{name: "db", sql: "approx_count_distinct(big)", fn: "approx_count_distinct", args: args("big")},
	{name: "mp", sql: "sum_map(cat, price)", fn: "sum_map", args: args("cat", "price")},
	{name: "ma", sql: "sum_map(qty, amount)", fn: "sum_map", args: args("qty", "amount")},
	{name: "fn", sql: "count(*) FILTER (WHERE qty > 0)", fn: "count", filter: positive},
	{name: "fa", sql: "avg(price) FILTER (WHERE qty > 0)", fn: "avg", args: args("price"), filter: positive},
	{name: "fl", sql: "last(amount) FILTER (WHERE cat = 'a')", fn: "last", args: args("amount"),
		filter: func(r *oracle.Row) bool { return r.Cells["cat"] == "a" }},
}

var more = []aggregate{
	{name: "n", sql: "count(*)", fn: "count"},
	{name: "ba", sql: "bool_and(qty > 0)", fn: "bool_and", args: []func(*oracle.Row) any{isPositive}},
	{name: "bo", sql: "bool_or(qty > 0)", fn: "bool_or", args: []func(*oracle.Row) any{isPositive}},
	{name: "fc", sql: "first(cat)", fn: "first", args: args("cat")},
	{name: "fk", sql: "first_k(amount, 3)", fn: "first_k", args: args("amount"), constants: []string{"3"}},
	{name: "ldk", sql: "last_distinct_k(cat, 2)", fn: "last_distinct_k", args: args("cat"), constants: []string{"2"}},
	{name: "tk", sql: "top_k(price, 3)", fn: "top_k", args: args("price"), constants: []string{"3"}},
	{name: "bk", sql: "bottom_k(qty, 2)", fn: "bottom_k", args: args("qty"), constants: []string{"2"}},
	{name: "tc", sql: "top_k_by_count(cat, 2)", fn: "top_k_by_count", args: args("cat"), constants: []string{"2"}},
	{name: "vp", sql: "var_pop(price)", fn: "var_pop", args: args("price")},
	{name: "vs", sql: "var_samp(amount)", fn: "var_samp", args: args("amount")},
	{name: "vr", sql: "variance(big)", fn: "variance", args: args("big")},
	{name: "sdp", sql: "stddev_pop(amount)", fn: "stddev_pop", args: args("amount")},
	{name: "sds", sql: "stddev_samp(qty)", fn: "stddev_samp", args: args("qty")},
	{name: "sd", sql: "stddev(price)", fn: "stddev", args: args("price")},
	{name: "sk", sql: "skewness(price)", fn: "skewness", args: args("price")},
	{name: "ku", sql: "kurtosis(amount)", fn: "kurtosis", args: args("amount")},
	{name: "co", sql: "corr(price, qty)", fn: "corr", args: args("price", "qty")},
	{name: "cp", sql: "covar_pop(amount, qty)", fn: "covar_pop", args: args("amount", "qty")},
	{name: "cs", sql: "covar_samp(price, amount)", fn: "covar_samp", args: args("price", "amount")},
	{name: "rs", sql: "regr_slope(qty, price)", fn: "regr_slope", args: args("qty", "price")},
	{name: "ri", sql: "regr_intercept(amount, qty)", fn: "regr_intercept", args: args("amount", "qty")},
	{name: "pp", sql: "approx_percentile(price, 0.9)", fn: "approx_percentile", args: args("price"), constants: []string{"0.9"}},
	{name: "pa", sql: "approx_percentile(amount, ARRAY[0, 0.25, 1])", fn: "approx_percentile", args: args("amount"), constants: []string{"{0,0.25,1}"}},
	{name: "md", sql: "median(price)", fn: "median", args: args("price")},
	{name: "mq", sql: "median(amount)", fn: "median", args: args("amount")},
	{name: "hp", sql: "histogram(price, '{-1, 0, 2.5}'::float8[])", fn: "histogram", args: args("price"), constants: []string{"{-1,0,2.5}"}},
	{name: "hq", sql: "histogram(qty, ARRAY[-3, 1.5])", fn: "histogram", args: args("qty"), constants: []string{"{-3,1.5}"}},
	{name: "cm", sql: "count_map(cat)", fn: "count_map", args: args("cat")},
	{name: "am", sql: "avg_map(cat, qty)", fn: "avg_map", args: args("cat", "qty")},
	{name: "mi", sql: "min_map(cat, price)", fn: "min_map", args: args("cat", "price")},
	{name: "ma", sql: "max_map(qty, amount)", fn: "max_map", args: args("qty", "amount")},
}

func isPositive(r *oracle.Row) any {
	if r.Cells["qty"] == nil {
		return nil
	}
	return positive(r)
}

var computed = []aggregate{
	{name: "n", sql: "count(*)", fn: "count"},
	{name: "s2", sql: "sum(qty::bigint * 2 + 1)", fn: "sum", args: []func(*oracle.Row) any{func(r *oracle.Row) any {
		if q, ok := r.Cells["qty"].(int64); ok {
			return 2*q + 1
		}
		return nil
	}}},
	{name: "up", sql: "max(upper(cat))", fn: "max", args: []func(*oracle.Row) any{func(r *oracle.Row) any {
		if c, ok := r.Cells["cat"].(string); ok {
			return strings.ToUpper(c)
		}
		return nil
	}}},
	{name: "cs", sql: "sum(CASE WHEN qty > 0 THEN price END)", fn: "sum", args: []func(*oracle.Row) any{func(r *oracle.Row) any {
		if positive(r) {
			return r.Cells["price"]
		}
		return nil
	}}},
}

// feature is a definition, in SQL and for the oracle.
type feature struct {
	name, entity string
	aggs         []aggregate
	windows      []string
	where        string
	filter       func(*oracle.Row) bool
	delay, hop   int64
	start        *int64
	following    bool
}

func pick(all []aggregate, names string) (out []aggregate) {
	for _, n := range strings.Fields(names) {
		for _, a := range all {
			if a.name == n {
				out = append(out, a)
			}
		}
	}
	return out
}

// definitions are the features of a world whose events lie around start: every aggregate, every kind of window, expressions,
// keys of one and two columns, offline ones.
func definitions(start int64) []feature {
	return []feature{
		{name: "a", entity: "cust", aggs: plain, windows: []string{"1 HOUR", "1 DAY", "7 DAYS", "30 DAYS", "LIFETIME"}},
		{name: "d", entity: "cust", aggs: pick(plain, "n sp aa nd lc lkq hia mp"), windows: []string{"51 HOURS", "7 DAYS", "LIFETIME"}, delay: 26 * hour},
		{name: "m", entity: "cust", aggs: more, windows: []string{"1 DAY", "30 DAYS"}},
		{name: "h", entity: "cust", aggs: pick(plain, "n ap lop dc fl"), windows: []string{"1 DAY", "7 DAYS"}, hop: 6 * hour},
		{name: "hd", entity: "cust", aggs: pick(plain, "n sa"), windows: []string{"3 DAYS"}, hop: 7 * hour, delay: 90 * 60 * second},
		{name: "st", entity: "cust", aggs: pick(plain, "n sp lc ma"), windows: []string{"30 DAYS", "LIFETIME"}, start: &start},
		{name: "e", entity: "cust", aggs: computed, windows: []string{"2 DAYS", "LIFETIME"}, where: "cat <> 'b' AND amount >= 0",
			filter: func(r *oracle.Row) bool {
				d, ok := r.Cells["amount"].(oracle.Dec)
				return ok && d.Unscaled >= 0 && r.Cells["cat"] != nil && r.Cells["cat"] != "b"
			}},
		{name: "us", entity: "cust", aggs: pick(plain, "n sq lop"), windows: []string{"1 SECOND", "30 SECONDS"}},
		{name: "p", entity: "pair", aggs: pick(plain, "n sp lkc nd aq"), windows: []string{"1 DAY", "30 DAYS", "LIFETIME"}},
		{name: "label", entity: "cust", aggs: pick(plain, "n sa"), windows: []string{"2 DAYS"}, following: true},
	}
}

// sql is the CREATE FEATURE statement.
func (f *feature) sql() string {
	var with, items []string
	if f.delay > 0 {
		with = append(with, fmt.Sprintf("delay = '%d minutes'", f.delay/(60*second)))
	}
	if f.hop > 0 {
		with = append(with, fmt.Sprintf("hop = '%d hours'", f.hop/hour))
	}
	if f.start != nil {
		with = append(with, "start = '"+stamp(*f.start)+"'")
	}
	for _, a := range f.aggs {
		items = append(items, a.sql+" AS "+a.name)
	}
	keys := f.keys()
	s := "CREATE FEATURE " + f.name + " ON " + f.entity
	if len(with) > 0 {
		s += " WITH (" + strings.Join(with, ", ") + ")"
	}
	s += " AS SELECT " + keys + ", " + strings.Join(items, ", ") + " FROM ev"
	if f.where != "" {
		s += " WHERE " + f.where
	}
	s += " GROUP BY " + keys + " WINDOW " + strings.Join(f.windows, ", ")
	if f.following {
		s += " FOLLOWING"
	}
	return s
}

func (f *feature) keys() string {
	if f.entity == "pair" {
		return "k, shop"
	}
	return "k"
}

// columns are the feature's outputs by the name of their column.
func (f *feature) columns() map[string]*oracle.Feature {
	out := map[string]*oracle.Feature{}
	for _, a := range f.aggs {
		for _, w := range f.windows {
			name := f.name
			if len(f.aggs) > 1 {
				name += "_" + a.name
			}
			o := &oracle.Feature{Func: a.fn, Args: a.args, Constants: a.constants, Delay: f.delay, Hop: f.hop, Start: f.start, Following: f.following}
			o.Filter = both(f.filter, a.filter)
			n, unit, _ := strings.Cut(w, " ")
			suffix := "lifetime"
			if o.Lifetime = w == "LIFETIME"; !o.Lifetime {
				suffix = n + strings.ToLower(unit[:1])
				fmt.Sscan(n, &o.Window)
				o.Window *= map[byte]int64{'S': second, 'H': hour, 'D': day}[unit[0]]
			}
			if len(f.windows) > 1 {
				name += "_" + suffix
			}
			out[name] = o
		}
	}
	return out
}

func both(a, b func(*oracle.Row) bool) func(*oracle.Row) bool {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(r *oracle.Row) bool { return a(r) && b(r) }
}

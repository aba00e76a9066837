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
		return total(live, x, false)
	case "avg":
		return total(live, x, true)
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

// total is the sum of x over rows or their average: exact until it is rounded once.
func total(rows []*Row, x func(*Row) any, average bool) string {
	sum := new(big.Float).SetPrec(2400) // holds every sum of doubles exactly: 2,098 bits, and room for 2³⁰⁰ rows
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
	n := big.NewRat(1, 1)
	if average {
		n.SetInt64(int64(len(rows)))
		scale = max(scale, 16)
	}
	if !double {
		return decimal(whole.Quo(whole, n), scale)
	}
	if special != 0 {
		return Text(special)
	}
	exact, _ := sum.Rat(nil)
	v, _ := exact.Quo(exact, n).Float64()
	return Text(v)
}

// newest is last and last_k: by event time, then primary key, then the argument.
func (f *Feature) newest(rows []*Row) string {
	x := f.Args[0]
	sort.SliceStable(rows, func(i, j int) bool {
		a, b := rows[i], rows[j]
		switch {
		case a.TS != b.TS:
			return a.TS > b.TS
		case a.PK != b.PK:
			return a.PK > b.PK
		}
		return less(x(b), x(a))
	})
	if f.Func == "last" {
		return Text(x(rows[0]))
	}
	var out []string
	for _, r := range rows[:min(len(rows), f.K)] {
		out = append(out, Text(x(r)))
	}
	return "{" + strings.Join(out, ",") + "}"
}

// approximate is HyperLogLog of 4,096 registers over md5 of the values' texts: 12 bits choose the register, the zeros that
// lead the next 52 make the rank.
func (f *Feature) approximate(rows []*Row) string {
	ranks := map[uint64]int{}
	for text := range f.distinct(rows) {
		h := md5.Sum([]byte(text))
		var n uint64
		for _, b := range h[:8] {
			n = n<<8 | uint64(b)
		}
		ranks[n>>52] = max(ranks[n>>52], min(bits.LeadingZeros64(n<<12), 52)+1)
	}
	m := 4096.0
	sum := m - float64(len(ranks))
	for _, r := range ranks {
		sum += math.Ldexp(1, -r)
	}
	e := 0.7213 / (1 + 1.079/m) * m * m / sum
	if free := m - float64(len(ranks)); e <= 2.5*m && free > 0 {
		e = m * math.Log(m/free)
	}
	return strconv.Itoa(int(math.Round(e)))
}

// sums is sum_map: a JSON object, buckets ascending.
func (f *Feature) sums(rows []*Row) string {
	groups := f.distinct(rows)
	var keys []string
	for k := range groups {
		keys = append(keys, k)
	}
	bucket := func(k string) any { return f.Args[0](groups[k][0]) }
	sort.Slice(keys, func(i, j int) bool { return less(bucket(keys[i]), bucket(keys[j])) })
	var out []string
	for _, k := range keys {
		v := total(groups[k], f.Args[1], false)
		if strings.ContainsAny(v, "NI") { // NaN and infinities are no JSON numbers
			v = strconv.Quote(v)
		}
		name, _ := json.Marshal(k)
		out = append(out, string(name)+":"+v)
	}
	return "{" + strings.Join(out, ",") + "}"
}

// less orders values as PostgreSQL does: text by bytes, NaN above everything.
func less(a, b any) bool {
	switch x := a.(type) {
	case int64:
		return x < b.(int64)
	case string:
		return x < b.(string)
	case Dec:
		return x.rat().Cmp(b.(Dec).rat()) < 0
	case float64:
		y := b.(float64)
		return x < y || math.IsNaN(y) && !math.IsNaN(x)
	}
	panic(fmt.Sprintf("no order of %T", a))
}

// Text is a value as PostgreSQL prints it.
func Text(v any) string {
	switch x := v.(type) {
	case nil:
		return "NULL"
	case int64:
		return strconv.FormatInt(x, 10)
	case string:
		return x
	case Dec:
		return x.String()
	case float64:
		return double(x)
	}
	panic(fmt.Sprintf("no text of %T", v))
}

// double is the shortest text that reads back as x: PostgreSQL's float8 with extra_float_digits = 1.
func double(x float64) string {
	switch {
	case math.IsNaN(x):
		return "NaN"
	case math.IsInf(x, 1):
		return "Infinity"
	case math.IsInf(x, -1):
		return "-Infinity"
	}
	e := strconv.FormatFloat(x, 'e', -1, 64)
	if exp, _ := strconv.Atoi(e[strings.Index(e, "e")+1:]); x != 0 && (exp < -4 || exp >= 15) {
		return e
	}
	return strconv.FormatFloat(x, 'f', -1, 64)
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// decimal rounds half away from zero.
func decimal(x *big.Rat, scale int) string {
	s := x.FloatString(scale)
	if strings.Trim(s, "-0.") == "" {
		return strings.TrimPrefix(s, "-")
	}
	return s
}

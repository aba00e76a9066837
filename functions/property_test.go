package functions

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/tests/oracle"
)

// value finalizes a state to text; errors become their SQLSTATE.
func value(t *testing.T, a Aggregate, s State) string {
	t.Helper()
	out := vector.New(a.ResultType(), 1)
	err := s.Finalize(out)
	switch {
	case errors.Is(err, ErrOutOfRange):
		return "22003"
	case errors.Is(err, ErrStateTooLarge):
		return "54000"
	case err != nil:
		t.Fatal(err)
	case out.N != 1:
		t.Fatalf("Finalize appended %d values", out.N)
	}
	return show(out, 0)
}

// Random multisets, split at random into parts that are updated, merged and merged encoded in random order, with rows added and
// taken away again: equal bytes, and the oracle's value.
func TestStatesAgainstOracle(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, sub := range subjects() {
		t.Run(sub.String(), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			a, d := sub.agg, sub.def
			if _, ok := a.New().(Inverter); ok != d.Inverse {
				t.Fatalf("the list says inverse: %v", d.Inverse)
			}
			total, reused := a.New(), a.New()
			for round := range 60 {
				in := sub.input(r, 60)
				rows := r.Perm(60)[:r.IntN(30)]
				if round%10 == 0 {
					rows = r.Perm(60)
				}
				extra := r.Perm(60)[:r.IntN(10)]
				one := a.New()
				for _, row := range rows {
					one.Update(in, row)
				}
				parts := []State{a.New(), a.New(), reused}
				reused.Reset()
				for _, row := range r.Perm(len(rows)) {
					parts[r.IntN(3)].Update(in, rows[row])
				}
				if d.Inverse {
					side := a.New()
					for _, row := range extra {
						parts[0].Update(in, row)
						parts[1].Update(in, row)
						side.Update(in, row)
					}
					r.Shuffle(len(extra), func(i, j int) { extra[i], extra[j] = extra[j], extra[i] })
					for _, row := range extra {
						parts[0].(Inverter).Retract(in, row)
					}
					parts[1].(Inverter).Unmerge(side)
				}
				total.Reset()
				for _, i := range r.Perm(3) {
					if r.IntN(2) == 0 {
						total.Merge(parts[i])
					} else if err := total.MergeEncoded(parts[i].Append(nil)); err != nil {
						t.Fatalf("%x: %v", parts[i].Append(nil), err)
					}
				}
				want := one.Append([]byte("x"))
				if got := total.Append([]byte("x")); !bytes.Equal(got, want) {
					t.Fatalf("round %d: bytes %x, want %x", round, got, want)
				}
				if len(want) > 1 && want[1] != d.StateVersion {
					t.Fatalf("first byte %d, version %d", want[1], d.StateVersion)
				}
				if len(rows) == 0 && len(want) != 1 {
					t.Fatalf("an empty state has bytes %x", want[1:])
				}
				if got, w := value(t, a, total), sub.oracle(in, rows); got != w {
					t.Fatalf("round %d: %s, want %s", round, got, w)
				}
				if d.Inverse {
					total.(Inverter).Unmerge(one)
					if b := total.Append(nil); len(b) != 0 {
						t.Fatalf("round %d: taken away: %x", round, b)
					}
				}
			}
		})
	}
}

// A window that slides over rows, read at every step and at times merged into, has the bytes of a state of its own.
func TestSlidingStates(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 3))
	for _, sub := range subjects() {
		if !sub.def.Inverse {
			continue
		}
		const rows = 40
		in := sub.input(r, rows)
		s := sub.agg.New().(Inverter)
		a, b := 0, 0
		for b < rows {
			for range min(1+r.IntN(3), rows-b) {
				s.Update(in, b)
				b++
			}
			for a < b && r.IntN(2) == 0 {
				s.Retract(in, a)
				a++
			}
			other := sub.agg.New()
			if b < rows && r.IntN(4) == 0 {
				for ; b < rows && r.IntN(30) > 0; b++ {
					other.Update(in, b)
				}
				s.Merge(other)
			}
			fresh := sub.agg.New()
			for row := a; row < b; row++ {
				fresh.Update(in, row)
			}
			if got, want := s.Append(nil), fresh.Append(nil); !bytes.Equal(got, want) {
				t.Fatalf("%s: rows %d to %d: %x, want %x", sub, a, b, got, want)
			}
			if got, want := value(t, sub.agg, s), value(t, sub.agg, fresh); got != want {
				t.Fatalf("%s: rows %d to %d: %s, want %s", sub, a, b, got, want)
			}
		}
	}
}

// Every entry of the list has what documentation and tests need.
func TestListComplete(t *testing.T) {
	tested := map[string]bool{}
	for _, s := range subjects() {
		tested[s.def.Name] = true
		if s.agg.Definition() != s.def {
			t.Errorf("%s is bound as %s", s.def.Name, s.agg.Definition().Name)
		}
	}
	var names []string
	for _, d := range Aggregates {
		names = append(names, d.Name)
		if !tested[d.Name] {
			t.Errorf("%s takes none of the types that tests have", d.Name)
		}
		for _, text := range []string{d.Help, d.Arguments, d.Result, d.NullRule, d.ErrorBound} {
			if text == "" || strings.ContainsAny(text, "\n\t") || strings.HasSuffix(text, ".") {
				t.Errorf("%s: texts are one line each, without a full stop: %q", d.Name, text)
			}
		}
		if d.StateVersion == 0 || d.Bind == nil || d.Implicit != (len(d.Calls) == 0) || d.Implicit != (d.Example == "") {
			t.Errorf("%s: incomplete definition", d.Name)
		}
		call := d.Name + "("
		if d.Name == "count_distinct" {
			call = "count(DISTINCT "
		}
		for _, c := range append(d.Calls, d.Example) {
			if !strings.HasPrefix(c, call) && !d.Implicit {
				t.Errorf("%s is called as %s", d.Name, c)
			}
		}
		for _, p := range d.Parameters {
			if p.Name == "" || p.Help == "" || len(p.Samples) == 0 {
				t.Errorf("%s: incomplete parameter", d.Name)
			}
		}
		if d.Name != strings.ToLower(d.Name) {
			t.Errorf("%s: names are in lower case", d.Name)
		}
		if got, ok := Lookup(d.Name); !ok || got != d {
			t.Errorf("Lookup(%s) = %v", d.Name, got)
		}
		if slices.Contains(Names(), d.Name) == d.Implicit || slices.Contains(Families, d.Family) == d.Implicit {
			t.Errorf("Names has %s: %v, and its family is %q", d.Name, !d.Implicit, d.Family)
		}
	}
	if _, ok := Lookup("nope"); ok {
		t.Error("Lookup finds what is not there")
	}
	if !slices.IsSorted(names) {
		t.Errorf("names are not sorted: %v", names)
	}
	if !slices.Equal(names, oracle.Names()) {
		t.Errorf("the list is %v, tests/oracle has %v", names, oracle.Names())
	}
}

func TestBindErrors(t *testing.T) {
	for _, c := range []struct {
		name      string
		types     []vector.Type
		constants []string
		code      string
	}{
		{"sum", []vector.Type{texts}, nil, "42883"},
		{"avg", []vector.Type{periods}, nil, "42883"},
		{"sum", nil, nil, "42883"},
		{"sum", []vector.Type{vector.T(vector.Decimal)}, nil, "0A000"},
		{"sum", []vector.Type{vector.T(vector.Null)}, nil, "42725"},
		{"min", []vector.Type{bools}, nil, "42883"},
		{"min", []vector.Type{vector.T(vector.JSON)}, nil, "42883"},
		{"max", []vector.Type{periods}, nil, "0A000"},
		{"count", []vector.Type{texts, texts}, nil, "42883"},
		{"count_distinct", []vector.Type{periods}, nil, "0A000"},
		{"approx_count_distinct", []vector.Type{vector.ListOf(int64s)}, nil, "0A000"},
		{"last", []vector.Type{vector.ListOf(int64s)}, nil, "0A000"},
		{"latest", nil, nil, "42883"},
		{"latest", []vector.Type{vector.T(vector.Null)}, nil, "42725"},
		{"latest", []vector.Type{vector.ListOf(int64s)}, nil, "0A000"},
		{"last_k", []vector.Type{texts}, []string{""}, "42883"},
		{"last_k", []vector.Type{texts, int32s}, []string{"", ""}, "22023"},
		{"last_k", []vector.Type{texts, int32s}, []string{"", "0"}, "22023"},
		{"last_k", []vector.Type{texts, int32s}, []string{"", "1.5"}, "22023"},
		{"last_k", []vector.Type{texts, int32s}, []string{"", "1001"}, "22023"},
		{"first_k", []vector.Type{texts, int32s}, []string{"", "99999999999999999999"}, "22023"},
		{"last_distinct_k", []vector.Type{periods, int32s}, []string{"", "3"}, "0A000"},
		{"bool_and", []vector.Type{int32s}, nil, "42883"},
		{"top_k", []vector.Type{bools, int32s}, []string{"", "3"}, "42883"},
		{"top_k", []vector.Type{int32s}, nil, "42883"},
		{"top_k_by_count", []vector.Type{periods, int32s}, []string{"", "3"}, "0A000"},
		{"median", []vector.Type{stamps}, nil, "42883"},
		{"stddev", []vector.Type{texts}, nil, "42883"},
		{"var_pop", []vector.Type{vector.T(vector.Decimal)}, nil, "0A000"},
		{"corr", []vector.Type{int32s}, nil, "42883"},
		{"regr_slope", []vector.Type{int32s, texts}, nil, "42883"},
		{"approx_percentile", []vector.Type{int32s}, nil, "42883"},
		{"approx_percentile", []vector.Type{int32s, double64}, []string{"", ""}, "22023"},
		{"approx_percentile", []vector.Type{int32s, double64}, []string{"", "1.01"}, "22023"},
		{"approx_percentile", []vector.Type{int32s, double64}, []string{"", "{}"}, "22023"},
		{"approx_percentile", []vector.Type{int32s, double64}, []string{"", "{0.5,NULL}"}, "22023"},
		{"approx_percentile", []vector.Type{texts, double64}, []string{"", "0.5"}, "42883"},
		{"histogram", []vector.Type{int32s}, nil, "42883"},
		{"histogram", []vector.Type{int32s, double64}, []string{"", "5"}, "22023"},
		{"histogram", []vector.Type{int32s, double64}, []string{"", "{}"}, "22023"},
		{"histogram", []vector.Type{int32s, double64}, []string{"", "{1,1}"}, "22023"},
		{"histogram", []vector.Type{int32s, double64}, []string{"", "{2,1}"}, "22023"},
		{"histogram", []vector.Type{int32s, double64}, []string{"", "{1,1e999999999}"}, "22023"},
		{"histogram", []vector.Type{double64, double64}, []string{"", "{1,1.00000000000000000001}"}, "22023"},
		{"count_map", []vector.Type{vector.T(vector.JSON)}, nil, "42883"},
		{"avg_map", []vector.Type{texts}, nil, "42883"},
		{"min_map", []vector.Type{texts, texts}, nil, "0A000"},
		{"max_map", []vector.Type{texts, bools}, nil, "42883"},
		{"sum_map", []vector.Type{texts, texts}, nil, "42883"},
		{"sum_map", []vector.Type{vector.T(vector.JSON), int32s}, nil, "42883"},
	} {
		d, _ := Lookup(c.name)
		_, err := d.Bind(c.types, c.constants, Options{})
		var be *BindError
		if !errors.As(err, &be) || be.SQLState != c.code || be.Hint == "" || be.Message == "" {
			t.Errorf("%s%v: %#v, want %s", c.name, c.types, err, c.code)
		}
	}
}

// Whether a multiset is too large follows from the multiset: not from its parts, nor from what was there before.
func TestMaxState(t *testing.T) {
	for _, name := range []string{"count_distinct", "sum_map", "median", "avg_map"} {
		d, _ := Lookup(name)
		types := []vector.Type{int64s}
		cost := 8 + distinctCost
		if strings.HasSuffix(name, "_map") {
			types, cost = append(types, int64s), 8+bucketCost
		}
		a, err := d.Bind(types, nil, Options{MaxState: 10 * cost})
		if err != nil {
			t.Fatal(err)
		}
		v := vector.New(int64s, 0)
		for i := range 30 {
			v.AppendInt(int64(i))
		}
		in := &Input{Args: []*vector.Vector{v, v}[:len(types)], TS: make([]int64, 30)}
		states := make([]Inverter, 3)
		for i := range states {
			states[i] = a.New().(Inverter)
			for row := range 10 + 10*(i/2) { // 10 values, 10 values, 20 values
				states[i].Update(in, row+5*i)
			}
		}
		if got := value(t, a, states[0]); got == "54000" {
			t.Errorf("%s: exactly max_state: %s", name, got)
		}
		before := states[0].Append(nil)
		mark := states[2].Append(nil)
		if got := value(t, a, states[2]); got != "54000" || len(mark) != 2 {
			t.Errorf("%s: beyond max_state: %s, %x", name, got, mark)
		}
		sum, over := a.New().(Inverter), a.New()
		sum.Merge(states[0])
		sum.Merge(states[1])
		if got := value(t, a, sum); got != "54000" || !bytes.Equal(sum.Append(nil), mark) {
			t.Errorf("%s: beyond max_state by a merge: %s, %x", name, got, sum.Append(nil))
		}
		sum.Unmerge(states[1])
		if err := over.MergeEncoded(mark); err != nil {
			t.Fatal(err)
		}
		sum.Merge(over)
		if got := value(t, a, sum); got != "54000" {
			t.Errorf("%s: with a mark: %s", name, got)
		}
		sum.Unmerge(over)
		if got := sum.Append(nil); !bytes.Equal(got, before) {
			t.Errorf("%s: without the mark again: %x, want %x", name, got, before)
		}
	}
}

// A state that grows far beyond max_state gives its memory up, and is as new after Reset.
func TestFloodedState(t *testing.T) {
	for name, types := range map[string][]vector.Type{"count_distinct": {int64s}, "median": {int64s}, "sum_map": {int64s, int64s}, "max_map": {int64s, int64s}} {
		a, err := bind(name, types, nil, Options{MaxState: 1000})
		if err != nil {
			t.Fatal(err)
		}
		v := vector.New(int64s, 0)
		for i := range 100_000 {
			v.AppendInt(int64(i))
		}
		in := &Input{Args: []*vector.Vector{v, v}[:len(types)]}
		s, o := a.New().(Bounded), a.New()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for row := range v.N {
			s.Update(in, row)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64*1000 {
			t.Errorf("%s: %d bytes are held", name, grown)
		}
		o.Merge(s)
		if err := o.MergeEncoded(s.Append(nil)); err != nil || !s.TooLarge() || !o.(Bounded).TooLarge() || value(t, a, o) != "54000" {
			t.Errorf("%s: not too large: %v", name, err)
		}
		for _, x := range []State{s, o} {
			x.Reset()
			x.Update(in, 7)
			if got := value(t, a, x); got == "54000" {
				t.Errorf("%s: after Reset %s", name, got)
			}
		}
	}
}

// The estimate stays within four standard errors over the range where both estimators are used.
func TestApproxCountDistinctError(t *testing.T) {
	d, _ := Lookup("approx_count_distinct")
	a, _ := d.Bind([]vector.Type{int64s}, nil, Options{})
	s := a.New()
	v := vector.New(int64s, 1)
	n := int64(0)
	for _, upTo := range []int64{1, 10, 100, 1000, 5000, 9000, 12000, 30000, 200000} {
		for ; n < upTo; n++ {
			v.Reset()
			v.AppendInt(n * 7919)
			s.Update(&Input{Args: []*vector.Vector{v}}, 0)
		}
		out := vector.New(int64s, 1)
		if err := s.Finalize(out); err != nil {
			t.Fatal(err)
		}
		got := out.I64[0]
		if e := float64(got-n) / float64(n); e > 0.065 || e < -0.065 || n <= 10 && got != n {
			t.Errorf("%d values: %d (%.1f %%), %d bytes", n, got, 100*e, len(s.Append(nil)))
		}
	}
}

// The estimate is within 1/129 of the exact percentile_disc, over magnitudes from 2⁻¹⁰³⁶ to the largest double.
func TestApproxPercentileError(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	worst := 0.0
	for range 300 {
		n := 1 + r.IntN(300)
		v := vector.New(double64, n)
		spread := []int{1, 10, 1000}[r.IntN(3)]
		for range n {
			v.AppendFloat(math.Ldexp(r.Float64()*2-1, r.IntN(spread)))
		}
		p := []string{"0", "0.01", "0.5", "0.99", "1"}[r.IntN(5)]
		s := mustBind("approx_percentile", []vector.Type{double64}, p).New()
		for row := range n {
			s.Update(&Input{Args: []*vector.Vector{v}}, row)
		}
		out := vector.New(double64, 1)
		if err := s.Finalize(out); err != nil {
			t.Fatal(err)
		}
		xs := slices.Clone(v.F64)
		slices.Sort(xs)
		share, _ := strconv.ParseFloat(p, 64)
		want := xs[max(int(math.Ceil(share*float64(n))), 1)-1]
		worst = max(worst, math.Abs(out.F64[0]-want)/math.Abs(want))
	}
	if t.Logf("%.4f %%", 100*worst); worst > 1.0/129 {
		t.Errorf("an error of %g is more than 1/129", worst)
	}
	for _, x := range []float64{0, 0x1p-1036, -0x1.fp-1030, 1, -3, math.MaxFloat64, math.Inf(1), math.Inf(-1), math.NaN(), math.SmallestNonzeroFloat64} {
		got := percentileValue(percentileBucket(x))
		if e := math.Abs(got-x) / math.Abs(x); got != x && !(got != got && x != x) && !(e <= 1.0/129+1e-11) && !(math.Abs(x) < 0x1p-1036 && got == 0) {
			t.Errorf("%g is taken for %g", x, got)
		}
	}
}

// Sums of powers do not cancel: a spread of a thousandth about a thousand million is found to the last bit.
func TestMomentsDoNotCancel(t *testing.T) {
	v, w := vector.New(double64, 4), vector.New(double64, 4)
	for i := range 4 {
		v.AppendFloat(1e9 + float64(i)/1024)
		w.AppendFloat(1e12 - float64(i)/64)
	}
	for name, want := range map[string]float64{"var_pop": 1.25 / (1024 * 1024), "stddev_pop": math.Sqrt(1.25) / 1024, "covar_pop": -1.25 / (1024 * 64), "corr": -1, "regr_slope": -0.0625,
		"skewness": 0, "kurtosis": -1.2} {
		args := []*vector.Vector{v, w}
		a, err := bind(name, []vector.Type{double64, double64}, nil, Options{})
		if err != nil {
			a, args = mustBind(name, []vector.Type{double64}), args[:1]
		}
		s := a.New()
		for row := range 4 {
			s.Update(&Input{Args: args}, row)
		}
		out := vector.New(double64, 1)
		if err := s.Finalize(out); err != nil || out.F64[0] != want {
			t.Errorf("%s: %v, want %v: %v", name, out.F64, want, err)
		}
	}
}

// Aggregates that the list says to have one state have equal bytes for equal rows, and a state of one merges into that of another.
func TestSameStates(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 5))
	all := subjects()
	pairs := 0
	for _, x := range all {
		for _, y := range all {
			if !SameState(x.agg, y.agg) {
				continue
			}
			pairs++
			for range 20 {
				in := x.input(r, 30)
				rows := r.Perm(30)[:r.IntN(30)]
				a, b, merged := x.agg.New(), y.agg.New(), y.agg.New()
				for _, row := range rows {
					a.Update(in, row)
					b.Update(in, row)
				}
				if !bytes.Equal(a.Append(nil), b.Append(nil)) {
					t.Fatalf("%s and %s: states of the same rows differ", x, y)
				}
				merged.Merge(a)
				if got, want := value(t, y.agg, merged), value(t, y.agg, b); got != want {
					t.Fatalf("%s merged into %s is %s, want %s", x, y, got, want)
				}
			}
		}
	}
	if pairs < 10 {
		t.Errorf("%d pairs only", pairs)
	}
}

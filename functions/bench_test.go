package functions

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// The hot paths of lookups and of sliding windows: nanoseconds and no allocation each.
func BenchmarkState(b *testing.B) {
	const rows = 1024
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name      string
		t         vector.Type
		constants []string
	}{
		{"count", int64s, nil}, {"sum", int64s, nil}, {"sum", money, nil}, {"sum", double64, nil}, {"avg", double64, nil},
		{"max", double64, nil}, {"last", int64s, nil}, {"last_k", int64s, []string{"10"}}, {"count_distinct", int64s, nil}, {"approx_count_distinct", int64s, nil},
		{"stddev", double64, nil}, {"stddev", money, nil}, {"kurtosis", double64, nil}, {"median", int64s, nil}, {"approx_percentile", double64, []string{"0.95"}},
		{"histogram", double64, []string{"{10,100,1000}"}}, {"top_k", double64, []string{"10"}}, {"first", int64s, nil},
	} {
		v := vector.New(c.t, rows)
		in := &Input{Args: []*vector.Vector{v}}
		for i := range rows {
			switch x := r.Int64N(1_000_000); c.t.Buffer() {
			case vector.BufI64:
				v.AppendInt(x % 100)
			case vector.BufF64:
				v.AppendFloat(float64(x) / 100)
			default:
				v.AppendInt128(vector.Int128FromInt64(x))
			}
			in.TS = append(in.TS, int64(i))
		}
		a := mustBind(c.name, []vector.Type{c.t}, c.constants...)
		s, o := a.New(), a.New()
		for i := range 10 {
			o.Update(in, i)
		}
		for i := range rows {
			s.Update(in, i)
		}
		run := func(op string, f func(i int)) {
			b.Run(fmt.Sprintf("%s(%s)/%s", c.name, c.t, op), func(b *testing.B) {
				b.ReportAllocs()
				for i := range b.N {
					f(i)
				}
			})
		}
		run("Update", func(i int) { s.Update(in, i%rows) })
		if inv, ok := s.(Inverter); ok {
			run("RetractUpdate", func(i int) { inv.Retract(in, (i+9)%rows); inv.Update(in, i%rows) })
		}
		run("Merge", func(int) { s.Merge(o) })
		enc, out := o.Append(nil), vector.New(a.ResultType(), 1)
		run("MergeEncoded", func(int) { _ = s.MergeEncoded(enc) })
		run("Append", func(int) { enc = o.Append(enc[:0]) })
		run("Finalize", func(int) { out.Reset(); _ = o.Finalize(out) })
	}
}

// A median over a window of a thousand different values that slides by a row.
func BenchmarkSlidingMedian(b *testing.B) {
	const rows, window = 4096, 1000
	r := rand.New(rand.NewPCG(1, 2))
	v := vector.New(double64, rows)
	for range rows {
		v.AppendFloat(r.Float64())
	}
	in := &Input{Args: []*vector.Vector{v}}
	a := mustBind("median", []vector.Type{double64})
	s := a.New().(Inverter)
	for row := range window {
		s.Update(in, row)
	}
	out := vector.New(double64, 1)
	b.ReportAllocs()
	for i := range b.N {
		s.Retract(in, i%rows)
		s.Update(in, (i+window)%rows)
		out.Reset()
		_ = s.Finalize(out)
	}
}

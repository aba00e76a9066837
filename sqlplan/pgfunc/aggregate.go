package pgfunc

import (
	"math"
	"math/big"
	"sort"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
)

// Aggregates that DuckDB computes otherwise than PostgreSQL are functions of the list of their values.

// numsOf are the numerics of a list that are not NULL.
func numsOf(a args, k int) []num {
	c, from, to := a.elements(k)
	var out []num
	a.call.Hold((to - from) * numBytes)
	for j := from; j < to; j++ {
		a.call.Work(workOfNum(c, j))
		if !c.IsNull(j) {
			out = append(out, mustNum(string(c.Bytes(j))))
		}
	}
	return out
}

// numBytes is what a number takes in memory, beside its digits.
const numBytes = 100

// workOfNum is the work of reading a number and adding it.
func workOfNum(c *vector.Vector, j int) int {
	n := int(c.Off[j+1] - c.Off[j])
	return 128 + n*(n/64+1)
}

func floatsOf(a args, k int) []float64 {
	c, from, to := a.elements(k)
	var out []float64
	for j := from; j < to; j++ {
		if !c.IsNull(j) {
			out = append(out, c.F64[j])
		}
	}
	return out
}

// youngsCramer is the count, sum and sum of squared deviations that float8_accum keeps.
func youngsCramer(l []float64) (n, sx, sxx float64) {
	for _, x := range l {
		n++
		sx += x
		if n > 1 {
			tmp := x*n - sx
			sxx += tmp * tmp / (n * (n - 1))
		} else if math.IsNaN(x) || math.IsInf(x, 0) {
			sxx = math.NaN()
		}
		if math.IsInf(sx, 0) || math.IsInf(sxx, 0) {
			sxx = math.NaN()
		}
	}
	return n, sx, sxx
}

func spread(kind string, n, sxx float64) (float64, bool) {
	d := n
	if strings.HasSuffix(kind, "samp") {
		d--
	}
	if d < 1 {
		return 0, false
	}
	v := sxx / d
	if strings.HasPrefix(kind, "stddev") {
		v = math.Sqrt(v)
	}
	return v, true
}

func init() {
	ours("__numeric_sum(_numeric)", "numeric", func(a args, out *vector.Vector) error {
		c, from, to := a.elements(0)
		var sum *num
		for j := from; j < to; j++ {
			a.call.Work(workOfNum(c, j))
			if c.IsNull(j) {
				continue
			}
			n := mustNum(string(c.Bytes(j)))
			if sum != nil {
				n = addNum(*sum, n, 1)
			}
			sum = &n
		}
		if sum == nil {
			out.AppendNull()
			return nil
		}
		return putNum(out, *sum, nil)
	})
	ours("__numeric_avg(numeric,int8)", "numeric", func(a args, out *vector.Vector) error {
		n, err := divNum(numArg(a, 0), intNum(a.n(1)))
		return putNum(out, n, err)
	})
	ours("__float8_sum(_float8)", "float8", func(a args, out *vector.Vector) error {
		l := floatsOf(a, 0)
		if len(l) == 0 {
			out.AppendNull()
			return nil
		}
		sum, inf := 0.0, false
		for _, x := range l {
			sum += x
			inf = inf || math.IsInf(x, 0)
		}
		r, err := checked(sum, inf, true)
		return putFloat(out, r, err)
	})
	ours("__float8_total(float8,bool)", "float8", func(a args, out *vector.Vector) error {
		r, err := checked(a.f(0), a.t(1), true)
		return putFloat(out, r, err)
	})
	ours("__float8_mean(float8,int8)", "float8", func(a args, out *vector.Vector) error {
		out.AppendFloat(a.f(0) / float64(a.n(1)))
		return nil
	})
	ours("__float4_sum(_float4)", "float4", func(a args, out *vector.Vector) error {
		l := floatsOf(a, 0)
		if len(l) == 0 {
			out.AppendNull()
			return nil
		}
		sum, inf := float32(0), false
		for _, x := range l {
			sum += float32(x)
			inf = inf || math.IsInf(x, 0)
		}
		r, err := checked(float64(sum), inf, true)
		return putFloat(out, r, err)
	})
	ours("__float8_avg(_float8)", "float8", func(a args, out *vector.Vector) error {
		l := floatsOf(a, 0)
		if len(l) == 0 {
			out.AppendNull()
			return nil
		}
		n, sx, _ := youngsCramer(l)
		out.AppendFloat(sx / n)
		return nil
	})
	ours("__float8_spread(text,_float8)", "float8", func(a args, out *vector.Vector) error {
		n, _, sxx := youngsCramer(floatsOf(a, 1))
		v, ok := spread(a.s(0), n, sxx)
		if !ok {
			out.AppendNull()
			return nil
		}
		out.AppendFloat(v)
		return nil
	})
	ours("__numeric_spread(text,_numeric)", "numeric", func(a args, out *vector.Vector) error {
		c, from, to := a.elements(1)
		n, sum, squares, special := int64(0), intNum(0), intNum(0), false
		for j := from; j < to; j++ {
			a.call.Work(2 * workOfNum(c, j))
			if c.IsNull(j) {
				continue
			}
			n++
			x := mustNum(string(c.Bytes(j)))
			if special = special || x.special != 0; !special {
				sum, squares = addNum(sum, x, 1), addNum(squares, mulNum(x, x), 1)
			}
		}
		sample := strings.HasSuffix(a.s(0), "samp")
		if n == 0 || sample && n < 2 {
			out.AppendNull()
			return nil
		}
		if special {
			out.AppendString("NaN")
			return nil
		}
		top := addNum(mulNum(squares, intNum(n)), mulNum(sum, sum), -1)
		if top.v.Sign() <= 0 {
			return putNum(out, intNum(0), nil)
		}
		d := intNum(n * n)
		if sample {
			d = intNum(n * (n - 1))
		}
		v, err := divNum(top, d)
		if err == nil && strings.HasPrefix(a.s(0), "stddev") {
			v = sqrtAt(v, v.scale)
		}
		return putNum(out, v, err)
	})
	ours("__float8_regression(text,_float8,_float8)", "float8", func(a args, out *vector.Vector) error {
		y, from, to := a.elements(1)
		x, xfrom, _ := a.elements(2)
		var n, sx, sxx, sy, syy, sxy float64
		for j := from; j < to; j++ {
			k := xfrom + j - from
			if y.IsNull(j) || x.IsNull(k) {
				continue
			}
			vy, vx := y.F64[j], x.F64[k]
			n++
			sx += vx
			sy += vy
			if n > 1 {
				tx, ty := vx*n-sx, vy*n-sy
				scale := 1 / (n * (n - 1))
				sxx += tx * tx * scale
				syy += ty * ty * scale
				sxy += tx * ty * scale
			}
		}
		kind := a.s(0)
		null := func() error { out.AppendNull(); return nil }
		if kind == "regr_count" {
			out.AppendFloat(n)
			return nil
		}
		if n < 1 || kind == "covar_samp" && n < 2 {
			return null()
		}
		switch kind {
		case "regr_avgx":
			out.AppendFloat(sx / n)
		case "regr_avgy":
			out.AppendFloat(sy / n)
		case "regr_sxx":
			out.AppendFloat(sxx)
		case "regr_syy":
			out.AppendFloat(syy)
		case "regr_sxy":
			out.AppendFloat(sxy)
		case "covar_pop":
			out.AppendFloat(sxy / n)
		case "covar_samp":
			out.AppendFloat(sxy / (n - 1))
		case "corr":
			if sxx == 0 || syy == 0 {
				return null()
			}
			out.AppendFloat(sxy / math.Sqrt(sxx*syy))
		case "regr_r2":
			if sxx == 0 {
				return null()
			}
			if syy == 0 {
				out.AppendFloat(1)
				return nil
			}
			out.AppendFloat(sxy * sxy / (sxx * syy))
		case "regr_slope":
			if sxx == 0 {
				return null()
			}
			out.AppendFloat(sxy / sxx)
		case "regr_intercept":
			if sxx == 0 {
				return null()
			}
			out.AppendFloat((sy - sx*sxy/sxx) / n)
		}
		return nil
	})
	ours("__interval_sum(_interval)", "interval", func(a args, out *vector.Vector) error {
		sum, n, err := sumIntervals(a)
		if err != nil {
			return err
		}
		if n == 0 {
			out.AppendNull()
			return nil
		}
		sum.append(out)
		return nil
	})
	ours("__interval_avg(_interval)", "interval", func(a args, out *vector.Vector) error {
		sum, n, err := sumIntervals(a)
		if err != nil {
			return err
		}
		if n == 0 {
			out.AppendNull()
			return nil
		}
		r, err := sum.divide(float64(n))
		if err != nil {
			return err
		}
		r.append(out)
		return nil
	})
	ours("__string_agg_const(_text,text)", "text", func(a args, out *vector.Vector) error {
		var parts []string
		size := 0
		for _, s := range a.texts(0) {
			if s != nil {
				parts = append(parts, *s)
				if size += len(*s); !a.null(1) {
					size += len(a.b(1))
				}
				a.call.Length(size)
			}
		}
		if parts == nil || a.null(0) {
			out.AppendNull()
			return nil
		}
		sep := ""
		if !a.null(1) {
			sep = a.s(1)
		}
		out.AppendString(strings.Join(parts, sep))
		return nil
	}, nulls)
	ours("__string_agg(_text,_text)", "text", func(a args, out *vector.Vector) error {
		seps := a.texts(1)
		var b strings.Builder
		any := false
		for i, s := range a.texts(0) {
			if s == nil {
				continue
			}
			if any && seps[i] != nil {
				b.WriteString(*seps[i])
			}
			b.WriteString(*s)
			any = true
		}
		if !any {
			out.AppendNull()
			return nil
		}
		out.AppendString(b.String())
		return nil
	})
	fraction := func(p float64) error {
		if p < 0 || p > 1 || math.IsNaN(p) {
			return bad("22003", "percentile value %s is not between 0 and 1", string(codec.AppendText(nil, floatVector(p), 0, codec.Defaults)))
		}
		return nil
	}
	cont := func(l []float64, p float64) (float64, bool) {
		if len(l) == 0 {
			return 0, false
		}
		at := p * float64(len(l)-1)
		low, high := int(math.Floor(at)), int(math.Ceil(at))
		if low == high {
			return l[low], true
		}
		return l[low] + (at-float64(low))*(l[high]-l[low]), true
	}
	ours("__percentile_cont(float8,_float8)", "float8", func(a args, out *vector.Vector) error {
		if err := fraction(a.f(0)); err != nil {
			return err
		}
		l := floatsOf(a, 1)
		x, ok := cont(l, a.f(0))
		if !ok {
			out.AppendNull()
			return nil
		}
		out.AppendFloat(x)
		return nil
	})
	ours("__percentile_conts(_float8,_float8)", "_float8", func(a args, out *vector.Vector) error {
		l := floatsOf(a, 1)
		if len(l) == 0 {
			out.AppendNull()
			return nil
		}
		c, from, to := a.elements(0)
		for j := from; j < to; j++ {
			if c.IsNull(j) {
				out.Child[0].AppendNull()
				continue
			}
			if err := fraction(c.F64[j]); err != nil {
				return err
			}
			x, _ := cont(l, c.F64[j])
			out.Child[0].AppendFloat(x)
		}
		out.CloseNested()
		return nil
	})
	ours("__percentile_cont_interval(float8,_interval)", "interval", func(a args, out *vector.Vector) error {
		if err := fraction(a.f(0)); err != nil {
			return err
		}
		c, from, to := a.elements(1)
		var l []interval
		for j := from; j < to; j++ {
			if !c.IsNull(j) {
				l = append(l, intervalOf(c, j))
			}
		}
		if len(l) == 0 {
			out.AppendNull()
			return nil
		}
		at := a.f(0) * float64(len(l)-1)
		low, high := int(math.Floor(at)), int(math.Ceil(at))
		r := l[low]
		if low != high {
			d, err := l[high].minus(l[low])
			if err != nil {
				return err
			}
			if d, err = d.times(at - float64(low)); err != nil {
				return err
			}
			if r, err = d.plus(l[low]); err != nil {
				return err
			}
		}
		r.append(out)
		return nil
	})
	ours("__disc_index(float8,anyarray)", "int8", func(a args, out *vector.Vector) error {
		if err := fraction(a.f(0)); err != nil {
			return err
		}
		c, from, to := a.elements(1)
		n := 0
		for j := from; j < to; j++ {
			if !c.IsNull(j) {
				n++
			}
		}
		if n == 0 {
			out.AppendNull()
			return nil
		}
		out.AppendInt(int64(max(math.Ceil(a.f(0)*float64(n)), 1)))
		return nil
	})
	ours("__mode_index(anyarray)", "int8", func(a args, out *vector.Vector) error {
		c, from, to := a.elements(0)
		best, bestAt := 0, -1
		for j := from; j < to; {
			if c.IsNull(j) {
				j++
				continue
			}
			k := j
			for k < to && !c.IsNull(k) && vector.Compare(c, j, c, k) == 0 {
				k++
			}
			if k-j > best {
				best, bestAt = k-j, j
			}
			j = k
		}
		if bestAt < 0 {
			out.AppendNull()
			return nil
		}
		out.AppendInt(int64(bestAt - from + 1))
		return nil
	})
	_ = sort.Ints
}

func floatVector(f float64) *vector.Vector {
	v := vector.New(vector.T(vector.Float64), 1)
	v.AppendFloat(f)
	return v
}

// sqrtAt is the root of n at a scale, rounded.
func sqrtAt(n num, scale int) num {
	x := n.at(max(n.scale, 2*(scale+1)))
	if x.scale%2 == 1 {
		x = x.at(x.scale + 1)
	}
	return num{v: new(big.Int).Sqrt(x.v), scale: x.scale / 2}.at(scale)
}

func sumIntervals(a args) (sum interval, n int, err error) {
	c, from, to := a.elements(0)
	for j := from; j < to; j++ {
		if c.IsNull(j) {
			continue
		}
		n++
		if sum, err = sum.plus(intervalOf(c, j)); err != nil {
			return sum, n, err
		}
	}
	return sum, n, nil
}

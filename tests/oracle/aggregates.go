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

// aggregates is the value of each aggregate, by name, of rows that have no NULL argument; all but the counts get at least one.
var aggregates = map[string]func(f *Feature, rows []*Row) string{
	"approx_count_distinct": approximate,
	"approx_percentile":     approxPercentile,
	"avg":                   func(f *Feature, rows []*Row) string { return total(f.column(0, rows), true) },
	"avg_map":               perBucket(func(_ *Feature, xs []any) string { return total(xs, true) }),
	"bool_and":              func(f *Feature, rows []*Row) string { return Text(sorted(f.column(0, rows))[0]) },
	"bool_or":               func(f *Feature, rows []*Row) string { return Text(last(sorted(f.column(0, rows)))) },
	"bottom_k":              func(f *Feature, rows []*Row) string { return f.firstK(sorted(f.column(0, rows))) },
	"corr":                  paired(corr),
	"count":                 func(_ *Feature, rows []*Row) string { return strconv.Itoa(len(rows)) },
	"count_distinct":        func(f *Feature, rows []*Row) string { return strconv.Itoa(len(f.distinct(rows))) },
	"count_map":             perBucket(func(_ *Feature, xs []any) string { return strconv.Itoa(len(xs)) }),
	"covar_pop":             paired(func(m *pairs) string { return m.covariance(m.n, 1) }),
	"covar_samp":            paired(func(m *pairs) string { return m.covariance(m.n-1, 2) }),
	"first":                 func(f *Feature, rows []*Row) string { return Text(f.byTime(rows)[0]) },
	"first_k":               func(f *Feature, rows []*Row) string { return f.firstK(f.byTime(rows)) },
	"histogram":             histogram,
	"kurtosis":              kurtosis,
	"last":                  func(f *Feature, rows []*Row) string { return Text(last(f.byTime(rows))) },
	"last_distinct_k":       func(f *Feature, rows []*Row) string { return f.firstK(unique(reversed(f.byTime(rows)))) },
	"last_k":                func(f *Feature, rows []*Row) string { return f.firstK(reversed(f.byTime(rows))) },
	"latest":                func(f *Feature, rows []*Row) string { return Text(last(f.byTime(rows))) },
	"max":                   func(f *Feature, rows []*Row) string { return Text(last(sorted(f.column(0, rows)))) },
	"max_map":               perBucket(func(_ *Feature, xs []any) string { return jsonValue(last(sorted(xs))) }),
	"median":                median,
	"min":                   func(f *Feature, rows []*Row) string { return Text(sorted(f.column(0, rows))[0]) },
	"min_map":               perBucket(func(_ *Feature, xs []any) string { return jsonValue(sorted(xs)[0]) }),
	"regr_intercept":        paired(regrIntercept),
	"regr_slope":            paired(regrSlope),
	"skewness":              skewness,
	"stddev":                func(f *Feature, rows []*Row) string { return variance(f.column(0, rows), 1, true) },
	"stddev_pop":            func(f *Feature, rows []*Row) string { return variance(f.column(0, rows), 0, true) },
	"stddev_samp":           func(f *Feature, rows []*Row) string { return variance(f.column(0, rows), 1, true) },
	"sum":                   func(f *Feature, rows []*Row) string { return total(f.column(0, rows), false) },
	"sum_map":               perBucket(func(_ *Feature, xs []any) string { return total(xs, false) }),
	"top_k":                 func(f *Feature, rows []*Row) string { return f.firstK(reversed(sorted(f.column(0, rows)))) },
	"top_k_by_count":        topByCount,
	"var_pop":               func(f *Feature, rows []*Row) string { return variance(f.column(0, rows), 0, false) },
	"var_samp":              func(f *Feature, rows []*Row) string { return variance(f.column(0, rows), 1, false) },
	"variance":              func(f *Feature, rows []*Row) string { return variance(f.column(0, rows), 1, false) },
}

// Names are the aggregates that there is an oracle for, ascending.
func Names() (names []string) {
	for name := range aggregates {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// column is an argument's values.
func (f *Feature) column(arg int, rows []*Row) (xs []any) {
	for _, r := range rows {
		xs = append(xs, f.Args[arg](r))
	}
	return xs
}

func sorted(xs []any) []any {
	xs = append([]any(nil), xs...)
	sort.SliceStable(xs, func(i, j int) bool { return less(xs[i], xs[j]) })
	return xs
}

func reversed(xs []any) (out []any) {
	for i := range xs {
		out = append(out, xs[len(xs)-1-i])
	}
	return out
}

// unique keeps the first of equal values.
func unique(xs []any) (out []any) {
	seen := map[string]bool{}
	for _, x := range xs {
		if !seen[Text(x)] {
			seen[Text(x)], out = true, append(out, x)
		}
	}
	return out
}

func last(xs []any) any { return xs[len(xs)-1] }

// byTime is the first argument of rows by event time, then primary key, then the value: the rule of ties.
func (f *Feature) byTime(rows []*Row) []any {
	rows = append([]*Row(nil), rows...)
	sort.SliceStable(rows, func(i, j int) bool {
		a, b := rows[i], rows[j]
		switch {
		case a.TS != b.TS:
			return a.TS < b.TS
		case a.PK != b.PK:
			return a.PK < b.PK
		}
		return less(f.Args[0](a), f.Args[0](b))
	})
	return f.column(0, rows)
}

// firstK is an array of the first k values, k being the first constant.
func (f *Feature) firstK(xs []any) string {
	k, _ := strconv.Atoi(f.Constants[0])
	return array(xs[:min(len(xs), k)])
}

func array(xs []any) string {
	var out []string
	for _, x := range xs {
		out = append(out, Text(x))
	}
	return "{" + strings.Join(out, ",") + "}"
}

// distinct is the rows of each value of the first argument, by its text.
func (f *Feature) distinct(rows []*Row) map[string][]*Row {
	m := map[string][]*Row{}
	for _, r := range rows {
		k := Text(f.Args[0](r))
		m[k] = append(m[k], r)
	}
	return m
}

// total is the sum of xs or their average: exact until it is rounded once.
func total(xs []any, average bool) string {
	sum, special := new(big.Rat), 0.0
	for _, v := range xs {
		if x, ok := rat(v); ok {
			sum.Add(sum, x)
		} else {
			special += float(v) // NaN wins, and opposite infinities make it
		}
	}
	digits := scale(xs[0])
	if average {
		sum.Quo(sum, big.NewRat(int64(len(xs)), 1))
		digits = max(digits, 16)
	}
	if isFloat(xs[0]) {
		if special != 0 {
			return Text(special)
		}
		return rounded(sum)
	}
	text := decimal(sum, digits)
	switch xs[0].(type) {
	case int16, int32:
		if !average && !sum.Num().IsInt64() {
			return "22003"
		}
	}
	if len(strings.TrimLeft(strings.NewReplacer(".", "", "-", "").Replace(text), "0")) > 38 {
		return "22003"
	}
	return text
}

// rounded is the double nearest to x.
func rounded(x *big.Rat) string {
	f, _ := x.Float64()
	if math.IsInf(f, 0) {
		return "22003"
	}
	return Text(f)
}

// root is the double nearest to the square root of x, with the sign given.
func root(x *big.Rat, sign int) string {
	f, _ := new(big.Float).Sqrt(new(big.Float).SetPrec(600).SetRat(x)).Float64()
	return Text(f * float64(sign))
}

// moments are the finite xs' number, mean and central moments of order 2 to 4; ok is false where one is not finite.
func moments(xs []any) (n int64, mean *big.Rat, m [5]*big.Rat, ok bool) {
	n, mean = int64(len(xs)), new(big.Rat)
	for _, v := range xs {
		x, finite := rat(v)
		if !finite {
			return n, mean, m, false
		}
		mean.Add(mean, x)
	}
	mean.Quo(mean, big.NewRat(n, 1))
	for k := range m {
		m[k] = new(big.Rat)
	}
	for _, v := range xs {
		x, _ := rat(v)
		d, p := new(big.Rat).Sub(x, mean), big.NewRat(1, n)
		for k := range m {
			m[k].Add(m[k], p)
			p = new(big.Rat).Mul(p, d)
		}
	}
	return n, mean, m, true
}

// variance divides by the number of rows less a few.
func variance(xs []any, fewer int64, deviation bool) string {
	n, _, m, ok := moments(xs)
	switch {
	case n <= fewer:
		return "NULL"
	case !ok:
		return "NaN"
	}
	v := m[2].Mul(m[2], big.NewRat(n, n-fewer))
	if deviation {
		return root(v, 1)
	}
	return rounded(v)
}

// skewness is the adjusted Fisher-Pearson coefficient: √(n(n−1))/(n−2) · m3/m2^(3/2).
func skewness(f *Feature, rows []*Row) string {
	n, _, m, ok := moments(f.column(0, rows))
	switch {
	case n < 3:
		return "NULL"
	case !ok:
		return "NaN"
	case m[2].Sign() == 0:
		return "NULL"
	}
	x := new(big.Rat).Mul(m[3], m[3])
	for range 3 {
		x.Quo(x, m[2])
	}
	return root(x.Mul(x, big.NewRat(n*(n-1), (n-2)*(n-2))), m[3].Sign())
}

// kurtosis is the excess, adjusted: (n−1)/((n−2)(n−3)) · ((n+1)·m4/m2² − 3(n−1)).
func kurtosis(f *Feature, rows []*Row) string {
	n, _, m, ok := moments(f.column(0, rows))
	switch {
	case n < 4:
		return "NULL"
	case !ok:
		return "NaN"
	case m[2].Sign() == 0:
		return "NULL"
	}
	x := new(big.Rat).Quo(new(big.Rat).Quo(m[4], m[2]), m[2])
	x.Sub(x.Mul(x, big.NewRat(n+1, 1)), big.NewRat(3*(n-1), 1))
	return rounded(x.Mul(x, big.NewRat(n-1, (n-2)*(n-3))))
}

// pairs are sums of products of deviations of (y, x); nil where a value that enters them is not finite.
type pairs struct {
	n             int64
	my, mx        *big.Rat
	sxx, syy, sxy *big.Rat
}

// paired computes over two arguments as double precision, y first.
func paired(value func(m *pairs) string) func(*Feature, []*Row) string {
	return func(f *Feature, rows []*Row) string {
		var ys, xs []any
		for _, r := range rows {
			ys, xs = append(ys, float(f.Args[0](r))), append(xs, float(f.Args[1](r)))
		}
		p := &pairs{n: int64(len(rows))}
		_, my, ky, finiteY := moments(ys)
		_, mx, kx, finiteX := moments(xs)
		n := big.NewRat(p.n, 1)
		if finiteX {
			p.mx, p.sxx = mx, kx[2].Mul(kx[2], n)
		}
		if finiteY {
			p.my, p.syy = my, ky[2].Mul(ky[2], n)
		}
		if finiteX && finiteY {
			p.sxy = new(big.Rat)
			for i := range xs {
				x, _ := rat(xs[i])
				y, _ := rat(ys[i])
				p.sxy.Add(p.sxy, x.Mul(x.Sub(x, mx), y.Sub(y, my)))
			}
		}
		return value(p)
	}
}

func (m *pairs) covariance(divisor, least int64) string {
	switch {
	case m.n < least:
		return "NULL"
	case m.sxy == nil:
		return "NaN"
	}
	return rounded(m.sxy.Quo(m.sxy, big.NewRat(divisor, 1)))
}

func corr(m *pairs) string {
	switch {
	case m.sxx != nil && m.sxx.Sign() == 0, m.syy != nil && m.syy.Sign() == 0:
		return "NULL"
	case m.sxy == nil:
		return "NaN"
	}
	x := new(big.Rat).Mul(m.sxy, m.sxy)
	return root(x.Quo(x, m.sxx.Mul(m.sxx, m.syy)), m.sxy.Sign())
}

func regrSlope(m *pairs) string {
	switch {
	case m.sxx != nil && m.sxx.Sign() == 0:
		return "NULL"
	case m.sxy == nil:
		return "NaN"
	}
	return rounded(m.sxy.Quo(m.sxy, m.sxx))
}

func regrIntercept(m *pairs) string {
	switch {
	case m.sxx != nil && m.sxx.Sign() == 0:
		return "NULL"
	case m.sxy == nil:
		return "NaN"
	}
	slope := m.sxy.Quo(m.sxy, m.sxx)
	return rounded(m.my.Sub(m.my, slope.Mul(slope, m.mx)))
}

// median is the middle value, or the mean of the two in the middle; decimals are as those of avg.
func median(f *Feature, rows []*Row) string {
	xs := sorted(f.column(0, rows))
	return total([]any{xs[(len(xs)-1)/2], xs[len(xs)/2]}, true)
}

// numbers are the numbers of a constant.
func numbers(constant string) (out []*big.Rat) {
	for _, s := range strings.Split(strings.Trim(constant, "{}"), ",") {
		x, _ := new(big.Rat).SetString(s)
		out = append(out, x)
	}
	return out
}

// histogram counts, for each value, the bounds that are not above it; NaN is above all, bounds of doubles are doubles.
func histogram(f *Feature, rows []*Row) string {
	bounds := numbers(f.Constants[0])
	counts := make([]any, len(bounds)+1)
	for i := range counts {
		counts[i] = 0
	}
	for _, v := range f.column(0, rows) {
		n := 0
		for _, b := range bounds {
			x, finite := rat(v)
			if isFloat(v) {
				d, _ := b.Float64()
				b = new(big.Rat).SetFloat64(d)
			}
			if finite && x.Cmp(b) >= 0 || !finite && !(float(v) < 0) {
				n++
			}
		}
		counts[n] = counts[n].(int) + 1
	}
	return array(counts)
}

// approxPercentile is the value of rank ceil(p·n), at least 1, in its bucket: 64 of them between powers of two.
func approxPercentile(f *Feature, rows []*Row) string {
	var xs []any
	for _, v := range f.column(0, rows) {
		xs = append(xs, bucketValue(float(v)))
	}
	xs = sorted(xs)
	var out []any
	for _, p := range numbers(f.Constants[0]) {
		rank := p.Mul(p, big.NewRat(int64(len(xs)), 1))
		i := new(big.Int).Quo(new(big.Int).Sub(new(big.Int).Add(rank.Num(), rank.Denom()), big.NewInt(1)), rank.Denom()).Int64()
		out = append(out, xs[max(i, 1)-1])
	}
	if strings.HasPrefix(f.Constants[0], "{") {
		return array(out)
	}
	return Text(out[0])
}

// bucketValue is the harmonic mean of the ends of x's bucket.
func bucketValue(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return x
	}
	if math.Abs(x) < math.Ldexp(1, -1036) {
		return 0
	}
	m, e := math.Frexp(math.Abs(x)) // 1/2 ≤ m < 1
	sub := int64(m * 128)
	mean := big.NewRat(2*sub*(sub+1), 2*sub+1)
	unit := new(big.Rat).SetFloat64(math.Ldexp(1, e-7))
	v, _ := mean.Mul(mean, unit).Float64()
	return math.Copysign(v, x)
}

// topByCount is the k values with most rows; of equal numbers the lesser value comes first.
func topByCount(f *Feature, rows []*Row) string {
	groups := f.distinct(rows)
	xs := unique(sorted(f.column(0, rows)))
	sort.SliceStable(xs, func(i, j int) bool { return len(groups[Text(xs[i])]) > len(groups[Text(xs[j])]) })
	return f.firstK(xs)
}

// perBucket is a JSON object, buckets ascending: what value computes of the second argument, or of the first where there is one
// only.
func perBucket(value func(f *Feature, xs []any) string) func(*Feature, []*Row) string {
	return func(f *Feature, rows []*Row) string {
		groups := f.distinct(rows)
		var out []string
		for _, b := range unique(sorted(f.column(0, rows))) {
			v := value(f, f.column(len(f.Args)-1, groups[Text(b)]))
			if v == "22003" {
				return v
			}
			name, _ := json.Marshal(Text(b))
			out = append(out, string(name)+":"+quoted(v))
		}
		return "{" + strings.Join(out, ",") + "}"
	}
}

// quoted is the text of a number in JSON, which has no NaN and no infinities.
func quoted(number string) string {
	if number == "NaN" || strings.HasSuffix(number, "Infinity") {
		return strconv.Quote(number)
	}
	return number
}

// jsonValue is a value in JSON, but for what quoted does: what is no number is a string.
func jsonValue(v any) string {
	if _, ok := rat(v); ok || isFloat(v) {
		return Text(v)
	}
	return strconv.Quote(Text(v))
}

// approximate is HyperLogLog of 4,096 registers over md5 of the values' texts: 12 bits choose the register, the zeros that
// lead the next 52 make the rank.
func approximate(f *Feature, rows []*Row) string {
	ranks := map[uint64]int{}
	for _, v := range f.column(0, rows) {
		text := Text(v)
		if isFloat(v) {
			text = digits(float(v))
		}
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

// digits is what stands for a double in a hash: its chunk of 32 binary orders, the integer and the 52 bits of fraction of the
// double scaled to the chunk.
func digits(x float64) string {
	switch {
	case math.IsNaN(x):
		return "67:0:1"
	case math.IsInf(x, 0):
		return map[bool]string{true: "65:0:1", false: "66:0:1"}[x > 0]
	case x == 0:
		return "0:0:0"
	}
	_, e := math.Frexp(x)
	c := max(0, (e-1+1036)>>5)
	z := new(big.Float).SetMantExp(big.NewFloat(x), 1036-32*c)
	whole, _ := z.Int(nil)
	if z.Sign() < 0 && !z.IsInt() {
		whole.Sub(whole, big.NewInt(1))
	}
	fraction, _ := new(big.Float).SetMantExp(new(big.Float).SetPrec(200).Sub(z, new(big.Float).SetPrec(200).SetInt(whole)), 52).Int(nil)
	return fmt.Sprintf("%d:%s:%s", c, whole, fraction)
}

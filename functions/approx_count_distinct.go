package functions

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"

	"github.com/tilehouse/tilehouse/functions/exact"
	"github.com/tilehouse/tilehouse/functions/vector"
)

// The sketch: 2¹² registers of ranks 1…53, of the 64 first bits of an md5: 12 choose the register, 52 the rank.
const (
	hllBits      = 12
	hllRegisters = 1 << hllBits
	hllMaxRank   = 64 - hllBits + 1
	hllDense     = hllRegisters * 6 / 8 // bytes of the dense encoding
	hllSparse    = 512                  // registers that a state in memory holds as a list
)

var approxCountDistinctDef = &Definition{
	Name:         "approx_count_distinct",
	Family:       CountsAndSums,
	Calls:        []string{"approx_count_distinct(x)"},
	Example:      "approx_count_distinct(category)",
	Help:         "number of distinct values, estimated by HyperLogLog of 4096 registers",
	Arguments:    "x: any scalar type but interval and json",
	Result:       "bigint",
	NullRule:     "skips NULL; NULL where no row is left",
	ErrorBound:   "standard error 1.04/64 = 1.6 %; the same rows give the same estimate",
	StateVersion: 1,
	Bind: func(args []vector.Type, _ []string, _ Options) (Aggregate, error) {
		if err := checkArgs("approx_count_distinct", args, 1); err != nil {
			return nil, err
		}
		if err := checkKey("approx_count_distinct", args, args[0]); err != nil {
			return nil, err
		}
		return &approxCountDistinct{args}, nil
	},
}

type approxCountDistinct struct{ args []vector.Type }

var (
	_ Aggregate = (*approxCountDistinct)(nil)
	_ State     = (*hllState)(nil)
)

func (a *approxCountDistinct) Definition() *Definition { return approxCountDistinctDef }
func (a *approxCountDistinct) ArgTypes() []vector.Type { return a.args }
func (a *approxCountDistinct) ResultType() vector.Type { return vector.T(vector.Int64) }
func (a *approxCountDistinct) New() State              { return new(hllState) }

// PartialSQL returns, for every register, the least of the 13 hexadecimal digits after the register's three: it has the greatest
// rank, and hexadecimal text orders as numbers do.
func (a *approxCountDistinct) PartialSQL(d Dialect, in PartialInput) PartialQuery {
	names := keyNames(in)
	t, x := a.args[0], in.Args[0]
	from, text := base(d, in, []string{"(" + x + ") AS a0"}, x), d.text("a0")
	if t.Buffer() == vector.BufF64 {
		from, text = digits(d, base(d, in, []string{d.cast(x, vector.T(vector.Float64)) + " AS a0"}, x), names), "c || ':' || whole || ':' || fraction"
		if d == Spark {
			text = "concat_ws(':', c, whole, fraction)"
		}
	} else if s := d.canonical(t); s != "" {
		text = s
	}
	hash := d.fn("md5") + "(" + text + ")"
	least := d.fn("min") + "(" + d.ordered("w", vector.T(vector.Text)) + ")"
	return PartialQuery{
		SQL: fmt.Sprintf(`SELECT %[1]sr, %[5]s AS w FROM (
  SELECT %[1]s%[6]s(h, 1, 3) AS r, %[6]s(h, 4, 13) AS w FROM (
    SELECT %[1]s%[2]s AS h FROM %[3]s%[7]s) AS q5%[7]s) AS q6%[4]s`, names, hash, from, groupBy(in, "r"), least, d.fn("substr"), d.fence()),
		Columns: 2,
		Fold: func(s State, cols []*vector.Vector, i int) error {
			if err := stateColumns("approx_count_distinct", cols, vector.BufBytes, vector.BufBytes); err != nil {
				return err
			}
			var digits [16]byte
			var h [8]byte
			if copy(digits[:3], cols[0].Bytes(i))+copy(digits[3:], cols[1].Bytes(i)) != len(digits) {
				return badState("approx_count_distinct", "the engine returned no digits")
			}
			if _, err := hex.Decode(h[:], digits[:]); err != nil {
				return badState("approx_count_distinct", "the engine returned no digits")
			}
			s.(*hllState).addHash(binary.BigEndian.Uint64(h[:]))
			return nil
		},
	}
}

// canonical is the SQL of the text of appendCanonical for the column a0, or "" where it is the engine's own text.
func (d Dialect) canonical(t vector.Type) string {
	finite := func(x string) string {
		if d == Spark { // it has no infinite dates
			return d.text(x)
		}
		return "CASE WHEN " + d.fn("isfinite") + "(a0) THEN " + d.text(x) + " ELSE " + d.text("a0") + " END"
	}
	switch t.Kind {
	case vector.Bool:
		return "CASE WHEN a0 THEN 't' ELSE 'f' END"
	case vector.Decimal:
		if d == DuckDB && t.Precision == t.Scale { // DuckDB then leaves out the zero before the point
			return "system.main.replace(CAST(a0 AS VARCHAR), '.', '0.')"
		}
	case vector.Bytes:
		if d == PostgreSQL {
			return "pg_catalog.encode(a0, 'hex')"
		}
		return d.fn("lower") + "(" + d.fn("hex") + "(a0))"
	case vector.Date:
		if d == Spark {
			return "CAST(unix_date(a0) AS STRING)"
		}
		return finite("a0 - DATE '1970-01-01'")
	case vector.Timestamp, vector.TimestampTZ:
		switch d {
		case PostgreSQL:
			return finite(d.bigint("EXTRACT(epoch FROM a0) * 1000000"))
		case Spark:
			return "CAST(unix_micros(CAST(a0 AS TIMESTAMP)) AS STRING)"
		}
		return finite("system.main.epoch_us(a0)")
	case vector.Time:
		if d == PostgreSQL {
			return d.text(d.bigint("EXTRACT(epoch FROM a0) * 1000000"))
		}
		return d.text("system.main.epoch_us(a0)")
	}
	return ""
}

// appendCanonical appends the text that is hashed for value row of v: the text that engines print, except that booleans are t
// and f, bytes lower-case hexadecimal, dates days and times microseconds since their origin, and doubles the three integers of
// exact.Digits. −0 is 0, and there is one NaN.
func appendCanonical(dst []byte, v *vector.Vector, row int) []byte {
	switch v.Type.Kind {
	case vector.Bool:
		return append(dst, "ft"[v.I64[row]&1])
	case vector.Date, vector.Timestamp, vector.TimestampTZ:
		switch v.I64[row] {
		case vector.PosInfinity:
			return append(dst, "infinity"...)
		case vector.NegInfinity:
			return append(dst, "-infinity"...)
		}
		return strconv.AppendInt(dst, v.I64[row], 10)
	case vector.Float32, vector.Float64:
		c, whole, fraction := exact.Digits(v.F64[row])
		dst = strconv.AppendInt(dst, int64(c), 10)
		dst = strconv.AppendInt(append(dst, ':'), whole, 10)
		return strconv.AppendInt(append(dst, ':'), fraction, 10)
	case vector.Decimal:
		return appendDecimal(dst, v.I128[row], int(v.Type.Scale))
	case vector.Bytes:
		return hex.AppendEncode(dst, v.Bytes(row))
	case vector.UUID:
		b := v.Bytes(row)
		for i, end := range []int{4, 6, 8, 10, 16} {
			if i > 0 {
				dst = append(dst, '-')
			}
			dst = hex.AppendEncode(dst, b[[]int{0, 4, 6, 8, 10}[i]:end])
		}
		return dst
	}
	if v.Type.Buffer() == vector.BufBytes {
		return append(dst, v.Bytes(row)...)
	}
	return strconv.AppendInt(dst, v.I64[row], 10)
}

// appendDecimal appends x·10^−scale with exactly scale digits after the point and at least one before it.
func appendDecimal(dst []byte, x vector.Int128, scale int) []byte {
	if x.Sign() < 0 {
		dst, x = append(dst, '-'), x.Negate()
	}
	var b [40]byte
	i, hi, lo := len(b), uint64(x.HighBits()), x.LowBits()
	for n := 0; n <= scale || hi|lo != 0; n++ {
		if n == scale && scale > 0 {
			i--
			b[i] = '.'
		}
		var r uint64
		hi, r = hi/10, hi%10
		lo, r = bits.Div64(r, lo, 10)
		i--
		b[i] = '0' + byte(r)
	}
	return append(dst, b[i:]...)
}

// hllState is ranks by register. Until hllSparse registers are used they stand in list, ascending, as register<<8 | rank;
// then in dense, by register, 0 where unused.
type hllState struct {
	list    []uint32
	dense   []uint8
	isDense bool
	scratch []byte
}

func (s *hllState) Update(in *Input, row int) {
	v := in.Args[0]
	if v.IsNull(row) {
		return
	}
	s.scratch = appendCanonical(s.scratch[:0], v, row)
	h := md5.Sum(s.scratch)
	s.addHash(binary.BigEndian.Uint64(h[:]))
}

func (s *hllState) addHash(h uint64) {
	s.set(uint32(h>>(64-hllBits)), uint8(min(bits.LeadingZeros64(h<<hllBits)+1, hllMaxRank)))
}

func (s *hllState) set(register uint32, rank uint8) {
	if s.isDense {
		s.dense[register] = max(s.dense[register], rank)
		return
	}
	i, ok := slices.BinarySearchFunc(s.list, register, func(e, r uint32) int { return int(e>>8) - int(r) })
	switch {
	case ok:
		s.list[i] = max(s.list[i], register<<8|uint32(rank))
	case len(s.list) < hllSparse:
		s.list = slices.Insert(s.list, i, register<<8|uint32(rank))
	default:
		s.spread()
		s.dense[register] = rank
	}
}

// spread turns the list into the dense form.
func (s *hllState) spread() {
	if s.dense == nil {
		s.dense = make([]uint8, hllRegisters)
	} else {
		clear(s.dense)
	}
	for _, e := range s.list {
		s.dense[e>>8] = uint8(e)
	}
	s.list, s.isDense = s.list[:0], true
}

func (s *hllState) Merge(o State) {
	from := o.(*hllState)
	if !from.isDense {
		for _, e := range from.list {
			s.set(e>>8, uint8(e))
		}
		return
	}
	if !s.isDense {
		s.spread()
	}
	for r, rank := range from.dense {
		s.dense[r] = max(s.dense[r], rank)
	}
}

func (s *hllState) Reset() { s.list, s.isDense = s.list[:0], false }

// each calls f for every register in use, ascending.
func (s *hllState) each(f func(register uint32, rank uint8)) {
	for _, e := range s.list {
		f(e>>8, uint8(e))
	}
	if s.isDense {
		for r, rank := range s.dense {
			if rank > 0 {
				f(uint32(r), rank)
			}
		}
	}
}

// Append chooses the shorter of the two forms, which follows from the registers alone.
func (s *hllState) Append(dst []byte) []byte {
	if !s.isDense && len(s.list) == 0 {
		return dst
	}
	start := len(dst)
	dst = append(dst, approxCountDistinctDef.StateVersion, 0)
	next := uint32(0)
	s.each(func(r uint32, rank uint8) {
		dst = binary.AppendUvarint(dst, uint64(r-next)<<6|uint64(rank))
		next = r + 1
	})
	if len(dst)-start-2 < hllDense {
		return dst
	}
	dst = append(dst[:start+1], 1)
	dst = append(dst, make([]byte, hllDense)...)
	packed := dst[start+2:]
	s.each(func(r uint32, rank uint8) {
		for b := range uint32(6) {
			packed[(r*6+b)/8] |= rank >> b & 1 << ((r*6 + b) % 8)
		}
	})
	return dst
}

func (s *hllState) MergeEncoded(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	const name = "approx_count_distinct"
	b, err := open(b, approxCountDistinctDef.StateVersion, name)
	if err != nil {
		return err
	}
	if len(b) < 2 {
		return badState(name, "no registers")
	}
	form, b := b[0], b[1:]
	switch {
	case form == 0 && len(b) < hllDense:
		next := uint64(0)
		for len(b) > 0 {
			u, rest, ok := uvarint(b)
			if r := next + u>>6; !ok || r >= hllRegisters || u&63 == 0 || u&63 > hllMaxRank {
				return badState(name, "bad register")
			}
			next += u >> 6
			s.set(uint32(next), uint8(u&63))
			next, b = next+1, rest
		}
		return nil
	case form == 1 && len(b) == hllDense:
		if !s.isDense {
			s.spread()
		}
		sparse, next := 0, uint64(0)
		for r := range uint64(hllRegisters) {
			// Four registers are three bytes.
			i := r / 4 * 3
			rank := uint8((uint32(b[i]) | uint32(b[i+1])<<8 | uint32(b[i+2])<<16) >> (r % 4 * 6) & 63)
			if rank > hllMaxRank {
				return badState(name, "bad register")
			}
			if rank > 0 {
				sparse += varintLen((r-next)<<6 | uint64(rank))
				next = r + 1
				s.dense[r] = max(s.dense[r], rank)
			}
		}
		if sparse < hllDense {
			return badState(name, "dense for few registers")
		}
		return nil
	}
	return badState(name, "bad form")
}

func varintLen(u uint64) int { return (bits.Len64(u|1) + 6) / 7 }

// Finalize is the estimator of Flajolet and others (2007): the harmonic mean of the registers, or linear counting of the empty
// ones while that is below 2.5 times their number. With 64 bits of hash there is no correction for large numbers.
func (s *hllState) Finalize(out *vector.Vector) error {
	var ranks [hllMaxRank + 1]int // how many registers have each rank
	used := 0
	s.each(func(_ uint32, rank uint8) { ranks[rank]++; used++ })
	if used == 0 {
		out.AppendNull()
		return nil
	}
	ranks[0] = hllRegisters - used
	harmonic := 0.0
	for rank := hllMaxRank; rank >= 0; rank-- {
		// Conversions keep compilers from fusing, so that every machine computes the same bits.
		harmonic += float64(math.Ldexp(float64(ranks[rank]), -rank))
	}
	const m = float64(hllRegisters)
	const alpha = 0.7213 / (1 + 1.079/m)
	estimate := alpha * m * m / harmonic
	if estimate <= 2.5*m && ranks[0] > 0 {
		estimate = m * naturalLog(m/float64(ranks[0]))
	}
	out.AppendInt(int64(math.Round(estimate)))
	return nil
}

// naturalLog is ln x for 1 ≤ x ≤ 2¹², by additions, multiplications and divisions in a fixed order: math.Log may differ in its
// last bit between machines, and an estimate must not. Error below 10⁻¹².
func naturalLog(x float64) float64 {
	f, e := math.Frexp(x)
	// ln f = 2·artanh(z) for z = (f−1)/(f+1), |z| ≤ 1/3: z²⁹/29 is below 10⁻¹⁵.
	z := (f - 1) / (f + 1)
	z2 := float64(z * z)
	sum := 0.0
	for k := 29; k >= 1; k -= 2 {
		sum = float64(sum*z2) + 1/float64(k)
	}
	return float64(float64(e)*math.Ln2) + float64(2*float64(z*sum))
}

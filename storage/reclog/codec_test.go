package reclog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
)

var allTypes = []vector.Type{
	vector.T(vector.Bool), vector.T(vector.Int16), vector.T(vector.Int32), vector.T(vector.Int64), vector.T(vector.Float32),
	vector.T(vector.Float64), vector.DecimalOf(38, 4), vector.T(vector.Text), vector.T(vector.Bytes), vector.T(vector.UUID),
	vector.T(vector.Date), vector.T(vector.Time), vector.T(vector.Timestamp), vector.T(vector.TimestampTZ), vector.T(vector.Interval),
	vector.T(vector.JSON), vector.ListOf(vector.T(vector.Int64)), vector.ListOf(vector.ListOf(vector.T(vector.Text))),
	vector.MapOf(vector.T(vector.Text), vector.DecimalOf(10, 2)), vector.ListOf(vector.T(vector.Null)), vector.T(vector.Null),
	vector.MapOf(vector.T(vector.Int64), vector.ListOf(vector.T(vector.Bool))),
}

func appendRandom(r *rand.Rand, v *vector.Vector, nulls bool) {
	if nulls && r.IntN(4) == 0 {
		v.AppendNull()
		return
	}
	switch v.Type.Buffer() {
	case vector.BufI64:
		if v.Type.Kind == vector.Bool {
			v.AppendBool(r.IntN(2) == 0)
			return
		}
		v.AppendInt([]int64{0, 1, -1, 1 << 40, math.MaxInt64, math.MinInt64, r.Int64(), int64(r.IntN(300))}[r.IntN(8)])
	case vector.BufF64:
		x := []float64{0, math.Copysign(0, -1), math.Inf(1), math.NaN(), 1.5, r.NormFloat64()}[r.IntN(6)]
		if v.Type.Kind == vector.Float32 {
			x = float64(float32(x))
		}
		v.AppendFloat(x)
	case vector.BufI128:
		if r.IntN(3) == 0 {
			v.AppendInt128(vector.Int128FromParts(r.Int64(), r.Uint64()))
		} else {
			v.AppendInt128(vector.Int128FromInt64(int64(r.IntN(1000) - 500)))
		}
	case vector.BufBytes:
		n := r.IntN(5)
		if v.Type.Kind == vector.UUID || v.Type.Kind == vector.Interval {
			n = 16
		}
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		v.AppendBytes(b)
	case vector.BufNested:
		for range r.IntN(4) {
			for _, c := range v.Child {
				appendRandom(r, c, nulls)
			}
		}
		v.CloseNested()
	case vector.BufNone:
		v.AppendNull()
	}
}

// same is the naive equality of value i of a and value j of b, bit for bit.
func same(a *vector.Vector, i int, b *vector.Vector, j int) bool {
	if !a.Type.Equal(b.Type) || a.IsNull(i) != b.IsNull(j) {
		return false
	}
	if a.IsNull(i) {
		return true
	}
	switch a.Type.Buffer() {
	case vector.BufI64:
		return a.I64[i] == b.I64[j]
	case vector.BufF64:
		return math.Float64bits(a.F64[i]) == math.Float64bits(b.F64[j])
	case vector.BufI128:
		return a.I128[i] == b.I128[j]
	case vector.BufBytes:
		return string(a.Bytes(i)) == string(b.Bytes(j))
	case vector.BufNested:
		n := a.Off[i+1] - a.Off[i]
		if n != b.Off[j+1]-b.Off[j] {
			return false
		}
		for k := range n {
			for c := range a.Child {
				if !same(a.Child[c], int(a.Off[i]+k), b.Child[c], int(b.Off[j]+k)) {
					return false
				}
			}
		}
	}
	return true
}

func randomChunk(r *rand.Rand, types []vector.Type, n int) *vector.Chunk {
	c := vector.NewChunk(types, 0)
	for j := range c.Cols {
		nulls := r.IntN(2) == 0
		for range n {
			appendRandom(r, c.Cols[j], nulls)
		}
	}
	c.N = n
	for _, v := range c.Cols {
		if n > 0 && r.IntN(3) == 0 {
			v.SetNull(r.IntN(n)) // leaves the value's buffers as they are
		}
	}
	return c
}

func TestChunkRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for round := range 300 {
		types := []vector.Type{allTypes[round%len(allTypes)], allTypes[r.IntN(len(allTypes))]}
		n := []int{0, 1, 2, 63, 64, 65, 300, MaxChunkRows + 7}[r.IntN(8)]
		c := randomChunk(r, types, n)
		from := r.IntN(n + 1)
		to := from + r.IntN(min(n-from, MaxChunkRows)+1)
		b := AppendChunk([]byte("x"), c, from, to)[1:]
		out, err := DecodeChunk(b)
		if err != nil {
			t.Fatalf("%v, rows %d to %d of %d: %v", types, from, to, n, err)
		}
		out.Check()
		if out.N != to-from {
			t.Fatalf("%d rows of %d", out.N, to-from)
		}
		for j := range types {
			for i := range out.N {
				if !same(c.Cols[j], from+i, out.Cols[j], i) {
					t.Fatalf("%s: row %d of %d to %d differs", types[j], i, from, to)
				}
				if out.Cols[j].IsNull(i) && out.Cols[j].I64 != nil && out.Cols[j].I64[i] != 0 {
					t.Fatalf("%s: a NULL's buffer is %d", types[j], out.Cols[j].I64[i])
				}
			}
		}
		for range 20 {
			bad := append([]byte(nil), b...)
			if bad[r.IntN(len(bad))] ^= 1 << r.IntN(8); r.IntN(2) == 0 {
				bad = bad[:r.IntN(len(bad))]
			}
			if _, err := DecodeChunk(bad); !errors.Is(err, ErrBadChunk) {
				t.Fatalf("a damaged chunk: %v", err)
			}
		}
	}
}

// Damage behind a right checksum gives an error or a chunk that holds together, never a panic or a huge allocation.
func FuzzDecodeChunk(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for i, typ := range allTypes {
		b := AppendChunk(nil, randomChunk(r, []vector.Type{typ}, i*7%40), 0, i*7%40)
		f.Add(b[:len(b)-4])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		b := binary.LittleEndian.AppendUint32(append([]byte(nil), body...), crc32.Checksum(body, castagnoli))
		c, err := DecodeChunk(b)
		if err != nil {
			if !errors.Is(err, ErrBadChunk) {
				t.Fatal(err)
			}
			return
		}
		c.Check()
		again, err := DecodeChunk(AppendChunk(nil, c, 0, c.N))
		if err != nil {
			t.Fatal(err)
		}
		for j := range c.Cols {
			if !c.Cols[j].Type.Equal(again.Cols[j].Type) {
				t.Fatal("types differ")
			}
			for i := range c.N {
				if !same(c.Cols[j], i, again.Cols[j], i) && fmt.Sprint(c.Cols[j].Type) == fmt.Sprint(again.Cols[j].Type) {
					t.Fatalf("column %d, row %d differs", j, i)
				}
			}
		}
	})
}

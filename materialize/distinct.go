package materialize

import (
	"encoding/binary"
	"math"

	"github.com/tilehouse/tilehouse/functions/vector"
)

const (
	// distinctFrom is of how many rows distinct ones are looked for at least.
	distinctFrom = 256
	// distinctPart is how many rows there are at least for each distinct one; else they are not worth telling apart.
	distinctPart = 8
)

// distinctRows are the rows of c that differ in a bit, in the order in which they first come, and for each row of c the number of the one it is
// equal to. Expressions of a feature say the same of equal rows, so that only these need be computed. ok is false where there are too many, or
// a column is nested.
func distinctRows(c *vector.Chunk) (rows *vector.Chunk, of []int32, ok bool) {
	if c.N < distinctFrom {
		return nil, nil, false
	}
	for _, v := range c.Cols {
		if v.Type.Buffer() == vector.BufNested {
			return nil, nil, false
		}
	}
	rows, of = vector.NewChunk(c.Types(), distinctFrom/distinctPart), make([]int32, c.N)
	seen := map[string]int32{}
	var word []byte
	for i := range c.N {
		word = word[:0]
		for _, v := range c.Cols {
			word = appendBits(word, v, i)
		}
		at, had := seen[string(word)]
		if !had {
			if at = int32(rows.N); rows.N == c.N/distinctPart {
				return nil, nil, false
			}
			seen[string(word)] = at
			rows.AppendRow(c, i)
		}
		of[i] = at
	}
	return rows, of, true
}

// appendBits appends value i of v so that nothing else has the same bytes.
func appendBits(dst []byte, v *vector.Vector, i int) []byte {
	if v.IsNull(i) {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	switch v.Type.Buffer() {
	case vector.BufI64:
		return binary.LittleEndian.AppendUint64(dst, uint64(v.I64[i]))
	case vector.BufF64:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.F64[i]))
	case vector.BufI128:
		dst = binary.LittleEndian.AppendUint64(dst, v.I128[i].LowBits())
		return binary.LittleEndian.AppendUint64(dst, uint64(v.I128[i].HighBits()))
	case vector.BufBytes:
		b := v.Bytes(i)
		return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
	case vector.BufNested, vector.BufNone:
	}
	return dst
}

// spread is the columns of distinct rows as those of the rows that are equal to them.
func spread(cols []*vector.Vector, of []int32) []*vector.Vector {
	out := make([]*vector.Vector, len(cols))
	for c, v := range cols {
		out[c] = vector.New(v.Type, len(of))
		for _, at := range of {
			out[c].AppendFrom(v, int(at))
		}
	}
	return out
}

package reclog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// thinnedVersion is the version of a chunk from which rows were trimmed.
const thinnedVersion = 2

// kept says which rows of a chunk are still in the log, a bit a row, least first; nil: all.
type kept []byte

func (k kept) has(i int) bool { return k == nil || k[i>>3]>>(i&7)&1 != 0 }

// count is how many of n rows are there.
func (k kept) count(n int) int {
	if k == nil {
		return n
	}
	have := 0
	for i := range n {
		if k.has(i) {
			have++
		}
	}
	return have
}

// thinned is the encoding of a chunk without the rows that left does not have. c has all n rows that once were; those that left does not
// have may be anything.
func thinned(c *vector.Chunk, left kept) []byte {
	rest := vector.NewChunk(c.Types(), left.count(c.N))
	for i := range c.N {
		if left.has(i) {
			rest.AppendRow(c, i)
		}
	}
	b := binary.AppendUvarint([]byte{thinnedVersion}, uint64(c.N))
	b = AppendChunk(append(b, left...), rest, 0, rest.N)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// keptOf says which rows an encoded chunk has of how many, without decoding them; rest is their encoding by AppendChunk.
func keptOf(b []byte) (n int, k kept, rest []byte, err error) {
	if len(b) > 0 && b[0] == chunkVersion {
		d := &decoder{b: b[1:]}
		n = d.count(MaxChunkRows)
		return n, nil, b, d.err
	}
	if len(b) < 5 || b[0] != thinnedVersion {
		return 0, nil, nil, fmt.Errorf("%w: neither whole nor thinned", ErrBadChunk)
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return 0, nil, nil, fmt.Errorf("%w: checksum mismatch", ErrBadChunk)
	}
	d := &decoder{b: body[1:]}
	n = d.count(MaxChunkRows)
	k = append(kept(nil), d.take((n+7)/8)...)
	return n, k, d.b, d.err
}

// decodeKept decodes a chunk as it was: trimmed rows are NULL in every column, so that the others have their places.
func decodeKept(b []byte) (*vector.Chunk, kept, error) {
	n, k, rest, err := keptOf(b)
	if err != nil {
		return nil, nil, err
	}
	c, err := DecodeChunk(rest)
	if err != nil || k == nil {
		return c, nil, err
	}
	if c.N != k.count(n) {
		return nil, nil, fmt.Errorf("%w: %d rows where %d are kept", ErrBadChunk, c.N, k.count(n))
	}
	out, at := vector.NewChunk(c.Types(), n), 0
	for i := range n {
		if k.has(i) {
			out.AppendRow(c, at)
			at++
			continue
		}
		for _, v := range out.Cols {
			v.AppendNull()
		}
		out.N++
	}
	return out, k, nil
}

// eachRun calls fn with the runs of consecutive rows that a chunk still has, the place of the first of each first.
func eachRun(c *vector.Chunk, k kept, fn func(from int, rows *vector.Chunk) error) error {
	if k == nil {
		return fn(0, c)
	}
	types := c.Types()
	for from := 0; from < c.N; {
		if !k.has(from) {
			from++
			continue
		}
		to := from + 1
		for to < c.N && k.has(to) {
			to++
		}
		rows := vector.NewChunk(types, to-from)
		for i, v := range rows.Cols {
			v.AppendRange(c.Cols[i], from, to)
		}
		rows.N = to - from
		if err := fn(from, rows); err != nil {
			return err
		}
		from = to
	}
	return nil
}

package engine

import (
	"encoding/binary"
	"math"
	"os"
	"slices"
	"unsafe"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// spool keeps rows in the order they came, any of them to be read again: the first in memory, the rest in a temporary file.
// Rows are counted from 1.
type spool struct {
	dir     string
	parts   []spoolPart
	total   int64 // rows so far
	dropped int64 // rows at the beginning that are not kept any more
	memory  int   // bytes in memory
	file    *os.File
	size    int64
	last    *vector.Chunk // the part that was read last from the file
	lastAt  int           // its index; -1: none
}

// spoolPart is a run of rows.
type spoolPart struct {
	first int64
	n     int
	bytes int
	chunk *vector.Chunk // nil: in the file
	at    int64
	types []vector.Type
}

const (
	// spoolMemory is how many bytes of rows a spool keeps in memory.
	spoolMemory = 1 << 20
	// maxSpool bounds a spool's file, in bytes.
	maxSpool = 64 << 30
)

// add copies the rows of ch.
func (s *spool) add(ch *vector.Chunk) error {
	keep := &vector.Chunk{N: ch.N}
	bytes := 0
	for _, c := range ch.Cols {
		v := vector.New(c.Type, 0)
		v.AppendRange(c, 0, ch.N)
		keep.Cols = append(keep.Cols, v)
		bytes += v.MemBytes()
	}
	p := spoolPart{first: s.total + 1, n: ch.N, bytes: bytes, chunk: keep}
	if s.memory+bytes > spoolMemory && s.memory > 0 {
		if err := s.write(&p); err != nil {
			return err
		}
	} else {
		s.memory += bytes
	}
	s.parts = append(s.parts, p)
	s.total += int64(ch.N)
	return nil
}

func (s *spool) write(p *spoolPart) error {
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, "cursor-")
		if err != nil {
			return fail(codeIO, "could not keep the rows of a cursor: %s", err)
		}
		os.Remove(f.Name()) // it lives as long as it is open
		s.file, s.lastAt = f, -1
	}
	var b []byte
	for _, c := range p.chunk.Cols {
		p.types = append(p.types, c.Type)
		b = appendVector(b, c)
	}
	if s.size+int64(len(b)) > maxSpool {
		return hint(fail("53400", "the rows of a cursor exceed %d bytes", int64(maxSpool)), "Read a NO SCROLL cursor to its end before running another statement.")
	}
	if _, err := s.file.WriteAt(b, s.size); err != nil {
		return asError(err)
	}
	p.at, p.bytes, p.chunk = s.size, len(b), nil
	s.size += int64(len(b))
	return nil
}

// dropBefore forgets rows before the given one, in whole parts.
func (s *spool) dropBefore(row int64) {
	k := 0
	for k < len(s.parts) && s.parts[k].first+int64(s.parts[k].n) <= row {
		if s.parts[k].chunk != nil {
			s.memory -= s.parts[k].bytes
		}
		s.dropped = s.parts[k].first + int64(s.parts[k].n) - 1
		k++
	}
	if k > 0 {
		s.parts = slices.Delete(s.parts, 0, k)
		s.lastAt = -1
	}
}

// read appends up to n rows to dst, from row on in steps of 1 or −1, all of one part, and returns how many; skip only counts them.
func (s *spool) read(dst *vector.Chunk, row, step, n int64, skip bool) (int64, error) {
	part, _ := slices.BinarySearchFunc(s.parts, row, func(p spoolPart, row int64) int {
		switch {
		case row < p.first:
			return 1
		case row >= p.first+int64(p.n):
			return -1
		}
		return 0
	})
	p := &s.parts[part]
	from := int(row - p.first)
	if step > 0 {
		n = min(n, int64(p.n-from))
	} else {
		n = min(n, int64(from+1))
	}
	if skip {
		return n, nil
	}
	ch, err := s.part(part)
	if err != nil {
		return 0, err
	}
	for i, c := range dst.Cols {
		if step > 0 {
			c.AppendRange(ch.Cols[i], from, from+int(n))
			continue
		}
		for k := range int(n) {
			c.AppendFrom(ch.Cols[i], from-k)
		}
	}
	dst.N += int(n)
	return n, nil
}

// part is the rows of a part.
func (s *spool) part(part int) (*vector.Chunk, error) {
	p := &s.parts[part]
	if p.chunk != nil {
		return p.chunk, nil
	}
	if s.lastAt == part && s.last != nil {
		return s.last, nil
	}
	b := make([]byte, p.bytes)
	if _, err := s.file.ReadAt(b, p.at); err != nil {
		return nil, fail(codeIO, "could not read the rows of a cursor: %s", err)
	}
	out := &vector.Chunk{N: p.n}
	for _, t := range p.types {
		var v *vector.Vector
		v, b = readVector(b, t)
		out.Cols = append(out.Cols, v)
	}
	s.last, s.lastAt = out, part
	return out, nil
}

func (s *spool) close() {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	s.parts, s.last = nil, nil
}

// appendVector writes a vector's buffers. What it writes is read by the same process.
func appendVector(dst []byte, v *vector.Vector) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(v.N))
	dst = appendRaw(dst, v.Valid)
	dst = appendRaw(dst, v.I64)
	dst = appendRaw(dst, v.F64)
	dst = appendRaw(dst, v.I128)
	dst = appendRaw(dst, v.Off)
	dst = appendRaw(dst, v.Data)
	for _, c := range v.Child {
		dst = appendVector(dst, c)
	}
	return dst
}

func readVector(b []byte, t vector.Type) (*vector.Vector, []byte) {
	v := vector.New(t, 0)
	v.N = int(binary.LittleEndian.Uint32(b))
	b = b[4:]
	b = readRaw(&v.Valid, b)
	b = readRaw(&v.I64, b)
	b = readRaw(&v.F64, b)
	b = readRaw(&v.I128, b)
	b = readRaw(&v.Off, b)
	b = readRaw(&v.Data, b)
	for i, e := range t.Elem {
		v.Child[i], b = readVector(b, e)
	}
	return v, b
}

// noBuffer marks a buffer that is nil.
const noBuffer = math.MaxUint32

func appendRaw[T any](dst []byte, x []T) []byte {
	if x == nil {
		return binary.LittleEndian.AppendUint32(dst, noBuffer)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(x)))
	if len(x) == 0 {
		return dst
	}
	return append(dst, unsafe.Slice((*byte)(unsafe.Pointer(&x[0])), len(x)*int(unsafe.Sizeof(x[0])))...)
}

func readRaw[T any](dst *[]T, b []byte) []byte {
	n := binary.LittleEndian.Uint32(b)
	b = b[4:]
	if n == noBuffer {
		*dst = nil
		return b
	}
	out := make([]T, n)
	if n > 0 {
		k := copy(unsafe.Slice((*byte)(unsafe.Pointer(&out[0])), int(n)*int(unsafe.Sizeof(out[0]))), b)
		b = b[k:]
	}
	*dst = out
	return b
}

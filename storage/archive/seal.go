package archive

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/zeebo/xxh3"
)

const (
	// sumBytes is the length of a file's sum, which stands before the footer.
	sumBytes = 8
	// tailBytes is the length of a Parquet file's end: the length of its footer, and four letters.
	tailBytes = 8
)

// sealer writes a Parquet file with the xxh3 of its other bytes before its footer, where nothing of Parquet looks: the library believes what it
// reads, and would make room for what damaged lengths say.
type sealer struct {
	to   io.Writer
	sum  xxh3.Hasher
	held *bytes.Buffer // what is written from hold on; nil: not yet
}

func (s *sealer) Write(b []byte) (int, error) {
	_, _ = s.sum.Write(b) // which does not fail
	if s.held != nil {
		return s.held.Write(b)
	}
	return s.to.Write(b)
}

// hold keeps what is written from now on until end.
func (s *sealer) hold() { s.held = &bytes.Buffer{} }

// end writes what was held, of which the footer is the end, with the sum.
func (s *sealer) end() error {
	b := s.held.Bytes()
	footer := len(b) - tailBytes - int(binary.LittleEndian.Uint32(b[len(b)-tailBytes:]))
	for _, part := range [][]byte{b[:footer], binary.LittleEndian.AppendUint64(nil, s.sum.Sum64()), b[footer:]} {
		if _, err := s.to.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// sealed compares a file's sum. Errors: wrapping ErrCorrupt; those of reading.
func sealed(r io.ReaderAt, size int64) error {
	var b [tailBytes]byte
	if size < tailBytes+sumBytes {
		return fmt.Errorf("%w: it has %d bytes", ErrCorrupt, size)
	}
	if _, err := r.ReadAt(b[:], size-tailBytes); err != nil {
		return err
	}
	place := size - tailBytes - int64(binary.LittleEndian.Uint32(b[:])) - sumBytes
	if place < 0 {
		return fmt.Errorf("%w: it has no footer", ErrCorrupt)
	}
	if _, err := r.ReadAt(b[:], place); err != nil {
		return err
	}
	var sum xxh3.Hasher
	buffer := make([]byte, min(size, 1<<20))
	for _, part := range []*io.SectionReader{io.NewSectionReader(r, 0, place), io.NewSectionReader(r, place+sumBytes, size-place-sumBytes)} {
		if _, err := io.CopyBuffer(&sum, part, buffer); err != nil {
			return err
		}
	}
	if sum.Sum64() != binary.LittleEndian.Uint64(b[:]) {
		return fmt.Errorf("%w: its bytes do not have its sum", ErrCorrupt)
	}
	return nil
}

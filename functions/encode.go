package functions

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tilehouse/tilehouse/functions/exact"
)

// badState is an error wrapping ErrBadState about a state of the named aggregate.
func badState(name, what string) error { return fmt.Errorf("%w: %s: %s", ErrBadState, name, what) }

// outOfRange is an error wrapping ErrOutOfRange about the value of the named aggregate.
func outOfRange(name, typ string) error {
	return fmt.Errorf("%w: %s does not fit %s", ErrOutOfRange, name, typ)
}

// open checks the version of a non-empty encoding and returns what follows it.
func open(b []byte, version byte, name string) ([]byte, error) {
	if b[0] != version {
		return nil, badState(name, fmt.Sprintf("version %d, not %d", b[0], version))
	}
	return b[1:], nil
}

// uvarint reads a varint and returns what follows it; ok is false where it is cut, too long or not minimal, so that every
// number has one encoding.
func uvarint(b []byte) (x uint64, rest []byte, ok bool) {
	x, n := binary.Uvarint(b)
	if n <= 0 || n > 1 && b[n-1] == 0 {
		return 0, nil, false
	}
	return x, b[n:], true
}

// rowCount reads a number of rows: a varint from 1 to 2⁶³−1.
func rowCount(b []byte) (n int64, rest []byte, ok bool) {
	x, rest, ok := uvarint(b)
	return int64(x), rest, ok && int64(x) > 0
}

// prefixed reads a length and as many bytes.
func prefixed(b []byte) (v, rest []byte, ok bool) {
	n, rest, ok := uvarint(b)
	if !ok || n > uint64(len(rest)) {
		return nil, nil, false
	}
	return rest[:n], rest[n:], true
}

func zigzag(x int64) uint64   { return uint64(x)<<1 ^ uint64(x>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// wrapExact turns an error of package exact into one of a state.
func wrapExact(name string, err error) error {
	if errors.Is(err, exact.ErrEncoding) {
		return badState(name, err.Error())
	}
	return err
}

package vector

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// BadText finds what a text of PostgreSQL's in UTF-8 cannot hold, zero bytes among it: the place of the first such byte; -1: there is none.
func BadText(b []byte) int {
	if utf8.Valid(b) {
		return bytes.IndexByte(b, 0)
	}
	for i := 0; i < len(b); {
		if c := b[i]; c != 0 && c < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == 0 || r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// BadTextMessage is what PostgreSQL says (22021) of text that is bad where b begins. It shows as many bytes as the first one announces and b has.
func BadTextMessage(b []byte) string {
	return fmt.Sprintf(`invalid byte sequence for encoding "UTF8": % #x`, b[:min(CharSize(b[0]), len(b))])
}

// CharSize is the bytes of the UTF-8 character that begins with c; 1 where none does.
func CharSize(c byte) int {
	switch {
	case c&0xe0 == 0xc0:
		return 2
	case c&0xf0 == 0xe0:
		return 3
	case c&0xf8 == 0xf0:
		return 4
	}
	return 1
}

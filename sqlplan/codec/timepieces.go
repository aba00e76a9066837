package codec

// maxTimePieces and the two sizes below are PostgreSQL's bounds of a date/time text: pieces, and the bytes of all of them with one
// more byte for each. A timestamp may be a little longer than a date or a time.
const (
	maxTimePieces    = 25
	maxTimeText      = 129
	maxTimestampText = 153
)

// pieceSort is what the first bytes of a piece make of it.
type pieceSort uint8

const (
	number     pieceSort = iota // digits, with a point in or before them
	dateLike                    // digits or letters around - / or . : a date, or the name of a zone
	clockLike                   // digits, colons, points
	word                        // letters
	signedWord                  // + or - and letters
	zoneOffset                  // + or - and digits, colons, points, hyphens
)

// piece is a run of a date/time text that is read as one.
type piece struct {
	sort pieceSort
	text string // lower case
	raw  string // as written
}

func isAlnum(c byte) bool { return isLetter(c) || isDigit(c) }

// pieces cuts a date/time text by its punctuation, by the rules of PostgreSQL's ParseDateTime. size bounds the text of all pieces.
func pieces(list []piece, b []byte, size int) ([]piece, fault) {
	at := func(i int) byte {
		if i < len(b) {
			return b[i]
		}
		return 0
	}
	used := 0
	for i := 0; i < len(b); {
		c := b[i]
		if isSpace(c) {
			i++
			continue
		}
		if len(list) >= maxTimePieces {
			return nil, malformed
		}
		start, sort, from := i, number, i
		digits := func() {
			for isDigit(at(i)) {
				i++
			}
		}
		switch {
		case isDigit(c):
			digits()
			switch mark := at(i); mark {
			case ':':
				sort = clockLike
				for c := at(i); isDigit(c) || c == ':' || c == '.'; c = at(i) {
					i++
				}
			case '-', '/', '.':
				i++
				if !isDigit(at(i)) {
					sort = dateLike
					for isAlnum(at(i)) || at(i) == mark {
						i++
					}
					break
				}
				if mark != '.' {
					sort = dateLike
				}
				if digits(); at(i) == mark {
					sort = dateLike
					for isDigit(at(i)) || at(i) == mark {
						i++
					}
				}
			}
		case c == '.':
			i++
			digits()
		case isLetter(c):
			sort = word
			for isLetter(at(i)) {
				i++
			}
			// A zone's name goes on with digits and signs, but after a word of the language begins another piece.
			named := at(i) == '-' || at(i) == '/' || at(i) == '.'
			if at(i) == '+' || isDigit(at(i)) {
				_, known := timeWords[lower(b[start:i])]
				named = !known
			}
			if named {
				sort = dateLike
				for c := at(i); isAlnum(c) || c == '+' || c == '-' || c == '/' || c == '_' || c == '.' || c == ':'; c = at(i) {
					i++
				}
			}
		case c == '+' || c == '-':
			i++
			for isSpace(at(i)) {
				i++
			}
			from = i // spaces after the sign do not count
			switch {
			case isDigit(at(i)):
				sort = zoneOffset
				for c := at(i); isDigit(c) || c == ':' || c == '.' || c == '-'; c = at(i) {
					i++
				}
			case isLetter(at(i)):
				sort = signedWord
				for isLetter(at(i)) {
					i++
				}
			default:
				return nil, malformed
			}
		case c > ' ' && c < 0x7f:
			i++ // other punctuation only parts pieces
			continue
		default:
			return nil, malformed
		}
		p := piece{sort: sort, raw: string(b[from:i])}
		if from > start {
			p.raw = string(c) + p.raw
		}
		if used += len(p.raw) + 1; used > size {
			return nil, malformed
		}
		p.text = lower([]byte(p.raw))
		list = append(list, p)
	}
	return list, good
}

// lower is b with its ASCII letters in lower case.
func lower(b []byte) string {
	out := make([]byte, len(b))
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		out[i] = c
	}
	return string(out)
}

package copydata

import (
	"errors"
	"sort"
)

// ErrRefused is what Write returns once it has handed on a row with a NULL in a column that takes none: whoever took the rows finds
// the error in them.
var ErrRefused = errors.New("copydata: a row has a NULL in a column that takes none")

// maxPlaces is how many bytes of lines are kept for the errors of rows that are checked later. Of further rows errors name the line and
// do not repeat it.
const maxPlaces = 16 << 20

// places remembers where the rows handed on stood in the data.
type places struct {
	rows  int64 // so far
	next  int   // the line on which the next row stands if it follows directly
	jumps []jump
	text  []byte
	ends  []uint32 // in text, of the lines of the first rows
}

// jump is a row that does not stand on the line after the row before it.
type jump struct {
	row  int64
	line int
}

func (p *places) add(line int, text []byte) {
	if line != p.next {
		p.jumps = append(p.jumps, jump{p.rows, line})
	}
	if len(p.ends) == int(p.rows) && len(p.text)+4*len(p.ends) < maxPlaces {
		p.text = append(p.text, excerpt(text)...)
		p.ends = append(p.ends, uint32(len(p.text)))
	}
	p.next = line + 1
	p.rows++
}

// at is the line of a row, from 0, and its excerpt, if that was kept.
func (p *places) at(row int64) (line int, text string, kept bool) {
	line = int(row)
	if i := sort.Search(len(p.jumps), func(i int) bool { return p.jumps[i].row > row }); i > 0 {
		line = p.jumps[i-1].line + int(row-p.jumps[i-1].row)
	}
	if row >= int64(len(p.ends)) {
		return line, "", false
	}
	lo := uint32(0)
	if row > 0 {
		lo = p.ends[row-1]
	}
	return line, string(p.text[lo:p.ends[row]]), true
}

package duck

import (
	"fmt"
	"math"
	"slices"

	m "github.com/duckdb/duckdb-go-bindings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// How many bytes of texts and elements are copied out of DuckDB at once, of some rows of a chunk, or of one: for a result, and for a
// function's arguments. DuckDB holds a text once, however many columns and elements of lists show it, and a copy has it as often.
const (
	maxRow       = 2 * MaxBatchText
	maxArguments = MaxBatchText
)

// room is what is left of a bound, of most bytes; call is the function's whose arguments take it.
type room struct {
	most, left int
	call       *Call
}

// errNoRoom is of one row that takes more than that.
var errNoRoom = &Error{SQLState: "54000", Message: fmt.Sprintf("the values of a row take more than %d MiB, or those of a function's arguments more than %d MiB", maxRow>>20, maxArguments>>20)}

// take takes n bytes, if they are there. A nil room has no bound.
func (r *room) take(n int) error {
	if r == nil {
		return nil
	}
	if r.left -= n; r.left < 0 {
		return errNoRoom
	}
	if r.call != nil && r.most-r.left > largeCall {
		return r.call.wait()
	}
	return nil
}

// within bounds what the column and its parts append.
func (c *column) within(r *room) {
	c.room = r
	for _, k := range c.child {
		k.within(r)
	}
}

// grown is data with room for the texts of strs, which have not more than a vector can say where they end.
func (c *column) grown(data []byte, strs []stringT, nulls bool) ([]byte, error) {
	sum := 0
	for i := range strs {
		if !nulls || !c.null(i) {
			sum += len(strs[i].text())
		}
	}
	if len(data)+sum > math.MaxUint32 {
		return data, errNoRoom
	}
	if err := c.room.take(sum); err != nil {
		return data, err
	}
	return slices.Grow(data, sum), nil
}

// appendRows appends rows of vectors to what fresh gives, from and at most n of them, and returns how many: as many as r has room for.
func appendRows(cols []*column, r *room, fresh func() []*vector.Vector, src func(k int) m.Vector, from, n int) (int, error) {
	for _, c := range cols {
		c.within(r)
	}
	for {
		r.left = r.most
		var err error
		for k, dst := range fresh() {
			if err = cols[k].appendTo(dst, src(k), from, n); err != nil {
				break
			}
		}
		if err != errNoRoom || n == 1 {
			return n, err
		}
		n = (n + 1) / 2
	}
}

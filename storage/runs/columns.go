package runs

import (
	"slices"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

// appendSel appends the values sel of src to dst, which has the same type.
func appendSel(dst, src *vector.Vector, sel []uint32) {
	if !dst.HasNulls() && !src.HasNulls() {
		switch dst.Type.Buffer() {
		case vector.BufI64:
			dst.I64 = pick(dst.I64, src.I64, sel)
			dst.N += len(sel)
			return
		case vector.BufF64:
			dst.F64 = pick(dst.F64, src.F64, sel)
			dst.N += len(sel)
			return
		case vector.BufI128:
			dst.I128 = pick(dst.I128, src.I128, sel)
			dst.N += len(sel)
			return
		}
	}
	for _, i := range sel {
		dst.AppendFrom(src, int(i))
	}
}

// pick appends src[i] for every i of sel.
func pick[T any](dst, src []T, sel []uint32) []T {
	n := len(dst)
	dst = slices.Grow(dst, len(sel))[:n+len(sel)]
	out := dst[n:]
	for j, i := range sel {
		out[j] = src[i]
	}
	return dst
}

// appendRows appends the rows from ≤ i < to of src to dst, without their keys. Row ids are appended where dst has them.
func appendRows(dst, src *event.Rows, from, to int) {
	dst.TS = append(dst.TS, src.TS[from:to]...)
	if dst.RowID != nil {
		dst.RowID = append(dst.RowID, src.RowID[from:to]...)
	}
	if dst.Tie != nil {
		dst.Tie.AppendRange(src.Tie, from, to)
	}
	for c := range dst.Cols {
		dst.Cols[c].AppendRange(src.Cols[c], from, to)
	}
}

// newRows is empty rows of a layout without a key column, with room for n.
func newRows(l event.Layout, rowIDs bool, n int) *event.Rows {
	r := event.NewRows(l, n)
	r.Key = nil
	if !rowIDs {
		r.RowID = nil
	}
	return r
}

// resetRows empties r and keeps its buffers.
func resetRows(r *event.Rows) {
	r.TS = r.TS[:0]
	if r.RowID != nil {
		r.RowID = r.RowID[:0]
	}
	if r.Tie != nil {
		r.Tie.Reset()
	}
	for _, c := range r.Cols {
		c.Reset()
	}
}

// rowsBytes estimates the memory that the values of r take.
func rowsBytes(r *event.Rows) int {
	n := 8*len(r.TS) + 8*len(r.RowID)
	if r.Tie != nil {
		n += r.Tie.MemBytes()
	}
	for _, c := range r.Cols {
		n += c.MemBytes()
	}
	return n
}

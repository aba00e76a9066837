package materialize

import (
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
)

// eventRows turns a chunk of eventSQL's columns into event rows. fileIDs maps the high bits of a row id to a file's id; nil
// for rows of tables. The columns are shared with the chunk, so the rows are valid as long as it is; the key and tie
// encodings are made in key and tie, which are reused.
func eventRows(l event.Layout, ch *vector.Chunk, fileIDs []uint32, pk int, out *event.Rows) {
	nk := len(l.Keys)
	out.Key.Reset()
	vector.AppendKeys(out.Key, ch.Cols[:nk], ch.N)
	out.TS = ch.Cols[nk].I64[:ch.N]
	ids := ch.Cols[nk+1].I64[:ch.N]
	if fileIDs != nil {
		out.RowID = append(out.RowID[:0], ids...)
		for i, id := range ids {
			out.RowID[i] = int64(fileIDs[id>>fileRowBits])<<fileRowBits | id&(1<<fileRowBits-1)
		}
	} else {
		out.RowID = ids
	}
	at := nk + 2
	if l.Tie {
		out.Tie.Reset()
		var scratch []byte
		for i := range ch.N {
			scratch = scratch[:0]
			for _, k := range ch.Cols[at : at+pk] {
				scratch = vector.AppendKey(scratch, k, i)
			}
			out.Tie.AppendBytes(scratch)
		}
		at += pk
	}
	out.Cols = append(out.Cols[:0], ch.Cols[at:]...)
}

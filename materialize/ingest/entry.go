package ingest

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/archive"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// The columns of an archive's files behind those that a source's rows have.
const (
	entryEffect = iota // Effect; 0: the message does nothing, or was refused
	entryCode          // of why it was refused; NULL: it was not
	entryReason
	entryValue // the message's
	entryTaken // the first column of the primary key of the row that the message takes
)

// takenPrefix begins the names of the columns of the primary key of the row that a message takes.
const takenPrefix = "__taken_"

// ArchiveColumns are the columns of the files of a source's archive: those of its rows, where a message puts one, of which the hidden ones are
// of every message; what the message does, or why it was refused, its value, and the primary key of the row that it takes.
func ArchiveColumns(r *schema.Relation) []archive.Column {
	var out []archive.Column
	for _, c := range r.Stored() {
		out = append(out, archive.Column{Name: c.Name, Type: c.Type})
	}
	out = append(out, archive.Column{Name: "__effect", Type: vector.T(vector.Int16)}, archive.Column{Name: "__code", Type: vector.T(vector.Text)},
		archive.Column{Name: "__reason", Type: vector.T(vector.Text)}, archive.Column{Name: "__value", Type: vector.T(vector.Bytes)})
	for _, k := range r.PrimaryKey {
		out = append(out, archive.Column{Name: takenPrefix + k, Type: r.Columns[r.ColumnIndex(k)].Type})
	}
	return out
}

// entryRows makes an entry's rows of the messages that a builder has, of which keep says which go into it.
func (b *builder) entryRows(records []message, keep func(i int) bool) *vector.Chunk {
	columns := ArchiveColumns(b.rel)
	types := make([]vector.Type, len(columns))
	for i, c := range columns {
		types[i] = c.Type
	}
	out := vector.NewChunk(types, len(records))
	stored := len(b.rows.Cols)
	row, hidden, more := out.Cols[:b.declared], out.Cols[b.declared:stored], out.Cols[stored:]
	at := 0 // the next of the steps
	for i := range records {
		var s step
		for ; at < len(b.steps) && b.steps[at].message <= i; at++ {
			s = b.steps[at]
		}
		if !keep(i) {
			continue
		}
		m, why := &records[i], b.refused[i]
		for c, v := range row {
			if s.effect&Puts != 0 {
				v.AppendFrom(b.rows.Cols[c], s.row)
			} else {
				v.AppendNull()
			}
		}
		b.appendHidden(hidden, m)
		more[entryEffect].AppendInt(int64(s.effect))
		if why != nil {
			more[entryCode].AppendString(why.Code)
			more[entryReason].AppendString(why.Reason)
		} else {
			more[entryCode].AppendNull()
			more[entryReason].AppendNull()
		}
		appendBytes(more[entryValue], m.Value)
		for c, v := range more[entryTaken:] {
			if s.effect&Takes != 0 {
				v.AppendFrom(b.gone.Cols[c], s.taken)
			} else {
				v.AppendNull()
			}
		}
		out.N++
	}
	return out
}

// archived is a message of an entry: row i of its rows.
type archived struct {
	rows *vector.Chunk
	row  int
}

// ofEntry are the messages of rows of an archive, whose source's rows have so many declared columns, and so many altogether. Errors: wrapping archive.ErrCorrupt.
func ofEntry(rows *vector.Chunk, declared, stored int) ([]message, error) {
	hidden, more := rows.Cols[declared:stored], rows.Cols[stored:]
	for _, v := range append(hidden[:4:4], more[entryEffect]) {
		if v.HasNulls() && v.N > 0 {
			for i := range v.N {
				if v.IsNull(i) {
					return nil, fmt.Errorf("%w: row %d has no partition, offset, time or effect", archive.ErrCorrupt, i)
				}
			}
		}
	}
	bytes := func(v *vector.Vector, i int) []byte {
		if v.IsNull(i) {
			return nil
		}
		return v.Bytes(i)
	}
	out := make([]message, rows.N)
	for i := range out {
		out[i] = message{
			Record: &kgo.Record{Partition: int32(hidden[0].I64[i]), Offset: hidden[1].I64[i], Timestamp: time.UnixMicro(hidden[messageTime].I64[i]),
				Key: bytes(hidden[4], i), Value: bytes(more[entryValue], i)},
			arrived: hidden[3].I64[i], headers: bytes(hidden[5], i), of: &archived{rows: rows, row: i},
		}
	}
	return out, nil
}

// addArchived appends what a message of an archive does, as who added it had decoded it.
func (b *builder) addArchived(m *message, index int) {
	n, taken := b.rows.N, b.gone.N
	from, stored := m.of.rows, len(b.rows.Cols)
	more := from.Cols[stored:]
	if !more[entryCode].IsNull(m.of.row) {
		b.refused = append(b.refused, &Rejected{string(more[entryCode].Bytes(m.of.row)), string(more[entryReason].Bytes(m.of.row))})
		return
	}
	effect := Effect(more[entryEffect].I64[m.of.row])
	var why *Rejected
	if effect&Puts != 0 {
		for c, v := range b.rows.Cols {
			v.AppendFrom(from.Cols[c], m.of.row)
		}
		why = b.checkFilled(n) // a key of a feature: those that the server has that added it are its own
	}
	if effect&Takes != 0 && why == nil {
		for c, v := range b.gone.Cols {
			v.AppendFrom(more[entryTaken+c], m.of.row)
		}
	}
	b.took(why, index, effect, n, taken)
}

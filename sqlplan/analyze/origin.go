package analyze

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/encoding/protowire"
)

// shows is the column of a relation that a value is as it stands. What is made of it is another node, or of another type.
func (v value) shows() Origin {
	if v.n.GetColumnRef() == nil || v.t != v.of.t || v.mod != v.of.mod {
		return Origin{}
	}
	return v.of.origin
}

// viewField is a field of a subquery in FROM that PostgreSQL's grammar does not have: the object id of the view that it stands for. It
// survives the copying of the tree, and nobody else reads it.
const viewField = 1000

// MarkView notes that a subquery in FROM stands for a view: its columns are the view's.
func MarkView(r *pg_query.RangeSubselect, view uint32) {
	b := protowire.AppendTag(nil, viewField, protowire.VarintType)
	r.ProtoReflect().SetUnknown(protowire.AppendVarint(b, uint64(view)))
}

// viewOf is the view that a subquery stands for, 0: none.
func viewOf(r *pg_query.RangeSubselect) uint32 {
	b := r.ProtoReflect().GetUnknown()
	field, _, n := protowire.ConsumeTag(b)
	if n < 0 || field != viewField {
		return 0
	}
	id, _ := protowire.ConsumeVarint(b[n:])
	return uint32(id)
}

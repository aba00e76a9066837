package engine

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/pgcatalog"
)

const oidOIDArray = 1028

// objectIDParams are the parameters, by number, that PostgreSQL types oid or oid[]: those that are cast so, and those that are
// compared with a column of object ids of a system relation. Their values are bigints here; clients send what they are told.
func objectIDParams(n proto.Message) map[int32]uint32 {
	out := map[int32]uint32{}
	columns := map[string]bool{}
	parse.Walk(n, func(m proto.Message) bool {
		if rv, ok := m.(*pg_query.RangeVar); ok {
			if r := pgcatalog.System(rv); r != nil {
				for _, c := range r.Columns {
					columns[c.Name] = columns[c.Name] || c.Type == codec.OIDOid
				}
			}
		}
		return true
	})
	compared := func(column, param *pg_query.Node, oid uint32) {
		ref, p := column.GetColumnRef(), param.GetParamRef()
		if ref == nil || p == nil {
			return
		}
		if columns[ref.Fields[len(ref.Fields)-1].GetString_().GetSval()] {
			out[p.Number] = oid
		}
	}
	parse.Walk(n, func(m proto.Message) bool {
		switch n := m.(type) {
		case *pg_query.TypeCast:
			if p, names := n.Arg.GetParamRef(), nodeNames(n.TypeName.Names); p != nil && names[len(names)-1] == "oid" {
				out[p.Number] = codec.OIDOid
				if len(n.TypeName.ArrayBounds) > 0 {
					out[p.Number] = oidOIDArray
				}
			}
		case *pg_query.A_Expr:
			switch n.Kind {
			case pg_query.A_Expr_Kind_AEXPR_OP:
				compared(n.Lexpr, n.Rexpr, codec.OIDOid)
				compared(n.Rexpr, n.Lexpr, codec.OIDOid)
			case pg_query.A_Expr_Kind_AEXPR_OP_ANY:
				compared(n.Lexpr, n.Rexpr, oidOIDArray)
			}
		}
		return true
	})
	return out
}

// sentTypes are the types that clients are told of parameters: their own for what they named, those of PostgreSQL else.
func (p *prepared) sentTypes(given []vector.Type, ids map[int32]uint32) []vector.Type {
	sent := make([]vector.Type, len(p.params))
	copy(sent, p.params)
	for i := range sent {
		var oid uint32
		if i < len(given) && given[i].Kind != vector.Invalid {
			if oid = codec.OID(given[i]); i < len(p.oids) && p.oids[i] != 0 {
				oid = p.oids[i]
			}
			if codec.OID(given[i]) != codec.OID(sent[i]) {
				sent[i] = given[i]
			}
		} else {
			oid = ids[int32(i+1)]
		}
		switch k := sent[i].Kind; {
		case oid == codec.OIDOid && k == vector.Int64,
			oid == oidOIDArray && k == vector.List && sent[i].Elem[0].Kind == vector.Int64,
			(oid == codec.OIDVarchar || oid == codec.OIDBPChar || oid == codec.OIDName) && k == vector.Text:
			sent[i] = codec.ShownAs(sent[i], oid)
		}
	}
	return sent
}

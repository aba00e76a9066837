package parse

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Part is a copy of a part of the statement as a statement of its own: n, a tree that may be made of nodes of the statement, with those
// of the clauses that stand in it. Places in errors stay those of the statement's text.
func (s *SQL) Part(n *pg_query.Node) *SQL {
	out := &SQL{Text: s.Text, Plain: s.Plain, Node: proto.Clone(n).(*pg_query.Node)}
	if s.Clauses.Empty() {
		return out
	}
	copies := map[proto.Message]proto.Message{}
	pair(n.ProtoReflect(), out.Node.ProtoReflect(), copies)
	for _, c := range s.Clauses.Asof {
		if j, ok := copies[c.Join].(*pg_query.JoinExpr); ok {
			c.Join, c.Match = j, copyNode(c.Match)
			out.Clauses.Asof = append(out.Clauses.Asof, c)
		}
	}
	for _, c := range s.Clauses.Windows {
		if sel, ok := copies[c.Select].(*pg_query.SelectStmt); ok {
			c.Select = sel
			out.Clauses.Windows = append(out.Clauses.Windows, c)
		}
	}
	for _, c := range s.Clauses.SystemTime {
		if rv, ok := copies[c.Relation].(*pg_query.RangeVar); ok {
			c.Relation, c.Expr = rv, copyNode(c.Expr)
			out.Clauses.SystemTime = append(out.Clauses.SystemTime, c)
		}
	}
	for _, c := range s.Clauses.Samples {
		if t, ok := copies[c.Node].(*pg_query.RangeTableSample); ok {
			c.Node = t
			out.Clauses.Samples = append(out.Clauses.Samples, c)
		}
	}
	return out
}

// Len is how many clauses there are.
func (c *Clauses) Len() int {
	return len(c.Asof) + len(c.Windows) + len(c.SystemTime) + len(c.Samples)
}

func copyNode(n *pg_query.Node) *pg_query.Node {
	if n == nil {
		return nil
	}
	return proto.Clone(n).(*pg_query.Node)
}

// pair notes the copy of each message below one that clauses can be of.
func pair(from, to protoreflect.Message, copies map[proto.Message]proto.Message) {
	switch m := from.Interface().(type) {
	case *pg_query.JoinExpr, *pg_query.SelectStmt, *pg_query.RangeVar, *pg_query.RangeTableSample:
		copies[m] = to.Interface()
	}
	from.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Kind() != protoreflect.MessageKind:
		case fd.IsList():
			l, k := v.List(), to.Get(fd).List()
			for i := range l.Len() {
				pair(l.Get(i).Message(), k.Get(i).Message(), copies)
			}
		default:
			pair(v.Message(), to.Get(fd).Message(), copies)
		}
		return true
	})
}

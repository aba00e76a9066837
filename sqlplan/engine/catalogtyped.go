package engine

import (
	"strconv"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/pgcatalog"
	"github.com/tilehouse/tilehouse/sqlplan/rewrite"
	"github.com/tilehouse/tilehouse/sqlplan/session"
)

// typedCatalog gives a query that package pgcatalog made ready PostgreSQL's meaning, checks the functions that it calls, and keeps
// its outputs in b.typedOutputs.
func (b *binder) typedCatalog(n *pg_query.Node) (*pg_query.Node, error) {
	typed := clone(n)
	calls := unboundedCalls(typed)
	r, err := analyze.Query(typed, b.analysis(nil, b.heldColumns))
	if err != nil {
		return nil, b.analysisError(err)
	}
	b.typedOutputs = r.Known
	lookup := func(space, name string, args []*pg_query.Node, inFrom bool) (*rewrite.Function, error) {
		f, err := b.function(space, name, args, inFrom)
		if f == nil && err == nil && inFrom { // an expression that gives rows
			return b.function(space, name, args, false)
		}
		return f, err
	}
	if err := rewrite.CheckCalls(n, knownCalls(calls, r), lookup); err != nil {
		return nil, b.placed(err)
	}
	return typed, nil
}

// heldColumns are the columns of a relation of a statement that package pgcatalog made ready for DuckDB: those of PostgreSQL's
// catalogs have the types that hold their values.
func (b *binder) heldColumns(rv *pg_query.RangeVar) ([]analyze.Column, bool, error) {
	held := pgcatalog.HeldColumns(rv)
	if held == nil {
		return b.columnsOf(rv)
	}
	out := make([]analyze.Column, len(held))
	for i, c := range held {
		out[i] = analyze.Column{Name: c.Name, Type: c.Type}
	}
	return out, true, nil
}

// unboundedCalls are the calls in a query of functions that make values without a bound in DuckDB.
func unboundedCalls(n *pg_query.Node) []*pg_query.FuncCall {
	var out []*pg_query.FuncCall
	walkNodes(n, func(n *pg_query.Node) {
		if f := n.GetFuncCall(); f != nil {
			if name := calledName(f); name == "format" || name == "generate_series" {
				out = append(out, f)
			}
		}
	})
	return out
}

func calledName(f *pg_query.FuncCall) string {
	return f.Funcname[len(f.Funcname)-1].GetString_().GetSval()
}

// knownCalls says of the names of functions whether an analysis knows them; calls are those that it must have resolved, because
// DuckDB's functions of these names have no bound.
func knownCalls(calls []*pg_query.FuncCall, r *analyze.Result) func(name string) bool {
	left := map[string]bool{}
	for _, f := range calls {
		if !r.Resolved(f) {
			left[calledName(f)] = true
		}
	}
	return func(name string) bool { return pgcatalog.Listed(name) || analyze.Knows(name) && !left[name] }
}

// showTyped is show for the outputs of a query of catalogs that was analyzed: package pgcatalog knows types that only catalogs have,
// package analyze those of every other expression.
func showTyped(columns []session.Column, types []uint32, outputs []analyze.Column) {
	if len(types) != len(columns) || len(outputs) != len(columns) {
		show(columns, types)
		return
	}
	for i, oid := range types {
		base, _ := pgcatalog.BaseType(oid)
		held, known := codec.OID(pgcatalog.TypeOf(base)), outputs[i].Type.Shown
		other := held == base && known != base && !(isInteger(base) && isInteger(known))
		if known != 0 && (oid == 0 || other || !pgcatalog.Holds(columns[i].Type, base)) {
			columns[i].Type = shownType(columns[i].Type, outputs[i].Type)
			types[i] = 0
		}
	}
	show(columns, types)
}

func isInteger(oid uint32) bool {
	return oid == codec.OIDInt2 || oid == codec.OIDInt4 || oid == codec.OIDInt8
}

// firstTransaction is the first number of a transaction in PostgreSQL.
const firstTransaction = 3

// transactionID is the number of the session's transaction, in the order in which they asked for one. Numbers begin anew, above the
// position of the log, where the server does.
func (s *Session) transactionID() int64 {
	if s.tx != nil && s.tx.id != 0 {
		return s.tx.id
	}
	s.e.lastTransaction.CompareAndSwap(0, int64(s.e.log.Position())+firstTransaction-1)
	id := s.e.lastTransaction.Add(1)
	if s.tx != nil {
		s.tx.id = id
	}
	return id
}

func wholeNumber(n int64) *pg_query.Node {
	text := &pg_query.A_Const{Val: &pg_query.A_Const_Fval{Fval: &pg_query.Float{Fval: strconv.FormatInt(n, 10)}}}
	return &pg_query.Node{Node: &pg_query.Node_TypeCast{TypeCast: &pg_query.TypeCast{Arg: &pg_query.Node{Node: &pg_query.Node_AConst{AConst: text}},
		TypeName: &pg_query.TypeName{Names: []*pg_query.Node{pg_query.MakeStrNode("pg_catalog"), pg_query.MakeStrNode("int8")}, Typemod: -1}}}}
}

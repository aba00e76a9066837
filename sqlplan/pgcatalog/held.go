package pgcatalog

import (
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// HeldColumn is a column with the type that holds its values.
type HeldColumn struct {
	Name string
	Type vector.Type
}

// HeldColumns are the columns of a relation that Analyze left in a statement, system columns included where the statement asks for
// them; nil for one that is not PostgreSQL's.
func HeldColumns(rv *pg_query.RangeVar) []HeldColumn {
	var columns []Column
	if rv.Schemaname == FunctionSchema {
		name, function := strings.CutPrefix(rv.Relname, functionPrefix)
		r := static()[rv.Relname]
		switch {
		case function && tableFunctionNamed(name) != nil:
			columns = tableFunctionNamed(name).columns
		case r != nil && r.Schema == "functions":
			columns = r.Columns
		case r != nil:
			columns = append(columns, r.Columns...)
			for _, c := range systemColumns {
				columns = append(columns, Column{Name: c.name, Type: c.typ})
			}
		}
	} else if r := System(rv); r != nil {
		columns = r.Columns
	}
	var out []HeldColumn
	for _, c := range columns {
		out = append(out, HeldColumn{c.Name, TypeOf(c.Type)})
	}
	return out
}

// HeldResult is the object id of the type that holds what a function of this package gives, 0 where that is not known.
func HeldResult(name string, args int) uint32 {
	if FunctionNamed(name, args, false) == nil {
		return 0
	}
	for _, f := range called {
		for n := range strings.FieldsSeq(f.names) {
			if n == name && args >= f.min && args <= len(strings.Fields(f.params)) {
				return map[string]uint32{duck.TextFunction: oidText, duck.TextsFunction: codec.OID(vector.ListOf(vector.T(vector.Text))), duck.BooleanFunction: oidBool, duck.BigintFunction: oidInt8}[f.via]
			}
		}
	}
	out := uint32(0)
	for _, p := range procs()[name] {
		if len(p.Args) != args {
			continue
		}
		if p.Set || len(p.OutTypes) > 0 || polymorphic[p.Returns] != "" || out != 0 {
			return 0
		}
		out = codec.OID(TypeOf(p.Returns))
	}
	return out
}

package rewrite

import (
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
)

// stripCatalog takes pg_catalog off functions and operators, and schemas off columns whose table was replaced: DuckDB has its
// built-ins in the search path, and an alias has no schema. COLLATE "default" is the default.
func stripCatalog(c *context, m proto.Message) error {
	strip := func(l []*pg_query.Node) []*pg_query.Node {
		if len(l) == 2 && l[0].GetString_().GetSval() == "pg_catalog" {
			return l[1:]
		}
		return l
	}
	switch n := m.(type) {
	case *pg_query.FuncCall:
		// Calls by syntax (EXTRACT, POSITION, …) are left to the rule syntax_calls; ESCAPE is known by the schema.
		if w := words(n.Funcname); n.Funcformat == pg_query.CoercionForm_COERCE_EXPLICIT_CALL && !strings.HasSuffix(w[len(w)-1], "_escape") {
			n.Funcname = strip(n.Funcname)
		}
	case *pg_query.A_Expr:
		n.Name = strip(n.Name)
	case *pg_query.ColumnRef:
		if len(n.Fields) == 3 {
			if w := words(n.Fields[:2]); c.qualified[w[0]+"."+w[1]] {
				n.Fields = n.Fields[1:]
			}
		}
	case *pg_query.Node:
		if k := n.GetCollateClause(); k != nil {
			if w := words(k.Collname); w[len(w)-1] == "default" {
				n.Node = k.Arg.GetNode()
			}
		}
	}
	return nil
}

// typeNames takes pg_catalog off types, gives bare numeric a precision and scale that hold more than DuckDB's (18,3), and
// names types that DuckDB calls otherwise.
func typeNames(_ *context, m proto.Message) error {
	t, ok := m.(*pg_query.TypeName)
	if !ok || len(t.Names) == 0 {
		return nil
	}
	w := words(t.Names)
	name := w[len(w)-1]
	if len(w) > 2 || len(w) == 2 && w[0] != "pg_catalog" {
		return nil
	}
	switch name {
	case "numeric", "decimal":
		if len(t.Typmods) == 0 {
			*t = *typeNameOf(t, "numeric", parse.BareNumericPrecision, parse.BareNumericScale)
			return nil
		}
	case "jsonb":
		name = "json"
	case "bpchar", "name", "citext", "varchar":
		name, t.Typmods = "text", nil
	case "timestamptz", "timestamp", "time":
		t.Typmods = nil
	}
	t.Names = typeWords(name)
	return nil
}

// typeNameOf is a type with t's array bounds.
func typeNameOf(t *pg_query.TypeName, name string, mods ...int64) *pg_query.TypeName {
	out := typeName(name, mods...)
	out.ArrayBounds, out.Location = t.ArrayBounds, t.Location
	return out
}

// literals turns string literals that are cast into what DuckDB reads: '\x41' of bytea, '{1,2}' of arrays, 'on' of booleans.
func literals(_ *context, m proto.Message) error {
	n, ok := m.(*pg_query.Node)
	if !ok || n.GetTypeCast() == nil {
		return nil
	}
	k := n.GetTypeCast()
	s, ok := stringConst(k.Arg)
	if !ok || len(k.TypeName.GetNames()) == 0 {
		return nil
	}
	w := words(k.TypeName.Names)
	name := w[len(w)-1]
	switch {
	case len(k.TypeName.ArrayBounds) > 0:
		// Elements with quotes or escapes mean different things in the two notations.
		if strings.HasPrefix(s, "{") && strings.HasSuffix(s, "}") && !strings.ContainsAny(s, `"\'[]`) {
			k.Arg = text(strings.NewReplacer("{", "[", "}", "]").Replace(s))
		}
	case name == "interval" && len(k.TypeName.Typmods) > 0:
		// INTERVAL '1' DAY: the unit goes into the literal.
		field := k.TypeName.Typmods[0].GetAConst().GetIval().GetIval()
		if unit := intervalUnits[field]; unit != "" && strings.Trim(s, "+-.0123456789") == "" {
			k.Arg, k.TypeName.Typmods = text(s+" "+unit), nil
		}
	case name == "bytea":
		if h, ok := strings.CutPrefix(s, `\x`); ok {
			n.Node = call("unhex", text(h)).Node
		}
	case name == "bool":
		switch strings.ToLower(strings.TrimSpace(s)) {
		case "on", "yes", "y", "t", "1", "true":
			k.Arg = text("true")
		case "off", "no", "n", "f", "0", "false":
			k.Arg = text("false")
		}
	}
	return nil
}

// intervalUnits are the fields of INTERVAL '…' FIELD by PostgreSQL's masks (1 << the field's number in datetime.h).
var intervalUnits = map[int32]string{1 << 1: "month", 1 << 2: "year", 1 << 3: "day", 1 << 10: "hour", 1 << 11: "minute", 1 << 12: "second"}

// parameters casts $n to its type, without which DuckDB guesses one from the surroundings, or none.
func parameters(c *context, m proto.Message) error {
	n, ok := m.(*pg_query.Node)
	if !ok || n.GetParamRef() == nil {
		return nil
	}
	i := int(n.GetParamRef().Number) - 1
	if i < 0 || i >= len(c.opt.ParamTypes) {
		return nil
	}
	if t := duckType(c.opt.ParamTypes[i]); t != nil {
		if c.opt.NullParams {
			n.Node = &pg_query.Node_AConst{AConst: &pg_query.A_Const{Isnull: true}}
		}
		n.Node = cast(n, t).Node
	}
	return nil
}

// duckType is a type's name for a cast, or nil where none can be written.
func duckType(t vector.Type) *pg_query.TypeName {
	switch t.Kind {
	case vector.Invalid, vector.Null, vector.Map:
		return nil
	case vector.List:
		e := duckType(t.Elem[0])
		if e != nil {
			e.ArrayBounds = append(e.ArrayBounds, pg_query.MakeIntNode(-1))
		}
		return e
	case vector.Decimal:
		return typeName("numeric", int64(t.Precision), int64(t.Scale))
	}
	return typeName(map[vector.Kind]string{
		vector.Bool: "bool", vector.Int16: "int2", vector.Int32: "int4", vector.Int64: "int8", vector.Float32: "float4",
		vector.Float64: "float8", vector.Text: "text", vector.Bytes: "bytea", vector.UUID: "uuid", vector.Date: "date",
		vector.Time: "time", vector.Timestamp: "timestamp", vector.TimestampTZ: "timestamptz", vector.Interval: "interval",
		vector.JSON: "json",
	}[t.Kind])
}

// integerResults are functions whose result is integer in PostgreSQL and BIGINT in DuckDB.
var integerResults = map[string]bool{"length": true, "char_length": true, "character_length": true, "octet_length": true,
	"bit_length": true, "strpos": true, "cardinality": true}

// resultTypes casts sum and avg to PostgreSQL's result types, where the argument's type is known: DuckDB sums integers to
// HUGEINT and averages to DOUBLE. Lengths and places become integers.
func resultTypes(c *context, m proto.Message) error {
	n, ok := m.(*pg_query.Node)
	if !ok || n.GetFuncCall() == nil {
		return nil
	}
	f := n.GetFuncCall()
	if len(f.Funcname) == 1 && integerResults[f.Funcname[0].GetString_().GetSval()] {
		n.Node = cast(n, typeName("int4")).Node
		return nil
	}
	if len(f.Funcname) != 1 || len(f.Args) != 1 {
		return nil
	}
	t, ok := c.typeOf(f.Args[0])
	if !ok {
		return nil
	}
	switch f.Funcname[0].GetString_().GetSval() {
	case "sum":
		switch t.Kind {
		case vector.Int16, vector.Int32:
			n.Node = cast(n, typeName("int8")).Node
		case vector.Int64:
			n.Node = cast(n, typeName("numeric", 38, 0)).Node
		}
	case "avg":
		switch t.Kind {
		case vector.Int16, vector.Int32, vector.Int64:
			n.Node = cast(n, typeName("numeric", 38, 16)).Node
		case vector.Decimal:
			n.Node = cast(n, typeName("numeric", 38, int64(max(t.Scale, 16)))).Node
		}
	}
	return nil
}

// typeOf is the type of a cast, a constant integer or a known column.
func (c *context) typeOf(n *pg_query.Node) (vector.Type, bool) {
	switch {
	case n.GetTypeCast() != nil:
		t, err := parse.TypeOf(n.GetTypeCast().TypeName)
		return t, err == nil
	case n.GetColumnRef() != nil && c.opt.ColumnType != nil:
		return c.opt.ColumnType(n.GetColumnRef())
	case n.GetAConst() != nil:
		if _, ok := n.GetAConst().GetVal().(*pg_query.A_Const_Ival); ok {
			return vector.T(vector.Int32), true
		}
	}
	return vector.Type{}, false
}

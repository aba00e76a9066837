package engine

import (
	"fmt"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/pgcatalog"
	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// serials are the names of the types that make a sequence, and the types of their columns.
var serials = map[string]string{"serial": "int4", "serial4": "int4", "bigserial": "int8", "serial8": "int8", "smallserial": "int2", "serial2": "int2"}

// formatNames are PostgreSQL's names of types, by the internal ones.
var formatNames = map[string]string{"bool": "boolean", "int2": "smallint", "int4": "integer", "int8": "bigint", "float4": "real",
	"float8": "double precision", "varchar": "character varying", "bpchar": "character", "timestamp": "timestamp", "timestamptz": "timestamp",
	"time": "time", "timetz": "time", "decimal": "numeric", "int": "integer", "string": "text", "blob": "bytea"}

// internalNames are types that users write otherwise than pg_type does.
var internalNames = map[string]string{"boolean": "bool", "smallint": "int2", "int": "int4", "integer": "int4", "bigint": "int8", "real": "float4",
	"double": "float8", "decimal": "numeric", "string": "text", "blob": "bytea"}

// timeTypes take a precision.
var timeTypes = map[string]string{"timestamp": " without time zone", "timestamptz": " with time zone", "time": " without time zone", "timetz": " with time zone"}

// typeParts is a type's schema and name.
func typeParts(t *pg_query.TypeName) (schema, name string) {
	n := len(t.GetNames())
	if n == 0 {
		return "", ""
	}
	if n > 1 {
		schema = t.Names[n-2].GetString_().GetSval()
	}
	return schema, t.Names[n-1].GetString_().GetSval()
}

// columnType fills a column's type from a type's name. Errors have no place.
func columnType(t *pg_query.TypeName, c *tables.Column) error {
	_, name := typeParts(t)
	plain := proto.Clone(t).(*pg_query.TypeName)
	if in, ok := internalNames[name]; ok {
		name = in
	}
	c.Base = name
	mods := plainMods(t)
	label := formatNames[name]
	if label == "" {
		label = name
	}
	_, times := timeTypes[name]
	switch {
	case name == "varchar" || name == "bpchar":
		plain.Typmods = nil
		if len(mods) > 0 {
			if mods[0] < 1 {
				return fail(codeInvalidParameter, "length for type %s must be at least 1", map[string]string{"varchar": "varchar", "bpchar": "char"}[name])
			}
			if mods[0] > 10485760 {
				return fail(codeInvalidParameter, "length for type %s cannot exceed 10485760", map[string]string{"varchar": "varchar", "bpchar": "char"}[name])
			}
			if len(t.ArrayBounds) > 0 {
				return hint(fail(codeUnsupported, "lengths of the elements of arrays are not supported"), "text[], or varchar[]")
			}
			c.Length = int(mods[0])
			label = fmt.Sprintf("%s(%d)", label, mods[0])
		} else if name == "bpchar" {
			label = "bpchar"
		}
	case times || name == "interval":
		plain.Typmods = nil
		if name != "interval" && len(mods) > 0 {
			p := int(min(mods[0], 6))
			if p < 6 && len(t.ArrayBounds) > 0 {
				return fail(codeUnsupported, "precisions of type %s[] are not supported", name)
			}
			c.Precision = &p
			label = fmt.Sprintf("%s(%d)", label, p)
		} else if name == "interval" && len(mods) > 0 {
			if len(t.ArrayBounds) > 0 {
				return fail(codeUnsupported, "fields and precisions of type interval[] are not supported")
			}
			mod := int32(mods[0])<<16 | 0xffff
			if len(mods) > 1 {
				mod = int32(mods[0])<<16 | int32(min(mods[1], 6))
			}
			c.Modifier, label = mod+1, pgcatalog.FormatType(codec.OIDInterval, mod)
		}
		label += timeTypes[name]
	case name == "numeric" && len(mods) > 0:
		scale := int64(0)
		if len(mods) > 1 {
			scale = mods[1]
		}
		label = fmt.Sprintf("numeric(%d,%d)", mods[0], scale)
	}
	wide := name == "numeric" && !fitsDecimal(t, mods)
	if wide {
		if err := numericMods(t); err != nil {
			return err
		}
		plain.Typmods = nil
	}
	var typ vector.Type
	if oid := pgfunc.KeptAsText(name); oid != 0 {
		plain.Typmods = nil
		mod := int32(-1)
		switch {
		case len(mods) == 0:
			if name == "bit" {
				mod = 1
			}
		case name != "bit" && name != "varbit" && name != "timetz":
			return fail("42601", "type modifier is not allowed for type %q", name)
		case mods[0] < 1 && name != "timetz":
			return fail(codeInvalidParameter, "length for type %s must be at least 1", name)
		case len(t.ArrayBounds) > 0:
			return fail(codeUnsupported, "lengths of the elements of arrays are not supported")
		default:
			mod = int32(mods[0])
		}
		if name == "bit" || name == "varbit" {
			c.Length = int(max(mod, 0))
		}
		if typ = vector.T(vector.Text); len(t.ArrayBounds) > 0 {
			typ = vector.ListOf(typ)
		}
		label = pgcatalog.FormatType(oid, mod)
	} else {
		var err error
		if typ, err = parse.TypeOf(plain); err != nil {
			return err
		}
		c.Canonical = name == "jsonb" && typ.Kind == vector.JSON
	}
	if len(t.ArrayBounds) > 0 {
		label += "[]"
		if len(t.ArrayBounds) > 1 { // PostgreSQL does not keep the number of dimensions; a column that says one holds any
			if !pgfunc.Dimensional(name) || c.Length > 0 || len(mods) > 0 {
				return fail(codeUnsupported, "columns of arrays of %s of more than one dimension are not supported", name)
			}
			typ, c.Canonical = vector.T(vector.Text), false
		}
	}
	c.Type, c.Declared = typ, label
	if wide && len(t.ArrayBounds) < 2 {
		c.Type = tables.Numeric()
		if len(t.ArrayBounds) > 0 {
			c.Type = vector.ListOf(c.Type)
		}
		c.Shown()
	}
	return nil
}

// keptColumn is a column that holds an output of a query.
func keptColumn(c session.Column) (tables.Column, error) {
	t := plainType(c.Type)
	if t.Shown == 0 {
		return columnOfType(c.Name, t), nil
	}
	out := tables.Column{Name: c.Name}
	name := pgcatalog.FormatType(t.Shown, t.Mod-1)
	if t.Kind == vector.Text && codec.IsArray(t.Shown) { // of any dimensions
		name += "[]"
	}
	parsed, err := pg_query.Parse("SELECT NULL::" + name)
	if err == nil {
		err = columnType(parsed.Stmts[0].Stmt.GetSelectStmt().TargetList[0].GetResTarget().Val.GetTypeCast().TypeName, &out)
	}
	if err != nil {
		name := pgcatalog.FormatType(t.Shown, -1)
		if name == "void" {
			return out, fail("42P16", "column %q has pseudo-type void", c.Name)
		}
		return out, hint(fail(codeUnsupported, "column %q has type %s, of which there are no columns", c.Name, name), "Cast it, as (%s)::text.", c.Name)
	}
	return out, nil
}

func plainMods(t *pg_query.TypeName) []int64 {
	var out []int64
	for _, m := range t.Typmods {
		n := int64(m.GetAConst().GetIval().GetIval())
		if e := m.GetAExpr(); e != nil && e.Lexpr == nil && operator(e) == "-" {
			n = -int64(e.Rexpr.GetAConst().GetIval().GetIval())
		}
		out = append(out, n)
	}
	return out
}

// fitsDecimal reports whether values of numeric with these parameters are decimals of DuckDB's; others are kept as texts.
func fitsDecimal(t *pg_query.TypeName, mods []int64) bool {
	if len(mods) == 0 || len(t.ArrayBounds) > 0 {
		return false
	}
	scale := int64(0)
	if len(mods) > 1 {
		scale = mods[1]
	}
	return mods[0] >= 1 && mods[0] <= parse.MaxNumericPrecision && scale >= 0 && scale <= mods[0]
}

// numericMods refuses parameters of numeric that PostgreSQL does not take.
func numericMods(t *pg_query.TypeName) error {
	mods := plainMods(t)
	switch {
	case len(mods) > 2:
		return fail(codeInvalidParameter, "invalid NUMERIC type modifier")
	case len(mods) > 0 && (mods[0] < 1 || mods[0] > 1000):
		return fail(codeInvalidParameter, "NUMERIC precision %d must be between 1 and 1000", mods[0])
	case len(mods) > 1 && (mods[1] < -1000 || mods[1] > 1000):
		return fail(codeInvalidParameter, "NUMERIC scale %d must be between -1000 and 1000", mods[1])
	}
	return nil
}

// quoteName writes a name so that SQL reads it back.
func quoteName(name string) string {
	for i, r := range name {
		if !(r >= 'a' && r <= 'z' || r == '_' || i > 0 && (r >= '0' && r <= '9' || r == '$')) {
			return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		}
	}
	return name
}

// duckColumnType is the type of a column in DuckDB.
func duckColumnType(c *tables.Column) string { return c.Type.DuckDB() }

// typeNode is a column's type as a cast names it; lengths and precisions are left out, because an assignment does not cut.
func typeNode(c *tables.Column) *pg_query.TypeName {
	name := c.Base
	if name == "varchar" || name == "bpchar" || pgfunc.KeptAsText(name) != 0 {
		name = "text"
	}
	if ofDimensions(c) {
		name, c = "text", &tables.Column{}
	}
	parsed, err := pg_query.Parse("SELECT NULL::" + castName(name, c))
	if err != nil {
		return &pg_query.TypeName{Names: []*pg_query.Node{pg_query.MakeStrNode("text")}, Typemod: -1}
	}
	return parsed.Stmts[0].Stmt.GetSelectStmt().TargetList[0].GetResTarget().Val.GetTypeCast().TypeName
}

func castName(name string, c *tables.Column) string {
	if name == "numeric" && !strings.HasPrefix(c.Declared, "numeric[") && c.Declared != "numeric" {
		return c.Declared
	}
	if strings.HasSuffix(c.Declared, "[]") {
		return name + "[]"
	}
	return name
}

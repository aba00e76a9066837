package engine

import (
	"fmt"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
	"github.com/tilehouse/tilehouse/sqlplan/rewrite"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// declaredType is the type of a column's values as clients see it: that of the column's declaration. Decimals say their own.
func declaredType(c *tables.Column) vector.Type {
	t, elem := c.Type, c.Type
	if t.Kind == vector.List {
		elem = t.Elem[0]
	}
	if c.Base == "" || elem.Kind == vector.Decimal && !ofDimensions(c) {
		return t
	}
	d := ordinaryColumn(*c)
	if d.Type == codec.OID(t) && d.Mod < 0 {
		return t
	}
	t = codec.ShownAs(t, d.Type)
	t.Shown, t.Mod = d.Type, d.Mod+1
	return t
}

// ofDimensions reports whether a column holds arrays of any dimensions, as text.
func ofDimensions(c *tables.Column) bool {
	return c.Type.Kind == vector.Text && strings.HasSuffix(c.Declared, "[]")
}

// declaredColumns are the columns of an ordinary relation as package analyze takes them.
func declaredColumns(o *tables.Object) []analyze.Column {
	out := make([]analyze.Column, len(o.Columns))
	for i := range o.Columns {
		c := &o.Columns[i]
		out[i] = analyze.Column{Name: c.Name, Type: declaredType(c), Raw: c.Base == "jsonb" && !c.Canonical, Origin: analyze.Origin{Table: ordinaryOID(o.ID), Number: int16(i + 1)}}
	}
	return out
}

// storedFunction makes of a value what a column stores; its first argument is what storedBy says. Statements of users cannot call it
// (changeableNames).
const storedFunction = reservedPrefix + "stored"

// storedBy says what makes of a value what a column stores, where that takes a function of ours; "" else.
func storedBy(c *tables.Column) string {
	list := c.Type.Kind == vector.List
	switch {
	case ofDimensions(c):
		return "dimensions " + c.Base
	case c.Canonical:
		return "jsonb"
	case pgfunc.KeptAsText(c.Base) != 0 && list:
		return "_" + c.Base
	case pgfunc.KeptAsText(c.Base) != 0 && (c.Length > 0 || c.Precision != nil):
		n := c.Length
		if c.Precision != nil {
			n = *c.Precision
		}
		return fmt.Sprintf("%s %d", c.Base, n)
	case pgfunc.KeptAsText(c.Base) != 0:
		return c.Base
	case list:
		return ""
	case c.Base == "time" && c.Precision != nil:
		return fmt.Sprintf("time %d", *c.Precision)
	case c.Base == "interval" && c.Modifier != 0:
		return fmt.Sprintf("interval %d", c.Modifier-1)
	}
	return ""
}

// stored is the body of storedFunction for what storedBy says.
func (b *binder) stored(what *pg_query.Node) (*rewrite.Function, error) {
	base, mod, limited := strings.Cut(what.GetAConst().GetSval().GetSval(), " ")
	var body string
	settings := duck.QuoteLiteral(pgfunc.SettingsText(b.s.codecSettings())) + "::text"
	switch base {
	case "dimensions":
		body = fmt.Sprintf("__dims_in(%s, '%s', $2::text)", settings, mod)
	case "jsonb":
		body = fmt.Sprintf("%s($2::json::text)::json", pgfunc.Find("cast(json as jsonb)").Name)
	case "time":
		body = fmt.Sprintf("__round_time($2, %s)", mod)
	case "interval":
		body = fmt.Sprintf("__interval_mod($2, %s)", mod)
	default:
		fn := pgfunc.Find("cast(text as " + base + ")")
		if elem, list := strings.CutPrefix(base, "_"); list {
			body = fmt.Sprintf("__canonical('%d ' || %s, $2::text[])", pgfunc.KeptAsText(elem), settings)
			break
		}
		if fn == nil {
			body = "$2::text"
			break
		}
		body = fmt.Sprintf("%s(%s, $2::text)", fn.Name, settings)
		if limited {
			body = fmt.Sprintf("__%s(%s, %s)", base, body, mod)
		}
	}
	return &rewrite.Function{Name: storedFunction, Args: make([]string, 2), Body: expression(body)}, nil
}

// copiedAsText reports whether COPY takes a column's values as texts that are not looked at: those of ranges, addresses and their kin, and
// arrays of any dimensions.
func copiedAsText(c *tables.Column) bool {
	return ofDimensions(c) || pgfunc.KeptAsText(c.Base) != 0 && c.Type.Kind == vector.Text
}

// canonicalRows makes such texts what their types' input functions make of them. Errors: those of the input functions.
func (s *Session) canonicalRows(ch *vector.Chunk, columns []session.Column) error {
	for k, v := range ch.Cols {
		oid := columns[k].Type.Shown
		if columns[k].Type.Kind != vector.Text || oid == 0 || oid == codec.OIDNumeric {
			continue
		}
		out := vector.New(v.Type, v.N)
		for i := range v.N {
			if v.IsNull(i) {
				out.AppendNull()
				continue
			}
			if codec.IsArray(oid) {
				text, err := pgfunc.ArrayText(oid, string(v.Bytes(i)), s.codecSettings())
				if err != nil {
					return err
				}
				out.AppendString(text)
				continue
			}
			x, err := pgfunc.In(oid, -1, string(v.Bytes(i)), s.codecSettings())
			if err != nil {
				return err
			}
			out.AppendFrom(x, 0)
		}
		ch.Cols[k] = out
	}
	return nil
}

package engine

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
)

// codecSettings are what reading and printing text depends on in s.
func (s *Session) codecSettings() *codec.Settings { return &s.codecs }

// parseText reads a literal as a value of t.
func (s *Session) parseText(t vector.Type, text string) (*vector.Vector, error) {
	return codec.ParseText(t, text, s.codecSettings())
}

// parseTime reads a timestamptz literal, in microseconds.
func parseTime(text string, zone *time.Location) (int64, error) {
	v, err := codec.ParseText(vector.T(vector.TimestampTZ), text, &codec.Settings{Zone: zone})
	if err != nil {
		return 0, err
	}
	return v.I64[0], nil
}

// parseSize reads a number of bytes: 65536, 64KiB.
func parseSize(text string) (int, error) {
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > 1<<30 {
		return 0, fail(codeInvalidParameter, "%q is no size from 1 byte to 1 GiB", text)
	}
	return int(n), nil
}

// constantText is the text of a literal, with its sign; null for NULL.
func constantText(n *pg_query.Node) (text string, null, ok bool) {
	n = uncast(n)
	if e := n.GetAExpr(); e != nil && e.Lexpr == nil && operator(e) == "-" {
		t, _, ok := constantText(e.Rexpr)
		return "-" + t, false, ok
	}
	c := n.GetAConst()
	switch {
	case c == nil:
		return "", false, false
	case c.Isnull:
		return "", true, true
	case c.GetSval() != nil:
		return c.GetSval().Sval, false, true
	case c.GetFval() != nil:
		return c.GetFval().Fval, false, true
	case c.GetBoolval() != nil:
		return strconv.FormatBool(c.GetBoolval().Boolval), false, true
	case c.GetIval() != nil:
		return strconv.Itoa(int(c.GetIval().Ival)), false, true
	}
	return "", false, false
}

// appendConstant appends a literal to v, read as a value of its type; ok is false where n is no literal.
func (s *Session) appendConstant(v *vector.Vector, n *pg_query.Node) (ok bool, err error) {
	text, null, ok := constantText(n)
	if !ok {
		return false, nil
	}
	if null {
		v.AppendNull()
		return true, nil
	}
	return true, codec.AppendParsed(v, []byte(text), s.codecSettings())
}

// listLiteral is an ARRAY[…] of literals, for a column of lists, as the literal it is written as; n where it is none.
func listLiteral(t vector.Type, n *pg_query.Node) *pg_query.Node {
	if t.Kind != vector.List {
		return n
	}
	if text, ok := listText(n); ok {
		return pg_query.MakeAConstStrNode(text, int32(nodeLocation(n)))
	}
	return n
}

func listText(n *pg_query.Node) (string, bool) {
	a := n.GetAArrayExpr()
	if a == nil {
		return "", false
	}
	items := make([]string, len(a.Elements))
	for i, e := range a.Elements {
		if e.GetTypeCast() != nil { // which may change the value
			return "", false
		}
		if inner, ok := listText(e); ok {
			items[i] = inner
			continue
		}
		text, null, ok := constantText(e)
		switch {
		case !ok:
			return "", false
		case null:
			items[i] = "NULL"
		default:
			items[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
		}
	}
	return "{" + strings.Join(items, ",") + "}", true
}

// constantOf is a literal argument of an aggregate as functions.Definition.Bind takes constants, "" where the argument is none.
func constantOf(n *pg_query.Node) string {
	n = uncast(n)
	if a := n.GetAArrayExpr(); a != nil {
		items := make([]string, len(a.Elements))
		for i, e := range a.Elements {
			if items[i] = constantOf(e); items[i] == "" || strings.ContainsAny(items[i], "{},") {
				return ""
			}
		}
		return "{" + strings.Join(items, ",") + "}"
	}
	c := n.GetAConst()
	switch {
	case c == nil || c.Isnull:
	case c.GetIval() != nil:
		return strconv.Itoa(int(c.GetIval().Ival))
	case c.GetFval() != nil:
		return c.GetFval().Fval
	case c.GetSval() != nil:
		return strings.ReplaceAll(c.GetSval().Sval, " ", "")
	}
	return ""
}

// isArrayConstant reports whether a constant argument is an array: DuckDB need not, and cannot always, say its type.
func isArrayConstant(n *pg_query.Node) bool { return strings.HasPrefix(constantOf(n), "{") }

// nodeLocation is the byte offset of a node in its statement, -1 where it has none.
func nodeLocation(n *pg_query.Node) int {
	loc := -1
	parse.Walk(n, func(m proto.Message) bool {
		fd := m.ProtoReflect().Descriptor().Fields().ByName("location")
		if fd != nil {
			if l := int(m.ProtoReflect().Get(fd).Int()); l > 0 && (loc < 0 || l < loc) {
				loc = l
			}
		}
		return true
	})
	return loc
}

// formatTime prints microseconds as messages and EXPLAIN do: UTC, with as many digits as needed.
func formatTime(micros int64) string {
	v := vector.New(vector.T(vector.TimestampTZ), 1)
	v.AppendInt(micros)
	return string(codec.AppendText(nil, v, 0, codec.Defaults))
}

func formatMicros(d int64) string {
	return fmt.Sprint(time.Duration(d) * time.Microsecond)
}

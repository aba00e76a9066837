package parse

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Each file of testdata holds texts and what they are: "parse" one statement, "split" a text, "duration" and "canonical"
// one line each.
func TestGolden(t *testing.T) {
	datadriven.Walk(t, "testdata/golden", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "parse":
				s, err := Parse(d.Input)
				if err != nil {
					return printError(err)
				}
				checkPositions(t, d.Input, s)
				return printStatement(s)
			case "split":
				f, err := Split(d.Input)
				if err != nil {
					return printError(err)
				}
				var b strings.Builder
				for _, f := range f {
					fmt.Fprintf(&b, "%d: %q\n", f.Offset, f.SQL)
					if d.Input[f.Offset:f.Offset+len(f.SQL)] != f.SQL {
						t.Errorf("fragment %q is not at %d", f.SQL, f.Offset)
					}
				}
				return b.String()
			case "duration":
				var b strings.Builder
				for line := range strings.SplitSeq(d.Input, "\n") {
					n, err := ParseDuration(line)
					if err != nil {
						fmt.Fprintf(&b, "%s => %s", line, printError(err))
					} else {
						fmt.Fprintf(&b, "%s => %d\n", line, n)
					}
				}
				return b.String()
			case "canonical":
				var b strings.Builder
				for line := range strings.SplitSeq(d.Input, "\n") {
					n, err := parseExpr(line, 0, len(line))
					if err != nil {
						t.Fatal(err)
					}
					c, err := Canonical(n, "p")
					fmt.Fprintf(&b, "%s => %s %v\n", line, c, err)
				}
				return b.String()
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

// checkPositions holds the first invariant of the package: blanking moves nothing.
func checkPositions(t *testing.T, text string, s Statement) {
	t.Helper()
	if s, ok := s.(*SQL); ok && (len(s.Plain) != len(text) || s.Text != text) {
		t.Errorf("%d bytes of text, %d of the plain one", len(text), len(s.Plain))
	}
}

func printError(err error) string {
	e := err.(*Error)
	s := fmt.Sprintf("%s at %d: %s\n", e.Code, e.Position, e.Message)
	if e.Hint != "" {
		s += "HINT: " + e.Hint + "\n"
	}
	return s
}

func printStatement(s Statement) string {
	if s == nil {
		return "nil\n"
	}
	var b strings.Builder
	b.WriteString(reflect.TypeOf(s).Elem().Name() + "\n")
	printFields(&b, "  ", reflect.ValueOf(s).Elem())
	return b.String()
}

func printFields(b *strings.Builder, in string, v reflect.Value) {
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		if f.IsZero() || name == "Text" && v.Type().Name() != "Expr" && v.Type().Name() != "Comment" && v.Type().Name() != "SystemTime" {
			continue
		}
		if name == "Plain" && v.Type().Name() == "SQL" {
			continue
		}
		printValue(b, in, name, f)
	}
}

func printValue(b *strings.Builder, in, name string, f reflect.Value) {
	switch x := f.Interface().(type) {
	case *pg_query.Node:
		if x != nil {
			s, err := Deparse(x)
			if err != nil {
				s = fmt.Sprintf("(%s)", reflect.TypeOf(x.Node).Elem().Name())
			}
			fmt.Fprintf(b, "%s%s: %s\n", in, name, s)
		}
		return
	case *pg_query.JoinExpr:
		s, _ := Deparse(x.Rarg)
		fmt.Fprintf(b, "%s%s: to %s\n", in, name, s)
		return
	case *pg_query.SelectStmt:
		s, _ := Deparse(&pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: x}})
		fmt.Fprintf(b, "%s%s: %s\n", in, name, s)
		return
	case *pg_query.RangeVar:
		fmt.Fprintf(b, "%s%s: %s at %d\n", in, name, x.Relname, x.Location)
		return
	case *pg_query.RangeTableSample, *pg_query.TypeName:
		return
	case vector.Type:
		fmt.Fprintf(b, "%s%s: %s\n", in, name, x)
		return
	case Options:
		for _, k := range slices.Sorted(maps.Keys(x)) {
			fmt.Fprintf(b, "%s%s %s = %s %q at %d,%d\n", in, name, k, x[k].Kind, x[k].Value, x[k].Position, x[k].ValuePosition)
		}
		return
	case Name:
		fmt.Fprintf(b, "%s%s: %s at %d\n", in, name, x, x.Position)
		return
	case fmt.Stringer:
		fmt.Fprintf(b, "%s%s: %s\n", in, name, x)
		return
	}
	switch f.Kind() {
	case reflect.Struct:
		fmt.Fprintf(b, "%s%s\n", in, name)
		printFields(b, in+"  ", f)
	case reflect.Pointer, reflect.Interface:
		if f.Elem().Kind() == reflect.Pointer {
			f = f.Elem()
		}
		if f.Elem().Kind() == reflect.Struct {
			name += " " + f.Elem().Type().Name()
		}
		printValue(b, in, name, f.Elem())
	case reflect.Slice:
		for i := range f.Len() {
			printValue(b, in, fmt.Sprintf("%s[%d]", name, i), f.Index(i))
		}
	default:
		fmt.Fprintf(b, "%s%s: %v\n", in, name, f.Interface())
	}
}

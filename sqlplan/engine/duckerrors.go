package engine

import (
	"regexp"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// wording says some of DuckDB's messages as PostgreSQL does. The first pattern that matches decides.
var wording = []struct {
	pattern *regexp.Regexp
	text    string
	noHint  bool // DuckDB's advice names objects of its own
}{
	{regexp.MustCompile(`^(?:Values list|Table) "([^"]+)" does not have a column named "([^"]+)"$`), `column $1.$2 does not exist`, false},
	{regexp.MustCompile(`^Referenced column "([^"]+)" not found in FROM clause!?$`), `column "$1" does not exist`, false},
	{regexp.MustCompile(`^Referenced column "([^"]+)" was not found because the FROM clause is missing$`), `column "$1" does not exist`, true},
	{regexp.MustCompile(`^Referenced update column (\S+) not found in table!?$`), `column "$1" does not exist`, false},
	{regexp.MustCompile(`^Referenced table "([^"]+)" not found!?$`), `missing FROM-clause entry for table "$1"`, false},
	{regexp.MustCompile(`^(?:Table|View) with name (.+) does not exist!$`), `relation "$1" does not exist`, true},
	{regexp.MustCompile(`^(?:Table|View) with name "(.+)" already exists!$`), `relation "$1" already exists`, true},
	{regexp.MustCompile(`^(?:Scalar|Table|Aggregate|Macro|Table Macro|Pragma) Function with name (.+) does not exist!$`), `function $1 does not exist`, true},
	{regexp.MustCompile(`^column "([^"]+)" must appear in the GROUP BY clause or must be part of an aggregate function\.?$`), `column "$1" must appear in the GROUP BY clause or be used in an aggregate function`, true},
}

// duckError is an error of DuckDB's as clients see it.
func duckError(e *duck.Error) *session.Error {
	out := &session.Error{Code: e.SQLState, Message: e.Message, Hint: e.Hint}
	for _, w := range wording {
		if m := w.pattern.FindStringSubmatchIndex(e.Message); m != nil {
			out.Message = string(w.pattern.ExpandString(nil, w.text, e.Message, m))
			if w.noHint {
				out.Hint = ""
			}
			break
		}
	}
	return out
}

// missing finds the name in messages about something that is not there, or is there twice.
var missing = regexp.MustCompile(`^(column|relation|function|missing FROM-clause entry for table) (?:"([^"]+)"|(\S+)) ?`)

// locate gives an error that names a column, relation or function, and has no place, the place of the first such name in the
// statement: DuckDB's own places are in the SQL that it was given.
func locate(err *session.Error, sql string) *session.Error {
	if err == nil || err.Position > 0 {
		return err
	}
	m := missing.FindStringSubmatch(err.Message)
	if m == nil {
		return err
	}
	st, perr := parse.Parse(sql) // anew: binding rewrites the tree
	if perr != nil {
		return err
	}
	node := statementTree(st)
	if node == nil {
		return err
	}
	name := strings.ToLower(m[2] + m[3])
	place := -1
	keep := func(at int32) { // the tree is walked in no order: the first place is the least
		if place < 0 || int(at) < place {
			place = int(at)
		}
	}
	found := func(fields []*pg_query.Node, at int32, match func(full string) bool) {
		parts := make([]string, len(fields))
		for i, f := range fields {
			parts[i] = f.GetString_().GetSval()
		}
		if match(strings.ToLower(strings.Join(parts, "."))) {
			keep(at)
		}
	}
	suffix := func(full string) bool { return full == name || strings.HasSuffix(full, "."+name) }
	parse.Walk(node, func(n proto.Message) bool {
		switch n := n.(type) {
		case *pg_query.ColumnRef:
			switch m[1] {
			case "column":
				found(n.Fields, n.Location, suffix)
			case "missing FROM-clause entry for table":
				found(n.Fields, n.Location, func(full string) bool { return strings.HasPrefix(full, name+".") })
			}
		case *pg_query.RangeVar:
			if m[1] == "relation" && strings.ToLower(n.Relname) == name {
				keep(n.Location)
			}
		case *pg_query.FuncCall:
			if m[1] == "function" {
				found(n.Funcname, n.Location, suffix)
			}
		case *pg_query.ResTarget: // the target of UPDATE and INSERT
			if m[1] == "column" && strings.ToLower(n.Name) == name && n.Val.GetColumnRef() == nil {
				keep(n.Location)
			}
		}
		return true
	})
	if place < 0 {
		return err
	}
	return at(err, sql, place)
}

// statementTree is PostgreSQL's tree of a statement that is one of its own, nil for the others.
func statementTree(st parse.Statement) *pg_query.Node {
	switch st := st.(type) {
	case *parse.SQL:
		return st.Node
	case *parse.Explain:
		return statementTree(st.Inner)
	}
	return nil
}

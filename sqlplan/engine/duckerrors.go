package engine

import (
	"fmt"
	"regexp"
	"strconv"
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
	{regexp.MustCompile(`^Table "([^"]+)" does not have a column with name "([^"]+)"$`), `column "$2" of relation "$1" does not exist`, false},
	{regexp.MustCompile(`^NOT NULL constraint failed: (\w+)\.(\w+)$`), `null value in column "$2" of relation "$1" violates not-null constraint`, true},
	{regexp.MustCompile(`^No magic bytes found at end of file '(.*)'$`), `file "$1" is no whole Parquet file: it has no end`, false},
	{regexp.MustCompile(`^Referenced table "([^"]+)" not found!?$`), `missing FROM-clause entry for table "$1"`, false},
	{regexp.MustCompile(`^(?:Table|View) with name (.+) does not exist!$`), `relation "$1" does not exist`, true},
	{regexp.MustCompile(`^(?:Table|View) with name "(.+)" already exists!$`), `relation "$1" already exists`, true},
	{regexp.MustCompile(`^(?:Scalar|Table|Aggregate|Macro|Table Macro|Pragma) Function with name (.+) does not exist!$`), `function $1 does not exist`, true},
	{regexp.MustCompile(`^(?:Overflow in \w+ of INT16 .*|.*to type INT16|.*destination type INT16.*)$`), `smallint out of range`, true},
	{regexp.MustCompile(`^(?:Overflow in \w+ of INT32 .*|.*to type INT32|.*destination type INT32.*)$`), `integer out of range`, true},
	{regexp.MustCompile(`^(?:Overflow in \w+ of INT64 .*|.*to type INT64|.*destination type INT64.*)$`), `bigint out of range`, true},
	{regexp.MustCompile(`^Type with name "?([^"]+?)"? does not exist!?$`), `type "$1" does not exist`, true},
	{regexp.MustCompile(`^(?:Could not cast value \S+ to DECIMAL\((\d+),(\d+)\)|Casting value "[^"]*" to type DECIMAL\((\d+),(\d+)\) failed: value is out of range!)`), `numeric field overflow`, true},
	{regexp.MustCompile(`^Ambiguous reference to column name "([^"]+)"`), `column reference "$1" is ambiguous`, true},
	{regexp.MustCompile(`^Could not convert string '(.*)' to (\w+)(?: when casting from source column .*)?$`), `invalid input syntax for type $2: "$1"`, true},
	{regexp.MustCompile(`^More than one row returned by a subquery`), `more than one row returned by a subquery used as an expression`, true},
	{regexp.MustCompile(`^Duplicate key "(.*)" violates primary key constraint\.?`), `duplicate key value violates the primary key: $1`, true},
	{regexp.MustCompile(`^Duplicate key "(.*)" violates unique constraint\.?`), `duplicate key value violates a unique constraint: $1`, true},
	{regexp.MustCompile(`^column "([^"]+)" must appear in the GROUP BY clause or must be part of an aggregate function\.?$`), `column "$1" must appear in the GROUP BY clause or be used in an aggregate function`, true},
}

// raised is an error that SQL of this program's own raises: its SQLSTATE and message.
var raised = regexp.MustCompile(`^tilehouse ([0-9A-Z]{5}): (.*)$`)

const noMatch = "No function matches the given name and argument types"

var postgresTypes = strings.NewReplacer("DECIMAL", "numeric", "VARCHAR", "text", "SMALLINT", "smallint", "INTEGER", "integer", "BIGINT", "bigint",
	"DOUBLE", "double precision", "FLOAT", "real", "BOOLEAN", "boolean", "TIMESTAMP WITH TIME ZONE", "timestamptz", "TIMESTAMP", "timestamp", "DATE", "date")

// duckError is an error of DuckDB's as clients see it.
func duckError(e *duck.Error) *session.Error {
	if m := raised.FindStringSubmatch(e.Message); m != nil {
		return &session.Error{Code: m[1], Message: m[2]}
	}
	out := &session.Error{Code: e.SQLState, Message: e.Message, Detail: e.Detail, Hint: e.Hint}
	for _, w := range wording {
		if m := w.pattern.FindStringSubmatchIndex(e.Message); m != nil {
			out.Message = string(w.pattern.ExpandString(nil, w.text, e.Message, m))
			if w.noHint {
				out.Hint = ""
			}
			break
		}
	}
	if strings.HasSuffix(out.Message, "t out of range") || strings.HasSuffix(out.Message, "integer out of range") {
		out.Code = codeOutOfRange
	}
	switch {
	case out.Message == "numeric field overflow" && out.Detail == "":
		out.Detail = overflowDetail(e.Message)
	case strings.HasPrefix(out.Message, "column ") && strings.HasSuffix(out.Message, " does not exist"):
		out.Code = codeUndefinedColumn
	case strings.HasSuffix(out.Message, "is no whole Parquet file: it has no end"):
		out.Hint = "It was cut off, or is still being written: write under another name and rename it when it is whole."
	case strings.HasSuffix(out.Message, "file system operations are disabled by configuration"):
		out.Hint = "Files are read as sources: CREATE SOURCE s WITH (connector = 'file', path = '…'); SELECT … FROM s."
	case strings.HasPrefix(out.Message, noMatch): // the hint lists every overload of +
		out.Hint = "No function or operator of that name takes these types. Add explicit type casts."
		out.Message = postgresTypes.Replace(out.Message)
	}
	return out
}

var decimalType = regexp.MustCompile(`DECIMAL\((\d+),(\d+)\)`)

// overflowDetail is PostgreSQL's detail of a number that is too large for the decimal type that a message of DuckDB's names.
func overflowDetail(message string) string {
	m := decimalType.FindStringSubmatch(message)
	if m == nil {
		return ""
	}
	precision, _ := strconv.Atoi(m[1]) // they are digits
	scale, _ := strconv.Atoi(m[2])
	bound := "1"
	if precision > scale {
		bound = fmt.Sprintf("10^%d", precision-scale)
	}
	return fmt.Sprintf("A field with precision %d, scale %d must round to an absolute value less than %s.", precision, scale, bound)
}

const missingFrom = "missing FROM-clause entry for table"

// missing finds the name in messages about something that is not there, or is there twice.
var missing = regexp.MustCompile(`^(column|relation|function|type|` + missingFrom + `) (?:"([^"]+)"|(\S+)) ?`)

// locate gives an error that names a column, relation or function, and has no place, the place of the first such name in the
// statement: DuckDB's own places are in the SQL that it was given.
func locate(err *session.Error, sql string) *session.Error {
	if err != nil && err.Position == noPlace {
		err.Position = 0
	} else if err != nil && err.Position == 0 && missing.MatchString(err.Message) {
		return located(err, sql)
	}
	return err
}

// noPlace is the position of an error that PostgreSQL gives no place although it names something.
const noPlace = -1

// withoutPlace keeps an error that has no place without one.
func withoutPlace(err error) error {
	e := asError(err)
	if e != nil && e.Position == 0 {
		e.Position = noPlace
	}
	return asErrorOrNil(err)
}

// located gives an error the place of the first mention of what it misses.
func located(err *session.Error, sql string) *session.Error {
	st, perr := parse.Parse(sql) // anew: binding rewrites the tree
	if perr != nil {
		return err
	}
	if node := statementTree(st); node != nil {
		return at(err, sql, mention(node, err))
	}
	return err
}

// placeIn is the place of the name that err misses in an expression, or the expression's.
func placeIn(e parse.Expr, err *session.Error) int {
	if p := mention(e.Node, err); p > 0 {
		return p
	}
	return e.Position
}

// mention is the byte offset of the first mention in a tree of the name that err misses, -1 where there is none.
func mention(node *pg_query.Node, err *session.Error) int {
	m := missing.FindStringSubmatch(err.Message)
	if m == nil {
		return -1
	}
	kind, name := m[1], strings.ToLower(m[2]+m[3])
	place := -1
	keep := func(at int32, ok bool) { // the tree is walked in no order: the first place is the least
		if ok && (place < 0 || int(at) < place) {
			place = int(at)
		}
	}
	dotted := func(fields []*pg_query.Node) string {
		parts := make([]string, len(fields))
		for i, f := range fields {
			parts[i] = f.GetString_().GetSval()
		}
		return strings.ToLower(strings.Join(parts, "."))
	}
	named := func(full string) bool { return full == name || strings.HasSuffix(full, "."+name) }
	parse.Walk(node, func(n proto.Message) bool {
		switch n := n.(type) {
		case *pg_query.ColumnRef:
			full := dotted(n.Fields)
			keep(n.Location, kind == "column" && named(full) || kind == missingFrom && strings.HasPrefix(full, name+"."))
		case *pg_query.RangeVar:
			keep(n.Location, kind == "relation" && strings.ToLower(n.Relname) == name)
		case *pg_query.TypeName:
			keep(n.Location, kind == "type" && named(dotted(n.Names)))
		case *pg_query.FuncCall:
			keep(n.Location, kind == "function" && named(dotted(n.Funcname)))
		case *pg_query.ResTarget: // the target of UPDATE and INSERT
			keep(n.Location, kind == "column" && strings.ToLower(n.Name) == name && n.Val.GetColumnRef() == nil)
		}
		return true
	})
	return place
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

package rewrite

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// shortText is the longest literal, in bytes, that a replacement may be without a bound on what it makes.
const shortText = 16

// bounded: repeat('x', 2000000000) and its kin make a text in one step that nothing interrupts and no limit counts. Their length
// goes through duck.FitsFunction, which refuses a batch of rows that would be too large.
func bounded(_ *context, m proto.Message) error {
	f, ok := m.(*pg_query.FuncCall)
	if !ok || len(f.Funcname) == 0 {
		return nil
	}
	name := f.Funcname[len(f.Funcname)-1].GetString_().GetSval()
	switch {
	case name == "repeat" && len(f.Args) == 2: // of each byte n
		f.Args[1] = call(duck.FitsFunction, bigint(f.Args[1]), double(length(f.Args[0])))
		return volatileTwice(f, name, f.Args[0])
	case (name == "lpad" || name == "rpad") && len(f.Args) >= 2: // a character is 4 bytes at most
		f.Args[1] = cast(call(duck.FitsFunction, bigint(f.Args[1]), double(pg_query.MakeAConstIntNode(4, 0))), typeName("int4"))
		return nil
	case (name == "replace" || name == "regexp_replace") && len(f.Args) >= 3: // for each byte, the replacement at most
		if s, ok := stringConst(f.Args[2]); ok && len(s) <= shortText {
			return nil
		}
		f.Args[2] = call(duck.FitsTextFunction, cast(copyOf(f.Args[2]), typeName("text")), double(length(f.Args[0])))
		return volatileTwice(f, name, f.Args[0])
	}
	return nil
}

// volatileTwice refuses a text whose length would be asked of one value, and which would be another when it is used.
func volatileTwice(f *pg_query.FuncCall, name string, text *pg_query.Node) error {
	if v := parse.Volatile(text); v != "" {
		return located(f, "0A000", v+" is volatile, and "+name+" cannot tell how long it makes a text", "Compute it in a subquery first.")
	}
	return nil
}

func bigint(n *pg_query.Node) *pg_query.Node { return cast(copyOf(n), typeName("int8")) }
func double(n *pg_query.Node) *pg_query.Node { return cast(copyOf(n), typeName("float8")) }
func length(n *pg_query.Node) *pg_query.Node {
	return call("strlen", cast(copyOf(n), typeName("text")))
}

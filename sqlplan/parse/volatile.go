package parse

import (
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
)

// volatileFunctions give a value that a row does not determine: clocks, chance, sequences, the session.
var volatileFunctions = wordSet(`now clock_timestamp statement_timestamp transaction_timestamp timeofday getdate today get_current_timestamp
	get_current_time random __random setseed __setseed random_normal gen_random_uuid uuid uuid_generate_v1 uuid_generate_v4 uuidv4 uuidv7
	gen_random_bytes nextval currval lastval setval pg_sleep pg_sleep_for pg_sleep_until txid_current pg_current_xact_id
	current_setting set_config current_database current_schema current_schemas current_query pg_backend_pid version
	inet_client_addr inet_server_addr pg_postmaster_start_time pg_read_file pg_read_binary_file`)

// deterministic refuses volatile functions below n: a stored definition must give the same value whenever it is evaluated.
func deterministic(n *pg_query.Node) error {
	if name, at := volatile(n); name != "" {
		return faultAt(at, codeDefinition, "use the event time column; a feature is read as of a time",
			"%s is volatile: the expressions of a definition must be deterministic", name)
	}
	return nil
}

// Volatile is the first volatile function or literal in an expression, as it is written; "" where there is none.
func Volatile(n *pg_query.Node) string {
	name, _ := volatile(n)
	return name
}

func volatile(n *pg_query.Node) (found string, offset int) {
	eachVolatile(n, func(at int, name string) bool {
		found, offset = name, at
		return false
	})
	return found, offset
}

// Volatiles are all volatile functions and literals in an expression or statement, as Volatile writes them.
func Volatiles(n *pg_query.Node) (names []string) {
	eachVolatile(n, func(_ int, name string) bool {
		names = append(names, name)
		return true
	})
	return names
}

// eachVolatile calls f on what is volatile below n, until it returns false.
func eachVolatile(n *pg_query.Node, f func(offset int, name string) bool) {
	more := true
	refuse := func(at int, name string) { more = more && f(at, name) }
	Walk(n, func(m proto.Message) bool {
		if !more {
			return false
		}
		switch n := m.(type) {
		case *pg_query.FuncCall:
			if k := len(n.Funcname); k > 0 {
				if name := n.Funcname[k-1].GetString_().GetSval(); volatileFunctions[name] {
					refuse(int(n.Location), strings.TrimPrefix(name, "__")+"()") // functions of ours stand for those of that name
				}
				if name := n.Funcname[k-1].GetString_().GetSval(); name == "age" && len(n.Args) == 1 {
					refuse(int(n.Location), "age() of one argument")
				}
			}
		case *pg_query.SQLValueFunction:
			refuse(int(n.Location), sqlValueName(n.Op))
		case *pg_query.TypeCast:
			if s := n.Arg.GetAConst(); s != nil && isStringConst(s) && isTimeType(n.TypeName) && relativeTimes[lowerASCII(s.GetSval().GetSval())] {
				refuse(int(s.Location), "'"+s.GetSval().GetSval()+"'")
			}
		}
		return more
	})
}

// relativeTimes are the literals of dates and times that mean the clock.
var relativeTimes = wordSet("now today tomorrow yesterday")

func isTimeType(t *pg_query.TypeName) bool {
	if len(t.GetNames()) == 0 {
		return false
	}
	switch t.Names[len(t.Names)-1].GetString_().GetSval() {
	case "date", "time", "timetz", "timestamp", "timestamptz":
		return true
	}
	return false
}

func sqlValueName(op pg_query.SQLValueFunctionOp) string {
	switch op {
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_DATE:
		return "CURRENT_DATE"
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIME, pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIME_N:
		return "CURRENT_TIME"
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP, pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP_N:
		return "CURRENT_TIMESTAMP"
	case pg_query.SQLValueFunctionOp_SVFOP_LOCALTIME, pg_query.SQLValueFunctionOp_SVFOP_LOCALTIME_N:
		return "LOCALTIME"
	case pg_query.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP, pg_query.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP_N:
		return "LOCALTIMESTAMP"
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_ROLE:
		return "CURRENT_ROLE"
	case pg_query.SQLValueFunctionOp_SVFOP_USER:
		return "USER"
	case pg_query.SQLValueFunctionOp_SVFOP_SESSION_USER:
		return "SESSION_USER"
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_CATALOG:
		return "CURRENT_CATALOG"
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_SCHEMA:
		return "CURRENT_SCHEMA"
	}
	return "CURRENT_USER"
}

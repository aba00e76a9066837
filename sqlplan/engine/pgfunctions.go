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
	"github.com/tilehouse/tilehouse/sqlplan/rewrite"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// expression parses an expression of this program's own.
func expression(sql string) *pg_query.Node {
	parsed, err := pg_query.Parse("SELECT " + sql)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", sql, err)) // every body is parsed by the first statement that calls a function
	}
	return parsed.Stmts[0].Stmt.GetSelectStmt().TargetList[0].GetResTarget().Val
}

// raiseFunction ends a statement with the error that its argument says. Statements of users cannot call it (changeableNames).
const raiseFunction = reservedPrefix + "raise"

// function finds a function of the user's own, of PostgreSQL's catalogs, or of the session.
func (b *binder) function(space, name string, args []*pg_query.Node, inFrom bool) (*rewrite.Function, error) {
	if own := functionsOf(b.cat); own != nil && space != "information_schema" {
		if f, err := own(space, name, args, inFrom); f != nil || err != nil {
			b.varies = true
			return f, err
		}
	}
	if space == "public" {
		return nil, nil
	}
	if name == raiseFunction && len(args) == 1 {
		return &rewrite.Function{Name: name, Args: make([]string, 1), Body: expression("error($1)")}, nil
	}
	if name == storedFunction && len(args) == 2 {
		b.passing = true
		return b.stored(args[0])
	}
	out := &rewrite.Function{Name: name, Args: make([]string, len(args))}
	if body, ok, err := b.sequenceFunction(name, args); ok || err != nil {
		b.passing = true
		if err == nil {
			out.Body = expression(body)
		}
		return out, err
	}
	if f, err := b.systemFunction(name, args, inFrom); f != nil || err != nil {
		b.varies = true
		return f, err
	}
	say, ok := sessionFunctions[name]
	if !ok {
		return nil, nil
	}
	b.varies, b.passing = true, true
	body, err := say(b, args)
	if err != nil {
		return nil, &unplaced{asError(err)}
	}
	if body == "" {
		return nil, nil
	}
	out.Body = expression(body)
	return b.numbered(out)
}

// sessionFunctions give what only the session knows, as an expression of PostgreSQL's; "" where the arguments are not theirs. They
// are filled in init, because those that do something run statements, which may call them.
var sessionFunctions map[string]func(b *binder, args []*pg_query.Node) (string, error)

func init() {
	sessionFunctions = map[string]func(b *binder, args []*pg_query.Node) (string, error){
		"version": func(b *binder, args []*pg_query.Node) (string, error) {
			return onlyWithout(args, duck.QuoteLiteral("PostgreSQL "+b.s.Setting("server_version")))
		},
		"pg_backend_pid": func(b *binder, args []*pg_query.Node) (string, error) {
			return onlyWithout(args, fmt.Sprint(int32(b.s.info.PID)))
		},
		"pg_postmaster_start_time": func(b *binder, args []*pg_query.Node) (string, error) {
			return onlyWithout(args, duck.QuoteLiteral(b.s.e.started.UTC().Format("2006-01-02 15:04:05.999999Z07:00"))+"::timestamptz")
		},
		"current_setting": func(b *binder, args []*pg_query.Node) (string, error) {
			if len(args) != 1 && len(args) != 2 {
				return "", nil
			}
			name, _, ok := constantText(args[0])
			if !ok {
				missing := "false"
				if len(args) == 2 {
					missing = "$2"
				}
				return fmt.Sprintf("%s(%s, 'current_setting', ($1)::text, %s)", duck.TextFunction, pgcatalog.SnapshotColumn, missing), nil
			}
			d, err := b.s.findSetting(name)
			if err != nil {
				if len(args) == 2 && args[1].GetAConst().GetBoolval().GetBoolval() {
					return "NULL::text", nil
				}
				return "", err
			}
			return duck.QuoteLiteral(b.s.settingText(d)) + "::text", nil
		},
		"set_config": func(b *binder, args []*pg_query.Node) (string, error) {
			if len(args) != 3 {
				return "", nil
			}
			values, err := b.effectArguments("set_config", args)
			if err != nil || b.describe { // a statement that is only prepared sets nothing
				return "NULL::text", err
			}
			if values[0] == nil {
				return "", fail("22004", "SET requires parameter name")
			}
			local := values[2] != nil && (*values[2] == "true" || *values[2] == "t")
			if values[1] == nil {
				err = b.s.resetSetting(*values[0], local)
			} else if !local || b.s.tx != nil { // SET LOCAL outside of a transaction ends at once
				err = b.s.setSetting(*values[0], *values[1], local)
			}
			if err != nil {
				return "", err
			}
			d, err := b.s.findSetting(*values[0])
			if err != nil { // SET LOCAL of a new name, outside of a transaction
				return duck.QuoteLiteral(*values[1]) + "::text", nil
			}
			return duck.QuoteLiteral(b.s.settingText(d)) + "::text", nil
		},
		"pg_notify": func(b *binder, args []*pg_query.Node) (string, error) {
			if len(args) != 2 {
				return "", nil
			}
			values, err := b.effectArguments("pg_notify", args)
			nothing := "left(concat(($1)::text, ($2)::text), 0)" // the parameters among the arguments are the statement's
			if err != nil || b.describe {
				return nothing, err
			}
			if values[0] == nil {
				return "", fail(codeInvalidParameter, "channel name cannot be empty")
			}
			payload := ""
			if values[1] != nil {
				payload = *values[1]
			}
			if said := *values[0] + "\x00" + payload; !b.said[said] { // a statement may be written more than once
				if b.said == nil {
					b.said = map[string]bool{}
				}
				b.said[said] = true
				return nothing, b.s.notify(*values[0], payload)
			}
			return nothing, nil
		},
		"pg_sleep": func(_ *binder, args []*pg_query.Node) (string, error) {
			if len(args) != 1 {
				return "", nil
			}
			return duck.SleepFunction.Name + "(($1)::float8)", nil
		},
		"pg_sleep_for": func(_ *binder, args []*pg_query.Node) (string, error) {
			if len(args) != 1 {
				return "", nil
			}
			return duck.SleepFunction.Name + "(epoch(($1)::interval))", nil
		},
		"pg_sleep_until": func(_ *binder, args []*pg_query.Node) (string, error) {
			if len(args) != 1 {
				return "", nil
			}
			return duck.SleepFunction.Name + "(epoch(($1)::timestamptz) - epoch(get_current_timestamp()))", nil
		},
		"pg_cancel_backend":    func(b *binder, args []*pg_query.Node) (string, error) { return signalCall(b, args, 1, "cancel") },
		"pg_terminate_backend": func(b *binder, args []*pg_query.Node) (string, error) { return signalCall(b, args, 2, "terminate") },
		"pg_listening_channels": func(b *binder, args []*pg_query.Node) (string, error) {
			return onlyWithout(args, "unnest(ARRAY["+strings.Join(literals(b.s.listeningTo()...), ", ")+"]::text[])")
		},
	}
}

// unplaced is an error of evaluating a function, which has no position in the statement.
type unplaced struct{ err *session.Error }

func (e *unplaced) Error() string { return e.err.Error() }

// signalCall is a call of the function that ends what a session runs; a timeout to wait for that is not waited for.
func signalCall(b *binder, args []*pg_query.Node, most int, function string) (string, error) {
	if len(args) < 1 || len(args) > most {
		return "", nil
	}
	if b.describe { // a statement that is only planned ends nothing
		return "(($1)::integer IS NULL AND NULL::boolean)", nil // which has the parameter
	}
	return fmt.Sprintf("%s(%d, '%s', ($1)::integer::bigint, %d)", duck.BooleanFunction, b.s.e.signals, function, b.s.info.PID), nil
}

// effectArguments are the values of the arguments of a function that does something, as texts; nil: NULL. They are evaluated
// once, before the statement runs, and so must not read its rows.
func (b *binder) effectArguments(name string, args []*pg_query.Node) ([]*string, error) {
	out := make([]*string, len(args))
	for i, a := range args {
		columns := false
		parse.Walk(a, func(m proto.Message) bool {
			_, c := m.(*pg_query.ColumnRef)
			columns = columns || c
			return true
		})
		if columns {
			return nil, hint(fail(codeUnsupported, "%s of a column is not supported", name), "Its arguments are literals, parameters and expressions without columns.")
		}
		if b.describe {
			continue
		}
		if text, null, ok := constantText(a); ok {
			if !null {
				out[i] = &text
			}
			continue
		}
		if p := uncast(a).GetParamRef(); p != nil && int(p.Number) <= len(b.args) {
			if v := b.args[p.Number-1]; !v.IsNull(0) {
				text := string(codec.AppendText(nil, v, 0, codec.Defaults))
				out[i] = &text
			}
			continue
		}
		v, err := b.s.evaluate(b.ctx, a, vector.T(vector.Text))
		if err != nil {
			return nil, err
		}
		if !v.IsNull(0) {
			text := string(v.Bytes(0))
			out[i] = &text
		}
	}
	return out, nil
}

func onlyWithout(args []*pg_query.Node, body string) (string, error) {
	if len(args) > 0 {
		return "", nil
	}
	return body, nil
}

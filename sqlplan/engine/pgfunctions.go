package engine

import (
	"fmt"
	"strings"
	"sync"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/rewrite"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// catalogFunction is a function of PostgreSQL's that DuckDB lacks or means otherwise.
type catalogFunction struct {
	name     string
	min, max int // arguments
	// body is PostgreSQL's SQL over $1, $2, …, of which a call may give fewer. A subquery names its columns with two underscores
	// in front, because an argument is put into it as it is written, and its names must mean what they mean outside.
	body string
}

// visibleRelations have the object ids of what search_path finds: all but schema tilehouse's.
var visibleRelations = fmt.Sprintf("($1)::bigint NOT BETWEEN %d AND %d", firstOID+4*rangeOIDs, firstOID+5*rangeOIDs-1)

// scalarFunctions are expressions, tableFunctions are subqueries that stand in FROM.
var scalarFunctions = []catalogFunction{
	{"pg_get_userbyid", 1, 1, "CASE WHEN ($1) = 10 THEN '" + DefaultRole + "' ELSE 'unknown (OID=' || ($1)::text || ')' END"},
	{"format_type", 2, 2, formatType()},
	{"pg_table_is_visible", 1, 1, visibleRelations},
	{"pg_type_is_visible", 1, 1, "true"},
	{"pg_function_is_visible", 1, 1, "true"},
	{"pg_operator_is_visible", 1, 1, "true"},
	{"pg_opclass_is_visible", 1, 1, "true"},
	{"pg_opfamily_is_visible", 1, 1, "true"},
	{"pg_collation_is_visible", 1, 1, "true"},
	{"pg_conversion_is_visible", 1, 1, "true"},
	{"pg_statistics_obj_is_visible", 1, 1, "true"},
	{"pg_ts_config_is_visible", 1, 1, "true"},
	{"pg_ts_dict_is_visible", 1, 1, "true"},
	{"pg_ts_parser_is_visible", 1, 1, "true"},
	{"pg_ts_template_is_visible", 1, 1, "true"},
	{"pg_relation_is_publishable", 1, 1, "false"},
	{"pg_get_expr", 2, 3, "($1)::text"},
	{"obj_description", 1, 2, "(SELECT max(__d) FROM (SELECT objoid AS __o, objsubid AS __s, description AS __d FROM pg_catalog.pg_description) AS __t WHERE __o = ($1) AND __s = 0)"},
	{"col_description", 2, 2, "(SELECT max(__d) FROM (SELECT objoid AS __o, objsubid AS __s, description AS __d FROM pg_catalog.pg_description) AS __t WHERE __o = ($1) AND __s = ($2))"},
	{"shobj_description", 2, 2, "NULL::text"},
	{"pg_get_viewdef", 1, 2, "(SELECT max(__d) FROM (SELECT oid AS __o, definition AS __d FROM pg_catalog.__definition) AS __t WHERE __o = ($1)::bigint)"},
	{"pg_get_indexdef", 1, 1, "(SELECT max('CREATE UNIQUE INDEX ' || __n || ' ON public.' || __r || ' USING btree (' || __c || ')') FROM (SELECT oid AS __o, name AS __n, relname AS __r, columns AS __c FROM pg_catalog.__key) AS __t WHERE __o = ($1)::bigint)"},
	{"pg_get_indexdef", 3, 3, "CASE WHEN ($2) = 0 THEN pg_catalog.pg_get_indexdef($1) ELSE (SELECT max(split_part(__c, ', ', ($2)::bigint)) FROM (SELECT oid AS __o, columns AS __c FROM pg_catalog.__key) AS __t WHERE __o = ($1)::bigint) END"},
	{"pg_get_constraintdef", 1, 2, "(SELECT max(CASE __k WHEN 'p' THEN 'PRIMARY KEY (' ELSE 'UNIQUE (' END || __c || ')') FROM (SELECT oid AS __o, kind AS __k, columns AS __c FROM pg_catalog.__key) AS __t WHERE __o = ($1)::bigint)"},
	{"pg_get_functiondef", 1, 1, "(SELECT max(__d) FROM (SELECT oid AS __o, definition AS __d FROM pg_catalog.__definition) AS __t WHERE __o = ($1)::bigint)"},
	{"pg_get_function_result", 1, 1, "(SELECT max(__d) FROM (SELECT oid AS __o, result AS __d FROM pg_catalog.__function) AS __t WHERE __o = ($1)::bigint)"},
	{"pg_get_function_arguments", 1, 1, "(SELECT max(__d) FROM (SELECT oid AS __o, arguments AS __d FROM pg_catalog.__function) AS __t WHERE __o = ($1)::bigint)"},
	{"pg_get_function_identity_arguments", 1, 1, "(SELECT max(__d) FROM (SELECT oid AS __o, arguments AS __d FROM pg_catalog.__function) AS __t WHERE __o = ($1)::bigint)"},
	{"pg_get_function_sqlbody", 1, 1, "NULL::text"},
	{"pg_get_ruledef", 1, 2, "NULL::text"},
	{"pg_get_triggerdef", 1, 2, "NULL::text"},
	{"pg_get_partkeydef", 1, 1, "NULL::text"},
	{"pg_get_statisticsobjdef_columns", 1, 1, "NULL::text"},
	{"pg_partition_ancestors", 1, 1, "unnest(ARRAY[($1)::bigint])"},
	{"has_schema_privilege", 2, 3, "true"},
	{"has_database_privilege", 2, 3, "true"},
	{"has_table_privilege", 2, 3, "true"},
	{"has_column_privilege", 3, 4, "true"},
	{"has_any_column_privilege", 2, 3, "true"},
	{"has_sequence_privilege", 2, 3, "true"},
	{"has_function_privilege", 2, 3, "true"},
	{"has_tablespace_privilege", 2, 3, "true"},
	{"pg_has_role", 2, 3, "true"},
	{"pg_encoding_to_char", 1, 1, "CASE WHEN ($1) = 6 THEN 'UTF8' ELSE '' END"},
	{"pg_char_to_encoding", 1, 1, "CASE WHEN upper(($1)::text) IN ('UTF8', 'UTF-8') THEN 6 ELSE -1 END"},
	{"getdatabaseencoding", 0, 0, "'UTF8'"},
	{"pg_client_encoding", 0, 0, "'UTF8'"},
	{"pg_table_size", 1, 1, "NULL::bigint"},
	{"pg_relation_size", 1, 2, "NULL::bigint"},
	{"pg_total_relation_size", 1, 1, "NULL::bigint"},
	{"pg_indexes_size", 1, 1, "NULL::bigint"},
	{"pg_database_size", 1, 1, "NULL::bigint"},
	{"pg_tablespace_size", 1, 1, "NULL::bigint"},
	{"pg_tablespace_location", 1, 1, "''"},
	{"pg_size_pretty", 1, 1, "CASE WHEN abs($1) < 10240 THEN ($1)::bigint::text || ' bytes' WHEN abs($1) < 10485247 THEN round(($1) / 1024.0, 0)::bigint::text || ' kB' " +
		"WHEN abs($1) < 10736893952 THEN round(($1) / 1048576.0, 0)::bigint::text || ' MB' WHEN abs($1) < 10994579406848 THEN round(($1) / 1073741824.0, 0)::bigint::text || ' GB' ELSE round(($1) / 1099511627776.0, 0)::bigint::text || ' TB' END"},
	{"quote_ident", 1, 1, `CASE WHEN regexp_full_match(($1)::text, '[a-z_][a-z0-9_$]*') THEN ($1)::text ELSE '"' || replace(($1)::text, '"', '""') || '"' END`},
	{"quote_literal", 1, 1, "'''' || replace(($1)::text, '''', '''''') || ''''"},
	{"array_remove", 2, 2, "CASE WHEN ($1) IS NOT NULL THEN ARRAY(SELECT __e FROM (SELECT unnest($1) AS __e) AS __t WHERE __e IS DISTINCT FROM ($2)) END"},
	{"array_to_string", 3, 3, "array_to_string(ARRAY(SELECT coalesce(__e::text, $3) FROM (SELECT unnest($1) AS __e) AS __t), $2)"},
	{"array_upper", 2, 2, "CASE WHEN ($2) = 1 AND len($1) > 0 THEN len($1)::integer END"},
	{"array_lower", 2, 2, "CASE WHEN ($2) = 1 AND len($1) > 0 THEN 1 END"},
	{"pg_is_in_recovery", 0, 0, "false"},
	{"pg_my_temp_schema", 0, 0, "0"},
	{"pg_is_other_temp_schema", 1, 1, "false"},
	{"current_schemas", 1, 1, "CASE WHEN ($1) THEN ARRAY['pg_catalog', 'public'] ELSE ARRAY['public'] END"},
	{"to_regclass", 1, 1, "(SELECT min(__o) FROM (SELECT c.oid AS __o, c.relname AS __r, n.nspname AS __n FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace" +
		" UNION ALL SELECT * FROM (VALUES (1259, 'pg_class', 'pg_catalog'), (1249, 'pg_attribute', 'pg_catalog'), (1247, 'pg_type', 'pg_catalog'), (1255, 'pg_proc', 'pg_catalog'), (2615, 'pg_namespace', 'pg_catalog'), (2606, 'pg_constraint', 'pg_catalog'), (2604, 'pg_attrdef', 'pg_catalog'), (2618, 'pg_rewrite', 'pg_catalog'), (2620, 'pg_trigger', 'pg_catalog'), (2609, 'pg_description', 'pg_catalog'), (1262, 'pg_database', 'pg_catalog'), (1260, 'pg_authid', 'pg_catalog')) AS __v) AS __t" +
		" WHERE __o::text = ($1)::text OR __n <> 'tilehouse' AND __r = replace(($1)::text, '\"', '') OR __n || '.' || __r = replace(($1)::text, '\"', ''))"},
	{"regclassin", 1, 1, `COALESCE(pg_catalog.to_regclass($1), error('tilehouse 42P01: relation "' || ($1)::text || '" does not exist'))`},
	{"regtypein", 1, 1, `COALESCE(pg_catalog.to_regtype($1), error('tilehouse 42704: type "' || ($1)::text || '" does not exist'))`},
	{"regprocin", 1, 1, `COALESCE(pg_catalog.to_regproc($1), error('tilehouse 42883: function "' || ($1)::text || '" does not exist'))`},
	{"regprocedurein", 1, 1, `COALESCE(pg_catalog.to_regprocedure($1), error('tilehouse 42883: function "' || ($1)::text || '" does not exist'))`},
	{"regnamespacein", 1, 1, `COALESCE(pg_catalog.to_regnamespace($1), error('tilehouse 3F000: schema "' || ($1)::text || '" does not exist'))`},
	{"regrolein", 1, 1, `COALESCE(pg_catalog.to_regrole($1), error('tilehouse 42704: role "' || ($1)::text || '" does not exist'))`},
	{"regclassout", 1, 1, "(SELECT max(CASE WHEN __n IN ('public', 'pg_catalog') THEN __r ELSE __n || '.' || __r END) FROM (SELECT c.oid AS __o, c.relname AS __r, n.nspname AS __n FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace) AS __t WHERE __o = ($1)::bigint)"},
	{"to_regtype", 1, 1, "(SELECT min(__o) FROM (SELECT oid AS __o, typname AS __r, pg_catalog.format_type(oid, -1) AS __f FROM pg_catalog.pg_type) AS __t WHERE __r = ($1)::text OR __f = ($1)::text OR __o::text = ($1)::text)"},
	{"regtypeout", 1, 1, "pg_catalog.format_type($1, -1)"},
	{"to_regproc", 1, 1, "(SELECT min(__o) FROM (SELECT oid AS __o, proname AS __r FROM pg_catalog.pg_proc) AS __t WHERE __r = ($1)::text OR 'public.' || __r = ($1)::text OR __o::text = ($1)::text)"},
	{"regprocout", 1, 1, "(SELECT max(__r) FROM (SELECT oid AS __o, proname AS __r FROM pg_catalog.pg_proc) AS __t WHERE __o = ($1)::bigint)"},
	{"to_regprocedure", 1, 1, "(SELECT min(__o) FROM (SELECT oid AS __o, name || '(' || types || ')' AS __r FROM pg_catalog.__function) AS __t WHERE __r = ($1)::text OR 'public.' || __r = ($1)::text OR __o::text = ($1)::text)"},
	{"regprocedureout", 1, 1, "(SELECT max(__r) FROM (SELECT oid AS __o, name || '(' || types || ')' AS __r FROM pg_catalog.__function) AS __t WHERE __o = ($1)::bigint)"},
	{"to_regnamespace", 1, 1, "(SELECT min(__o) FROM (SELECT oid AS __o, nspname AS __r FROM pg_catalog.pg_namespace) AS __t WHERE __r = ($1)::text)"},
	{"regnamespaceout", 1, 1, "(SELECT max(__r) FROM (SELECT oid AS __o, nspname AS __r FROM pg_catalog.pg_namespace) AS __t WHERE __o = ($1)::bigint)"},
	{"to_regrole", 1, 1, "CASE WHEN ($1)::text = '" + DefaultRole + "' THEN 10 END"},
	{"regroleout", 1, 1, "CASE WHEN ($1)::bigint = 10 THEN '" + DefaultRole + "' END"},
}

var tableFunctions = []catalogFunction{
	{"pg_options_to_table", 1, 1, "(SELECT split_part(__o, '=', 1) AS option_name, substr(__o, strpos(__o, '=') + 1) AS option_value FROM (SELECT unnest($1) AS __o) AS __t)"},
	{"pg_get_keywords", 0, 0, "(SELECT keyword_name AS word, CASE keyword_category WHEN 'reserved' THEN 'R' WHEN 'column_name' THEN 'C' WHEN 'type_function' THEN 'T' ELSE 'U' END AS catcode FROM duckdb_keywords())"},
	{"aclexplode", 1, 1, "(SELECT 0 AS grantor, 0 AS grantee, '' AS privilege_type, false AS is_grantable WHERE false)"},
}

// formatType is the body of format_type.
func formatType() string {
	var b strings.Builder
	b.WriteString("CASE")
	for _, t := range pgTypes {
		name := duck.QuoteLiteral(t.format)
		fmt.Fprintf(&b, " WHEN ($1) = %[1]d THEN %[2]s || %[4]s WHEN ($1) = %[3]d AND ($1) <> 0 THEN %[2]s || %[4]s || '[]'", t.oid, name, t.array, map[bool]string{
			true:  "CASE WHEN ($2) > 4 THEN '(' || ((($2) - 4) >> 16)::text || ',' || ((($2) - 4) & 65535)::text || ')' ELSE '' END",
			false: "''"}[t.oid == codec.OIDNumeric])
	}
	b.WriteString(" WHEN ($1) IS NULL THEN NULL WHEN ($1) = 0 THEN '-' ELSE '???' END")
	return b.String()
}

// signature is what tells functions of one name apart.
type signature struct {
	name string
	args int
}

// catalogFunctions are the parsed functions.
var catalogFunctions = sync.OnceValue(func() map[signature]parsedFunction {
	m := map[signature]parsedFunction{}
	for table, list := range map[bool][]catalogFunction{false: scalarFunctions, true: tableFunctions} {
		for _, f := range list {
			for n := f.min; n <= f.max; n++ {
				m[signature{f.name, n}] = parsedFunction{table, expression(f.body)}
			}
		}
	}
	return m
})

type parsedFunction struct {
	table bool
	body  *pg_query.Node
}

// expression parses an expression of this program's own.
func expression(sql string) *pg_query.Node {
	parsed, err := pg_query.Parse("SELECT " + sql)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", sql, err)) // every body is parsed by the first statement that calls a function
	}
	return parsed.Stmts[0].Stmt.GetSelectStmt().TargetList[0].GetResTarget().Val
}

// function finds a function of the user's own, of PostgreSQL's catalog, or of the session.
func (b *binder) function(space, name string, args []*pg_query.Node) (*rewrite.Function, error) {
	if own := functionsOf(b.cat); own != nil {
		if f, err := own(space, name, args); f != nil || err != nil {
			return f, err
		}
	}
	if space == "public" {
		return nil, nil
	}
	out := &rewrite.Function{Name: name, Args: make([]string, len(args))}
	if body, ok, err := b.sequenceFunction(name, args); ok || err != nil {
		if err == nil {
			out.Body = expression(body)
		}
		return out, err
	}
	if f, ok := catalogFunctions()[signature{name, len(args)}]; ok {
		out.Table, out.Body = f.table, f.body
		return out, nil
	}
	say, ok := sessionFunctions[name]
	if !ok {
		return nil, nil
	}
	body, err := say(b, args)
	if err != nil {
		return nil, &unplaced{asError(err)}
	}
	if body == "" {
		return nil, nil
	}
	out.Body = expression(body)
	return out, nil
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
				return "(SELECT max(__s) FROM (SELECT lower(name) AS __n, setting AS __s FROM pg_catalog.pg_settings) AS __t WHERE __n = lower($1))", nil
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
			if err != nil || b.describe {
				return "''", err
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
				return "''", b.s.notify(*values[0], payload)
			}
			return "''", nil
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
		return "NULL::boolean", nil
	}
	return fmt.Sprintf("%s(%d, '%s', ($1)::bigint)", duck.BooleanFunction, b.s.e.signals, function), nil
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

// pgType is a row of pg_type.
type pgType struct {
	oid, array uint32
	length     int16
	name       string // in pg_type
	format     string // as SQL writes it
	category   string
}

// pgTypes are the types that columns have, and those that the catalog's own columns have in PostgreSQL.
var pgTypes = func() []pgType {
	out := []pgType{
		{18, 1002, 1, "char", `"char"`, "S"}, {codec.OIDName, 1003, 64, "name", "name", "S"}, {24, 1008, 4, "regproc", "regproc", "N"},
		{codec.OIDOid, 1028, 4, "oid", "oid", "N"}, {codec.OIDUnknown, 0, -2, "unknown", "unknown", "X"}, {codec.OIDBPChar, 1014, -1, "bpchar", "character", "S"},
		{codec.OIDVarchar, 1015, -1, "varchar", "character varying", "S"}, {2205, 2210, 4, "regclass", "regclass", "N"}, {2206, 2211, 4, "regtype", "regtype", "N"},
		{2249, 2287, -1, "record", "record", "P"}, {2278, 0, 4, "void", "void", "P"}, {codec.OIDJSONB, 3807, -1, "jsonb", "jsonb", "U"},
	}
	categories := map[vector.Kind]string{vector.Bool: "B", vector.Int16: "N", vector.Int32: "N", vector.Int64: "N", vector.Float32: "N", vector.Float64: "N",
		vector.Decimal: "N", vector.Text: "S", vector.Date: "D", vector.Time: "D", vector.Timestamp: "D", vector.TimestampTZ: "D", vector.Interval: "T"}
	for _, k := range append([]vector.Kind{vector.Decimal, vector.TimestampTZ}, ordinaryKinds...) {
		t := vector.T(k)
		category := categories[k]
		if category == "" {
			category = "U"
		}
		out = append(out, pgType{codec.OID(t), codec.OID(vector.ListOf(t)), codec.TypeLen(t), udtName(t), dataType(t), category})
	}
	return out
}()

package pgcatalog

import (
	"fmt"
	"strings"
	"sync"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// SnapshotColumn is the name that stands for the number of the snapshot in the SQL of functions.
const SnapshotColumn = "__catalog"

// TransactionColumn is the name that stands for the number of the transaction.
const TransactionColumn = "__transaction"

// called are the functions of PostgreSQL's that a Snapshot computes: the SQL function that hands them to it, and the types that their
// arguments are cast to ("any": none; there may be fewer than are listed from min on).
var called = []struct {
	names  string
	via    string
	min    int
	params string
}{
	{"format_type", duck.TextFunction, 2, "bigint integer"},
	{"pg_get_userbyid pg_get_ruledef pg_get_function_arguments pg_get_function_identity_arguments pg_get_function_result pg_get_function_sqlbody pg_get_functiondef pg_get_partkeydef pg_get_statisticsobjdef pg_get_statisticsobjdef_columns pg_get_partition_constraintdef", duck.TextFunction, 1, "bigint"},
	{"pg_get_constraintdef pg_get_triggerdef pg_get_ruledef", duck.TextFunction, 1, "bigint boolean"},
	{"pg_get_function_arg_default", duck.TextFunction, 2, "bigint integer"},
	{"pg_get_expr", duck.TextFunction, 2, "text bigint boolean"},
	{"pg_get_viewdef", duck.TextFunction, 1, "any any"},
	{"pg_get_indexdef", duck.TextFunction, 1, "bigint"},
	{"pg_get_indexdef", duck.TextFunction, 3, "bigint integer boolean"},
	{"pg_get_serial_sequence", duck.TextFunction, 2, "text text"},
	{"pg_describe_object", duck.TextFunction, 3, "bigint bigint integer"},
	{"obj_description", duck.TextFunction, 1, "bigint text"},
	{"shobj_description", duck.TextFunction, 2, "bigint text"},
	{"col_description", duck.TextFunction, 2, "bigint integer"},
	{"pg_encoding_to_char", duck.TextFunction, 1, "integer"},
	{"pg_char_to_encoding", duck.BigintFunction, 1, "text"},
	{"quote_ident", duck.TextFunction, 1, "text"},
	{"current_schema", duck.TextFunction, 0, ""},
	{"current_schemas", duck.TextsFunction, 1, "boolean"},
	{"regexp_match", duck.TextsFunction, 2, "text text"},
	{"__jsonbuildobject", duck.TextFunction, 0, strings.Repeat("any ", 32)},
	{"__regarrayout", duck.TextFunction, 2, "text any"},
	{"format", duck.TextFunction, 1, "text any any any any any any any any"},
	{"acldefault", duck.TextsFunction, 2, "text bigint"},
	{"pg_table_is_visible pg_type_is_visible pg_function_is_visible pg_operator_is_visible pg_opclass_is_visible pg_opfamily_is_visible pg_collation_is_visible pg_conversion_is_visible pg_statistics_obj_is_visible pg_ts_config_is_visible pg_ts_dict_is_visible pg_ts_parser_is_visible pg_ts_template_is_visible pg_is_other_temp_schema pg_relation_is_publishable", duck.BooleanFunction, 1, "bigint"},
	{"pg_my_temp_schema", duck.BigintFunction, 0, ""},
	{"pg_relation_filenode pg_get_replica_identity_index", duck.BigintFunction, 1, "bigint"},
	{"pg_index_column_has_property", duck.BooleanFunction, 3, "bigint integer text"},
	{"pg_indexam_has_property", duck.BooleanFunction, 2, "bigint text"},
	{"has_table_privilege has_schema_privilege has_database_privilege has_sequence_privilege has_function_privilege has_tablespace_privilege has_type_privilege has_language_privilege has_server_privilege has_foreign_data_wrapper_privilege has_any_column_privilege has_parameter_privilege pg_has_role", duck.BooleanFunction, 2, "any any any"},
	{"has_column_privilege", duck.BooleanFunction, 3, "any any any any"},
	{"to_regclass to_regtype to_regproc to_regprocedure to_regnamespace to_regrole to_regcollation", duck.BigintFunction, 1, "text"},
	{"regclassin regtypein regprocin regprocedurein regnamespacein regrolein regoperin regoperatorin regconfigin regdictionaryin regcollationin", duck.BigintFunction, 1, "text"},
	{"regclassout regtypeout regprocout regprocedureout regnamespaceout regroleout regoperout regoperatorout regconfigout regdictionaryout regcollationout", duck.TextFunction, 1, "bigint"},
	{"pg_relation_is_updatable", duck.BigintFunction, 2, "bigint boolean"},
	{"pg_column_is_updatable", duck.BooleanFunction, 3, "bigint integer boolean"},
	{"pg_stat_get_db_numbackends pg_stat_get_live_tuples", duck.BigintFunction, 1, "bigint"},
	{"pg_relation_size", duck.BigintFunction, 1, "any text"},
	{"pg_table_size pg_total_relation_size pg_indexes_size pg_database_size pg_tablespace_size", duck.BigintFunction, 1, "any"},
}

// written are functions that are SQL.
var written = []struct {
	name     string
	min, max int
	table    bool
	body     string
}{
	{"getdatabaseencoding", 0, 0, false, "'UTF8'"},
	{"txid_current", 0, 0, false, TransactionColumn},
	{"pg_current_xact_id", 0, 0, false, TransactionColumn},
	{"pg_blocking_pids", 1, 1, false, "ARRAY[]::integer[]"}, // transactions are refused, not made to wait
	{"pg_safe_snapshot_blocking_pids", 1, 1, false, "ARRAY[]::integer[]"},
	{"pg_relation_filepath", 1, 1, false, "NULL::text"},                         // no file belongs to one relation
	{"__xidage", 1, 1, false, "CASE WHEN ($1) IS NOT NULL THEN 2147483647 END"}, // of rows of catalogs, which have the first transaction's xmin
	{"pg_encoding_max_length", 1, 1, false, "4"},
	{"pg_tablespace_location", 1, 1, false, "''"},
	{"pg_is_in_recovery", 0, 0, false, "false"},
	{"pg_advisory_unlock_all", 0, 0, false, "''"}, // no session holds any; pools send it when they take a connection back
	{"pg_size_pretty", 1, 1, false, "CASE WHEN abs($1) < 10240 THEN ($1)::bigint::text || ' bytes' WHEN abs($1) < 10485247 THEN round(($1) / 1024.0, 0)::bigint::text || ' kB' " +
		"WHEN abs($1) < 10736893952 THEN round(($1) / 1048576.0, 0)::bigint::text || ' MB' WHEN abs($1) < 10994579406848 THEN round(($1) / 1073741824.0, 0)::bigint::text || ' GB' ELSE round(($1) / 1099511627776.0, 0)::bigint::text || ' TB' END"},
	{"quote_literal", 1, 1, false, "'''' || replace(($1)::text, '''', '''''') || ''''"},
	{"array_remove", 2, 2, false, "CASE WHEN ($1) IS NOT NULL THEN ARRAY(SELECT __e FROM (SELECT unnest($1) AS __e) AS __t WHERE __e IS DISTINCT FROM ($2)) END"},
	{"array_to_string", 3, 3, false, "array_to_string(ARRAY(SELECT coalesce(__e::text, $3) FROM (SELECT unnest($1) AS __e) AS __t), $2)"},
	{"array_upper", 2, 2, false, "CASE WHEN ($2) = 1 AND len($1) > 0 THEN len($1)::integer END"},
	{"array_lower", 2, 2, false, "CASE WHEN ($2) = 1 AND len($1) > 0 THEN 1 END"},
	{"pg_partition_ancestors", 1, 1, false, "unnest(ARRAY[($1)::bigint])"},
	{"pg_backend_pid_is", 1, 1, false, "false"},
	{"pg_sequence_last_value", 1, 1, false, "NULL::bigint"},
	{"_pg_expandarray", 1, 1, false, "catalogs.main.__expandarray($1)"},
	{"_pg_char_max_length", 2, 2, false, "CASE WHEN ($2) = -1 THEN NULL WHEN ($1) IN (1042, 1043) THEN ($2) - 4 WHEN ($1) IN (1560, 1562) THEN ($2) END"},
	{"_pg_char_octet_length", 2, 2, false, "CASE WHEN ($1) IN (25, 1042, 1043) THEN CASE WHEN ($2) = -1 THEN 1073741824 ELSE (($2) - 4) * 4 END END"},
	{"_pg_numeric_precision", 2, 2, false, "CASE ($1) WHEN 21 THEN 16 WHEN 23 THEN 32 WHEN 20 THEN 64 WHEN 1700 THEN CASE WHEN ($2) = -1 THEN NULL ELSE ((($2) - 4) >> 16) & 65535 END WHEN 700 THEN 24 WHEN 701 THEN 53 END"},
	{"_pg_numeric_precision_radix", 2, 2, false, "CASE WHEN ($1) IN (21, 23, 20, 700, 701) THEN 2 WHEN ($1) = 1700 THEN 10 END"},
	{"_pg_numeric_scale", 2, 2, false, "CASE WHEN ($1) IN (21, 23, 20) THEN 0 WHEN ($1) = 1700 THEN CASE WHEN ($2) = -1 THEN NULL ELSE (($2) - 4) & 65535 END END"},
	{"_pg_datetime_precision", 2, 2, false, "CASE WHEN ($1) = 1082 THEN 0 WHEN ($1) IN (1083, 1114, 1184, 1266) THEN CASE WHEN ($2) < 0 THEN 6 ELSE ($2) END WHEN ($1) = 1186 THEN CASE WHEN ($2) < 0 OR ($2) & 65535 = 65535 THEN 6 ELSE ($2) & 65535 END END"},
	{"_pg_interval_type", 2, 2, false, "CASE WHEN ($1) = 1186 AND strpos(pg_catalog.format_type($1, $2), ' ') > 0 THEN upper(substr(pg_catalog.format_type($1, $2), strpos(pg_catalog.format_type($1, $2), ' ') + 1)) END"},
	{"_pg_index_position", 2, 2, false, "(SELECT __p.n FROM (SELECT unnest(__i.indkey) AS a, generate_subscripts(__i.indkey, 1) AS n, __i.indexrelid AS x FROM pg_catalog.pg_index AS __i) AS __p WHERE __p.x = ($1) AND __p.a = ($2))"},
	{"pg_options_to_table", 1, 1, false, "catalogs.main.__options($1)"},
	{"aclexplode", 1, 1, false, "catalogs.main.__aclexplode(" + duck.TextsFunction + "(" + SnapshotColumn + ", '__aclexplode', $1))"},
	{"string_to_array", 2, 2, false, "CASE WHEN ($1) = '' THEN ARRAY[]::text[] ELSE string_split($1, $2) END"},
	{"nameconcatoid", 2, 2, false, "left(($1)::text, 62 - length(($2)::text)) || '_' || ($2)::text"},
	{"row_security_active", 1, 1, false, "false"},
	{"pg_indexam_progress_phasename", 2, 2, false, "NULL::text"},
	{"pg_get_statisticsobjdef_expressions", 1, 1, false, "NULL::text[]"},
	{"pg_options_to_table", 1, 1, true, "(SELECT split_part(__o, '=', 1) AS option_name, substr(__o, strpos(__o, '=') + 1) AS option_value FROM (SELECT unnest($1) AS __o) AS __t)"},
	{"aclexplode", 1, 1, true, "(SELECT split_part(__e, '|', 1)::bigint AS grantor, split_part(__e, '|', 2)::bigint AS grantee, split_part(__e, '|', 3) AS privilege_type, split_part(__e, '|', 4) = 'true' AS is_grantable FROM (SELECT unnest(" +
		duck.TextsFunction + "(" + SnapshotColumn + ", '__aclexplode', $1)) AS __e) AS __t)"},
	{"_pg_expandarray", 1, 1, true, "(SELECT unnest($1) AS x, generate_subscripts($1, 1) AS n)"},
}

// zeroStatistics are functions that count what is not counted here: PostgreSQL gives 0 where nothing was counted yet.
const zeroStatistics = "pg_stat_get_numscans pg_stat_get_tuples_returned pg_stat_get_tuples_fetched pg_stat_get_tuples_inserted pg_stat_get_tuples_updated pg_stat_get_tuples_deleted pg_stat_get_tuples_hot_updated " +
	"pg_stat_get_dead_tuples pg_stat_get_mod_since_analyze pg_stat_get_ins_since_vacuum pg_stat_get_blocks_fetched pg_stat_get_blocks_hit pg_stat_get_vacuum_count pg_stat_get_autovacuum_count " +
	"pg_stat_get_analyze_count pg_stat_get_autoanalyze_count pg_stat_get_xact_numscans pg_stat_get_xact_tuples_returned pg_stat_get_xact_tuples_fetched pg_stat_get_xact_tuples_inserted pg_stat_get_xact_tuples_updated " +
	"pg_stat_get_xact_tuples_deleted pg_stat_get_xact_tuples_hot_updated pg_stat_get_db_xact_commit pg_stat_get_db_xact_rollback pg_stat_get_db_blocks_fetched pg_stat_get_db_blocks_hit " +
	"pg_stat_get_db_tuples_returned pg_stat_get_db_tuples_fetched pg_stat_get_db_tuples_inserted pg_stat_get_db_tuples_updated pg_stat_get_db_tuples_deleted pg_stat_get_db_conflict_all pg_stat_get_db_temp_files " +
	"pg_stat_get_db_temp_bytes pg_stat_get_db_deadlocks pg_stat_get_db_sessions pg_stat_get_db_sessions_abandoned pg_stat_get_db_sessions_fatal pg_stat_get_db_sessions_killed pg_stat_get_db_blk_read_time " +
	"pg_stat_get_db_blk_write_time pg_stat_get_db_session_time pg_stat_get_db_active_time pg_stat_get_db_idle_in_transaction_time pg_stat_get_db_conflict_tablespace pg_stat_get_db_conflict_lock " +
	"pg_stat_get_db_conflict_snapshot pg_stat_get_db_conflict_bufferpin pg_stat_get_db_conflict_startup_deadlock pg_stat_get_bgwriter_timed_checkpoints pg_stat_get_bgwriter_requested_checkpoints " +
	"pg_stat_get_checkpoint_write_time pg_stat_get_checkpoint_sync_time pg_stat_get_bgwriter_buf_written_checkpoints pg_stat_get_bgwriter_buf_written_clean pg_stat_get_bgwriter_maxwritten_clean " +
	"pg_stat_get_buf_written_backend pg_stat_get_buf_fsync_backend pg_stat_get_buf_alloc"

// nullStatistics are those that say when something happened last, or what is not known.
const nullStatistics = "pg_stat_get_last_vacuum_time pg_stat_get_last_autovacuum_time pg_stat_get_last_analyze_time pg_stat_get_last_autoanalyze_time pg_stat_get_db_checksum_failures pg_stat_get_db_checksum_last_failure " +
	"pg_stat_get_db_stat_reset_time pg_stat_get_bgwriter_stat_reset_time pg_stat_get_function_calls pg_stat_get_function_total_time pg_stat_get_function_self_time pg_stat_get_xact_function_calls " +
	"pg_stat_get_xact_function_total_time pg_stat_get_xact_function_self_time"

// Init are DuckDB's statements that make what the SQL of functions calls, in a database in memory: functions that give several rows
// where they stand among a SELECT's outputs.
var Init = []string{
	"ATTACH ':memory:' AS catalogs",
	"CREATE MACRO catalogs.main.__expandarray(a) AS unnest(list_transform(a, lambda e, i: {'x': e, 'n': i::INTEGER}))",
	"CREATE MACRO catalogs.main.__aclexplode(a) AS unnest(list_transform(a, lambda e: {'grantor': split_part(e, '|', 1)::BIGINT, 'grantee': split_part(e, '|', 2)::BIGINT, 'privilege_type': split_part(e, '|', 3), 'is_grantable': split_part(e, '|', 4) = 'true'}))",
	"CREATE MACRO catalogs.main.__options(a) AS unnest(list_transform(a, lambda e: {'option_name': split_part(e, '=', 1), 'option_value': substr(e, strpos(e, '=') + 1)}))",
}

// SQLFunction is a function as an expression over $1, $2, …, or as a subquery that stands in FROM.
type SQLFunction struct {
	Table bool
	Body  *pg_query.Node
}

type signature struct {
	name  string
	args  int
	table bool
}

// sqlFunctions are the parsed functions.
var sqlFunctions = sync.OnceValue(func() map[signature]*SQLFunction {
	m := map[signature]*SQLFunction{}
	for _, f := range written {
		for n := f.min; n <= f.max; n++ {
			m[signature{f.name, n, f.table}] = &SQLFunction{f.table, expression(f.body)}
		}
	}
	for _, f := range called {
		params := strings.Fields(f.params)
		for name := range strings.FieldsSeq(f.names) {
			for n := f.min; n <= len(params); n++ {
				sql := fmt.Sprintf("%s(%s, '%s'", f.via, SnapshotColumn, name)
				for i, p := range params[:n] {
					if p == "any" {
						sql += fmt.Sprintf(", $%d", i+1)
					} else {
						sql += fmt.Sprintf(", ($%d)::%s", i+1, p)
					}
				}
				m[signature{name, n, false}] = &SQLFunction{false, expression(sql + ")")}
			}
		}
	}
	for n := 0; n <= 32; n += 2 {
		m[signature{"json_build_object", n, false}] = &SQLFunction{false, expression("(" + deparsed(m[signature{"__jsonbuildobject", n, false}].Body) + ")::json")}
	}
	for list, body := range map[string]string{zeroStatistics: "0", nullStatistics: "NULL"} {
		for name := range strings.FieldsSeq(list) {
			for _, p := range procs()[name] {
				typ := "bigint"
				if t := builtinTypes()[p.Returns]; t != nil {
					typ = t.Name
				}
				strict := body
				if len(p.Args) == 1 {
					strict = "CASE WHEN ($1) IS NOT NULL THEN " + body + " END"
				}
				m[signature{name, len(p.Args), false}] = &SQLFunction{false, expression("(" + strict + ")::" + typ)}
			}
		}
	}
	return m
})

// FunctionNamed is the SQL of a function of PostgreSQL's by its name and number of arguments, as an expression or in FROM; nil where
// it is none of these.
func FunctionNamed(name string, args int, table bool) *SQLFunction {
	return sqlFunctions()[signature{name, args, table}]
}

// KindOf says whether a function of PostgreSQL's by a name is an aggregate, a window function, or gives several rows.
func KindOf(name string) (aggregate, window, set bool) {
	for _, p := range procs()[name] {
		aggregate, window, set = aggregate || p.Kind == "a", window || p.Kind == "w", set || p.Set
	}
	return aggregate, window, set
}

// Measured reports whether a function says how large tables are, and how many rows they have.
func Measured(name string) bool {
	return strings.HasSuffix(name, "_size") || name == "pg_stat_get_live_tuples"
}

// Live reports whether a function says what is so at the moment, whatever snapshot it is asked of.
func Live(name string) bool { return Measured(name) || name == "pg_stat_get_db_numbackends" }

// deparsed is an expression as text.
func deparsed(n *pg_query.Node) string {
	text, err := parse.Deparse(n)
	if err != nil {
		panic("pgcatalog: " + err.Error())
	}
	return text
}

// expression parses an expression of this package's own.
func expression(sql string) *pg_query.Node {
	parsed, err := pg_query.Parse("SELECT " + sql)
	if err != nil {
		panic(fmt.Sprintf("pgcatalog: %s: %v", sql, err)) // the first statement parses them all
	}
	return parsed.Stmts[0].Stmt.GetSelectStmt().TargetList[0].GetResTarget().Val
}

// sizes: what is not stored here has none.
func init() {
	size := func(f func(t *Table) int64) callee {
		return callee{1, func(s *Snapshot, a args) (any, error) {
			oid, found, err := s.objectArg(objectKinds["table"], a, 0)
			if err != nil || !found {
				return nil, err
			}
			if t := s.o.table(oid); t != nil {
				if n := f(t); n >= 0 {
					return n, nil
				}
				return nil, nil
			}
			return 0, nil
		}}
	}
	callees["pg_relation_size"] = size(func(t *Table) int64 { return t.Bytes })
	callees["pg_table_size"] = size(func(t *Table) int64 { return t.Bytes })
	callees["pg_total_relation_size"] = size(func(t *Table) int64 { return t.Bytes })
	callees["pg_relation_is_updatable"] = callee{2, func(s *Snapshot, a args) (any, error) {
		switch t := s.o.table(uint32(a.int(0))); {
		case t != nil && t.Kind == KindView:
			return t.Events, nil
		case t != nil && t.Kind != KindTable:
			return 0, nil
		}
		if w, ok := s.by("pg_class", "oid", a.int(0)); ok && w.text("relkind") == string(rune(KindTable)) {
			return Events, nil
		}
		return 0, nil
	}}
	callees["pg_column_is_updatable"] = callee{3, func(s *Snapshot, a args) (any, error) {
		n := a.int(1)
		if t := s.o.table(uint32(a.int(0))); t != nil && t.Kind == KindView {
			return t.Events == Events && n > 0 && int(n) <= len(t.Columns) && t.Columns[n-1].Updatable, nil
		}
		w, ok := s.by("pg_class", "oid", a.int(0))
		return ok && n > 0 && w.text("relkind") == string(rune(KindTable)), nil
	}}
	callees["pg_stat_get_live_tuples"] = callee{1, func(s *Snapshot, a args) (any, error) {
		if t := s.o.table(uint32(a.int(0))); t != nil {
			return t.Rows, nil
		}
		return 0, nil
	}}
	callees["pg_indexes_size"] = size(func(*Table) int64 { return 0 })
	callees["pg_database_size"] = callee{1, func(s *Snapshot, a args) (any, error) {
		_, found, err := s.objectArg(objectKinds["database"], a, 0)
		if err != nil || !found {
			return nil, err
		}
		sum := int64(0)
		for _, t := range s.o.Tables {
			sum += max(t.Bytes, 0)
		}
		return sum, nil
	}}
	callees["pg_tablespace_size"] = callee{1, func(s *Snapshot, a args) (any, error) {
		_, found, err := s.objectArg(objectKinds["tablespace"], a, 0)
		if err != nil || !found {
			return nil, err
		}
		sum := int64(0)
		if !a.isText(0) && a.int(0) != tablespaceDefault {
			return sum, nil
		}
		for _, t := range s.o.Tables {
			sum += max(t.Bytes, 0)
		}
		return sum, nil
	}}
}

// emptyFunctions are functions in FROM of which PostgreSQL shows rows of things that are not here: prepared transactions, replication,
// large objects, extensions, progress of maintenance.
const emptyFunctions = "pg_prepared_xact pg_get_replication_slots pg_stat_get_wal_senders pg_stat_get_wal_receiver pg_stat_get_subscription pg_stat_get_subscription_stats pg_stat_get_replication_slot " +
	"pg_show_replication_origin_status pg_available_extensions pg_available_extension_versions pg_stat_get_progress_info pg_stat_get_slru " +
	"pg_hba_file_rules pg_ident_file_mappings pg_show_all_file_settings pg_get_publication_tables pg_lock_status pg_cursor pg_prepared_statement pg_get_shmem_allocations pg_get_backend_memory_contexts pg_mcv_list_items " +
	"pg_config pg_event_trigger_ddl_commands pg_partition_tree pg_stat_get_recovery_prefetch pg_get_multixact_members pg_stat_get_activity"

// tableFunctionNamed is a function in FROM of which rows are made here, or none; nil where it is none of these.
func tableFunctionNamed(name string) *tableFunction {
	f := tableFunctions()[name]
	if f != nil && f.columns == nil {
		return nil
	}
	return f
}

// Listed reports whether a function of that name stands in FROM for rows that this package holds, such as pg_get_keywords.
func Listed(name string) bool { return Lookup("functions", name) != nil }

// tableFunctions are the functions by name, without what fills them.
var tableFunctions = sync.OnceValue(func() map[string]*tableFunction {
	out := map[string]*tableFunction{}
	for name := range strings.FieldsSeq(emptyFunctions + " pg_show_all_settings pg_stat_get_archiver pg_stat_get_wal") {
		for _, p := range procs()[name] {
			f := &tableFunction{}
			for i, n := range p.OutNames {
				f.columns = append(f.columns, Column{Name: n, Type: p.OutTypes[i]})
			}
			if f.columns == nil { // SETOF text
				f.columns = []Column{{Name: name, Type: p.Returns}}
			}
			out[name] = f
		}
	}
	return out
})

// fill makes the rows of a function in FROM.
func (s *Snapshot) fill(name string, columns []Column, add func(values ...any)) {
	switch name {
	case "pg_show_all_settings":
		for _, x := range s.settings {
			add(x.cells()...)
		}
	case "pg_stat_get_archiver", "pg_stat_get_wal": // nothing was archived, and none of PostgreSQL's log written
		values := make([]any, len(columns))
		for i, c := range columns {
			if k := TypeOf(c.Type).Kind; k != vector.Text && k != vector.TimestampTZ {
				values[i] = zero{}
			}
		}
		add(values...)
	default:
		if s.o.Rows == nil {
			return
		}
		for _, r := range s.o.Rows(name) {
			values := make([]any, len(columns))
			for i, c := range columns {
				values[i] = r[c.Name]
			}
			add(values...)
		}
	}
}

func init() {
	callees["pg_stat_get_db_numbackends"] = callee{1, func(s *Snapshot, a args) (any, error) {
		n := 0
		if s.o.Rows != nil {
			for _, r := range s.o.Rows("pg_stat_get_activity") {
				if r["datid"] != nil {
					n++
				}
			}
		}
		return n, nil
	}}
}

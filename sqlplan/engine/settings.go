package engine

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/sqlplan/session"
)

// setting is a run-time parameter of a session: its name, what values it takes and what reads it.
type setting struct {
	name     string // as SHOW prints it
	initial  string // in the form that is kept: numbers without a unit
	help     string
	kind     settingKind
	unit     string // of a number without one: "ms", "s", "kB", "8kB", "B"; "": none
	min, max float64
	choices  []string // of an enum
	context  settingContext
	reported bool // sent to the client when it changes
	listed   bool // its value is a list of names
	hidden   bool // not in SHOW ALL and RESET ALL: it is of the transaction, or of the role
	// check normalises a value beyond what its kind does; nil: nothing.
	check func(s *Session, v string) (string, error)
	// show is what SHOW says where that is not the value set; nil: it is.
	show func(s *Session) string
}

// settingKind is the type of a setting's values, as pg_settings calls it.
type settingKind string

const (
	boolSetting   settingKind = "bool"
	intSetting    settingKind = "integer"
	realSetting   settingKind = "real"
	enumSetting   settingKind = "enum"
	stringSetting settingKind = "string"
)

// settingContext says who can change a setting, as pg_settings calls it.
type settingContext string

const (
	byUser     settingContext = "user"
	bySuper    settingContext = "superuser"
	byReload   settingContext = "sighup"
	byRestart  settingContext = "postmaster"
	byNobody   settingContext = "internal"
	noEffect                  = "accepted for PostgreSQL's clients; has no effect"
	maxSetting                = math.MaxInt32
)

func flagSetting(name, initial, help string) *setting {
	return &setting{name: name, initial: initial, help: help, kind: boolSetting, context: byUser}
}

func numberSetting(name, initial, unit string, least, most float64, help string) *setting {
	return &setting{name: name, initial: initial, help: help, kind: intSetting, unit: unit, min: least, max: most, context: byUser}
}

func realNumber(name, initial string, least, most float64, help string) *setting {
	return &setting{name: name, initial: initial, help: help, kind: realSetting, min: least, max: most, context: byUser}
}

func choiceSetting(name, initial, choices, help string) *setting {
	return &setting{name: name, initial: initial, help: help, kind: enumSetting, choices: strings.Split(choices, ","), context: byUser}
}

func wordSetting(name, initial, help string) *setting {
	return &setting{name: name, initial: initial, help: help, kind: stringSetting, context: byUser}
}

// fixed is a setting that tells what is so and cannot be changed by who.
func fixedSetting(name, value string, kind settingKind, who settingContext, help string) *setting {
	return &setting{name: name, initial: value, help: help, kind: kind, context: who, max: maxSetting, min: math.MinInt32}
}

func (d *setting) report() *setting { d.reported = true; return d }
func (d *setting) list() *setting   { d.listed = true; return d }
func (d *setting) hide() *setting   { d.hidden = true; return d }
func (d *setting) checked(f func(s *Session, v string) (string, error)) *setting {
	d.check = f
	return d
}
func (d *setting) shown(f func(s *Session) string) *setting { d.show = f; return d }

const isolationLevels = "serializable,repeatable read,read committed,read uncommitted"

// settings are all that SET, SHOW and tilehouse.settings know, by lower-case name. Names, types, units, bounds and defaults are
// PostgreSQL 15's.
var settings map[string]*setting

func init() { // what settings check asks the session, which reads settings
	settings = map[string]*setting{}
	huge := math.MaxFloat64
	for _, d := range []*setting{
		// What values look like, and how they are read.
		wordSetting("TimeZone", "UTC", "how times are printed and literals without a zone are read").report().checked(checkZone),
		wordSetting("DateStyle", "ISO, MDY", "how dates are printed, and the order in which days and months are read").report().list().checked(checkDateStyle),
		choiceSetting("IntervalStyle", "postgres", "postgres,postgres_verbose,sql_standard,iso_8601", "how intervals are printed").report(),
		choiceSetting("bytea_output", "hex", "escape,hex", "how bytea is printed"),
		numberSetting("extra_float_digits", "1", "", -15, 3, "precision of floats in text; 1 and more: the shortest that reads back"),
		wordSetting("client_encoding", "UTF8", "the client's encoding: UTF8, or one of a byte a character as LATIN1 and WIN1252").report().checked(checkEncoding),
		flagSetting("standard_conforming_strings", "on", "backslashes in '…' are ordinary; on only").report().checked(only("on")),
		wordSetting("lc_monetary", "C", noEffect).checked(checkLocale), wordSetting("lc_numeric", "C", noEffect).checked(checkLocale), wordSetting("lc_time", "C", noEffect).checked(checkLocale),
		wordSetting("lc_messages", "C", noEffect).checked(checkLocale),
		wordSetting("timezone_abbreviations", "Default", noEffect), choiceSetting("xmlbinary", "base64", "base64,hex", noEffect),
		choiceSetting("xmloption", "content", "content,document", noEffect), flagSetting("array_nulls", "on", "NULL in arrays' text is NULL; on only").checked(only("on")),
		flagSetting("transform_null_equals", "off", "off only: x = NULL is NULL").checked(only("off")), choiceSetting("backslash_quote", "safe_encoding", "safe_encoding,on,off", noEffect),
		flagSetting("escape_string_warning", "on", noEffect), flagSetting("quote_all_identifiers", "off", noEffect),

		// The session.
		wordSetting("application_name", "", "the client's name of itself").report().checked(checkPrintable),
		wordSetting("search_path", `"$user", public`, "schemas that unqualified names are looked up in").list(),
		choiceSetting("client_min_messages", "notice", "debug5,debug4,debug3,debug2,debug1,log,notice,warning,error", "the least level of messages sent"),
		wordSetting("role", "none", "the role that statements run as").hide().checked(checkRole),
		wordSetting("session_authorization", "", "the session's role").report().hide().checked(checkSessionRole),
		flagSetting("row_security", "on", noEffect), flagSetting("check_function_bodies", "on", noEffect), flagSetting("exit_on_error", "off", noEffect),

		// Timeouts.
		numberSetting("statement_timeout", "0", "ms", 0, maxSetting, "how long a statement may take; 0: any time"),
		numberSetting("idle_in_transaction_session_timeout", "0", "ms", 0, maxSetting, "how long a session may wait for its client inside a transaction block; 0: any time"),
		numberSetting("idle_session_timeout", "0", "ms", 0, maxSetting, "how long a session may wait for its client outside of a block; 0: any time"),
		numberSetting("lock_timeout", "0", "ms", 0, maxSetting, "accepted: no statement waits for a lock"),
		numberSetting("client_connection_check_interval", "0", "ms", 0, maxSetting, "accepted: a client that hung up is always noticed"),
		numberSetting("tcp_keepalives_count", "0", "", 0, maxSetting, noEffect), numberSetting("tcp_keepalives_idle", "0", "s", 0, maxSetting, noEffect),
		numberSetting("tcp_keepalives_interval", "0", "s", 0, maxSetting, noEffect), numberSetting("tcp_user_timeout", "0", "ms", 0, maxSetting, noEffect),
		numberSetting("wal_sender_timeout", "60000", "ms", 0, maxSetting, noEffect),

		// Transactions.
		choiceSetting("default_transaction_isolation", "read committed", isolationLevels, "isolation of new transactions"),
		flagSetting("default_transaction_read_only", "off", "whether new transactions are read only"), flagSetting("default_transaction_deferrable", "off", noEffect),
		choiceSetting("transaction_isolation", "read committed", isolationLevels, "isolation of this transaction").hide().checked(setIsolation).shown((*Session).isolation),
		flagSetting("transaction_read_only", "off", "whether this transaction is read only").hide().checked(setReadOnly).shown(func(s *Session) string { return onOff(s.readOnly()) }),
		flagSetting("transaction_deferrable", "off", noEffect).hide(),
		choiceSetting("synchronous_commit", "on", "local,remote_write,remote_apply,on,off", "accepted: every commit is synced"),

		// Tilehouse's own.
		wordSetting("tilehouse.read_time", "", "the instant t of online reads; empty: the clock").checked(checkTime),
		flagSetting("tilehouse.use_row_packs", "on", "for tests: off reads edges from runs"), flagSetting("tilehouse.use_levels", "on", "for tests: off folds rows where states of part of a day exist"),
		flagSetting("tilehouse.use_runs", "on", "for tests: off scans and sorts the source's rows for each read"), flagSetting("tilehouse.use_partials", "on", "for tests: off folds rows where daily partials exist"),

		// What PostgreSQL's planner and storage are told, which are not here.
		numberSetting("work_mem", "4096", "kB", 64, maxSetting, noEffect), numberSetting("maintenance_work_mem", "65536", "kB", 1024, maxSetting, noEffect),
		numberSetting("logical_decoding_work_mem", "65536", "kB", 64, maxSetting, noEffect), numberSetting("temp_buffers", "1024", "8kB", 100, 1073741823, noEffect),
		numberSetting("effective_cache_size", "524288", "8kB", 1, maxSetting, noEffect), numberSetting("effective_io_concurrency", "1", "", 0, 1000, noEffect),
		numberSetting("maintenance_io_concurrency", "10", "", 0, 1000, noEffect), numberSetting("default_statistics_target", "100", "", 1, 10000, noEffect),
		numberSetting("from_collapse_limit", "8", "", 1, maxSetting, noEffect), numberSetting("join_collapse_limit", "8", "", 1, maxSetting, noEffect),
		numberSetting("max_parallel_workers", "8", "", 0, 1024, noEffect), numberSetting("max_parallel_workers_per_gather", "2", "", 0, 1024, noEffect),
		numberSetting("max_parallel_maintenance_workers", "2", "", 0, 1024, noEffect), numberSetting("min_parallel_index_scan_size", "64", "8kB", 0, 715827882, noEffect),
		numberSetting("min_parallel_table_scan_size", "1024", "8kB", 0, 715827882, noEffect), numberSetting("geqo_threshold", "12", "", 2, maxSetting, noEffect),
		numberSetting("geqo_effort", "5", "", 1, 10, noEffect), numberSetting("geqo_pool_size", "0", "", 0, maxSetting, noEffect), numberSetting("geqo_generations", "0", "", 0, maxSetting, noEffect),
		numberSetting("gin_fuzzy_search_limit", "0", "", 0, maxSetting, noEffect), numberSetting("gin_pending_list_limit", "4096", "kB", 64, maxSetting, noEffect),
		numberSetting("commit_siblings", "5", "", 0, 1000, noEffect), numberSetting("backend_flush_after", "0", "8kB", 0, 256, noEffect), numberSetting("wal_skip_threshold", "2048", "kB", 0, maxSetting, noEffect),
		numberSetting("vacuum_cost_limit", "200", "", 1, 10000, noEffect), numberSetting("vacuum_freeze_min_age", "50000000", "", 0, 1e9, noEffect), numberSetting("vacuum_freeze_table_age", "150000000", "", 0, 2e9, noEffect),
		realNumber("random_page_cost", "4", 0, huge, noEffect), realNumber("seq_page_cost", "1", 0, huge, noEffect), realNumber("cpu_tuple_cost", "0.01", 0, huge, noEffect),
		realNumber("cpu_index_tuple_cost", "0.005", 0, huge, noEffect), realNumber("cpu_operator_cost", "0.0025", 0, huge, noEffect), realNumber("parallel_setup_cost", "1000", 0, huge, noEffect),
		realNumber("parallel_tuple_cost", "0.1", 0, huge, noEffect), realNumber("cursor_tuple_fraction", "0.1", 0, 1, noEffect), realNumber("hash_mem_multiplier", "2", 1, 1000, noEffect),
		realNumber("jit_above_cost", "100000", -1, huge, noEffect), realNumber("jit_inline_above_cost", "500000", -1, huge, noEffect), realNumber("jit_optimize_above_cost", "500000", -1, huge, noEffect),
		realNumber("recursive_worktable_factor", "10", 0.001, 1e6, noEffect), realNumber("geqo_seed", "0", 0, 1, noEffect), realNumber("geqo_selection_bias", "2", 1.5, 2, noEffect), realNumber("vacuum_cost_delay", "0", 0, 100, noEffect),
		choiceSetting("constraint_exclusion", "partition", "partition,on,off", noEffect), choiceSetting("force_parallel_mode", "off", "off,on,regress", noEffect), choiceSetting("plan_cache_mode", "auto", "auto,force_generic_plan,force_custom_plan", noEffect),
		choiceSetting("default_toast_compression", "pglz", "pglz,lz4", noEffect), choiceSetting("stats_fetch_consistency", "cache", "none,cache,snapshot", noEffect), choiceSetting("password_encryption", "scram-sha-256", "md5,scram-sha-256", "scram-sha-256 only").checked(only("scram-sha-256")),
		wordSetting("default_table_access_method", "heap", noEffect).checked(only("heap")), wordSetting("default_tablespace", "", noEffect).checked(noTablespace), wordSetting("temp_tablespaces", "", noEffect).list().checked(noTablespace),
		wordSetting("default_text_search_config", "pg_catalog.english", noEffect),
		flagSetting("jit", "off", noEffect), flagSetting("jit_expressions", "on", noEffect), flagSetting("jit_tuple_deforming", "on", noEffect), flagSetting("geqo", "on", noEffect), flagSetting("parallel_leader_participation", "on", noEffect), flagSetting("synchronize_seqscans", "on", noEffect),
		flagSetting("debug_pretty_print", "on", noEffect), flagSetting("debug_print_parse", "off", noEffect), flagSetting("debug_print_plan", "off", noEffect), flagSetting("debug_print_rewritten", "off", noEffect), flagSetting("trace_notify", "off", noEffect), flagSetting("trace_sort", "off", noEffect),
		choiceSetting("log_min_messages", "warning", "debug5,debug4,debug3,debug2,debug1,info,notice,warning,error,log,fatal,panic", noEffect), choiceSetting("log_statement", "none", "none,ddl,mod,all", noEffect),
		numberSetting("log_min_duration_statement", "-1", "ms", -1, maxSetting, noEffect), choiceSetting("session_replication_role", "origin", "origin,replica,local", "origin only").checked(only("origin")),
		flagSetting("lo_compat_privileges", "off", noEffect), choiceSetting("compute_query_id", "auto", "auto,regress,on,off", noEffect), flagSetting("track_activities", "on", noEffect), flagSetting("track_io_timing", "off", noEffect),

		// What is so.
		fixedSetting("server_version", "15.0 (Tilehouse)", stringSetting, byNobody, "the PostgreSQL version that clients see").report(),
		fixedSetting("server_version_num", "150000", intSetting, byNobody, "the same as a number"), fixedSetting("server_encoding", "UTF8", stringSetting, byNobody, "the server's encoding").report(),
		fixedSetting("integer_datetimes", "on", boolSetting, byNobody, "times are integers on the wire").report(), fixedSetting("is_superuser", "off", boolSetting, byNobody, "whether the role is a superuser").report().hide().shown(showSuperuser),
		fixedSetting("in_hot_standby", "off", boolSetting, byNobody, "there are no standbys").report(), fixedSetting("lc_collate", "C", stringSetting, byNobody, "texts are ordered by their bytes"), fixedSetting("lc_ctype", "C", stringSetting, byNobody, "the locale of letters"),
		fixedSetting("max_identifier_length", "63", intSetting, byNobody, "bytes of an identifier"), fixedSetting("max_function_args", "100", intSetting, byNobody, noEffect), fixedSetting("max_index_keys", "32", intSetting, byNobody, noEffect),
		fixedSetting("block_size", "8192", intSetting, byNobody, noEffect), fixedSetting("wal_block_size", "8192", intSetting, byNobody, noEffect), fixedSetting("data_checksums", "on", boolSetting, byNobody, "files carry checksums"), fixedSetting("debug_assertions", "off", boolSetting, byNobody, noEffect),
		fixedSetting("max_connections", "100", intSetting, byRestart, "accepted: --max-connections says it"), fixedSetting("max_prepared_transactions", "0", intSetting, byRestart, "there is no PREPARE TRANSACTION"), fixedSetting("wal_level", "replica", stringSetting, byRestart, noEffect),
		fixedSetting("shared_buffers", "16384", intSetting, byRestart, noEffect), fixedSetting("max_worker_processes", "8", intSetting, byRestart, noEffect), fixedSetting("hot_standby", "on", boolSetting, byRestart, noEffect), fixedSetting("track_commit_timestamp", "off", boolSetting, byRestart, noEffect),
		fixedSetting("ssl", "off", boolSetting, byReload, "--tls-cert says it"), fixedSetting("autovacuum", "off", boolSetting, byReload, "there is nothing to vacuum"), fixedSetting("fsync", "on", boolSetting, byReload, "every commit is synced"), fixedSetting("full_page_writes", "on", boolSetting, byReload, noEffect),
	} {
		settings[strings.ToLower(d.name)] = d
	}
	settings["shared_buffers"].unit = "8kB"
	for _, method := range strings.Fields("async_append bitmapscan gathermerge hashagg hashjoin incremental_sort indexonlyscan indexscan material memoize mergejoin nestloop parallel_append parallel_hash partition_pruning seqscan sort tidscan") {
		settings["enable_"+method] = flagSetting("enable_"+method, "on", noEffect)
	}
	for _, method := range []string{"partitionwise_aggregate", "partitionwise_join"} {
		settings["enable_"+method] = flagSetting("enable_"+method, "off", noEffect)
	}
}

func settingNames() []string { return slices.Sorted(maps.Keys(settings)) }

// maxCustomSettings bounds the settings of a session that have a name of two parts and no meaning here.
const maxCustomSettings = 1000

// findSetting is the setting of a name. Names of two parts and more exist once they are set.
func (s *Session) findSetting(name string) (*setting, error) {
	key := settingKey(name)
	if d, ok := settings[key]; ok {
		return d, nil
	}
	if _, ok := s.set[key]; ok {
		return wordSetting(key, "", "set by the session"), nil
	}
	return nil, unknownSetting(name)
}

// settingKey is the name that a setting is kept under.
func settingKey(name string) string {
	switch key := strings.ToLower(name); key {
	case "time zone":
		return "timezone"
	default:
		return key
	}
}

func unknownSetting(name string) *session.Error {
	switch strings.ToLower(name) {
	case "tables", "databases", "schemas", "columns": // what other databases show so
		return hint(fail(codeUndefinedObject, "unrecognized configuration parameter %q", name), "SELECT * FROM information_schema.tables, psql's \\d, or SHOW FEATURES, SHOW ENTITIES and SHOW SOURCES list what there is.")
	}
	return hint(fail(codeUndefinedObject, "unrecognized configuration parameter %q", name), "SELECT name, setting FROM tilehouse.settings lists them.")
}

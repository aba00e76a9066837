package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// pgRelation is a relation of schema pg_catalog. Those whose names begin with two underscores are for the bodies of
// catalogFunction.
type pgRelation struct {
	columns []schema.Column
	rows    func(b *binder) []string // SELECTs of DuckDB's
}

// empty is a relation of things that Tilehouse does not have.
func empty(columns string) pgRelation {
	return pgRelation{catalogColumns(columns), func(*binder) []string { return nil }}
}

// filled is a relation with rows.
func filled(columns string, rows func(b *binder) []string) pgRelation {
	return pgRelation{catalogColumns(columns), rows}
}

// catalogColumns reads columns written as "a b: integer, c: text": names, and the type of those before it; n is bigint, t text,
// f a flag, and a list of texts or numbers is t[] or n[].
func catalogColumns(spec string) []schema.Column {
	types := map[string]vector.Type{"n": vector.T(vector.Int64), "t": vector.T(vector.Text), "f": vector.T(vector.Bool), "r": vector.T(vector.Float32),
		"t[]": vector.ListOf(vector.T(vector.Text)), "n[]": vector.ListOf(vector.T(vector.Int64)), "z": vector.T(vector.TimestampTZ)}
	var out []schema.Column
	for _, group := range strings.Split(spec, ",") {
		names, typ, _ := strings.Cut(group, ":")
		for _, n := range strings.Fields(names) {
			out = append(out, schema.Column{Name: n, Type: types[strings.TrimSpace(typ)]})
		}
	}
	return out
}

// rowsOf makes a SELECT of each row.
func rowsOf(rows [][]string) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = "SELECT " + strings.Join(r, ", ")
	}
	return out
}

// pgRelations are filled in init, because the functions that fill them read the list of types.
var pgRelations map[string]pgRelation

func init() {
	pgRelations = map[string]pgRelation{
		"pg_namespace":   filled("oid: n, nspname: t, nspowner: n, nspacl: t[]", pgNamespace),
		"pg_class":       filled("oid: n, relname: t, relnamespace reltype reloftype relowner relam relfilenode reltablespace relpages: n, reltuples: r, relallvisible reltoastrelid: n, relhasindex relisshared: f, relpersistence relkind: t, relnatts relchecks: n, relhasrules relhastriggers relhassubclass relrowsecurity relforcerowsecurity relispopulated: f, relreplident: t, relispartition: f, relrewrite relfrozenxid relminmxid: n, relacl reloptions: t[], relpartbound: t", pgClass),
		"pg_attribute":   filled("attrelid: n, attname: t, atttypid attstattarget attlen attnum attndims attcacheoff atttypmod: n, attbyval: f, attalign attstorage attcompression: t, attnotnull atthasdef atthasmissing: f, attidentity attgenerated: t, attisdropped attislocal: f, attinhcount attcollation: n, attacl attoptions attfdwoptions: t[]", pgAttribute),
		"pg_attrdef":     filled("oid adrelid adnum: n, adbin: t", pgAttrdef),
		"pg_description": filled("objoid classoid objsubid: n, description: t", pgDescription),
		"pg_type":        filled("oid: n, typname: t, typnamespace typowner typlen: n, typbyval: f, typtype typcategory: t, typispreferred typisdefined: f, typdelim: t, typrelid typelem typarray: n, typinput typoutput typreceive typsend: t, typalign typstorage: t, typnotnull: f, typbasetype typtypmod typndims typcollation: n, typdefault: t, typacl: t[]", pgTypeRows),
		"pg_index":       filled("indexrelid indrelid indnatts indnkeyatts: n, indisunique indnullsnotdistinct indisprimary indisexclusion indimmediate indisclustered indisvalid indcheckxmin indisready indislive indisreplident: f, indkey indcollation indclass indoption: n[], indexprs indpred: t", pgIndex),
		"pg_constraint":  filled("oid: n, conname: t, connamespace: n, contype: t, condeferrable condeferred convalidated: f, conrelid contypid conindid conparentid confrelid: n, confupdtype confdeltype confmatchtype: t, conislocal: f, coninhcount: n, connoinherit: f, conkey confkey: n[], conbin: t, tableoid: n", pgConstraint),
		"pg_database": filled("oid: n, datname: t, datdba encoding: n, datlocprovider: t, datistemplate datallowconn: f, datconnlimit dattablespace: n, datcollate datctype daticulocale datcollversion: t, datacl: t[]", func(b *binder) []string {
			return []string{fmt.Sprintf("SELECT 16385, %s, 10, 6, 'c', false, true, -1, 1663, 'C', 'C', NULL, NULL, NULL", b.database())}
		}),
		"pg_roles": filled("oid: n, rolname: t, rolsuper rolinherit rolcreaterole rolcreatedb rolcanlogin rolreplication rolbypassrls: f, rolconnlimit: n, rolpassword: t, rolvaliduntil: z, rolconfig: t[]", func(*binder) []string {
			return []string{fmt.Sprintf("SELECT 10, %s, false, true, false, false, true, false, false, -1, '********', NULL, NULL", duck.QuoteLiteral(DefaultRole))}
		}),
		"pg_user": filled("usename: t, usesysid: n, usecreatedb usesuper userepl usebypassrls: f", func(*binder) []string {
			return []string{fmt.Sprintf("SELECT %s, 10, false, false, false, false", duck.QuoteLiteral(DefaultRole))}
		}),
		"pg_am": filled("oid: n, amname amhandler amtype: t", func(*binder) []string {
			return []string{"SELECT 2, 'heap', 'heap_tableam_handler', 't'", "SELECT 403, 'btree', 'bthandler', 'i'"}
		}),
		"pg_tablespace": filled("oid: n, spcname: t, spcowner: n, spcacl spcoptions: t[]", func(*binder) []string {
			return []string{"SELECT 1663, 'pg_default', 10, NULL, NULL", "SELECT 1664, 'pg_global', 10, NULL, NULL"}
		}),
		"pg_language": filled("oid: n, lanname: t, lanowner: n, lanispl lanpltrusted: f, lanplcallfoid laninline lanvalidator: n, lanacl: t[], tableoid: n", func(*binder) []string {
			return []string{"SELECT 14, 'sql', 10, false, true, 0, 0, 0, NULL, 2612"}
		}),
		"pg_collation": filled("oid: n, collname: t, collnamespace collowner: n, collprovider: t, collisdeterministic: f, collencoding: n, collcollate collctype colliculocale collversion: t", func(*binder) []string {
			return []string{"SELECT 100, 'default', 11, 10, 'd', true, -1, NULL, NULL, NULL, NULL", "SELECT 950, 'C', 11, 10, 'c', true, -1, 'C', 'C', NULL, NULL"}
		}),
		"pg_proc":           filled("oid: n, proname: t, pronamespace proowner prolang: n, procost prorows: r, provariadic: n, prosupport prokind: t, prosecdef proleakproof proisstrict proretset: f, provolatile proparallel: t, pronargs pronargdefaults prorettype: n, proargtypes proallargtypes: n[], proargmodes proargnames: t[], proargdefaults: t, protrftypes: n[], prosrc probin prosqlbody: t, proconfig proacl: t[]", pgProc),
		"pg_settings":       filled("name setting unit category short_desc extra_desc context vartype source min_val max_val: t, enumvals: t[], boot_val reset_val sourcefile: t, sourceline: n, pending_restart: f", pgSettings),
		"pg_foreign_server": filled("oid: n, srvname: t, srvowner srvfdw: n, srvtype srvversion: t, srvacl srvoptions: t[]", func(*binder) []string { return []string{"SELECT 16386, 'files', 10, 16387, NULL, NULL, NULL, NULL"} }),
		"pg_foreign_data_wrapper": filled("oid: n, fdwname: t, fdwowner fdwhandler fdwvalidator: n, fdwacl fdwoptions: t[]", func(*binder) []string {
			return []string{"SELECT 16387, 'tilehouse', 10, 0, 0, NULL, NULL"}
		}),
		"pg_foreign_table": filled("ftrelid ftserver: n, ftoptions: t[]", pgForeignTable),
		"pg_views": filled("schemaname viewname viewowner definition: t", func(b *binder) []string {
			return []string{fmt.Sprintf("SELECT n.nspname, c.relname, %s, d.definition FROM %s c JOIN %s n ON n.oid = c.relnamespace LEFT JOIN %s d ON d.oid = c.oid WHERE c.relkind = 'v'",
				duck.QuoteLiteral(DefaultRole), b.pgRelation("pg_class"), b.pgRelation("pg_namespace"), b.pgRelation("__definition"))}
		}),
		"pg_tables": filled("schemaname tablename tableowner tablespace: t, hasindexes hasrules hastriggers rowsecurity: f", func(b *binder) []string {
			return []string{fmt.Sprintf("SELECT n.nspname, c.relname, %s, NULL, c.relhasindex, false, false, false FROM %s c JOIN %s n ON n.oid = c.relnamespace WHERE c.relkind = 'r'",
				duck.QuoteLiteral(DefaultRole), b.pgRelation("pg_class"), b.pgRelation("pg_namespace"))}
		}),
		"pg_indexes": filled("schemaname tablename indexname tablespace indexdef: t", func(b *binder) []string {
			return []string{"SELECT 'public', relname, name, NULL, 'CREATE UNIQUE INDEX ' || name || ' ON public.' || relname || ' USING btree (' || columns || ')' FROM " + b.pgRelation("__key")}
		}),

		"pg_stat_activity":       filled("datid: n, datname: t, pid leader_pid usesysid: n, usename application_name client_addr client_hostname: t, client_port: n, backend_start xact_start query_start state_change: z, wait_event_type wait_event state: t, backend_xid backend_xmin query_id: n, query backend_type: t", pgStatActivity),
		"pg_prepared_statements": filled("name statement: t, prepare_time: z, parameter_types: t[], from_sql: f, generic_plans custom_plans: n", pgPreparedStatements),
		"pg_cursors":             filled("name statement: t, is_holdable is_binary is_scrollable: f, creation_time: z", pgCursors),

		"__key":        filled("oid relid: n, name relname kind columns: t, numbers: n[]", keyRows),
		"__definition": filled("oid: n, definition: t", definitionRows),
		"__function":   filled("oid: n, name result arguments types: t", functionRows),

		"pg_auth_members":          empty("roleid member grantor: n, admin_option: f"),
		"pg_authid":                empty("oid: n, rolname: t, rolsuper: f"),
		"pg_aggregate":             empty("aggfnoid: n, aggkind: t"),
		"pg_amop":                  empty("oid amopfamily amoplefttype amoprighttype amopstrategy: n, amoppurpose: t, amopopr amopmethod amopsortfamily: n"),
		"pg_amproc":                empty("oid amprocfamily amproclefttype amprocrighttype amprocnum: n, amproc: n"),
		"pg_cast":                  empty("oid castsource casttarget castfunc: n, castcontext castmethod: t"),
		"pg_conversion":            empty("oid: n, conname: t, connamespace conowner conforencoding contoencoding: n, conproc: t, condefault: f"),
		"pg_db_role_setting":       empty("setdatabase setrole: n, setconfig: t[]"),
		"pg_default_acl":           empty("oid defaclrole defaclnamespace: n, defaclobjtype: t, defaclacl: t[]"),
		"pg_depend":                empty("classid objid objsubid refclassid refobjid refobjsubid: n, deptype: t"),
		"pg_enum":                  empty("oid enumtypid: n, enumsortorder: r, enumlabel: t"),
		"pg_event_trigger":         empty("oid: n, evtname evtevent: t, evtowner evtfoid: n, evtenabled: t, evttags: t[]"),
		"pg_extension":             empty("oid: n, extname: t, extowner extnamespace: n, extrelocatable: f, extversion: t, extconfig: n[], extcondition: t[]"),
		"pg_inherits":              empty("inhrelid inhparent inhseqno: n, inhdetachpending: f"),
		"pg_largeobject_metadata":  empty("oid lomowner: n, lomacl: t[]"),
		"pg_matviews":              empty("schemaname matviewname matviewowner tablespace: t, hasindexes ispopulated: f, definition: t"),
		"pg_opclass":               empty("oid opcmethod: n, opcname: t, opcnamespace opcowner opcfamily opcintype: n, opcdefault: f, opckeytype: n, tableoid: n"),
		"pg_operator":              empty("oid: n, oprname: t, oprnamespace oprowner: n, oprkind: t, oprcanmerge oprcanhash: f, oprleft oprright oprresult oprcom oprnegate oprcode: n"),
		"pg_opfamily":              empty("oid opfmethod: n, opfname: t, opfnamespace opfowner: n, tableoid: n"),
		"pg_parameter_acl":         empty("oid: n, parname: t, paracl: t[]"),
		"pg_partitioned_table":     empty("partrelid: n, partstrat: t, partnatts partdefid: n"),
		"pg_policy":                empty("oid: n, polname: t, polrelid: n, polcmd: t, polpermissive: f, polroles: n[], polqual polwithcheck: t"),
		"pg_publication":           empty("oid: n, pubname: t, pubowner: n, puballtables pubinsert pubupdate pubdelete pubtruncate pubviaroot: f"),
		"pg_publication_namespace": empty("oid pnpubid pnnspid: n"),
		"pg_publication_rel":       empty("oid prpubid prrelid: n, prqual: t, prattrs: n[]"),
		"pg_range":                 empty("rngtypid rngsubtype rngmultitypid rngcollation rngsubopc: n"),
		"pg_rewrite":               empty("oid: n, rulename: t, ev_class: n, ev_type ev_enabled: t, is_instead: f, tableoid: n"),
		"pg_seclabels":             empty("objoid classoid objsubid: n, objtype: t, objnamespace: n, objname provider label: t"),
		"pg_sequence":              empty("seqrelid seqtypid seqstart seqincrement seqmax seqmin seqcache: n, seqcycle: f"),
		"pg_shdescription":         empty("objoid classoid: n, description: t"),
		"pg_statistic_ext":         empty("oid stxrelid: n, stxname: t, stxnamespace stxowner stxstattarget: n, stxkeys: n[], stxkind: t[], stxexprs: t"),
		"pg_subscription":          empty("oid subdbid: n, subname: t, subowner: n, subenabled: f, subconninfo subsynccommit: t, subbinary substream: f, subtwophasestate: t, subdisableonerr: f, subskiplsn subslotname: t, subpublications: t[]"),
		"pg_trigger":               empty("oid tgrelid tgparentid: n, tgname: t, tgfoid tgtype: n, tgenabled: t, tgisinternal: f, tgconstraint: n, tableoid: n"),
		"pg_ts_config":             empty("oid: n, cfgname: t, cfgnamespace cfgowner cfgparser: n"),
		"pg_ts_dict":               empty("oid: n, dictname: t, dictnamespace dictowner dicttemplate: n, dictinitoption: t"),
		"pg_ts_parser":             empty("oid: n, prsname: t, prsnamespace: n"),
		"pg_ts_template":           empty("oid: n, tmplname: t, tmplnamespace: n"),
		"pg_user_mapping":          empty("oid umuser umserver: n, umoptions: t[]"),
		"pg_user_mappings":         empty("umid srvid: n, srvname: t, umuser: n, usename: t, umoptions: t[]"),
	}
}

// pgRelation is a relation of pg_catalog as DuckDB's SQL.
func (b *binder) pgRelation(name string) string {
	r := pgRelations[name]
	return values(r.columns, nil, r.rows(b)...)
}

// schemaOIDs are the schemas that clients see.
var schemaOIDs = map[string]int{"pg_catalog": oidCatalog, "public": oidPublic, "information_schema": oidInformation, "tilehouse": oidTilehouse}

func pgNamespace(*binder) []string {
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(schemaOIDs)) {
		rows = append(rows, []string{fmt.Sprint(schemaOIDs[name]), duck.QuoteLiteral(name), "10", "NULL"})
	}
	return rowsOf(rows)
}

// pgClass has the relations, and an index for each key.
func pgClass(b *binder) []string {
	// From relallvisible on, and after relkind.
	const form = "SELECT %s, %s, %d, 0, 0, 10, %s, 0, 0, 0, %s, 0, 0, %s, false, %s, %s, %s, 0, false, false, false, false, false, true, 'd', false, 0, 0, 0, NULL, NULL, NULL"
	var out []string
	for _, l := range listedRelations(b.cat) {
		am := "0"
		if l.kind == "r" {
			am = "2"
		}
		out = append(out, fmt.Sprintf(form, fmt.Sprint(l.oid), duck.QuoteLiteral(l.name), schemaOIDs[l.schema], am, "-1", fmt.Sprint(l.kind == "r" && l.key != nil), "'p'", duck.QuoteLiteral(l.kind), fmt.Sprint(len(l.columns))))
	}
	const persistence = "if(temporary, 't', 'p')"
	return append(out,
		fmt.Sprintf(form+" FROM %s", "table_oid", "table_name", oidPublic, "2", "estimated_size", b.indexedTables(), persistence, "'r'", "column_count", ordinaryTables),
		fmt.Sprintf(form+" FROM %s", "view_oid", "view_name", oidPublic, "0", "-1", "false", persistence, "'v'", "column_count", ordinaryViews),
		fmt.Sprintf(form+" FROM %s k", "oid", "name", oidPublic, "403", "-1", "false", "'p'", "'i'", "len(numbers)", b.pgRelation("__key")))
}

func pgAttribute(b *binder) []string {
	const form = "SELECT %s, %s, %s, -1, %s, %s, %s, -1, %s, false, 'i', %s, '', %s, %s, false, '', '', false, true, 0, %s, NULL, NULL, NULL"
	var out []string
	for _, l := range listedRelations(b.cat) {
		for i, c := range l.columns {
			dims := "0"
			if dataType(c.Type) == "ARRAY" {
				dims = "1"
			}
			out = append(out, fmt.Sprintf(form, fmt.Sprint(l.oid), duck.QuoteLiteral(c.Name), fmt.Sprint(codec.OID(c.Type)), fmt.Sprint(codec.TypeLen(c.Type)), fmt.Sprint(i+1), dims, fmt.Sprint(codec.TypeMod(c.Type)),
				duck.QuoteLiteral(storage(c.Type)), fmt.Sprint(c.NotNull || slices.Contains(l.key, c.Name)), fmt.Sprint(c.Default != ""), collation(c.Type)))
		}
	}
	number := func(say func(t vector.Type) string) string { return "CAST(" + ordinaryType(say) + " AS BIGINT)" }
	out = append(out, fmt.Sprintf(form+" FROM %s", "table_oid", "column_name", number(func(t vector.Type) string { return fmt.Sprint(codec.OID(t)) }),
		number(func(t vector.Type) string { return fmt.Sprint(codec.TypeLen(t)) }), "column_index", "if(ends_with(data_type, '[]'), 1, 0)",
		"if(data_type LIKE 'DECIMAL%)', (numeric_precision << 16 | numeric_scale) + 4, -1)", ordinaryType(storage), "NOT is_nullable", b.columnDefault()+" IS NOT NULL", number(collation), ordinaryColumns))
	return append(out, fmt.Sprintf("SELECT a.* REPLACE (k.oid AS attrelid, k.n AS attnum, false AS attnotnull, false AS atthasdef) FROM %s a JOIN (SELECT oid, relid, unnest(numbers) AS number, generate_subscripts(numbers, 1) AS n FROM %s) k ON a.attrelid = k.relid AND a.attnum = k.number",
		values(pgRelations["pg_attribute"].columns, nil, out...), b.pgRelation("__key")))
}

// storage is attstorage of a type: p where it is never long, m of numeric, x of the others.
func storage(t vector.Type) string {
	switch {
	case codec.TypeLen(t) > 0:
		return "p"
	case t.Kind == vector.Decimal:
		return "m"
	}
	return "x"
}

// collation is typcollation of a type: the default one's object id of texts, 0 of the others.
func collation(t vector.Type) string {
	if t.Kind == vector.Text || t.Kind == vector.List && t.Elem[0].Kind == vector.Text {
		return "100"
	}
	return "0"
}

func pgAttrdef(b *binder) []string {
	var out []string
	for _, l := range listedRelations(b.cat) {
		for i, c := range l.columns {
			if c.Default != "" {
				out = append(out, fmt.Sprintf("SELECT %d, %d, %d, %s", l.oid, l.oid, i+1, duck.QuoteLiteral(c.Default)))
			}
		}
	}
	return append(out, fmt.Sprintf("SELECT table_oid, table_oid, column_index, %[1]s FROM %[2]s AND %[1]s IS NOT NULL", b.columnDefault(), ordinaryColumns))
}

// inDuck is how DuckDB's own catalog knows a table or view.
func inDuck(o *tables.Object) string {
	switch {
	case o.Temp:
		return "temp.main." + o.Name
	case o.Schema == tables.Public:
		return tablesDatabase + ".main." + o.Name
	}
	return tablesDatabase + "." + o.Schema + "." + o.Name
}

const nameInDuck = "database_name || '.' || schema_name || '.' || table_name"

// columnDefault is the default of a column of an ordinary table, over a row of duckdb_columns().
func (b *binder) columnDefault() string {
	cat, err := b.s.ordinary(b.ctx)
	if err != nil {
		return "NULL::VARCHAR"
	}
	out := "CASE " + nameInDuck + " || '.' || column_name"
	some := false
	for _, o := range cat.Sorted(func(o *tables.Object) bool { return o.Kind == tables.Table }) {
		for _, c := range o.Columns {
			if c.Default != "" {
				some = true
				out += fmt.Sprintf(" WHEN %s THEN %s", duck.QuoteLiteral(inDuck(o)+"."+c.Name), duck.QuoteLiteral(c.Default))
			}
		}
	}
	if !some {
		return "NULL::VARCHAR"
	}
	return out + " END"
}

// indexedTables is whether a table has indexes, over a row of duckdb_tables().
func (b *binder) indexedTables() string {
	cat, err := b.s.ordinary(b.ctx)
	if err != nil {
		return "false"
	}
	names := []string{"''"}
	for _, o := range cat.Sorted(func(o *tables.Object) bool { return o.Kind == tables.Index }) {
		if t := cat.ByID[o.Of.Table]; t != nil {
			names = append(names, duck.QuoteLiteral(inDuck(t)))
		}
	}
	return nameInDuck + " IN (" + strings.Join(names, ", ") + ")"
}

func pgTypeRows(*binder) []string {
	const form = "SELECT %d, %s, 11, 10, %d, false, %s, %s, false, true, ',', 0, %d, %d, %s, %s, %s, %s, 'i', 'x', false, 0, -1, 0, %d, NULL, NULL"
	var out []string
	for _, t := range pgTypes {
		kind, collated, io := "'b'", 0, t.name
		if t.category == "P" {
			kind = "'p'"
		}
		if t.category == "S" {
			collated = 100
		}
		separator := "_"
		if strings.Contains(" bool bytea char name text oid unknown int2 int4 int8 float4 float8 bpchar varchar regclass regtype regproc void ", " "+t.name+" ") {
			separator = ""
		}
		quote := func(s string) string { return duck.QuoteLiteral(io + separator + s) }
		out = append(out, fmt.Sprintf(form, t.oid, duck.QuoteLiteral(t.name), t.length, kind, duck.QuoteLiteral(t.category), 0, t.array, quote("in"), quote("out"), quote("recv"), quote("send"), collated))
		if t.array != 0 {
			io, separator = "array", "_"
			out = append(out, fmt.Sprintf(form, t.array, duck.QuoteLiteral("_"+t.name), -1, "'b'", "'A'", t.oid, 0, quote("in"), quote("out"), quote("recv"), quote("send"), collated))
		}
	}
	return out
}

// keyRows are primary keys and UNIQUE constraints. Those of ordinary tables are numbered within their table.
func keyRows(b *binder) []string {
	var out []string
	for _, l := range listedRelations(b.cat) {
		if l.kind != "r" || l.key == nil {
			continue
		}
		numbers, names := make([]string, len(l.key)), make([]string, len(l.key))
		for i, k := range l.key {
			names[i] = k
			numbers[i] = fmt.Sprint(1 + slices.IndexFunc(l.columns, func(c schema.Column) bool { return c.Name == k }))
		}
		out = append(out, fmt.Sprintf("SELECT %d, %d, %s, %s, 'p', %s, [%s]", l.oid+5*rangeOIDs, l.oid, duck.QuoteLiteral(l.name+"_pkey"), duck.QuoteLiteral(l.name), duck.QuoteLiteral(strings.Join(names, ", ")), strings.Join(numbers, ", ")))
	}
	cat, err := b.s.ordinary(b.ctx)
	if err != nil {
		return out
	}
	for _, o := range cat.Sorted(func(o *tables.Object) bool { return o.Kind == tables.Table && (o.Temp || o.Schema == tables.Public) }) {
		for k, c := range o.Constraints {
			if c.Kind != tables.PrimaryKey && c.Kind != tables.Unique {
				continue
			}
			numbers := make([]string, len(c.Columns))
			for i, name := range c.Columns {
				numbers[i] = fmt.Sprint(1 + o.ColumnIndex(name))
			}
			out = append(out, fmt.Sprintf("SELECT %d + table_oid * 100, table_oid, %s, table_name, '%s', %s, [%s] FROM duckdb_tables() WHERE database_name = '%s' AND table_name = %s", firstOID+9*rangeOIDs+uint32(k),
				duck.QuoteLiteral(c.Name), c.Kind, duck.QuoteLiteral(strings.Join(c.Columns, ", ")), strings.Join(numbers, ", "), map[bool]string{true: "temp", false: tablesDatabase}[o.Temp], duck.QuoteLiteral(o.Name)))
		}
	}
	return out
}

func pgIndex(b *binder) []string {
	return []string{"SELECT oid, relid, len(numbers), len(numbers), true, false, kind = 'p', false, true, false, true, false, true, true, false, numbers, NULL, NULL, NULL, NULL, NULL FROM " + b.pgRelation("__key")}
}

func pgConstraint(b *binder) []string {
	return []string{fmt.Sprintf("SELECT oid, name, %d, kind, false, false, true, relid, 0, oid, 0, 0, ' ', ' ', ' ', true, 0, true, numbers, NULL, NULL, 2606 FROM %s", oidPublic, b.pgRelation("__key"))}
}

func pgDescription(b *binder) []string {
	var out []string
	add := func(oid, class uint32, column int, comment string) {
		if comment != "" {
			out = append(out, fmt.Sprintf("SELECT %d, %d, %d, %s", oid, class, column, duck.QuoteLiteral(comment)))
		}
	}
	for _, l := range listedRelations(b.cat) {
		add(l.oid, oidClass, 0, l.comment)
		for i, c := range l.columns {
			add(l.oid, oidClass, i+1, c.Comment)
		}
	}
	for _, f := range b.cat.Functions {
		add(functionOID(f), oidProc, 0, f.Comment)
	}
	const more = "SELECT %s, 1259, %s, comment FROM %s AND comment IS NOT NULL"
	return append(out, fmt.Sprintf(more, "table_oid", "0", ordinaryTables), fmt.Sprintf(more, "view_oid", "0", ordinaryViews), fmt.Sprintf(more, "table_oid", "column_index", ordinaryColumns))
}

// definitionRows are the texts of views, and the statements that made objects and functions.
func definitionRows(b *binder) []string {
	var out []string
	for _, l := range listedRelations(b.cat) {
		if l.source != "" {
			out = append(out, fmt.Sprintf("SELECT %d, %s", l.oid, duck.QuoteLiteral(l.source)))
		}
	}
	for _, f := range b.cat.Functions {
		out = append(out, fmt.Sprintf("SELECT %d, %s", functionOID(f), duck.QuoteLiteral(f.SQL)))
	}
	cat, err := b.s.ordinary(b.ctx)
	if err != nil {
		return out
	}
	for _, o := range cat.Sorted(func(o *tables.Object) bool { return o.Kind == tables.View && (o.Temp || o.Schema == tables.Public) }) {
		out = append(out, fmt.Sprintf("SELECT view_oid, %s FROM duckdb_views() WHERE database_name = '%s' AND view_name = %s", duck.QuoteLiteral(o.SQL), map[bool]string{true: "temp", false: tablesDatabase}[o.Temp], duck.QuoteLiteral(o.Name)))
	}
	return out
}

func functionOID(f *schema.Function) uint32 { return firstOID + 8*rangeOIDs + f.ID }

func functionRows(b *binder) []string {
	var out []string
	for _, f := range sorted(b.cat.Functions, func(f *schema.Function) string { return f.Name }) {
		args := make([]string, len(f.Types))
		for i, t := range f.Types {
			args[i] = strings.TrimSpace(f.Args[i] + " " + t)
		}
		out = append(out, fmt.Sprintf("SELECT %d, %s", functionOID(f), strings.Join(literals(f.Name, f.Returns, strings.Join(args, ", "), strings.Join(f.Types, ",")), ", ")))
	}
	return out
}

func pgProc(b *binder) []string {
	var out []string
	for _, f := range sorted(b.cat.Functions, func(f *schema.Function) string { return f.Name }) {
		out = append(out, fmt.Sprintf("SELECT %d, %s, %d, 10, 14, 100, 0, 0, '-', 'f', false, false, %t, false, 'i', 's', %d, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, %s, NULL, NULL, NULL, NULL",
			functionOID(f), duck.QuoteLiteral(f.Name), oidPublic, f.Strict, len(f.Types), duck.QuoteLiteral(f.Body)))
	}
	return out
}

func pgSettings(b *binder) []string {
	var out []string
	for _, name := range settingNames() {
		d := settings[name]
		if d.hidden && d.show == nil {
			continue
		}
		least, most, choices := "NULL", "NULL", "NULL"
		switch d.kind {
		case intSetting, realSetting:
			least, most = duck.QuoteLiteral(short(d.min)), duck.QuoteLiteral(short(d.max))
			if d.kind == intSetting {
				least, most = duck.QuoteLiteral(fmt.Sprint(int64(d.min))), duck.QuoteLiteral(fmt.Sprint(int64(d.max)))
			}
		case enumSetting:
			choices = "[" + strings.Join(literals(d.choices...), ", ") + "]"
		}
		source := "default"
		if b.s.Setting(d.name) != b.s.initialSetting(strings.ToLower(d.name)) {
			source = "session"
		}
		out = append(out, fmt.Sprintf("SELECT %s, %s, %s, NULL, %s, %s, %s, %s, %s, NULL, NULL, false", strings.Join(literals(d.name, b.s.Setting(d.name)), ", "), orNull(d.unit),
			strings.Join(literals("Tilehouse", d.help), ", "), strings.Join(literals(string(d.context), string(d.kind), source), ", "), least, most, choices,
			strings.Join(literals(d.initial, b.s.initialSetting(strings.ToLower(d.name))), ", ")))
	}
	return out
}

func pgForeignTable(b *binder) []string {
	var out []string
	for _, l := range listedRelations(b.cat) {
		if l.file != nil {
			out = append(out, fmt.Sprintf("SELECT %d, 16386, [%s]", l.oid, strings.Join(literals("path="+l.file.Path, "format="+l.file.Format), ", ")))
		}
	}
	return out
}

package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// Object ids of schemas. Those of our relations begin at firstOID, a range for each kind; DuckDB numbers its own from below.
const (
	oidCatalog, oidPublic, oidInformation, oidTilehouse = 11, 2200, 13000, 16384
	oidClass, oidProc                                   = 1259, 1255 // pg_class and pg_proc themselves, in pg_description

	firstOID  = 100_000_000
	rangeOIDs = 100_000_000
)

// listed is a relation as client programs see it in information_schema and pg_catalog.
type listed struct {
	oid             uint32
	schema, name    string
	kind            string // r: table, v: view, f: foreign table
	comment, source string // source: the text that defines it
	columns         []schema.Column
	key             []string // columns of the primary key
	file            *schema.File
}

// listedRelations are the relations that are no ordinary tables: event tables as tables, file sources as foreign tables, and as
// views event views, entities, features, feature views and the views of schema tilehouse.
func listedRelations(cat *schema.Catalog) []listed {
	var out []listed
	outputs := func(f *schema.Feature) []schema.Column {
		cols := make([]schema.Column, len(f.Outputs))
		for i, o := range f.Outputs {
			cols[i] = schema.Column{Name: o.Name, Type: o.Type, Comment: o.Comment}
		}
		return cols
	}
	for _, r := range sorted(cat.Relations, func(r *schema.Relation) string { return r.Name }) {
		kind := map[schema.RelationKind]string{schema.EventTable: "r", schema.FileSource: "f"}[r.Kind]
		if kind == "" {
			kind = "v"
		}
		out = append(out, listed{firstOID + r.ID, "public", r.Name, kind, r.Comment, r.SQL, r.Columns, r.PrimaryKey, r.File})
	}
	for _, e := range sorted(cat.Entities, func(e *schema.Entity) string { return e.Name }) {
		cols := slices.Clone(e.Keys)
		for _, f := range cat.FeaturesOf(e.ID) {
			cols = append(cols, outputs(f)...)
		}
		out = append(out, listed{firstOID + rangeOIDs + e.ID, "public", e.Name, "v", e.Comment, e.SQL, cols, nil, nil})
	}
	for _, f := range sorted(cat.Features, func(f *schema.Feature) string { return f.Name }) {
		cols := append(slices.Clone(cat.Entities[f.Entity].Keys), outputs(f)...)
		out = append(out, listed{firstOID + 2*rangeOIDs + f.ID, "public", f.Name, "v", f.Comment, f.SQL, cols, nil, nil})
	}
	for _, v := range sorted(cat.FeatureViews, func(v *schema.FeatureView) string { return v.Name }) {
		cols := v.BoundColumns()
		for _, o := range v.Outputs {
			cols = append(cols, schema.Column{Name: o.Name, Type: o.Type})
		}
		out = append(out, listed{firstOID + 3*rangeOIDs + v.ID, "public", v.Name, "v", v.Comment, v.SQL, cols, nil, nil})
	}
	for i, name := range slices.Sorted(maps.Keys(catalogViews)) {
		out = append(out, listed{firstOID + 4*rangeOIDs + uint32(i), "tilehouse", name, "v", "", "", catalogViews[name].columns, nil, nil})
	}
	return out
}

// systemRelation is a relation of information_schema or pg_catalog that shows our objects beside the ordinary tables; false for the
// others, which DuckDB answers.
func (b *binder) systemRelation(rv *pg_query.RangeVar) (string, bool) {
	switch rv.Schemaname {
	case "information_schema":
		switch rv.Relname {
		case "tables":
			return b.informationTables(), true
		case "columns":
			return b.informationColumns(), true
		case "views":
			return b.informationViews(), true
		case "schemata":
			return b.informationSchemata(), true
		}
	case "", "pg_catalog":
		if r, ok := pgRelations[rv.Relname]; ok {
			return values(r.columns, nil, r.rows(b)...), true
		}
	}
	return "", false
}

// The ordinary tables, views and columns of DuckDB that clients may see.
const (
	ordinaryTables  = "duckdb_tables() WHERE database_name IN ('tables', 'temp') AND NOT internal AND NOT starts_with(table_name, '__')"
	ordinaryViews   = "duckdb_views() WHERE database_name IN ('tables', 'temp') AND NOT internal AND NOT starts_with(view_name, '__')"
	ordinaryColumns = "duckdb_columns() WHERE database_name IN ('tables', 'temp') AND NOT internal AND NOT starts_with(table_name, '__')"
)

// values is rows of literals as a relation; typed names its columns, each with the type that it has where there is no row.
func values(typed []schema.Column, rows [][]string, more ...string) string {
	parts := []string{fmt.Sprintf("SELECT %s WHERE false", nullColumns(typed))}
	for _, r := range rows {
		parts = append(parts, "SELECT "+strings.Join(r, ", "))
	}
	return "(" + strings.Join(append(parts, more...), " UNION ALL ") + ")"
}

func (b *binder) database() string { return duck.QuoteLiteral(b.s.info.Database) }

func (b *binder) informationTables() string {
	cols := text("table_catalog", "table_schema", "table_name", "table_type", "self_referencing_column_name", "reference_generation",
		"user_defined_type_catalog", "user_defined_type_schema", "user_defined_type_name", "is_insertable_into", "is_typed", "commit_action")
	db := b.database()
	var rows [][]string
	for _, l := range listedRelations(b.cat) {
		kind, insert := map[string]string{"r": "BASE TABLE", "v": "VIEW", "f": "FOREIGN"}[l.kind], "NO"
		if l.kind == "r" {
			insert = "YES"
		}
		rows = append(rows, append(append([]string{db}, literals(l.schema, l.name, kind)...), "NULL", "NULL", "NULL", "NULL", "NULL", duck.QuoteLiteral(insert), "'NO'", "NULL"))
	}
	const rest = "NULL, NULL, NULL, NULL, NULL"
	return values(cols, rows,
		fmt.Sprintf("SELECT %s, 'public', table_name, if(temporary, 'LOCAL TEMPORARY', 'BASE TABLE'), %s, 'YES', 'NO', NULL FROM %s", db, rest, ordinaryTables),
		fmt.Sprintf("SELECT %s, 'public', view_name, 'VIEW', %s, 'NO', 'NO', NULL FROM %s", db, rest, ordinaryViews))
}

func (b *binder) informationViews() string {
	cols := text("table_catalog", "table_schema", "table_name", "view_definition", "check_option", "is_updatable", "is_insertable_into")
	db := b.database()
	var rows [][]string
	for _, l := range listedRelations(b.cat) {
		if l.kind == "v" {
			rows = append(rows, append([]string{db}, append(literals(l.schema, l.name, l.source), "'NONE'", "'NO'", "'NO'")...))
		}
	}
	if cat, err := b.s.ordinary(b.ctx); err == nil {
		for _, o := range cat.Sorted(func(o *tables.Object) bool { return o.Kind == tables.View }) {
			rows = append(rows, append([]string{db}, append(literals(o.Schema, o.Name, o.SQL), "'NONE'", "'NO'", "'NO'")...))
		}
	}
	return values(cols, rows)
}

func (b *binder) informationSchemata() string {
	cols := text("catalog_name", "schema_name", "schema_owner")
	var rows [][]string
	for _, n := range []string{"information_schema", "pg_catalog", "public", "tilehouse"} {
		rows = append(rows, []string{b.database(), duck.QuoteLiteral(n), duck.QuoteLiteral(DefaultRole)})
	}
	return values(cols, rows)
}

func (b *binder) informationColumns() string {
	cols := slices.Concat(text("table_catalog", "table_schema", "table_name", "column_name"), numbers("ordinal_position"),
		text("column_default", "is_nullable", "data_type"), numbers("character_maximum_length", "numeric_precision", "numeric_precision_radix", "numeric_scale", "datetime_precision"),
		text("udt_catalog", "udt_schema", "udt_name", "is_identity", "is_generated", "is_updatable"))
	db := b.database()
	var rows [][]string
	for _, l := range listedRelations(b.cat) {
		for i, c := range l.columns {
			null, def, updatable := "YES", "NULL", "NO"
			if c.NotNull {
				null = "NO"
			}
			if c.Default != "" {
				def = duck.QuoteLiteral(c.Default)
			}
			if l.kind == "r" {
				updatable = "YES"
			}
			row := append([]string{db}, literals(l.schema, l.name, c.Name)...)
			row = append(row, fmt.Sprint(i+1), def, duck.QuoteLiteral(null), duck.QuoteLiteral(dataType(c.Type)), "NULL")
			row = append(row, precision(c.Type)...)
			rows = append(rows, append(row, db, "'pg_catalog'", duck.QuoteLiteral(udtName(c.Type)), "'NO'", "'NEVER'", duck.QuoteLiteral(updatable)))
		}
	}
	return values(cols, rows, fmt.Sprintf(`SELECT %[1]s, 'public', table_name, column_name, column_index, %[5]s, if(is_nullable, 'YES', 'NO'), %[2]s,
		NULL, if(data_type LIKE 'DECIMAL%%', numeric_precision, NULL), if(data_type LIKE 'DECIMAL%%', 10, NULL), if(data_type LIKE 'DECIMAL%%', numeric_scale, NULL), NULL,
		%[1]s, 'pg_catalog', %[3]s, 'NO', 'NEVER', 'YES' FROM %[4]s`, db, ordinaryType(dataType), ordinaryType(udtName), ordinaryColumns, b.columnDefault()))
}

// ordinaryKinds are the types of ordinary tables' columns, by DuckDB's names.
var ordinaryKinds = []vector.Kind{vector.Bool, vector.Int16, vector.Int32, vector.Int64, vector.Float32, vector.Float64, vector.Text, vector.Bytes, vector.UUID,
	vector.Date, vector.Time, vector.Timestamp, vector.Interval, vector.JSON}

// ordinaryType is a word about DuckDB's column data_type, made of what say says of the type.
func ordinaryType(say func(t vector.Type) string) string {
	var b strings.Builder
	b.WriteString("CASE")
	for _, k := range ordinaryKinds {
		t := vector.T(k)
		fmt.Fprintf(&b, " WHEN data_type = %s THEN %s WHEN data_type = %s THEN %s", duck.QuoteLiteral(t.DuckDB()), duck.QuoteLiteral(say(t)),
			duck.QuoteLiteral(t.DuckDB()+"[]"), duck.QuoteLiteral(say(vector.ListOf(t))))
	}
	fmt.Fprintf(&b, " WHEN data_type = 'FLOAT' THEN %s WHEN data_type = 'FLOAT[]' THEN %s", duck.QuoteLiteral(say(vector.T(vector.Float32))), duck.QuoteLiteral(say(vector.ListOf(vector.T(vector.Float32)))))
	tz := vector.T(vector.TimestampTZ)
	fmt.Fprintf(&b, " WHEN data_type = 'TIMESTAMP WITH TIME ZONE' THEN %s WHEN data_type = 'TIMESTAMP WITH TIME ZONE[]' THEN %s", duck.QuoteLiteral(say(tz)), duck.QuoteLiteral(say(vector.ListOf(tz))))
	fmt.Fprintf(&b, " WHEN data_type LIKE 'DECIMAL%%[]' THEN %s WHEN data_type LIKE 'DECIMAL%%' OR data_type = 'HUGEINT' THEN %s ELSE %s END",
		duck.QuoteLiteral(say(vector.ListOf(vector.DecimalOf(38, 0)))), duck.QuoteLiteral(say(vector.DecimalOf(38, 0))), duck.QuoteLiteral(say(vector.T(vector.JSON))))
	return b.String()
}

// dataType is a type as information_schema names it.
func dataType(t vector.Type) string {
	switch t.Kind {
	case vector.List:
		if codec.OID(t) != codec.OIDJSON {
			return "ARRAY"
		}
		return "json"
	case vector.Map:
		return "json"
	case vector.Decimal:
		return "numeric"
	case vector.TimestampTZ:
		return "timestamp with time zone"
	case vector.Timestamp:
		return "timestamp without time zone"
	case vector.Time:
		return "time without time zone"
	}
	return t.String()
}

// udtName is a type's name in pg_type.
func udtName(t vector.Type) string {
	switch codec.OID(t) {
	case codec.OIDBool:
		return "bool"
	case codec.OIDInt2:
		return "int2"
	case codec.OIDInt4:
		return "int4"
	case codec.OIDInt8:
		return "int8"
	case codec.OIDFloat4:
		return "float4"
	case codec.OIDFloat8:
		return "float8"
	case codec.OIDNumeric:
		return "numeric"
	case codec.OIDTimestampTZ:
		return "timestamptz"
	case codec.OIDTimestamp:
		return "timestamp"
	case codec.OIDTime:
		return "time"
	case codec.OIDJSON:
		return "json"
	}
	if t.Kind == vector.List {
		return "_" + udtName(t.Elem[0])
	}
	return t.String()
}

// precision is numeric_precision, its radix, numeric_scale and datetime_precision of a type.
func precision(t vector.Type) []string {
	bits := map[vector.Kind]string{vector.Int16: "16", vector.Int32: "32", vector.Int64: "64", vector.Float32: "24", vector.Float64: "53"}
	switch t.Kind {
	case vector.Decimal:
		return []string{fmt.Sprint(t.Precision), "10", fmt.Sprint(t.Scale), "NULL"}
	case vector.Int16, vector.Int32, vector.Int64:
		return []string{bits[t.Kind], "2", "0", "NULL"}
	case vector.Float32, vector.Float64:
		return []string{bits[t.Kind], "2", "NULL", "NULL"}
	case vector.Timestamp, vector.TimestampTZ, vector.Time, vector.Interval:
		return []string{"NULL", "NULL", "NULL", "6"}
	case vector.Date:
		return []string{"NULL", "NULL", "NULL", "0"}
	}
	return []string{"NULL", "NULL", "NULL", "NULL"}
}

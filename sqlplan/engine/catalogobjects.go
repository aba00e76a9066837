package engine

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/pgcatalog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// Object ids of what is there from the start.
const (
	oidTilehouse = pgcatalog.FirstOID + iota // the schema
	oidDatabase
	oidServer  // of file sources
	oidWrapper // of the server
)

// Object ids of objects of the catalog: a range for each kind, in which they are numbered by their ids.
const (
	firstOID  = 100_000_000
	rangeOIDs = 100_000_000
)

// The ranges.
const (
	relationOIDs = iota
	entityOIDs
	featureOIDs
	featureViewOIDs
	functionOIDs
	connectionOIDs
)

func objectOID(kind int, id uint32) uint32 { return firstOID + uint32(kind)*rangeOIDs + id }

// hashedOID is an object id that follows from names: of parts of an object (its row type, its key, …), of ordinary tables, and of the
// views of schema tilehouse. It lies in the upper half of the ids, so that two of a thousand are the same once in four thousand
// data directories.
func hashedOID(parts ...any) uint32 {
	h := fnv.New64a()
	fmt.Fprintln(h, parts...)
	x := h.Sum64()
	x ^= x >> 32
	return 1<<31 | uint32(x)&(1<<31-1)
}

// catalogTables are the objects of the catalog as PostgreSQL's clients see them: event tables as tables, file sources as foreign
// tables, and as views event views, entities, features, feature views and the views of schema tilehouse.
func catalogTables(cat *schema.Catalog) []*pgcatalog.Table {
	var out []*pgcatalog.Table
	add := func(oid uint32, name string, kind byte, comment, definition string, columns []schema.Column) *pgcatalog.Table {
		t := &pgcatalog.Table{OID: oid, Schema: pgcatalog.SchemaPublic, Name: name, Kind: kind, Comment: comment, Definition: definition}
		for _, c := range columns {
			t.Columns = append(t.Columns, pgcatalog.TableColumn{Name: c.Name, Type: codec.OID(c.Type), Mod: codec.TypeMod(c.Type), NotNull: c.NotNull, Default: c.Default, Comment: c.Comment})
		}
		completeTable(t)
		out = append(out, t)
		return t
	}
	for _, r := range sorted(cat.Relations, func(r *schema.Relation) string { return r.Name }) {
		oid := objectOID(relationOIDs, r.ID)
		switch r.Kind {
		case schema.EventTable:
			t := add(oid, r.Name, pgcatalog.KindTable, r.Comment, "", r.Columns)
			for _, d := range r.Dropped { // ascending
				t.Columns = slices.Insert(t.Columns, d.Place, pgcatalog.TableColumn{Mod: codec.TypeMod(d.Type), Dropped: true})
			}
			if len(r.PrimaryKey) > 0 {
				addKey(t, 'p', r.Name+"_pkey", r.PrimaryKey)
			}
		case schema.FileSource:
			t := add(oid, r.Name, pgcatalog.KindForeign, r.Comment, "", r.Columns)
			t.Server, t.ServerOptions = oidServer, []string{"path=" + r.File.Path, "format=" + r.File.Format}
		case schema.KafkaSource:
			t := add(oid, r.Name, pgcatalog.KindForeign, r.Comment, "", r.Columns)
			t.Server, t.ServerOptions = objectOID(connectionOIDs, r.Kafka.Connection), []string{"topic=" + r.Kafka.Topic, "format=" + r.Kafka.Format, "encode=" + r.Kafka.Encode}
		case schema.PostgresSource:
			t := add(oid, r.Name, pgcatalog.KindForeign, r.Comment, "", r.Columns)
			t.Server, t.ServerOptions = objectOID(connectionOIDs, r.Postgres.Connection), []string{"table=" + r.Postgres.Schema + "." + r.Postgres.Table, "mode=" + r.Postgres.Mode}
		case schema.PostgresVersions:
			t := add(oid, r.Name, pgcatalog.KindForeign, r.Comment, "", r.Columns)
			p := cat.Relations[r.VersionsOf].Postgres
			t.Server, t.ServerOptions = objectOID(connectionOIDs, p.Connection), []string{"table=" + p.Schema + "." + p.Table, "versions=true"}
		case schema.DualSource:
			t := add(oid, r.Name, pgcatalog.KindForeign, r.Comment, "", r.Columns)
			t.Server, t.ServerOptions = oidServer, []string{"batch=" + cat.Relations[r.Dual.Batch].Name, "stream=" + cat.Relations[r.Dual.Stream].Name}
		default:
			t := add(oid, r.Name, pgcatalog.KindView, r.Comment, r.SQL, r.Columns)
			if r.View != nil {
				t.DependsOn = []uint32{objectOID(relationOIDs, r.View.Base)}
			}
		}
	}
	outputs := func(f *schema.Feature) []schema.Column {
		cols := make([]schema.Column, len(f.Outputs))
		for i, o := range f.Outputs {
			cols[i] = schema.Column{Name: o.Name, Type: o.Type, Comment: o.Comment}
		}
		return cols
	}
	for _, e := range sorted(cat.Entities, func(e *schema.Entity) string { return e.Name }) {
		cols := slices.Clone(e.Keys)
		for _, f := range cat.FeaturesOf(e.ID) {
			cols = append(cols, outputs(f)...)
		}
		add(objectOID(entityOIDs, e.ID), e.Name, pgcatalog.KindView, e.Comment, e.SQL, cols)
	}
	for _, f := range sorted(cat.Features, func(f *schema.Feature) string { return f.Name }) {
		t := add(objectOID(featureOIDs, f.ID), f.Name, pgcatalog.KindView, f.Comment, f.SQL, append(slices.Clone(cat.Entities[f.Entity].Keys), outputs(f)...))
		t.DependsOn = []uint32{objectOID(relationOIDs, f.Relation), objectOID(entityOIDs, f.Entity)}
	}
	for _, v := range sorted(cat.FeatureViews, func(v *schema.FeatureView) string { return v.Name }) {
		cols := v.BoundColumns()
		for _, o := range v.Outputs {
			cols = append(cols, schema.Column{Name: o.Name, Type: o.Type})
		}
		t := add(objectOID(featureViewOIDs, v.ID), v.Name, pgcatalog.KindView, v.Comment, v.SQL, cols)
		for _, b := range v.Base {
			if on := objectOID(featureOIDs, b.Feature); !slices.Contains(t.DependsOn, on) {
				t.DependsOn = append(t.DependsOn, on)
			}
		}
		for _, id := range v.Views {
			t.DependsOn = append(t.DependsOn, objectOID(featureViewOIDs, id))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(catalogViews)) {
		t := add(hashedOID("tilehouse", name), name, pgcatalog.KindView, "", "", catalogViews[name].columns)
		t.Schema = oidTilehouse
	}
	return out
}

// completeTable gives a table what follows from its object id.
func completeTable(t *pgcatalog.Table) {
	if t.Owner == 0 {
		t.Owner = pgcatalog.OwnerOID
	}
	if t.Persistence == 0 {
		t.Persistence = 'p'
	}
	if t.Kind != pgcatalog.KindSequence {
		t.TypeOID, t.ArrayOID = hashedOID("type", t.OID), hashedOID("array", t.OID)
	}
	if t.Kind == pgcatalog.KindView || t.Kind == pgcatalog.KindMaterialized {
		t.RuleOID = hashedOID("rule", t.OID)
	}
	for i := range t.Columns {
		if t.Columns[i].Default != "" {
			t.Columns[i].DefaultOID = hashedOID("default", t.OID, t.Columns[i].Name)
		}
	}
}

// addKey adds a primary key or unique constraint and its index to a table.
func addKey(t *pgcatalog.Table, kind byte, name string, columns []string) {
	numbers := make([]int, len(columns))
	for i, c := range columns {
		numbers[i] = 1 + slices.IndexFunc(t.Columns, func(x pgcatalog.TableColumn) bool { return x.Name == c })
		if kind == 'p' && numbers[i] > 0 {
			t.Columns[numbers[i]-1].NotNull = true
		}
	}
	index := hashedOID("index", t.OID, name)
	t.Indexes = append(t.Indexes, pgcatalog.Index{OID: index, Name: name, Unique: true, Primary: kind == 'p', Columns: numbers})
	t.Constraints = append(t.Constraints, pgcatalog.Constraint{OID: hashedOID("constraint", t.OID, name), Name: name, Type: kind, Columns: numbers, Index: index})
}

// catalogFunctionsOf are the functions of the users' own.
func catalogFunctionsOf(cat *schema.Catalog) []*pgcatalog.Function {
	var out []*pgcatalog.Function
	for _, f := range sorted(cat.Functions, func(f *schema.Function) string { return f.Name }) {
		x := &pgcatalog.Function{OID: objectOID(functionOIDs, f.ID), Schema: pgcatalog.SchemaPublic, Name: f.Name, ArgNames: f.Args, Strict: f.Strict, Volatility: 'i', Body: functionSource(f),
			Owner: pgcatalog.OwnerOID, Comment: f.Comment, Returns: pgcatalog.TypeNamed(f.Returns)}
		for _, t := range f.Types {
			x.ArgTypes = append(x.ArgTypes, pgcatalog.TypeNamed(t))
		}
		out = append(out, x)
	}
	return out
}

// functionSource is what stands between the quotes of a function's statement: AS $$ … $$.
func functionSource(f *schema.Function) string {
	if _, rest, ok := strings.Cut(f.SQL, "$"); ok {
		if tag, rest, ok := strings.Cut(rest, "$"); ok {
			if body, _, ok := strings.Cut(rest, "$"+tag+"$"); ok {
				return body
			}
		}
	}
	return " SELECT " + f.Body + " "
}

// systemObjects are the database, the schemas that are always there, and the servers.
func (s *Session) systemObjects(o *pgcatalog.Objects) {
	o.Database, o.DatabaseOID = s.info.Database, oidDatabase
	// Schema tilehouse is not where the role of that name looks things up.
	o.SearchPath = slices.DeleteFunc(s.searchPath(), func(name string) bool { return name == "tilehouse" })
	o.Schemas = append(o.Schemas, pgcatalog.Schema{OID: oidTilehouse, Name: "tilehouse", Owner: pgcatalog.OwnerOID, Comment: "what the server knows of features, sources and jobs"})
	o.Wrappers = []pgcatalog.Wrapper{{OID: oidWrapper, Name: "tilehouse"}}
	o.Servers = []pgcatalog.Server{{OID: oidServer, Wrapper: oidWrapper, Name: "files"}}
	for _, c := range sorted(s.catalog().Connections, func(c *schema.Connection) string { return c.Name }) {
		o.Servers = append(o.Servers, pgcatalog.Server{OID: objectOID(connectionOIDs, c.ID), Wrapper: oidWrapper, Name: c.Name})
	}
}

// catalogSettings are the settings as pg_settings shows them.
func (s *Session) catalogSettings() []pgcatalog.Setting {
	var out []pgcatalog.Setting
	for _, name := range settingNames() {
		d := settings[name]
		if d.hidden && !pgcatalog.KnownSetting(d.name) {
			continue
		}
		x := pgcatalog.Setting{Name: d.name, Value: s.Setting(d.name), Unit: d.unit, Category: "Tilehouse", Description: d.help, Context: string(d.context), Type: string(d.kind), Source: "default",
			Boot: d.initial, Reset: s.initialSetting(strings.ToLower(d.name))}
		switch d.kind {
		case intSetting:
			if d.context == byNobody {
				x.Min, x.Max = x.Value, x.Value
				break
			}
			x.Min, x.Max = fmt.Sprint(int64(d.min)), fmt.Sprint(int64(d.max))
		case realSetting:
			x.Min, x.Max = short(d.min), short(d.max)
		case enumSetting:
			x.Enum = d.choices
		}
		switch _, said := s.initial[strings.ToLower(d.name)]; {
		case d.hidden:
			x.Source = "override"
		case x.Value != x.Reset:
			x.Source = "session"
		case said:
			x.Source = "client"
		}
		out = append(out, x)
	}
	return out
}

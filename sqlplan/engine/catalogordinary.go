package engine

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/pgcatalog"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// firstOrdinaryOID is where the object ids of ordinary objects begin: each has the number that it got when it was made.
const firstOrdinaryOID = pgcatalog.FirstOID + 64

func ordinaryOID(id uint64) uint32 { return uint32(firstOrdinaryOID + id) }

// oidTempSchema is the schema of temporary tables.
var oidTempSchema = hashedOID("schema", pgcatalog.TempSchema)

// ordinaryObjects adds the ordinary tables, views, sequences, types and schemas that the session sees.
func (s *Session) ordinaryObjects(ctx context.Context, o *pgcatalog.Objects) error {
	cat, err := s.ordinary(ctx)
	if err != nil {
		return err
	}
	schemas := map[string]uint32{tables.Public: pgcatalog.SchemaPublic}
	all := cat.Sorted(func(*tables.Object) bool { return true })
	temporary := false
	for _, x := range all {
		temporary = temporary || x.Temp
		if x.Kind == tables.Schema {
			schemas[x.Name] = ordinaryOID(x.ID)
			o.Schemas = append(o.Schemas, pgcatalog.Schema{OID: ordinaryOID(x.ID), Name: x.Name, Owner: pgcatalog.OwnerOID, Comment: x.Comment})
		}
	}
	if temporary {
		o.Schemas = append(o.Schemas, pgcatalog.Schema{OID: oidTempSchema, Name: pgcatalog.TempSchema, Owner: pgcatalog.OwnerOID})
	}
	schemaOf := func(x *tables.Object) uint32 {
		if x.Temp {
			return oidTempSchema
		}
		return schemas[x.Schema]
	}
	for _, x := range all {
		switch x.Kind {
		case tables.Table, tables.View, tables.MaterializedView, tables.Sequence:
			t := ordinaryTable(cat, x)
			t.Schema = schemaOf(x)
			if x.Kind == tables.View {
				s.updatable(cat, x, t)
			}
			o.Tables = append(o.Tables, t)
		}
	}
	for _, t := range o.Tables { // views read objects of ours by name
		for _, name := range t.ReadsNames {
			for _, on := range o.Tables {
				if on.Name == name {
					t.DependsOn = append(t.DependsOn, on.OID)
				}
			}
		}
	}
	return nil
}

// ordinaryTable is a table, view or sequence.
func ordinaryTable(cat *tables.Catalog, x *tables.Object) *pgcatalog.Table {
	t := &pgcatalog.Table{OID: ordinaryOID(x.ID), Name: x.Name, Comment: x.Comment, Options: x.Options, Owner: pgcatalog.OwnerOID, Persistence: 'p', Bytes: -1}
	if len(x.Options) == 0 {
		t.Options = nil
	}
	if x.Temp {
		t.Persistence = 't'
	}
	for _, c := range x.Columns {
		t.Columns = append(t.Columns, ordinaryColumn(c))
	}
	switch x.Kind {
	case tables.Table:
		t.Kind = pgcatalog.KindTable
		for _, c := range x.Constraints {
			t.Constraints = append(t.Constraints, ordinaryConstraint(cat, x, c))
		}
		addIndexes(t, cat, x)
	case tables.View, tables.MaterializedView:
		t.Kind, t.Definition, t.Select, t.Bytes = pgcatalog.KindView, x.SQL, true, 0
		if x.Written != "" {
			t.Definition, t.Select = x.Written, false
		}
		if x.Kind == tables.MaterializedView {
			t.Kind, t.Bytes, t.Unpopulated = pgcatalog.KindMaterialized, -1, !x.Populated
			addIndexes(t, cat, x)
		}
		for _, id := range x.Reads {
			t.DependsOn = append(t.DependsOn, ordinaryOID(id))
		}
		t.ReadsNames = x.ReadsNames
	case tables.Sequence:
		t.Kind, t.Bytes = pgcatalog.KindSequence, 0
		t.Columns = []pgcatalog.TableColumn{{Name: "last_value", Type: codec.OIDInt8, Mod: -1, NotNull: true}, {Name: "log_cnt", Type: codec.OIDInt8, Mod: -1, NotNull: true}, {Name: "is_called", Type: codec.OIDBool, Mod: -1, NotNull: true}}
		q := &pgcatalog.Sequence{Start: x.Seq.Start, Increment: x.Seq.Increment, Min: x.Seq.Min, Max: x.Seq.Max, Cache: x.Seq.Cache, Cycle: x.Seq.Cycle, Type: pgcatalog.TypeNamed(x.Seq.Type)}
		if owner := cat.ByID[x.OwnedBy]; owner != nil {
			q.OwnedBy, q.Column = ordinaryOID(owner.ID), owner.ColumnIndex(x.OwnedByColumn)+1
			if c := owner.Column(x.OwnedByColumn); c != nil {
				q.Identity = c.Identity != ""
			}
		}
		t.Sequence = q
	}
	completeTable(t)
	return t
}

// declaredMods are the numbers in the parentheses of a declared type.
var declaredMods = regexp.MustCompile(`\((\d+)(?:,(-?\d+))?\)`)

func ordinaryColumn(c tables.Column) pgcatalog.TableColumn {
	out := pgcatalog.TableColumn{Name: c.Name, Type: codec.OID(c.Type), Mod: codec.TypeMod(c.Type), NotNull: c.NotNull, Default: c.Default, Comment: c.Comment}
	if c.Base != "" {
		out.Mod = -1
		name := `"` + c.Base + `"`
		if strings.HasSuffix(c.Declared, "[]") {
			name += "[]"
		}
		if oid := pgcatalog.TypeNamed(name); oid != 0 {
			out.Type = oid
		}
		if m := declaredMods.FindStringSubmatch(c.Declared); m != nil {
			n, _ := strconv.Atoi(m[1])
			switch c.Base {
			case "varchar", "bpchar":
				out.Mod = int32(n + 4)
			case "numeric":
				scale, _ := strconv.Atoi(m[2])
				out.Mod = int32(n<<16|scale&0x7ff) + 4
			case "interval": // it says so itself
			default:
				out.Mod = int32(n)
			}
		} else if c.Base == "bpchar" && c.Length > 0 {
			out.Mod = int32(c.Length + 4)
		}
		if c.Modifier != 0 {
			out.Mod = c.Modifier - 1
		}
	}
	if c.Generated != "" {
		out.Default, out.Generated = c.Generated, 's'
	}
	if c.Identity != "" {
		out.Identity, out.Default = c.Identity[0], ""
	}
	return out
}

func numbersOf(x *tables.Object, columns []string) []int {
	out := make([]int, len(columns))
	for i, c := range columns {
		out[i] = x.ColumnIndex(c) + 1
	}
	return out
}

func ordinaryConstraint(cat *tables.Catalog, x *tables.Object, c tables.Constraint) pgcatalog.Constraint {
	out := pgcatalog.Constraint{OID: ordinaryOID(c.ID), Name: c.Name, Type: c.Kind[0], Columns: numbersOf(x, c.Columns), Deferrable: c.Deferrable, Deferred: c.Deferred, NotValid: c.NotValid, Check: c.Expr, Comment: c.Comment}
	indexOf := func(table uint64, name string) uint32 {
		for _, i := range cat.IndexesOf(table) {
			if i.Of.Constraint == name {
				return ordinaryOID(i.ID)
			}
		}
		return 0
	}
	switch c.Kind {
	case tables.PrimaryKey, tables.Unique:
		out.Index = indexOf(x.ID, c.Name)
	case tables.ForeignKey:
		action := func(s string) byte {
			if s == "" {
				return 'a'
			}
			return s[0]
		}
		out.OnDelete, out.OnUpdate = action(c.OnDelete), action(c.OnUpdate)
		out.Foreign = ordinaryOID(c.References)
		if on := cat.ByID[c.References]; on != nil {
			out.ForeignColumns = numbersOf(on, c.ReferencesColumns)
			for _, k := range on.Constraints {
				if slices.Equal(k.Columns, c.ReferencesColumns) && (k.Kind == tables.PrimaryKey || k.Kind == tables.Unique) && out.Index == 0 {
					out.Index = indexOf(on.ID, k.Name)
				}
			}
		}
	}
	return out
}

func addIndexes(t *pgcatalog.Table, cat *tables.Catalog, x *tables.Object) {
	for _, i := range cat.IndexesOf(x.ID) {
		out := pgcatalog.Index{OID: ordinaryOID(i.ID), Name: i.Name, Unique: i.Of.Unique, Predicate: i.Of.Where, Comment: i.Comment, NullsNotDistinct: i.Of.NullsNotDistinct, Keys: len(i.Of.Keys)}
		if p := x.Primary(); p != nil && i.Of.Constraint == p.Name {
			out.Primary = true
		}
		for _, k := range i.Of.Keys {
			number := 0
			if k.Column != "" {
				number = x.ColumnIndex(k.Column) + 1
			} else {
				out.Expressions = append(out.Expressions, k.Expr)
			}
			option := 0
			if k.Desc {
				option |= 1
			}
			if k.NullsFirst {
				option |= 2
			}
			out.Columns, out.Options = append(out.Columns, number), append(out.Options, option)
		}
		out.Columns = append(out.Columns, numbersOf(x, i.Of.Include)...)
		t.Indexes = append(t.Indexes, out)
	}
}

// sizes fills in how many rows ordinary tables have, and what these take, in bytes, by the blocks of DuckDB's file that they have.
func (s *Session) sizes(ctx context.Context, o *pgcatalog.Objects) error {
	cat, err := s.ordinary(ctx)
	if err != nil {
		return err
	}
	for _, x := range cat.Sorted(func(x *tables.Object) bool { return x.Kind == tables.Table || x.Kind == tables.MaterializedView }) {
		rows, err := s.conn.Query(ctx, fmt.Sprintf("SELECT count(DISTINCT block_id) * 262144, (SELECT count(*) FROM %s) FROM pragma_storage_info(%s) WHERE block_id >= 0", duckName(x), quoteTable(x)))
		if err != nil {
			return err
		}
		ch, err := rows.Next()
		if err == nil && ch != nil {
			o.Measure(ordinaryOID(x.ID), ch.Cols[0].I64[0], ch.Cols[1].I64[0])
		}
		rows.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// Columns of event tables are renamed, dropped and widened without touching a row: what is stored and what is made of it know a column by
// its place and its inside name (schema.Relation.Stored), which stay. The texts of definitions follow a rename, and are bound anew; one that
// would then mean something else, or could not be bound, keeps the column from being renamed. What reads a column is what cannot be bound
// without it.

// bindRenameEventColumn binds ALTER TABLE … RENAME COLUMN … TO of an event table.
func (s *Session) bindRenameEventColumn(st *parse.SQL, n *pg_query.RenameStmt, table string) bound {
	return s.definition(func(ctx context.Context) (string, error) {
		const tag = "ALTER TABLE"
		r := s.catalog().Relation(table)
		if r == nil {
			return "", fail(codeUndefinedTable, "relation %q does not exist", table)
		}
		if err := renamable(r, n.Subname, n.Newname); err != nil {
			return "", at(err, st.Text, int(n.Relation.Location))
		}
		if err := s.viewsOverColumn(ctx, "rename", r.Name, n.Subname); err != nil {
			return "", at(asError(err), st.Text, int(n.Relation.Location))
		}
		if err := s.define(func(c *schema.Catalog) error { return s.renameEventColumn(ctx, c, r.ID, n.Subname, n.Newname) }); err != nil {
			return "", at(asError(err), st.Text, int(n.Relation.Location))
		}
		return tag, nil
	})
}

// quietly keeps what binds readers anew from telling of them, until the function returned is called.
func (s *Session) quietly() func() {
	was := s.quiet
	s.quiet = true
	return func() { s.quiet = was }
}

// renamable refuses a rename as PostgreSQL does.
func renamable(r *schema.Relation, from, to string) *session.Error {
	switch {
	case r.ColumnIndex(from) < 0:
		return hint(fail(codeUndefinedColumn, "column %q does not exist", from), "Columns of %s: %s.", r.Name, columnNames(r.Columns))
	case r.ColumnIndex(to) >= 0:
		return fail(codeDuplicateColumn, "column %q of relation %q already exists", to, r.Name)
	case slices.Contains(systemColumns, to):
		return fail(codeDuplicateColumn, "column name %q conflicts with a system column name", to)
	case strings.HasPrefix(to, "__"):
		return fail("42939", "column name %q is reserved", to)
	}
	return nil
}

// renameEventColumn is the step of RENAME COLUMN.
func (s *Session) renameEventColumn(ctx context.Context, c *schema.Catalog, id uint32, from, to string) error {
	r := c.Relations[id]
	if r == nil {
		return fail(codeConflict, "the table was dropped meanwhile")
	}
	if err := renamable(r, from, to); err != nil {
		return err
	}
	defer s.quietly()()
	before := c.Clone().Index()
	next, i := altered(r), r.ColumnIndex(from)
	col := &next.Columns[i]
	col.Name, col.Kept = to, col.Inside()
	if col.Kept == to {
		col.Kept = ""
	}
	if next.EventTime == from {
		next.EventTime = to
	}
	next.PrimaryKey = slices.Clone(r.PrimaryKey)
	for k, name := range next.PrimaryKey {
		if name == from {
			next.PrimaryKey[k] = to
		}
	}
	if err := tableText(next); err != nil {
		return err
	}
	c.Relations[id] = next
	c.Index()
	for _, v := range sorted(c.Relations, func(v *schema.Relation) string { return v.Name }) {
		if v.View == nil || v.View.Base != id {
			continue
		}
		if err := s.viewFollows(ctx, before, c, v, from, to); err != nil {
			return notFollowed(r, from, v, err)
		}
	}
	c.Index()
	for _, f := range sorted(c.Features, func(f *schema.Feature) string { return f.Name }) {
		if f.Relation != id && !slices.Contains(f.Attributes, id) {
			continue
		}
		if err := s.featureFollows(ctx, before, c, f, id, from, to); err != nil {
			return notFollowed(r, from, f, err)
		}
	}
	return nil
}

// notFollowed is the error of a rename that a definition cannot follow.
func notFollowed(r *schema.Relation, column string, reader any, why error) error {
	e := hint(fail(codeDependent, "cannot rename column %q of table %q because the definition of %s cannot follow it", column, r.Name, named(reader)),
		"DROP %s %s; rename the column, and create it anew.", objectKind(reader), objectName(reader))
	e.Detail = asError(why).Message
	return e
}

// featureFollows gives a feature the text in which a column of a relation that it reads is called to.
func (s *Session) featureFollows(ctx context.Context, before, c *schema.Catalog, f *schema.Feature, relation uint32, from, to string) error {
	was, _, err := s.rebindIn(ctx, before, f, f.SQL)
	if err != nil {
		return err
	}
	parsed, err := parse.Parse(f.SQL)
	if err != nil {
		return err
	}
	body := parsed.(*parse.CreateFeature).Body
	aliases := map[string]bool{} // of the relation
	other := false               // another relation, or a list, has a column of the name
	see := func(rv *pg_query.RangeVar) {
		alias := rv.Relname
		if rv.Alias != nil {
			alias = rv.Alias.Aliasname
		}
		switch r := before.Relation(rv.Relname); {
		case r == nil:
		case r.ID == relation:
			aliases[alias] = true
		default:
			other = other || r.ColumnIndex(from) >= 0
		}
	}
	see(body.Source)
	var more []*pg_query.Node
	for _, j := range body.Joins {
		see(j.Relation)
		if j.Mark.Match != nil {
			more = append(more, j.Mark.Match)
		}
	}
	for _, u := range body.Unnest {
		other = other || u.Column == from
	}
	text, err := parse.RenamedColumn(f.SQL, body.Select, more, parse.ColumnRename{To: to, Is: isColumn(from, aliases, other), Star: func(*pg_query.ColumnRef) []string { return nil }})
	if err != nil {
		return err
	}
	now, _, err := s.rebindIn(ctx, c, f, text)
	if err != nil {
		return err
	}
	if now.Fingerprint != was.Fingerprint {
		return fail(codeDependent, "with the new name it would mean something else")
	}
	next := *f
	next.SQL = text
	c.Features[f.ID] = &next
	return nil
}

// isColumn is parse.ColumnRename.Is of a column of a relation that is known by aliases. bare says that a reference without one is to
// something else.
func isColumn(name string, aliases map[string]bool, other bool) func(ref *pg_query.ColumnRef) bool {
	return func(ref *pg_query.ColumnRef) bool {
		f := ref.Fields
		if f[len(f)-1].GetString_().GetSval() != name {
			return false
		}
		if len(f) == 1 {
			return !other
		}
		return aliases[f[len(f)-2].GetString_().GetSval()]
	}
}

// viewFollows gives an event view the text in which a column of its base is called to. Its own columns keep their names.
func (s *Session) viewFollows(ctx context.Context, before, c *schema.Catalog, v *schema.Relation, from, to string) error {
	parsed, err := parse.Parse(v.SQL)
	if err != nil {
		return err
	}
	st := parsed.(*parse.CreateEventView)
	base := c.Relations[v.View.Base]
	stars, others := 0, 0
	for _, t := range st.Select.TargetList {
		if ref := t.GetResTarget().GetVal().GetColumnRef(); ref != nil && ref.Fields[len(ref.Fields)-1].GetAStar() != nil {
			stars++
		} else {
			others++
		}
	}
	at, each := 0, 0 // of the view's columns
	if stars > 0 {
		each = (len(v.Columns) - others) / stars
	}
	written := map[*pg_query.ColumnRef][]string{}
	for _, t := range st.Select.TargetList {
		ref := t.GetResTarget().GetVal().GetColumnRef()
		if ref == nil || ref.Fields[len(ref.Fields)-1].GetAStar() == nil {
			at++
			continue
		}
		for range each { // the columns that there were when the view was made
			k := slices.IndexFunc(base.Columns, func(b schema.Column) bool { return duck.QuoteIdent(b.Inside()) == v.View.Items[at] })
			if k < 0 {
				return fail(codeDependent, "its * is not what it was")
			}
			item := parse.QuoteName(base.Columns[k].Name)
			if base.Columns[k].Name != v.Columns[at].Name {
				item += " AS " + parse.QuoteName(v.Columns[at].Name)
			}
			written[ref] = append(written[ref], item)
			at++
		}
	}
	text, err := parse.RenamedColumn(v.SQL, st.Select, nil, parse.ColumnRename{To: to, Is: isColumn(from, map[string]bool{v.View.Alias: true}, false),
		Star: func(ref *pg_query.ColumnRef) []string { return written[ref] }})
	if err != nil {
		return err
	}
	if parsed, err = parse.Parse(text); err != nil {
		return err
	}
	now, err := s.bindEventView(ctx, c, parsed.(*parse.CreateEventView), nil)
	if err != nil {
		return err
	}
	same := slices.EqualFunc(now.Columns, v.Columns, func(a, b schema.Column) bool { return a.Name == b.Name && a.Type.Equal(b.Type) })
	if !same || !slices.Equal(now.View.Items, v.View.Items) || now.View.Where != v.View.Where {
		return fail(codeDependent, "with the new name it would mean something else")
	}
	next := *v
	next.SQL = text
	c.Relations[v.ID] = &next
	return nil
}

// altered is a copy of a table of which the columns are to be changed.
func altered(r *schema.Relation) *schema.Relation {
	next := *r
	next.Columns = slices.Clone(r.Columns)
	next.Altered++
	return &next
}

// tableText writes the statement that would make an event table as it is.
func tableText(r *schema.Relation) error {
	parsed, err := parse.Parse(r.SQL)
	if err != nil {
		return err
	}
	options := parsed.(*parse.CreateTable).Options
	o := options["event_time"]
	o.Value, o.Kind = r.EventTime, parse.OptString
	options["event_time"] = o
	items := make([]string, len(r.Columns))
	for i, c := range r.Columns {
		t := c.Type.String()
		if c.Bare {
			t = "numeric"
		}
		items[i] = parse.QuoteName(c.Name) + " " + t
		if c.NotNull {
			items[i] += " NOT NULL"
		}
		if c.Default != "" {
			items[i] += " DEFAULT " + c.Default
		}
	}
	if len(r.PrimaryKey) > 0 {
		keys := make([]string, len(r.PrimaryKey))
		for i, k := range r.PrimaryKey {
			keys[i] = parse.QuoteName(k)
		}
		items = append(items, "PRIMARY KEY ("+strings.Join(keys, ", ")+")")
	}
	if w := r.Watermark; w != nil {
		items = append(items, fmt.Sprintf("WATERMARK FOR %s AS %[1]s - INTERVAL '%s'", parse.QuoteName(r.EventTime), durationText(w.Delay)))
	}
	r.SQL = fmt.Sprintf("CREATE TABLE %s (%s) WITH %s", parse.QuoteName(r.Name), strings.Join(items, ", "), options)
	return nil
}

// viewsOverColumn refuses a change of a column that ordinary views name, or another one of its name.
func (s *Session) viewsOverColumn(ctx context.Context, verb, table, column string) error {
	cat, err := s.ordinary(ctx)
	if err != nil {
		return err
	}
	for _, v := range cat.Sorted(func(o *tables.Object) bool { return slices.Contains(o.ReadsNames, table) && viewNames(o, column) }) {
		e := hint(fail(codeDependent, "cannot %s column %s of table %s because other objects depend on it", verb, column, table), "DROP %s %s first.", strings.ToUpper(string(v.Kind)), qualifiedName(v))
		e.Detail = fmt.Sprintf("%s depends on column %s of table %s", describeObject(v), column, table)
		return e
	}
	return nil
}

// dropEventColumn is ALTER TABLE … DROP COLUMN of an event table.
func (s *Session) dropEventColumn(ctx context.Context, sql string, r *schema.Relation, cmd *pg_query.AlterTableCmd) error {
	place := wordIn(sql, cmd.Name)
	if r.ColumnIndex(cmd.Name) < 0 {
		if cmd.MissingOk {
			s.notice(session.Notice{Message: fmt.Sprintf("column %q of relation %q does not exist, skipping", cmd.Name, r.Name)})
			return nil
		}
		return at(hint(fail(codeUndefinedColumn, "column %q of relation %q does not exist", cmd.Name, r.Name), "Columns: %s.", columnNames(r.Columns)), sql, place)
	}
	if err := s.viewsOverColumn(ctx, "drop", r.Name, cmd.Name); err != nil {
		return at(asError(err), sql, place)
	}
	var also []string
	err := s.define(func(c *schema.Catalog) (err error) {
		also, err = s.takeColumn(ctx, c, r.ID, cmd.Name, cmd.Behavior == pg_query.DropBehavior_DROP_CASCADE)
		return err
	})
	if err != nil {
		return at(asError(err), sql, place)
	}
	if n := cascadeNotice(also); n != nil {
		s.notice(*n)
	}
	return nil
}

// takeColumn is the step of DROP COLUMN: what went with it.
func (s *Session) takeColumn(ctx context.Context, c *schema.Catalog, id uint32, column string, cascade bool) (also []string, err error) {
	r := c.Relations[id]
	if r == nil || r.ColumnIndex(column) < 0 {
		return nil, fail(codeConflict, "column %q was dropped or renamed meanwhile", column)
	}
	switch {
	case r.EventTime == column:
		return nil, hint(fail("42P16", "cannot drop column %q because it is the event time of table %q", column, r.Name), "A table without an event time is an ordinary one.")
	case slices.Contains(r.PrimaryKey, column):
		return nil, hint(fail(codeUnsupported, "cannot drop column %q because it is in the primary key of event table %q", column, r.Name), "The log of record knows the table's rows by it.")
	case len(r.Columns) == 1:
		return nil, fail(codeUnsupported, "cannot drop the only column of event table %q", r.Name)
	}
	defer s.quietly()()
	readers, err := s.columnReaders(ctx, c, r, column)
	if err != nil {
		return nil, err
	}
	var details []string
	for _, o := range readers {
		if !has(c, o) {
			continue // it went with another one
		}
		removeObject(c, o, func(gone any) {
			also = append(also, named(gone))
			on := fmt.Sprintf("column %s of table %s", column, r.Name)
			if gone != o {
				on = named(o)
			}
			details = append(details, fmt.Sprintf("%s depends on %s", named(gone), on))
		})
	}
	if len(also) > 0 && !cascade {
		e := hint(fail(codeDependent, "cannot drop column %s of table %s because other objects depend on it", column, r.Name), "Use DROP ... CASCADE to drop the dependent objects too.")
		slices.Sort(details)
		e.Detail = strings.Join(details, "\n")
		return nil, e
	}
	next := altered(r)
	i := r.ColumnIndex(column)
	gone := next.Columns[i]
	gone.Kept = gone.Inside()
	gone.Name, gone.NotNull, gone.Default, gone.Comment = gone.Kept, false, "", ""
	next.Dropped = append(slices.Clone(r.Dropped), schema.DroppedColumn{Place: r.Place(i), Column: gone})
	slices.SortFunc(next.Dropped, func(a, b schema.DroppedColumn) int { return a.Place - b.Place })
	next.Columns = slices.Delete(next.Columns, i, i+1)
	if err := tableText(next); err != nil {
		return nil, err
	}
	c.Relations[id] = next
	return also, nil
}

// columnReaders are the dual sources, event views and features that cannot be without a column of a table.
func (s *Session) columnReaders(ctx context.Context, c *schema.Catalog, r *schema.Relation, column string) ([]any, error) {
	inside := r.Inside(column)
	rest := slices.DeleteFunc(slices.Clone(r.Stored()), func(c schema.Column) bool { return c.Name == inside })
	var out []any
	for _, d := range c.DualsOf(r.ID) {
		if slices.Contains(d.Dual.Places, r.PlaceOf(column)) {
			out = append(out, d)
		}
	}
	for _, v := range sorted(c.Relations, func(v *schema.Relation) string { return v.Name }) {
		if v.View == nil || v.View.Base != r.ID {
			continue
		}
		items := slices.Clone(v.View.Items)
		if v.View.Where != "" {
			items = append(items, v.View.Where)
		}
		if _, err := s.types(ctx, items, fmt.Sprintf("(SELECT %s) AS %s", nullColumns(rest), duck.QuoteIdent(v.View.Alias))); err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			out = append(out, v)
		}
	}
	without := c.Clone()
	less := *r
	less.Columns = slices.DeleteFunc(slices.Clone(r.Columns), func(c schema.Column) bool { return c.Name == column })
	gone := *r
	gone.Columns = slices.DeleteFunc(slices.Clone(r.Columns), func(c schema.Column) bool { return c.Name != column })
	less.Dropped = append(slices.Clone(r.Dropped), schema.DroppedColumn{Place: r.PlaceOf(column), Column: gone.Columns[0]})
	slices.SortFunc(less.Dropped, func(a, b schema.DroppedColumn) int { return a.Place - b.Place })
	without.Relations[r.ID] = &less
	without.Index()
	for _, f := range sorted(c.Features, func(f *schema.Feature) string { return f.Name }) {
		if f.Relation != r.ID && !slices.Contains(f.Attributes, r.ID) {
			continue
		}
		was, _, err := s.rebindIn(ctx, c, f, f.SQL)
		var now *schema.Feature
		if err == nil {
			now, _, err = s.rebindIn(ctx, without, f, f.SQL)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil || now.Fingerprint != was.Fingerprint {
			out = append(out, f)
		}
	}
	return out, nil
}

// retypeEventColumn is ALTER TABLE … ALTER COLUMN … TYPE of an event table: to a type that has all values of the old one.
func (s *Session) retypeEventColumn(ctx context.Context, sql string, r *schema.Relation, cmd *pg_query.AlterTableCmd) error {
	def := cmd.Def.GetColumnDef()
	place := wordIn(sql, cmd.Name)
	i := r.ColumnIndex(cmd.Name)
	if i < 0 {
		return at(hint(fail(codeUndefinedColumn, "column %q of relation %q does not exist", cmd.Name, r.Name), "Columns: %s.", columnNames(r.Columns)), sql, place)
	}
	to, err := parse.TypeOf(def.TypeName)
	if err != nil {
		return at(asError(err), sql, int(def.TypeName.Location))
	}
	c := r.Columns[i]
	bare := parse.BareNumeric(def.TypeName)
	switch {
	case def.RawDefault != nil:
		return at(hint(fail(codeUnsupported, "the values of column %q of event table %q cannot be computed anew: its rows are not rewritten", c.Name, r.Name), "%s", otherValues(r, c.Name, to)), sql, place)
	case def.CollClause != nil:
		return at(fail(codeUnsupported, "collations other than C are not supported"), sql, place)
	case c.Type.Equal(to) && c.Bare == bare:
		return nil
	case !reclog.Widens(c.Type, to) || slices.Contains(r.PrimaryKey, c.Name) && c.Type.Kind == vector.Decimal && c.Type.Scale != to.Scale:
		return at(hint(fail(codeUnsupported, "column %q of event table %q cannot be changed from type %s to %s: its rows are not rewritten", c.Name, r.Name, c.Type, to), "%s", otherValues(r, c.Name, to)), sql, place)
	}
	if err := s.viewsOverColumn(ctx, "alter type of", r.Name, c.Name); err != nil {
		return at(asError(err), sql, place)
	}
	wide := c
	wide.Type, wide.Bare = to, bare
	if _, err := s.columnDefault(ctx, r, wide); err != nil {
		return at(asError(err), sql, place)
	}
	err = s.define(func(cat *schema.Catalog) error { return s.widenColumn(ctx, cat, r.ID, c.Name, to, bare) })
	if err != nil {
		return at(asError(err), sql, place)
	}
	return nil
}

// otherValues is a hint to what has other values than a column.
func otherValues(r *schema.Relation, column string, to vector.Type) string {
	return fmt.Sprintf("smallint becomes integer and bigint, real double precision, numeric(p,s) one of more digits. What has other values is an event view: CREATE VIEW v WITH (event_time = '%[1]s') AS SELECT …, CAST(%[2]s AS %[3]s) AS %[2]s FROM %[4]s;", r.EventTime, parse.QuoteName(column), to, parse.QuoteName(r.Name))
}

// widenColumn is the step of ALTER COLUMN … TYPE.
func (s *Session) widenColumn(ctx context.Context, c *schema.Catalog, id uint32, column string, to vector.Type, bare bool) error {
	r := c.Relations[id]
	if r == nil || r.ColumnIndex(column) < 0 || !reclog.Widens(r.Columns[r.ColumnIndex(column)].Type, to) {
		return fail(codeConflict, "column %q was changed meanwhile", column)
	}
	defer s.quietly()()
	readers, err := s.columnReaders(ctx, c, r, column)
	if err != nil {
		return err
	}
	if len(readers) > 0 {
		e := hint(fail(codeUnsupported, "cannot alter type of a column used by a view or feature"), "DROP %s %s; change the type, and create it anew.", objectKind(readers[0]), objectName(readers[0]))
		e.Detail = fmt.Sprintf("%s depends on column %q", named(readers[0]), column)
		return e
	}
	next := altered(r)
	col := &next.Columns[r.ColumnIndex(column)]
	if col.Missing, err = materialize.WidenedMissing(col.Missing, to); err != nil {
		return err
	}
	col.Type, col.Bare = to, bare
	if err := tableText(next); err != nil {
		return err
	}
	c.Relations[id] = next
	return nil
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// defaultFutureBound is how far ahead of the clock an event time may lie unless the table says otherwise, in microseconds.
const defaultFutureBound = 24 * 3600 * 1_000_000

// exists answers IF NOT EXISTS: done is true where the object is there and the statement wants no more.
func (s *Session) exists(ctx context.Context, cat *schema.Catalog, n parse.Name, sql string, ifNotExists bool) (done bool, err error) {
	err = s.nameFree(ctx, cat, n, sql)
	if err == nil {
		return false, nil
	}
	if ifNotExists {
		s.notice(session.Notice{Code: codeDuplicateTable, Message: fmt.Sprintf("relation %q already exists, skipping", n.Name)})
		return true, nil
	}
	return false, err
}

func (s *Session) createEventTable(ctx context.Context, st *parse.CreateTable) (string, error) {
	const tag = "CREATE TABLE"
	cat := s.e.catalog.Current()
	if done, err := s.exists(ctx, cat, st.Name, st.Text, st.IfNotExists); done || err != nil {
		return tag, err
	}
	o := readOptions(st.Text, "CREATE TABLE", st.Options)
	r := &schema.Relation{Name: st.Name.Name, Kind: schema.EventTable, SQL: st.Text, PrimaryKey: st.PrimaryKey, EventTime: o.text("event_time", "")}
	r.FutureBound = o.duration("future_bound", defaultFutureBound, 0)
	r.Lateness = o.duration("lateness", 0, 0)
	if err := o.done(); err != nil {
		return "", err
	}
	for _, c := range st.Columns {
		r.Columns = append(r.Columns, schema.Column{Name: c.Name, Type: c.Type, NotNull: c.NotNull, Default: c.Default})
	}
	if err := s.checkColumns(ctx, st.Text, r, st.Columns, st.Options["event_time"]); err != nil {
		return "", err
	}
	if err := checkPrimaryKey(st.Text, r, st.Name.Position); err != nil {
		return "", err
	}
	return tag, s.putRelation(ctx, r)
}

// checkColumns checks a relation's event time, key and defaults.
func (s *Session) checkColumns(ctx context.Context, sql string, r *schema.Relation, cols []parse.Column, eventTime parse.Option) error {
	for i, c := range r.Columns {
		if strings.HasPrefix(c.Name, "__") {
			return at(fail("42939", "column name %q is reserved", c.Name), sql, cols[i].Position)
		}
		if c.Default == "" {
			continue
		}
		types, err := s.types(ctx, []string{"CAST((" + c.Default + ") AS " + c.Type.DuckDB() + ")"}, "")
		if err != nil || len(types) != 1 {
			return at(asError(err), sql, cols[i].Position)
		}
		if _, err := s.defaults(ctx, &schema.Relation{Columns: r.Columns[i : i+1]}, nil); err != nil { // 'one' for a bigint
			return at(asError(err), sql, cols[i].Position)
		}
	}
	i := r.ColumnIndex(r.EventTime)
	if i < 0 {
		return at(hint(fail(codeUndefinedColumn, "event time %q of relation %q is no column of it", r.EventTime, r.Name), "Columns: %s.", columnNames(r.Columns)), sql, eventTime.ValuePosition)
	}
	if r.Columns[i].Type.Kind != vector.TimestampTZ {
		return at(hint(fail(codeTypeMismatch, "event time %q of relation %q must be timestamptz, not %s", r.EventTime, r.Name, r.Columns[i].Type), "Declare the column as timestamptz, or cast it in an event view."), sql, eventTime.ValuePosition)
	}
	return nil
}

// checkPrimaryKey checks that the columns of a relation's key are there, and of types that can be keys.
func checkPrimaryKey(sql string, r *schema.Relation, place int) error {
	for _, k := range r.PrimaryKey {
		i := r.ColumnIndex(k)
		if i < 0 {
			return at(hint(fail(codeUndefinedColumn, "primary key %q is no column of %q", k, r.Name), "Columns: %s.", columnNames(r.Columns)), sql, place)
		}
		if err := keyType(r.Columns[i].Type); err != nil {
			return at(err, sql, place)
		}
	}
	return nil
}

// putRelation gives a relation its id and writes it.
func (s *Session) putRelation(ctx context.Context, r *schema.Relation) error {
	id, err := s.e.log.Sequence("relation")
	if err != nil {
		return err
	}
	r.ID = uint32(id)
	return s.e.catalog.Update(ctx, func(c *schema.Catalog) error {
		if c.Lookup(r.Name) != nil {
			return fail(codeDuplicateTable, "relation %q already exists", r.Name)
		}
		c.Relations[r.ID] = r
		return nil
	})
}

func (s *Session) createEntity(ctx context.Context, sql string, st *parse.CreateEntity) (string, error) {
	const tag = "CREATE ENTITY"
	cat := s.e.catalog.Current()
	if done, err := s.exists(ctx, cat, st.Name, sql, st.IfNotExists); done || err != nil {
		return tag, err
	}
	if err := readOptions(sql, "CREATE ENTITY", st.Options).done(); err != nil {
		return "", err
	}
	e := &schema.Entity{Name: st.Name.Name, SQL: sql}
	for _, c := range st.Columns {
		if c.Name == eventTimeName {
			return "", at(fail(codeDefinition, "key name %q is reserved for the event time", c.Name), sql, c.Position)
		}
		if err := keyType(c.Type); err != nil {
			return "", at(err, sql, c.Position)
		}
		e.Keys = append(e.Keys, schema.Column{Name: c.Name, Type: c.Type, NotNull: true})
	}
	id, err := s.e.log.Sequence("entity")
	if err != nil {
		return "", err
	}
	e.ID = uint32(id)
	return tag, s.e.catalog.Update(ctx, func(c *schema.Catalog) error {
		if c.Lookup(e.Name) != nil {
			return fail(codeDuplicateObject, "%q already exists", e.Name)
		}
		c.Entities[e.ID] = e
		return nil
	})
}

func (s *Session) createSource(ctx context.Context, st *parse.CreateSource) (string, error) {
	const tag = "CREATE SOURCE"
	cat := s.e.catalog.Current()
	if done, err := s.exists(ctx, cat, st.Name, st.Text, st.IfNotExists); done || err != nil {
		return tag, err
	}
	if st.Batch != nil {
		return "", at(fail(codeUnsupported, "a source FROM BATCH … STREAM … is not supported yet"), st.Text, st.Batch.Position)
	}
	o := readOptions(st.Text, "CREATE SOURCE", st.Options)
	if !o.has("connector") {
		return "", at(hint(fail(codeInvalidParameter, "source %q needs a connector", st.Name.Name), "WITH (connector = 'file', path = '…', event_time = '…')"), st.Text, st.Name.Position)
	}
	if c := o.text("connector", ""); c != "file" {
		return "", at(hint(fail(codeUnsupported, "connector %q is not supported", c), "WITH (connector = 'file', path = '…', event_time = '…')"), st.Text, st.Options["connector"].ValuePosition)
	}
	r := &schema.Relation{Name: st.Name.Name, Kind: schema.FileSource, SQL: st.Text, PrimaryKey: st.PrimaryKey, EventTime: o.text("event_time", "")}
	r.File = &schema.File{Path: o.text("path", "")}
	if v, ok := st.Options["refresh_every"]; ok {
		o.refuse(v, codeUnsupported, "option %q is not supported yet: a source is refreshed by REFRESH SOURCE", "refresh_every")
	}
	r.Lateness = o.duration("lateness", 0, 0)
	if r.File.Path == "" {
		return "", at(hint(fail(codeInvalidParameter, "a file source needs a path"), "WITH (connector = 'file', path = 'lake/**/*.parquet', event_time = 'ts')"), st.Text, st.Name.Position)
	}
	format := "parquet"
	if strings.HasSuffix(r.File.Path, ".csv") || strings.HasSuffix(r.File.Path, ".csv.gz") {
		format = "csv"
	}
	r.File.Format = o.oneOf("format", format, "parquet", "csv")
	if v, ok := st.Options["complete_through"]; o.has("complete_through") && ok {
		t, err := parseTime(v.Value, s.location)
		if err != nil {
			return "", at(asError(err), st.Text, v.ValuePosition)
		}
		r.File.CompleteThrough = t
	}
	if k := o.text("primary_key", ""); k != "" && r.PrimaryKey == nil {
		for c := range strings.SplitSeq(k, ",") {
			r.PrimaryKey = append(r.PrimaryKey, strings.TrimSpace(c))
		}
	}
	if err := o.done(); err != nil {
		return "", err
	}
	for _, c := range st.Columns {
		r.Columns = append(r.Columns, schema.Column{Name: c.Name, Type: c.Type, NotNull: c.NotNull})
	}
	if err := s.e.mat.Discover(ctx, r); err != nil {
		return "", at(asError(err), st.Text, st.Options["path"].ValuePosition)
	}
	if r.EventTime != "" {
		if err := s.checkColumns(ctx, st.Text, r, nil, st.Options["event_time"]); err != nil {
			return "", err
		}
	}
	place := st.Name.Position
	if v, ok := st.Options["primary_key"]; ok {
		place = v.ValuePosition
	}
	if err := checkPrimaryKey(st.Text, r, place); err != nil {
		return "", err
	}
	if err := s.putRelation(ctx, r); err != nil {
		return "", err
	}
	rep, err := s.e.mat.RefreshSource(ctx, r.ID)
	if err != nil { // files that cannot be read leave no source behind, also where the statement was cancelled
		gone := s.dropObjects(context.WithoutCancel(ctx), st.Text, "SOURCE", []parse.Name{st.Name}, true, true)
		return "", errors.Join(asError(err), gone)
	}
	s.notice(session.Notice{Message: fmt.Sprintf("source %q: %d files, %d rows", r.Name, rep.Files, rep.Rows)})
	return tag, nil
}

func (s *Session) createEventView(ctx context.Context, st *parse.CreateEventView) (string, error) {
	const tag = "CREATE VIEW"
	cat := s.e.catalog.Current()
	if _, err := s.exists(ctx, cat, st.Name, st.Text, false); err != nil {
		return "", err
	}
	sel := st.Select
	rv := (*schema.Relation)(nil)
	alias := ""
	if len(sel.FromClause) == 1 {
		if v := sel.FromClause[0].GetRangeVar(); v != nil {
			rv = cat.Relation(v.Relname)
			if alias = v.Relname; v.Alias != nil {
				alias = v.Alias.Aliasname
			}
		}
	}
	if rv == nil || rv.View != nil || len(sel.GroupClause)+len(sel.DistinctClause)+len(sel.SortClause)+len(sel.WindowClause) > 0 || sel.WithClause != nil || sel.LimitCount != nil {
		return "", at(hint(fail(codeUnsupported, "an event view is a projection and filter of one event table or source"), "CREATE VIEW v WITH (event_time = 'ts') AS SELECT … FROM source WHERE …"), st.Text, st.Name.Position)
	}
	o := readOptions(st.Text, "CREATE VIEW", st.Options)
	r := &schema.Relation{Name: st.Name.Name, Kind: schema.EventView, SQL: st.Text, EventTime: o.text("event_time", "")}
	r.View = &schema.View{Base: rv.ID, Alias: alias}
	r.Lateness = o.duration("lateness", rv.Lateness, 0)
	if err := o.done(); err != nil {
		return "", err
	}
	x := &exprBinder{s: s, sql: st.Text, rel: rv, alias: alias}
	var names []string
	var parts []parse.Expr
	for i, t := range sel.TargetList {
		rt := t.GetResTarget()
		if ref := rt.Val.GetColumnRef(); ref != nil {
			name, star, ok := columnOf(ref, alias)
			if ok && star {
				for _, c := range rv.Columns {
					e, err := parse.ColumnExpr(c.Name, int(rt.Location))
					if err != nil {
						return "", asError(err)
					}
					names, parts = append(names, c.Name), append(parts, e)
				}
				continue
			}
			if rt.Name == "" {
				rt.Name = name
			}
		}
		if rt.Name == "" && i >= len(st.Aliases) {
			return "", at(hint(fail(codeDefinition, "column %d of event view %q needs a name", i+1, r.Name), "Give it an alias: … AS name"), st.Text, int(rt.Location))
		}
		names = append(names, rt.Name)
		text, err := parse.Deparse(rt.Val)
		if err != nil {
			return "", asError(err)
		}
		parts = append(parts, parse.Expr{Node: rt.Val, Text: text, Position: int(rt.Location)})
	}
	copy(names, st.Aliases)
	var where parse.Expr
	for _, p := range parts {
		x.add(p)
	}
	if sel.WhereClause != nil {
		text, err := parse.Deparse(sel.WhereClause)
		if err != nil {
			return "", asError(err)
		}
		where = parse.Expr{Node: sel.WhereClause, Text: text, Position: nodeLocation(sel.WhereClause)}
		x.add(where)
	}
	if err := x.bind(ctx); err != nil {
		return "", err
	}
	for i, p := range parts {
		if slices.Contains(names[:i], names[i]) {
			return "", at(fail(codeDuplicateColumn, "column %q specified more than once", names[i]), st.Text, p.Position)
		}
		e := x.of(p.Text)
		r.Columns = append(r.Columns, schema.Column{Name: names[i], Type: e.Type})
		r.View.Items = append(r.View.Items, e.SQL)
	}
	if where.Node != nil {
		r.View.Where = x.of(where.Text).SQL
	}
	if err := s.checkColumns(ctx, st.Text, r, nil, st.Options["event_time"]); err != nil {
		return "", err
	}
	return tag, s.putRelation(ctx, r)
}

// drop drops features, entities and sources; what reads them goes with CASCADE only.
func (s *Session) drop(ctx context.Context, sql string, st *parse.Drop) (string, error) {
	tag := "DROP " + string(st.Object)
	return tag, s.dropObjects(ctx, sql, string(st.Object), st.Names, st.IfExists, st.Cascade)
}

func (s *Session) dropObjects(ctx context.Context, sql, kind string, names []parse.Name, ifExists, cascade bool) error {
	var gone materialize.Dropped
	before := s.e.catalog.Current()
	err := s.e.catalog.Update(ctx, func(c *schema.Catalog) error {
		gone = materialize.Dropped{}
		for _, n := range names {
			o := c.Lookup(n.Name)
			if o == nil || objectKind(o) != kind {
				if ifExists {
					s.notice(session.Notice{Message: fmt.Sprintf("%s %q does not exist, skipping", strings.ToLower(kind), n.Name)})
					continue
				}
				if o != nil {
					was := objectKind(o)
					return at(hint(fail(codeWrongObject, "%q is not a %s", n.Name, strings.ToLower(kind)), "It is an object of another kind: DROP %s %s.", was, n.Name), sql, n.Position)
				}
				return at(fail(codeUndefinedObject, "%s %q does not exist", strings.ToLower(kind), n.Name), sql, n.Position)
			}
			if err := dropObject(c, o, cascade, &gone); err != nil {
				return at(asError(err), sql, n.Position)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.dropLogs(before); err != nil {
		return err
	}
	return s.e.mat.Drop(ctx, gone)
}

// objectKind is what DROP calls an object.
func objectKind(o any) string {
	switch o := o.(type) {
	case *schema.Feature:
		return "FEATURE"
	case *schema.FeatureView:
		return "FEATURE VIEW"
	case *schema.Entity:
		return "ENTITY"
	case *schema.Relation:
		switch o.Kind {
		case schema.FileSource:
			return "SOURCE"
		case schema.EventTable:
			return "TABLE"
		case schema.EventView:
			return "VIEW"
		}
	}
	return ""
}

// objectName is the name of an object that objectKind knows.
func objectName(o any) string {
	switch o := o.(type) {
	case *schema.Feature:
		return o.Name
	case *schema.FeatureView:
		return o.Name
	case *schema.Entity:
		return o.Name
	case *schema.Relation:
		return o.Name
	}
	return ""
}

// dropObject removes o and, with cascade, what reads it.
func dropObject(c *schema.Catalog, o any, cascade bool, gone *materialize.Dropped) error {
	var readers []any
	var names []string
	for _, f := range c.Features {
		if e, ok := o.(*schema.Entity); ok && f.Entity == e.ID {
			readers, names = append(readers, f), append(names, "feature "+f.Name)
		}
		if r, ok := o.(*schema.Relation); ok && f.Relation == r.ID {
			readers, names = append(readers, f), append(names, "feature "+f.Name)
		}
	}
	if r, ok := o.(*schema.Relation); ok {
		for _, v := range c.Relations {
			if v.View != nil && v.View.Base == r.ID {
				readers, names = append(readers, v), append(names, "event view "+v.Name)
			}
		}
	}
	var views []*schema.FeatureView
	switch o := o.(type) {
	case *schema.Feature:
		views = c.ViewsOf(o)
	case *schema.FeatureView:
		views = c.ViewsOver(o)
	case *schema.Entity:
		views = c.ViewsKeyed(o)
	}
	for _, v := range views {
		readers, names = append(readers, v), append(names, "feature view "+v.Name)
	}
	if len(readers) > 0 && !cascade {
		slices.Sort(names)
		e := hint(fail(codeDependent, "cannot drop %s %s because other objects depend on it", strings.ToLower(objectKind(o)), objectName(o)), "Use DROP … CASCADE to drop them too.")
		e.Detail = "Readers: " + strings.Join(names, ", ") + "."
		return e
	}
	for _, r := range readers {
		if err := dropObject(c, r, true, gone); err != nil {
			return err
		}
	}
	switch o := o.(type) {
	case *schema.FeatureView:
		delete(c.FeatureViews, o.ID)
	case *schema.Feature:
		delete(c.Features, o.ID)
		for _, f := range c.Features {
			if f.Group == o.Group {
				return nil
			}
		}
		if g := c.Groups[o.Group]; g != nil {
			delete(c.Groups, g.ID)
			gone.Groups = append(gone.Groups, g)
		}
	case *schema.Entity:
		delete(c.Entities, o.ID)
	case *schema.Relation:
		delete(c.Relations, o.ID)
		gone.Relations = append(gone.Relations, o)
	}
	return nil
}

// refresh is REFRESH SOURCE and REFRESH FEATURE.
func (s *Session) refresh(ctx context.Context, sql string, st *parse.Refresh) (string, error) {
	cat := s.e.catalog.Current()
	if st.Object == parse.Source {
		r := cat.Relation(st.Name.Name)
		if r == nil || r.File == nil {
			return "", at(fail(codeUndefinedObject, "source %q does not exist", st.Name.Name), sql, st.Name.Position)
		}
		rep, err := s.e.mat.RefreshSource(ctx, r.ID)
		if err != nil {
			return "", err
		}
		s.notice(session.Notice{Message: fmt.Sprintf("source %q: %d files added, %d removed", r.Name, rep.Added, rep.Removed)})
		return "REFRESH SOURCE", nil
	}
	f := cat.Feature(st.Name.Name)
	if f == nil {
		return "", at(fail(codeUndefinedObject, "feature %q does not exist", st.Name.Name), sql, st.Name.Position)
	}
	parsed, err := parse.Parse(f.SQL)
	if err != nil {
		return "", err
	}
	again, bound, err := s.bindFeature(ctx, cat, parsed.(*parse.CreateFeature))
	if err != nil {
		return "", err
	}
	again.ID, again.Comment = f.ID, f.Comment
	return "REFRESH FEATURE", s.materialize(ctx, again, bound, true)
}

// wordIn is the byte offset of a name's first mention as a word of its own, -1 where there is none: the parser gives the
// names of DROP no place.
func wordIn(sql, name string) int {
	at := regexp.MustCompile(`(?i)\b` + regexp.QuoteMeta(name) + `\b`).FindStringIndex(sql)
	if at == nil {
		return -1
	}
	return at[0]
}

// bindDropStmt binds PostgreSQL's DROP: TABLE and VIEW of ours, or ordinary ones.
func (s *Session) bindDropStmt(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.DropStmt) (bound, error) {
	kind := map[pg_query.ObjectType]string{pg_query.ObjectType_OBJECT_TABLE: "TABLE", pg_query.ObjectType_OBJECT_VIEW: "VIEW", pg_query.ObjectType_OBJECT_INDEX: "INDEX"}[n.RemoveType]
	if kind == "" {
		return bound{}, fail(codeUnsupported, "%s is not supported", firstWords(st.Text))
	}
	var ours []parse.Name
	for _, o := range n.Objects {
		items := o.GetList().GetItems()
		name := items[len(items)-1].GetString_().GetSval()
		if cat.Lookup(name) != nil {
			ours = append(ours, parse.Name{Name: name, Position: wordIn(st.Text, name)})
		}
	}
	switch {
	case len(ours) == 0:
		return s.bindOrdinary(ctx, cat, st, nil, nil, "DROP "+kind, false)
	case len(ours) < len(n.Objects):
		return bound{}, fail(codeUnsupported, "DROP of event tables and ordinary ones in one statement is not supported")
	}
	return definition(func(ctx context.Context) (string, error) {
		return "DROP " + kind, s.dropObjects(ctx, st.Text, kind, ours, n.MissingOk, n.Behavior == pg_query.DropBehavior_DROP_CASCADE)
	}), nil
}

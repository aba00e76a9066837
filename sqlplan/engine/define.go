package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// defaultFutureBound is how far ahead of the clock an event time may lie unless the table says otherwise, in microseconds.
const defaultFutureBound = 24 * 3600 * 1_000_000

// leastRefresh is the shortest interval of refreshes, in microseconds.
const leastRefresh = 1_000_000

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
	cat := s.catalog()
	if done, err := s.exists(ctx, cat, st.Name, st.Text, st.IfNotExists); done || err != nil {
		return tag, err
	}
	o := readOptions(st.Text, "CREATE TABLE", st.Options)
	r := &schema.Relation{Name: st.Name.Name, Kind: schema.EventTable, SQL: st.Text, PrimaryKey: st.PrimaryKey, EventTime: o.text("event_time", "")}
	r.FutureBound = o.duration("future_bound", defaultFutureBound, 0)
	r.Lateness = o.duration("lateness", 0, 0)
	r.Retention = o.duration("retention", 0, leastRetention)
	if err := o.done(); err != nil {
		return "", err
	}
	var err error
	if r.Watermark, err = watermarkOf(st.Text, r, st.Watermark); err != nil {
		return "", err
	}
	for _, c := range st.Columns {
		r.Columns = append(r.Columns, schema.Column{Name: c.Name, Type: c.Type, NotNull: c.NotNull, Default: c.Default, Bare: parse.BareNumeric(c.TypeName)})
	}
	if err := s.checkColumns(ctx, st.Text, r, st.Columns, st.Options["event_time"]); err != nil {
		return "", err
	}
	if err := checkPrimaryKey(st.Text, r, st.Name.Position); err != nil {
		return "", err
	}
	return tag, s.putRelation(r)
}

// checkColumns checks a relation's event time, key and defaults.
func (s *Session) checkColumns(ctx context.Context, sql string, r *schema.Relation, cols []parse.Column, eventTime parse.Option) error {
	for i, c := range r.Columns {
		if strings.HasPrefix(c.Name, "__") && (r.View == nil || !schema.IsVersionColumn(c.Name)) {
			place := -1
			if i < len(cols) {
				place = cols[i].Position
			}
			return at(fail("42939", "column name %q is reserved", c.Name), sql, place)
		}
		if c.Default == "" {
			continue
		}
		def, err := s.defaultSQL(ctx, c)
		if err != nil {
			return at(asError(err), sql, cols[i].Position)
		}
		types, err := s.types(ctx, []string{def}, "")
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
		return at(hint(fail(codeTypeMismatch, "event time %q of relation %q must be timestamptz, not %s", r.EventTime, r.Name, r.Columns[i].Type), "%s", asEventTime(r, i)), sql, eventTime.ValuePosition)
	}
	return nil
}

// watermarkOf is the watermark that a definition declares of a relation, nil for none.
func watermarkOf(sql string, r *schema.Relation, w *parse.Watermark) (*schema.Watermark, error) {
	switch {
	case w == nil:
		return nil, nil
	case w.Column != r.EventTime:
		return nil, at(hint(fail(codeDefinition, "the watermark of %q is for column %q, and its event time is %q", r.Name, w.Column, r.EventTime),
			"WATERMARK FOR %s AS %[1]s - INTERVAL '10 minutes'", r.EventTime), sql, w.Position)
	case !w.HasDelay:
		return nil, at(hint(fail(codeUnsupported, "a watermark of the form %s is not supported", w.Text),
			"WATERMARK FOR %s AS %[1]s - INTERVAL '10 minutes'; days and shorter units, not negative.", w.Column), sql, w.Position)
	}
	return &schema.Watermark{Delay: w.Delay}, nil
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

// putRelation gives a relation its id and writes it, unless a check of the catalog that it is written to says why not.
func (s *Session) putRelation(r *schema.Relation, checks ...func(c *schema.Catalog) error) error {
	id, err := s.e.log.Sequence("relation")
	if err != nil {
		return err
	}
	r.ID = uint32(id)
	return s.define(func(c *schema.Catalog) error {
		if c.Lookup(r.Name) != nil {
			return taken(c, r.Name)
		}
		for _, check := range checks {
			if err := check(c); err != nil {
				return err
			}
		}
		if r.Streamed() && c.Connections[r.StreamConnection()] == nil {
			return fail(codeConflict, "the connection of source %q was dropped meanwhile", r.Name)
		}
		c.Relations[r.ID] = r
		return nil
	})
}

func (s *Session) createEntity(ctx context.Context, sql string, st *parse.CreateEntity) (string, error) {
	const tag = "CREATE ENTITY"
	cat := s.catalog()
	old := cat.Entity(st.Name.Name)
	if old == nil || !st.OrReplace {
		if done, err := s.exists(ctx, cat, st.Name, sql, st.IfNotExists); done || err != nil {
			return tag, err
		}
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
	if old != nil {
		return tag, s.replaceEntity(ctx, sql, st.Name, old, e)
	}
	id, err := s.e.log.Sequence("entity")
	if err != nil {
		return "", err
	}
	e.ID = uint32(id)
	return tag, s.define(func(c *schema.Catalog) error {
		if c.Lookup(e.Name) != nil {
			return taken(c, e.Name)
		}
		c.Entities[e.ID] = e
		return nil
	})
}

// replaceEntity is CREATE OR REPLACE ENTITY of one that is there: the same keys change nothing, and others are taken while nothing is made
// of the old ones.
func (s *Session) replaceEntity(ctx context.Context, sql string, n parse.Name, old, e *schema.Entity) error {
	if slices.EqualFunc(old.Keys, e.Keys, func(a, b schema.Column) bool { return a.Name == b.Name && a.Type.Equal(b.Type) }) {
		return nil
	}
	if err := s.viewsOver(ctx, "replace", old.Name); err != nil {
		return at(asError(err), sql, n.Position)
	}
	return s.define(func(c *schema.Catalog) error {
		now := c.Entities[old.ID]
		if now == nil {
			return fail(codeConflict, "entity %q was dropped meanwhile", old.Name)
		}
		var of []string
		for _, f := range c.FeaturesOf(now.ID) {
			of = append(of, "feature "+f.Name)
		}
		for _, v := range c.ViewsKeyed(now) {
			of = append(of, "feature view "+v.Name)
		}
		if len(of) > 0 {
			err := hint(fail(codeDependent, "cannot change the keys of entity %s because other objects depend on it", now.Name), "Drop them first, or make another entity.")
			err.Detail = strings.Join(of, ", ") + " depend on its keys."
			return at(err, sql, n.Position)
		}
		next := *now
		next.Keys, next.SQL = e.Keys, e.SQL
		c.Entities[next.ID] = &next
		return nil
	})
}

func (s *Session) createSource(ctx context.Context, st *parse.CreateSource) (string, error) {
	const tag = "CREATE SOURCE"
	cat := s.catalog()
	if done, err := s.exists(ctx, cat, st.Name, st.Text, st.IfNotExists); done || err != nil {
		return tag, err
	}
	if st.Batch != nil {
		return tag, s.createDualSource(ctx, st)
	}
	if err := likelyOption(st.Text, "CREATE SOURCE", st.Options, "connector", "path"); err != nil {
		return "", err
	}
	o := readOptions(st.Text, "CREATE SOURCE", st.Options)
	if !o.has("connector") {
		return "", at(hint(fail(codeInvalidParameter, "source %q needs a connector", st.Name.Name), "WITH (connector = 'file', path = '…', event_time = '…')"), st.Text, st.Name.Position)
	}
	switch c := o.text("connector", ""); c {
	case "file":
	case kafkaConnector:
		return tag, s.createKafkaSource(ctx, st, o)
	case postgresConnector:
		return tag, s.createPostgresSource(ctx, st, o)
	default:
		return "", at(hint(fail(codeUnsupported, "connector %q is not supported", c), "WITH (connector = 'file', path = '…', event_time = '…'), WITH (connector = 'kafka', connection = '…', topic = '…') or WITH (connector = 'postgres', connection = '…', table = '…')"), st.Text, st.Options["connector"].ValuePosition)
	}
	r := &schema.Relation{Name: st.Name.Name, Kind: schema.FileSource, SQL: st.Text, PrimaryKey: st.PrimaryKey, EventTime: o.text("event_time", "")}
	if r.EventTime == "" && st.Watermark != nil {
		r.EventTime = st.Watermark.Column
	}
	r.File = &schema.File{Path: o.text("path", "")}
	r.File.RefreshEvery = o.duration("refresh_every", 0, leastRefresh)
	r.Lateness = o.duration("lateness", 0, 0)
	if r.File.Path == "" {
		return "", at(hint(fail(codeInvalidParameter, "a file source needs a path"), "WITH (connector = 'file', path = 'lake/**/*.parquet', event_time = 'ts')"), st.Text, st.Name.Position)
	}
	r.File.Format = o.oneOf("format", materialize.FormatOf(r.File.Path), "parquet", "csv")
	if r.File.Delimiter = o.text("delimiter", ""); o.has("delimiter") && (r.File.Format != "csv" || utf8.RuneCountInString(r.File.Delimiter) != 1 || strings.ContainsAny(r.File.Delimiter, "\"\r\n")) {
		o.refuse(st.Options["delimiter"], codeInvalidParameter, "option \"delimiter\" is one character between the values of CSV files, not %q", r.File.Delimiter)
	}
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
	var err error
	if r.Watermark, err = watermarkOf(st.Text, r, st.Watermark); err != nil {
		return "", err
	}
	for _, c := range st.Columns {
		r.Columns = append(r.Columns, schema.Column{Name: c.Name, Type: c.Type, NotNull: c.NotNull, Bare: parse.BareNumeric(c.TypeName)})
	}
	if d := s.e.mat.OtherDelimiter(ctx, r); d != "" {
		return "", at(hint(fail(codeInvalidParameter, "the header of the CSV files of source %q has no %q", r.Name, r.File.Separator()), "WITH (…, delimiter = %s)", d), st.Text, st.Options["path"].ValuePosition)
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
	rep, err := s.e.mat.FirstFiles(ctx, r)
	if err != nil {
		return "", err
	}
	if err := s.putRelation(r); err != nil {
		return "", err
	}
	n := session.Notice{Message: fmt.Sprintf("source %q: %s, %s", r.Name, counted(rep.Files, "file"), counted(rep.Rows, "row"))}
	if rep.Files == 0 {
		n.Hint = fmt.Sprintf("No file matches path = '%s' yet; REFRESH SOURCE %s; takes in those that come.", r.File.Path, r.Name)
	}
	s.notice(n)
	return tag, nil
}

func (s *Session) createEventView(ctx context.Context, st *parse.CreateEventView) (string, error) {
	const tag = "CREATE VIEW"
	cat := s.catalog()
	if _, err := s.exists(ctx, cat, st.Name, st.Text, false); err != nil {
		return "", err
	}
	r, err := s.bindEventView(ctx, cat, st, s.location)
	if err != nil {
		return "", err
	}
	return tag, s.putRelation(r, alteredSince(cat, []uint32{r.View.Base}))
}

// bindEventView makes the relation of an event view's definition. zone is as Session.defined has it.
func (s *Session) bindEventView(ctx context.Context, cat *schema.Catalog, st *parse.CreateEventView, zone *time.Location) (*schema.Relation, error) {
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
		return nil, at(hint(fail(codeUnsupported, "an event view is a projection and filter of one event table or source"), "CREATE VIEW v WITH (event_time = 'ts') AS SELECT … FROM source WHERE …"), st.Text, st.Name.Position)
	}
	o := readOptions(st.Text, "CREATE VIEW", st.Options)
	r := &schema.Relation{Name: st.Name.Name, Kind: schema.EventView, SQL: st.Text, EventTime: o.text("event_time", "")}
	r.View = &schema.View{Base: rv.ID, Alias: alias}
	r.Lateness = o.duration("lateness", rv.Lateness, 0)
	if err := o.done(); err != nil {
		return nil, err
	}
	x := &exprBinder{s: s, sql: st.Text, rel: rv.WithHidden(), alias: alias, zone: zone}
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
						return nil, asError(err)
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
			return nil, at(hint(fail(codeDefinition, "column %d of event view %q needs a name", i+1, r.Name), "Give it an alias: … AS name"), st.Text, int(rt.Location))
		}
		names = append(names, rt.Name)
		text, err := parse.Deparse(rt.Val)
		if err != nil {
			return nil, asError(err)
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
			return nil, asError(err)
		}
		where = parse.Expr{Node: sel.WhereClause, Text: text, Position: nodeLocation(sel.WhereClause)}
		x.add(where)
	}
	if err := x.bind(ctx); err != nil {
		return nil, err
	}
	for i, p := range parts {
		if slices.Contains(names[:i], names[i]) {
			return nil, at(fail(codeDuplicateColumn, "column %q specified more than once", names[i]), st.Text, p.Position)
		}
		e := x.of(p.Text)
		r.Columns = append(r.Columns, schema.Column{Name: names[i], Type: e.Type, Bare: bareNumeric(p.Node, e.Type, rv)})
		r.View.Items = append(r.View.Items, e.SQL)
	}
	if where.Node != nil {
		r.View.Where = x.of(where.Text).SQL
	}
	if err := s.checkColumns(ctx, st.Text, r, nil, st.Options["event_time"]); err != nil {
		return nil, err
	}
	if err := retainedTime(rv, r, x.of(parts[r.ColumnIndex(r.EventTime)].Text)); err != nil {
		return nil, at(err, st.Text, st.Options["event_time"].ValuePosition)
	}
	return r, nil
}

func (s *Session) refreshSource(ctx context.Context, sql string, st *parse.Refresh) (string, error) {
	r := s.catalog().Relation(st.Name.Name)
	if r != nil && r.Kafka != nil {
		return "", at(hint(fail(codeWrongObject, "source %q is not refreshed: its topic is read all the time", r.Name), "SELECT state, last_error FROM tilehouse.sources WHERE name = %s says what its reading is at.", duck.QuoteLiteral(r.Name)), sql, st.Name.Position)
	}
	if r != nil && r.Postgres != nil {
		return "REFRESH SOURCE", s.refreshPostgres(ctx, sql, st, r)
	}
	if r != nil && r.Dual != nil {
		r = s.catalog().Relations[r.Dual.Batch]
	}
	if r == nil || r.File == nil {
		return "", at(fail(codeUndefinedObject, "source %q does not exist", st.Name.Name), sql, st.Name.Position)
	}
	rep, err := s.e.mat.RefreshSource(ctx, r.ID)
	if err != nil {
		return "", err
	}
	s.notice(session.Notice{Message: fmt.Sprintf("source %q: %s added, %d removed", r.Name, counted(rep.Added, "file"), rep.Removed)})
	s.noticeRejectedOf(r)
	for i := range rep.Duals {
		s.noticeLoad(&rep.Duals[i])
	}
	return "REFRESH SOURCE", nil
}

func (s *Session) refreshFeature(ctx context.Context, sql string, st *parse.Refresh) (string, error) {
	cat := s.catalog()
	f := cat.Feature(st.Name.Name)
	if f == nil {
		return "", at(fail(codeUndefinedObject, "feature %q does not exist", st.Name.Name), sql, st.Name.Position)
	}
	if f.Suspended {
		return "", at(suspended(f), sql, st.Name.Position)
	}
	if st.From != nil {
		if _, err := s.refreshSpan(sql, st); err != nil {
			return "", err
		}
		s.notice(session.Notice{Message: fmt.Sprintf("feature %q: nothing of it is built, so all days are", f.Name)})
	}
	return "REFRESH FEATURE", s.rebuild(ctx, f, f.SQL, true)
}

// refreshDays is REFRESH FEATURE … FROM … TO … of a feature that is built.
func (s *Session) refreshDays(ctx context.Context, sql string, st *parse.Refresh) (string, error) {
	cat := s.catalog()
	f := cat.Feature(st.Name.Name)
	if f == nil || f.Group == 0 {
		return "", at(fail(codeConflict, "feature %q was dropped or suspended meanwhile", st.Name.Name), sql, st.Name.Position)
	}
	span, err := s.refreshSpan(sql, st)
	if err != nil {
		return "", err
	}
	next, _, err := s.rebind(ctx, f, f.SQL)
	if err != nil {
		return "", err
	}
	if next.Fingerprint != f.Fingerprint {
		return "", at(hint(fail("55000", "a function that feature %q calls was replaced since it was built", f.Name), "REFRESH FEATURE %s; builds all days by the new one.", f.Name), sql, st.Name.Position)
	}
	all, err := s.e.mat.RefreshDays(ctx, f, span, func(text string) {
		session.Notify(ctx, session.Notice{Severity: "INFO", Code: "00000", Message: text})
	})
	if err == nil && all {
		s.notice(session.Notice{Message: fmt.Sprintf("feature %q: all days were built", f.Name)})
	}
	return "REFRESH FEATURE", err
}

// farTime is beyond every event time; days around it can be counted.
const farTime = 1 << 62

// refreshSpan is the span of times of REFRESH FEATURE … FROM … TO ….
func (s *Session) refreshSpan(sql string, st *parse.Refresh) (event.Interval, error) {
	var ends [2]int64
	for i, n := range []*pg_query.Node{st.From, st.To} {
		t, err := s.timeOf(n, nil)
		if err != nil {
			return event.Interval{}, at(asError(err), sql, nodeLocation(n))
		}
		ends[i] = min(max(t, -farTime), farTime)
	}
	if ends[0] >= ends[1] {
		return event.Interval{}, at(fail(codeInvalidParameter, "the range of REFRESH FEATURE is empty: it ends before it begins"), sql, nodeLocation(st.From))
	}
	return event.Interval{Lo: ends[0], Hi: ends[1]}, nil
}

// counted is a number of things in words.
func counted[N int | int64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// maxSpelled is how many columns a hint writes out.
const maxSpelled = 30

// asEventTime says how column i of a relation becomes a timestamptz: of a file source by declaring its columns, which are those of
// its files otherwise.
func asEventTime(r *schema.Relation, i int) string {
	if c := r.Columns[i]; r.Kind == schema.FileSource && c.Type.Kind == vector.Int64 {
		return fmt.Sprintf("Of milliseconds since 1970: CREATE SOURCE %s WITH (…), without event_time; then CREATE VIEW %[1]s_events WITH (event_time = 'at') AS SELECT *, to_timestamp(%s / 1000.0) AS at FROM %[1]s;", r.Name, duck.QuoteIdent(c.Name))
	}
	if r.Kind != schema.FileSource || len(r.Columns) > maxSpelled || !slices.Contains([]vector.Kind{vector.Timestamp, vector.Date, vector.Text}, r.Columns[i].Type.Kind) {
		return "Declare the column as timestamptz, or cast it in an event view."
	}
	cols := make([]string, len(r.Columns))
	for j, c := range r.Columns {
		t := c.Type
		if j == i {
			t = vector.T(vector.TimestampTZ)
		}
		cols[j] = quoteName(c.Name) + " " + t.String()
	}
	options := "(…)"
	if parsed, err := parse.Parse(r.SQL); err == nil {
		options = parsed.(*parse.CreateSource).Options.String()
	}
	return fmt.Sprintf("Declare the columns, and times without a zone are read as UTC: CREATE SOURCE %s (%s) WITH %s;", quoteName(r.Name), strings.Join(cols, ", "), options)
}

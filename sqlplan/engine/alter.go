package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// alter is ALTER of an object of ours. kind is what the statement calls it.
func (s *Session) alter(ctx context.Context, sql, kind string, st *parse.Alter) (string, error) {
	tag := "ALTER " + kind
	cat := s.catalog()
	o := ofKind(cat, kind, st.Name.Name)
	if o == nil || objectKind(o) != kind {
		if o == nil && st.IfExists {
			s.notice(session.Notice{Message: fmt.Sprintf("%s %q does not exist, skipping", strings.ToLower(kind), st.Name.Name)})
			return tag, nil
		}
		return "", at(notThatKind(o, "ALTER", kind, st.Name), sql, st.Name.Position)
	}
	var err error
	switch st.Action {
	case parse.AlterRename:
		if kind == "CONNECTION" || kind == "SECRET" {
			return tag, s.define(func(c *schema.Catalog) error { return renameNamed(c, st.Name.Name, kind, st.NewName) })
		}
		to := parse.Name{Name: st.NewName, Position: st.Position}
		if err := s.nameFree(ctx, cat, to, sql); err != nil {
			return "", err
		}
		if err := s.viewsOver(ctx, "rename", st.Name.Name); err != nil {
			return "", err
		}
		err = s.define(func(c *schema.Catalog) error { return rename(c, st.Name.Name, kind, st.NewName) })
	case parse.AlterSuspend:
		if r, ok := o.(*schema.Relation); ok && r.Streamed() {
			return tag, s.suspendSource(r, true)
		}
		f, ok := o.(*schema.Feature)
		if !ok {
			return "", at(notSuspended(cat, o, "SUSPEND"), sql, st.Position)
		}
		err = s.changeFeature(f, func(f *schema.Feature) { f.Suspended, f.Group = true, 0 })
	case parse.AlterResume:
		if r, ok := o.(*schema.Relation); ok && r.Streamed() {
			return tag, s.suspendSource(r, false)
		}
		f, ok := o.(*schema.Feature)
		if !ok {
			return "", at(notSuspended(cat, o, "RESUME"), sql, st.Position)
		}
		if f.Suspended {
			err = s.rebuild(ctx, f, f.SQL, false)
		}
	case parse.AlterCoding:
		r, ok := o.(*schema.Relation)
		if !ok || r.Kafka == nil {
			return "", at(fail(codeWrongObject, "source %q reads no topic", st.Name.Name), sql, st.Position)
		}
		return tag, s.alterCoding(sql, st, r)
	case parse.AlterSet, parse.AlterReset:
		switch o := o.(type) {
		case *schema.Feature:
			err = s.setFeature(ctx, sql, st, o)
		case *schema.Relation:
			err = s.setRelation(ctx, sql, st, o)
		case *schema.FeatureView:
			err = s.setFeatureView(ctx, sql, st, o)
		case *schema.Connection:
			err = s.setConnection(sql, st, o)
		default:
			err = at(fail(codeInvalidParameter, "%s %q has no options", strings.ToLower(kind), st.Name.Name), sql, st.Position)
		}
	}
	return tag, err
}

// notThatKind says that the object of a name, nil where there is none, is not of the kind that a statement named.
func notThatKind(o any, verb, kind string, n parse.Name) *session.Error {
	if o == nil {
		return fail(codeUndefinedObject, "%s %q does not exist", strings.ToLower(kind), n.Name)
	}
	if r, ok := o.(*schema.Relation); ok && r.VersionsOf != 0 {
		return hint(fail(codeWrongObject, "%q is not a %s of its own", n.Name, strings.ToLower(kind)), "It has the versions of source %s, and goes with it.", strings.TrimSuffix(r.Name, schema.VersionsName("")))
	}
	return hint(fail(codeWrongObject, "%q is not a %s", n.Name, strings.ToLower(kind)), "It is an object of another kind: %s %s %s.", verb, objectKind(o), n.Name)
}

// changeFeature defines a feature with a change that needs no data.
func (s *Session) changeFeature(f *schema.Feature, change func(f *schema.Feature)) error {
	return s.define(func(c *schema.Catalog) error {
		if c.Features[f.ID] == nil {
			return fail(codeConflict, "feature %q was dropped meanwhile", f.Name)
		}
		next := *c.Features[f.ID]
		change(&next)
		return putFeature(c, &next)
	})
}

// rebuild defines a feature anew by the text of its definition, and builds what it lacks; all of it with again.
func (s *Session) rebuild(ctx context.Context, f *schema.Feature, sql string, again bool) error {
	next, bound, err := s.rebind(ctx, f, sql)
	if err != nil {
		return err
	}
	return s.materialize(ctx, next, bound, again)
}

// rebind binds a text that defines a feature which is there. The entity is the feature's, also where the text names none and
// another one has come that would fit.
func (s *Session) rebind(ctx context.Context, f *schema.Feature, sql string) (*schema.Feature, *boundAggregates, error) {
	return s.rebindIn(ctx, s.catalog(), f, sql)
}

func (s *Session) rebindIn(ctx context.Context, cat *schema.Catalog, f *schema.Feature, sql string) (*schema.Feature, *boundAggregates, error) {
	parsed, err := parse.Parse(sql)
	if err != nil {
		return nil, nil, err
	}
	st, ok := parsed.(*parse.CreateFeature)
	if !ok {
		return nil, nil, fail(codeInternal, "the definition of feature %q is no CREATE FEATURE", f.Name)
	}
	if st.Entity == nil {
		st.Entity = &parse.Name{Name: cat.Entities[f.Entity].Name, Position: st.Name.Position}
	}
	next, bound, err := s.bindFeature(ctx, cat, st, f, time.UTC)
	if err != nil {
		return nil, nil, err
	}
	next.ID = f.ID
	return next, bound, nil
}

// setFeature is ALTER FEATURE … SET and RESET: the definition with other options, built where they ask for it.
func (s *Session) setFeature(ctx context.Context, sql string, st *parse.Alter, f *schema.Feature) error {
	parsed, err := parse.Parse(f.SQL)
	if err != nil {
		return err
	}
	change := *st
	change.Options, _ = inUTC(st.Options, s.location)
	text, err := parse.WithOptions(f.SQL, merged(parsed.(*parse.CreateFeature).Options, &change))
	if err != nil {
		return err
	}
	next, bound, err := s.rebind(ctx, f, text)
	if err != nil {
		return placeOption(sql, st, err)
	}
	if f.Group == 0 { // suspended, or never built: there is nothing to bring up to date
		next.Suspended = f.Suspended
		return s.define(func(c *schema.Catalog) error { return bound.put(c, next) })
	}
	return s.materialize(ctx, next, bound, false)
}

// placeOption gives an error of a definition with other options, whose place is in the new text, one in the statement that changes them.
func placeOption(sql string, st *parse.Alter, err error) error {
	e := *asError(err)
	for name, o := range st.Options {
		if strings.Contains(e.Message, fmt.Sprintf("%q", name)) {
			e.Position = parse.Position(sql, o.ValuePosition)
			return &e
		}
	}
	return at(&e, sql, st.Position)
}

// setFeatureView is ALTER FEATURE VIEW … SET and RESET: the definition with other options.
func (s *Session) setFeatureView(ctx context.Context, sql string, st *parse.Alter, v *schema.FeatureView) error {
	err := s.define(func(c *schema.Catalog) error {
		was := c.FeatureViews[v.ID]
		if was == nil {
			return fail(codeConflict, "feature view %q was dropped meanwhile", v.Name)
		}
		parsed, err := parse.Parse(was.SQL)
		if err != nil {
			return err
		}
		text, err := parse.WithOptions(was.SQL, merged(parsed.(*parse.CreateFeatureView).Options, st))
		if err != nil {
			return err
		}
		if parsed, err = parse.Parse(text); err != nil {
			return err
		}
		next, err := s.bindFeatureView(ctx, c, parsed.(*parse.CreateFeatureView), v.ID)
		if err != nil {
			return err
		}
		next.Comment = was.Comment
		c.FeatureViews[v.ID] = next
		return s.rebindViews(ctx, c, next)
	})
	if err != nil {
		return placeOption(sql, st, err)
	}
	return nil
}

// merged are options with those of SET put in, or those of RESET left out.
func merged(have parse.Options, st *parse.Alter) parse.Options {
	out := maps.Clone(have)
	if out == nil {
		out = parse.Options{}
	}
	for name, o := range st.Options {
		if st.Action == parse.AlterReset {
			delete(out, name)
		} else {
			out[name] = o
		}
	}
	return out
}

// changeable are the options of relations that do not say which rows they have, and can be changed.
var changeable = map[schema.RelationKind][]string{
	schema.EventTable:     {"future_bound", "lateness", "retention"},
	schema.FileSource:     {"complete_through", "lateness"},
	schema.KafkaSource:    {"future_bound", "lateness"},
	schema.PostgresSource: {"future_bound", "lateness"},
	schema.DualSource:     {"lateness", "time_boundary"},
	schema.EventView:      {"lateness"},
}

// setRelation is ALTER {TABLE | SOURCE | VIEW} … SET and RESET of a relation of ours.
func (s *Session) setRelation(ctx context.Context, sql string, st *parse.Alter, r *schema.Relation) error {
	can := changeable[r.Kind]
	if r.Kafka != nil && r.Kafka.Archive != "" { // the archive's servers agree on the future bound
		can = []string{"lateness", "session_timeout"}
	}
	for _, name := range slices.Sorted(maps.Keys(st.Options)) {
		if !slices.Contains(can, name) {
			return at(hint(fail(codeInvalidParameter, "option %q of %s %q cannot be changed", name, r.Kind, r.Name), "Options that can: %s. For others, DROP it and CREATE it anew.", strings.Join(can, ", ")), sql, st.Options[name].Position)
		}
	}
	parsed, err := parse.Parse(r.SQL)
	if err != nil {
		return err
	}
	var have parse.Options
	switch p := parsed.(type) {
	case *parse.CreateTable:
		have = p.Options
	case *parse.CreateSource:
		have = p.Options
	case *parse.CreateEventView:
		have = p.Options
	}
	all := merged(have, st)
	text, err := parse.WithOptions(r.SQL, all)
	if err != nil {
		return err
	}
	o := readOptions(sql, "ALTER", all)
	next := *r
	next.SQL = text
	otherwise := int64(0)
	if r.View != nil {
		otherwise = s.catalog().Relations[r.View.Base].Lateness
	}
	next.Lateness = o.duration("lateness", otherwise, 0)
	switch r.Kind {
	case schema.EventTable, schema.KafkaSource, schema.PostgresSource:
		next.FutureBound = o.duration("future_bound", defaultFutureBound, 0)
		next.Retention = o.duration("retention", 0, leastRetention)
		if r.Kafka != nil && r.Kafka.Archive != "" {
			kafka := *r.Kafka
			if kafka.SessionTimeout = sessionOf(o); kafka.SessionTimeout != r.Kafka.SessionTimeout { // another one is read anew
				next.Kafka = &kafka
			}
		}
	case schema.DualSource:
		if _, given := st.Options["time_boundary"]; given {
			if next.Dual, err = s.setTimeBoundary(sql, st, all, r.Dual); err != nil {
				return err
			}
		}
	case schema.FileSource:
		file := *r.File
		file.CompleteThrough = 0
		if v, ok := all["complete_through"]; ok {
			if file.CompleteThrough, err = parseTime(v.Value, s.location); err != nil {
				return at(asError(err), sql, v.ValuePosition)
			}
		}
		next.File = &file
	}
	if o.err != nil {
		return o.err
	}
	var newest *int64
	retention := next.Retention != r.Retention
	if retention {
		if duals := s.catalog().DualsOf(r.ID); next.Retention != 0 && len(duals) > 0 {
			return at(hint(fail(codeDependent, "table %q is the stream side of source %q, and keeps all of its rows", r.Name, duals[0].Name), "DROP SOURCE %s first.", duals[0].Name), sql, st.Options["retention"].Position)
		}
		if newest, err = s.newestEvent(ctx, s.catalog(), r); err != nil {
			return err
		}
		s.defining().batch.HoldRetention()
	}
	return s.define(func(c *schema.Catalog) error {
		have := c.Relations[r.ID]
		if have == nil {
			return fail(codeConflict, "%s %q was dropped meanwhile", r.Kind, r.Name)
		}
		now := next
		now.Name, now.Columns, now.Comment, now.KeptFrom, now.Suspended = have.Name, have.Columns, have.Comment, have.KeptFrom, have.Suspended
		if retention {
			if err := s.changeRetention(c, &now, newest); err != nil {
				return err
			}
			if err := s.retained(c, &now); err != nil {
				return at(asError(err), sql, st.Options["retention"].Position)
			}
		}
		if have.File != nil { // a refresh may have come in between
			file := *next.File
			file.Files = have.File.Files
			now.File = &file
		}
		if have.Dual != nil { // likewise a load
			dual := *have.Dual
			if next.Dual != r.Dual {
				dual.Auto, dual.Fixed, dual.Loaded = next.Dual.Auto, next.Dual.Fixed, 0
			}
			now.Dual = &dual
		}
		c.Relations[r.ID] = &now
		return nil
	})
}

// rename gives the object of a name another one, in its own definition and in those of its readers, whose expressions go on
// to know it by the old name.
func rename(c *schema.Catalog, name, kind, to string) error {
	o := c.Lookup(name)
	if o == nil || objectKind(o) != kind {
		return fail(codeConflict, "%s %q was dropped or renamed meanwhile", strings.ToLower(kind), name)
	}
	if c.Lookup(to) != nil {
		return fail(codeDuplicateObject, "%q already exists", to)
	}
	switch o := o.(type) {
	case *schema.Feature:
		if err := notNamed(c.ViewsOf(o), o); err != nil {
			return err
		}
		next := *o
		var err error
		if next.SQL, err = renamedDefinition(o.SQL, to); err != nil {
			return err
		}
		next.Name, next.Outputs = to, slices.Clone(o.Outputs)
		for i := range next.Outputs { // every column is named after its feature
			next.Outputs[i].Name = to + strings.TrimPrefix(next.Outputs[i].Name, o.Name)
		}
		next.Fingerprint = featureFingerprint(&next)
		return putFeature(c, &next)
	case *schema.FeatureView:
		if err := notNamed(c.ViewsOver(o), o); err != nil {
			return err
		}
		next := *o
		var err error
		if next.SQL, err = renamedDefinition(o.SQL, to); err != nil {
			return err
		}
		next.Name = to
		c.FeatureViews[o.ID] = &next
	case *schema.Entity:
		if err := notNamed(c.ViewsKeyed(o), o); err != nil {
			return err
		}
		next := *o
		var err error
		if next.SQL, err = renamedDefinition(o.SQL, to); err != nil {
			return err
		}
		next.Name = to
		c.Entities[o.ID] = &next
		if err := renameInFeatures(c, o.Name, to, true, func(f *schema.Feature) bool { return f.Entity == o.ID }); err != nil {
			return err
		}
	case *schema.Relation:
		next := *o
		var err error
		if next.SQL, err = renamedDefinition(o.SQL, to); err != nil {
			return err
		}
		next.Name = to
		c.Relations[o.ID] = &next
		if err := renameVersions(c, o, &next); err != nil {
			return err
		}
		if err := renameInFeatures(c, o.Name, to, false, func(f *schema.Feature) bool { return f.Relation == o.ID || slices.Contains(f.Attributes, o.ID) }); err != nil {
			return err
		}
		for id, v := range c.Relations {
			if v.View != nil && v.View.Base == o.ID || v.Dual != nil && (v.Dual.Batch == o.ID || v.Dual.Stream == o.ID) {
				next := *v
				if next.SQL, err = renamedReader(v.SQL, o.Name, to, false); err != nil {
					return err
				}
				c.Relations[id] = &next
			}
		}
	}
	return nil
}

// notNamed refuses to rename what feature views name: their expressions are text.
func notNamed(views []*schema.FeatureView, o any) error {
	if len(views) == 0 {
		return nil
	}
	names := make([]string, len(views))
	for i, v := range views {
		names[i] = named(v)
	}
	e := hint(fail(codeDependent, "cannot rename %s because feature views name it", named(o)), "DROP FEATURE VIEW %s; rename it, and create the view anew.", views[0].Name)
	e.Detail = "Readers: " + strings.Join(names, ", ") + "."
	return e
}

// renamedDefinition is the text of a definition under another name.
func renamedDefinition(sql, to string) (string, error) {
	parsed, err := parse.Parse(sql)
	if err != nil {
		return "", err
	}
	var n parse.Name
	switch st := parsed.(type) {
	case *parse.CreateFeature:
		n = st.Name
	case *parse.CreateFeatureView:
		n = st.Name
	case *parse.CreateEntity:
		n = st.Name
	case *parse.CreateSource:
		n = st.Name
	case *parse.CreateTable:
		n = st.Name
	case *parse.CreateEventView:
		n = st.Name
	case *parse.CreateConnection:
		n = st.Name
	}
	return parse.Renamed(sql, n, to, false)
}

// renamedReader is the text of a feature or an event view whose entity, or a relation it reads, is called to instead of old.
func renamedReader(sql, old, to string, entity bool) (string, error) {
	parsed, err := parse.Parse(sql)
	if err != nil {
		return "", err
	}
	var from []*pg_query.RangeVar
	switch st := parsed.(type) {
	case *parse.CreateFeature:
		if entity {
			if st.Entity == nil {
				return sql, nil
			}
			return parse.Renamed(sql, *st.Entity, to, false)
		}
		from = append(from, st.Body.Source)
		for _, j := range st.Body.Joins {
			from = append(from, j.Relation)
		}
	case *parse.CreateEventView:
		from = append(from, st.Select.FromClause[0].GetRangeVar())
	case *parse.CreateSource: // of two sides
		for _, side := range []*parse.Name{st.Stream, st.Batch} { // the last one first
			if side.Name == old {
				return parse.Renamed(sql, *side, to, false)
			}
		}
	}
	slices.SortFunc(from, func(a, b *pg_query.RangeVar) int { return int(b.Location - a.Location) }) // the last one first: places before it stay
	for _, rv := range from {
		if rv.Relname != old {
			continue
		}
		if sql, err = parse.Renamed(sql, parse.Name{Name: rv.Relname, Schema: rv.Schemaname, Position: int(rv.Location)}, to, rv.Alias == nil); err != nil {
			return "", err
		}
	}
	return sql, nil
}

// bindRename binds PostgreSQL's ALTER … RENAME: of relations of ours, or of ordinary ones.
func (s *Session) bindRename(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.RenameStmt) (bound, error) {
	if n.RenameType == pg_query.ObjectType_OBJECT_ROLE {
		return s.bindRenameRole(n)
	}
	r := eventTableOf(cat, n.Relation)
	if r == nil {
		return s.bindRenameOrdinary(st, n)
	}
	kind := map[pg_query.ObjectType]string{pg_query.ObjectType_OBJECT_TABLE: "TABLE", pg_query.ObjectType_OBJECT_VIEW: "VIEW", pg_query.ObjectType_OBJECT_COLUMN: "TABLE"}[n.RenameType]
	if kind == "" {
		return bound{}, fail(codeUnsupported, "%s is not supported", firstWords(st.Text))
	}
	if n.RenameType == pg_query.ObjectType_OBJECT_COLUMN && r.Kind == schema.EventTable {
		return s.bindRenameEventColumn(st, n, r.Name), nil
	}
	if n.RenameType == pg_query.ObjectType_OBJECT_COLUMN {
		return bound{}, at(hint(fail(codeUnsupported, "columns of %s %q cannot be renamed", r.Kind, r.Name), "CREATE VIEW … WITH (event_time = …) AS SELECT %s AS %s, … FROM %s gives them other names.", n.Subname, n.Newname, r.Name), st.Text, int(n.Relation.Location))
	}
	a := &parse.Alter{Name: parse.Name{Name: r.Name, Position: int(n.Relation.Location)}, IfExists: n.MissingOk, Action: parse.AlterRename, NewName: n.Newname, Position: wordIn(st.Text, n.Newname)}
	return s.definition(func(ctx context.Context) (string, error) {
		return s.alter(ctx, st.Text, kind, a)
	}), nil
}

// bindAlterTable binds PostgreSQL's ALTER TABLE and ALTER VIEW: SET and RESET of options of ours, or anything of ordinary ones.
func (s *Session) bindAlterTable(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.AlterTableStmt) (bound, error) {
	r := eventTableOf(cat, n.Relation)
	if cmd := n.Cmds[0].GetAlterTableCmd(); cmd.GetSubtype() == pg_query.AlterTableType_AT_ChangeOwner && len(n.Cmds) == 1 {
		tag := "ALTER TABLE"
		if n.Objtype == pg_query.ObjectType_OBJECT_VIEW {
			tag = "ALTER VIEW"
		}
		return s.bindOwner(tag, n.Relation.Schemaname, n.Relation.Relname, n.MissingOk, cmd.Newowner)
	}
	if r == nil {
		return s.bindAlterOrdinary(st, n), nil
	}
	if altersEvents(r, n) {
		return s.bindAlterEvents(st, n, r.Name), nil
	}
	kind := "TABLE"
	if n.Objtype == pg_query.ObjectType_OBJECT_VIEW {
		kind = "VIEW"
	}
	a := &parse.Alter{Name: parse.Name{Name: r.Name, Position: int(n.Relation.Location)}, IfExists: n.MissingOk, Options: parse.Options{}}
	for i, c := range n.Cmds {
		cmd := c.GetAlterTableCmd()
		switch {
		case cmd.GetSubtype() == pg_query.AlterTableType_AT_SetRelOptions && (i == 0 || a.Action == parse.AlterSet):
			a.Action = parse.AlterSet
		case cmd.GetSubtype() == pg_query.AlterTableType_AT_ResetRelOptions && (i == 0 || a.Action == parse.AlterReset):
			a.Action = parse.AlterReset
		default:
			return bound{}, at(hint(fail(codeUnsupported, "%s is not supported of %s %q", alterWords(cmd), r.Kind, r.Name), "%s", alterHint(r)), st.Text, int(n.Relation.Location))
		}
		opts, err := parse.RelOptions(st.Text, cmd.GetDef().GetList().GetItems()[0].GetDefElem())
		if err != nil {
			return bound{}, err
		}
		maps.Copy(a.Options, opts)
	}
	a.Position = a.Name.Position
	return s.definition(func(ctx context.Context) (string, error) { return s.alter(ctx, st.Text, kind, a) }), nil
}

// alterWords is a command of ALTER TABLE, for messages.
func alterWords(cmd *pg_query.AlterTableCmd) string {
	if w := map[pg_query.AlterTableType]string{pg_query.AlterTableType_AT_DropColumn: "DROP COLUMN", pg_query.AlterTableType_AT_AlterColumnType: "ALTER COLUMN … TYPE",
		pg_query.AlterTableType_AT_AddConstraint: "ADD CONSTRAINT", pg_query.AlterTableType_AT_DropConstraint: "DROP CONSTRAINT", pg_query.AlterTableType_AT_AddColumn: "ADD COLUMN"}[cmd.GetSubtype()]; w != "" {
		return w
	}
	return "this form of ALTER"
}

// alterHint says what can be changed of a relation of ours instead.
func alterHint(r *schema.Relation) string {
	if r.Kind == schema.EventTable {
		return fmt.Sprintf("Columns are added, dropped, renamed and widened: ALTER TABLE %s ADD COLUMN …, DROP COLUMN …, RENAME COLUMN … TO …, ALTER COLUMN … TYPE …. What has other values is an event view: CREATE VIEW v WITH (event_time = '%s') AS SELECT … FROM %[1]s.", r.Name, r.EventTime)
	}
	return "It takes RENAME TO, SET (…) and RESET (…). Its columns stay as they are: DROP it and CREATE it anew, or define an event view over it."
}

// renameInFeatures rewrites the definitions of the features that read an entity, or else a relation, which was called old.
func renameInFeatures(c *schema.Catalog, old, to string, entity bool, reads func(*schema.Feature) bool) error {
	for id, f := range c.Features {
		if !reads(f) {
			continue
		}
		next := *f
		var err error
		if next.SQL, err = renamedReader(f.SQL, old, to, entity); err != nil {
			return err
		}
		c.Features[id] = &next
	}
	return nil
}

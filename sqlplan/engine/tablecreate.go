package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// tableDraft is a table that a statement makes or changes.
type tableDraft struct {
	s     *Session
	sql   string // the statement's text
	table *tables.Object
	// made are further objects: sequences and the indexes of keys.
	made []*tables.Object
	// later are constraints whose columns may not be known yet, with the column they stand at.
	later []draftConstraint
}

type draftConstraint struct {
	def    *pg_query.Constraint
	column string // "" of the table
}

// bindCreateTable binds CREATE TABLE of an ordinary table.
func (s *Session) bindCreateTable(st *parse.SQL, n *pg_query.CreateStmt) (bound, error) {
	switch {
	case len(n.InhRelations) > 0 && n.Partbound == nil:
		return bound{}, at(fail(codeUnsupported, "inheritance of tables is not supported"), st.Text, int(n.Relation.Location))
	case n.Partspec != nil || n.Partbound != nil:
		return bound{}, at(fail(codeUnsupported, "partitioned tables are not supported"), st.Text, int(n.Relation.Location))
	case n.OfTypename != nil:
		return bound{}, at(fail(codeUnsupported, "tables of composite types are not supported"), st.Text, int(n.Relation.Location))
	case n.Tablespacename != "" && n.Tablespacename != "pg_default":
		return bound{}, fail(codeUndefinedObject, "tablespace %q does not exist", n.Tablespacename)
	case n.AccessMethod != "" && n.AccessMethod != "heap":
		return bound{}, fail(codeUndefinedObject, "access method %q does not exist", n.AccessMethod)
	}
	return s.ddl(func(ctx context.Context) (string, error) {
		return "CREATE TABLE", s.createTable(ctx, st.Text, n)
	}), nil
}

func (s *Session) createTable(ctx context.Context, sql string, n *pg_query.CreateStmt) error {
	space, temp, err := s.makes(ctx, n.Relation, sql)
	if err != nil {
		return err
	}
	name := n.Relation.Relname
	if s.nameTaken(space, name) {
		if n.IfNotExists {
			s.notice(session.Notice{Code: codeDuplicateTable, Message: fmt.Sprintf("relation %q already exists, skipping", name)})
			return nil
		}
		return fail(codeDuplicateTable, "relation %q already exists", name)
	}
	d, err := s.newDraft(sql, tables.Table, space, name, temp)
	if err != nil {
		return err
	}
	if temp {
		switch n.Oncommit {
		case pg_query.OnCommitAction_ONCOMMIT_DROP:
			d.table.OnCommit = "drop"
		case pg_query.OnCommitAction_ONCOMMIT_DELETE_ROWS:
			d.table.OnCommit = "delete"
		}
	} else if n.Oncommit != pg_query.OnCommitAction_ONCOMMIT_NOOP {
		return fail("42P16", "ON COMMIT can only be used on temporary tables")
	}
	for _, o := range n.Options {
		e := o.GetDefElem()
		if !storageParameters[e.Defname] && e.Defnamespace == "" {
			err := fail(codeInvalidParameter, "unrecognized parameter %q", e.Defname)
			if near := nearest(e.Defname, []string{"event_time", "retention", "lateness", "future_bound"}); near != "" {
				err = hint(err, "Did you mean %q? It is of event tables: WITH (event_time = 'ts', …).", near)
			}
			return at(err, d.sql, int(e.Location))
		}
		d.table.Options = append(d.table.Options, e.Defname+"="+optionText(e.Arg))
	}
	for _, e := range n.TableElts {
		switch {
		case e.GetColumnDef() != nil:
			err = d.addColumn(ctx, e.GetColumnDef())
		case e.GetConstraint() != nil:
			d.later = append(d.later, draftConstraint{def: e.GetConstraint()})
		case e.GetTableLikeClause() != nil:
			err = d.like(ctx, e.GetTableLikeClause())
		}
		if err != nil {
			return err
		}
	}
	if err := d.constrain(ctx); err != nil {
		return err
	}
	return d.create(ctx)
}

func optionText(n *pg_query.Node) string {
	switch {
	case n.GetInteger() != nil:
		return fmt.Sprint(n.GetInteger().Ival)
	case n.GetFloat() != nil:
		return n.GetFloat().Fval
	case n.GetString_() != nil:
		return n.GetString_().Sval
	case n.GetTypeName() != nil:
		_, name := typeParts(n.GetTypeName())
		return name
	}
	return "true"
}

func (s *Session) newDraft(sql string, kind tables.Kind, space, name string, temp bool) (*tableDraft, error) {
	id, err := s.newObjectID()
	if err != nil {
		return nil, err
	}
	return &tableDraft{s: s, sql: sql, table: &tables.Object{ID: id, Kind: kind, Schema: space, Name: name, Temp: temp}}, nil
}

// addColumn adds a column; its constraints are kept for constrain.
func (d *tableDraft) addColumn(ctx context.Context, def *pg_query.ColumnDef) error {
	c := tables.Column{Name: def.Colname}
	if strings.HasPrefix(c.Name, "__") {
		return at(fail("42939", "column name %q is reserved", c.Name), d.sql, int(def.Location))
	}
	if slices.Contains(systemColumns, c.Name) {
		return fail("42701", "column name %q conflicts with a system column name", c.Name)
	}
	if d.table.Column(c.Name) != nil {
		return fail(codeDuplicateColumn, "column %q specified more than once", c.Name)
	}
	t := proto.Clone(def.TypeName).(*pg_query.TypeName)
	space, name := typeParts(t)
	serial := serials[name]
	if serial != "" && space == "" && len(t.ArrayBounds) == 0 {
		t.Names = []*pg_query.Node{pg_query.MakeStrNode("pg_catalog"), pg_query.MakeStrNode(serial)}
	} else {
		serial = ""
	}
	if err := columnType(t, &c); err != nil {
		return at(asError(err), d.sql, int(def.TypeName.Location))
	}
	if def.CollClause != nil {
		words := make([]string, len(def.CollClause.Collname))
		for i, w := range def.CollClause.Collname {
			words[i] = w.GetString_().GetSval()
		}
		if c.Collation = words[len(words)-1]; !slices.Contains([]string{"default", "C", "POSIX", "ucs_basic"}, c.Collation) {
			return at(fail(codeUndefinedObject, "collation %q for encoding \"UTF8\" does not exist", c.Collation), d.sql, int(def.CollClause.Location))
		}
	}
	d.table.Columns = append(d.table.Columns, c)
	col := &d.table.Columns[len(d.table.Columns)-1]
	if serial != "" {
		col.NotNull = true
		if err := d.ownSequence(col, serial, nil); err != nil {
			return err
		}
	}
	if def.RawDefault != nil {
		if err := d.setDefault(ctx, col, def.RawDefault); err != nil {
			return err
		}
	}
	null := false
	var last *pg_query.Constraint
	for _, x := range def.Constraints {
		k := x.GetConstraint()
		switch k.Contype {
		case pg_query.ConstrType_CONSTR_NULL:
			if null = true; col.NotNull {
				return at(fail("42601", "conflicting NULL/NOT NULL declarations for column %q of table %q", c.Name, d.table.Name), d.sql, int(k.Location))
			}
		case pg_query.ConstrType_CONSTR_NOTNULL:
			if null {
				return at(fail("42601", "conflicting NULL/NOT NULL declarations for column %q of table %q", c.Name, d.table.Name), d.sql, int(k.Location))
			}
			col.NotNull = true
		case pg_query.ConstrType_CONSTR_DEFAULT:
			if col.Default != "" || col.Sequence != 0 {
				return at(fail("42601", "multiple default values specified for column %q of table %q", c.Name, d.table.Name), d.sql, int(k.Location))
			}
			if err := d.setDefault(ctx, col, k.RawExpr); err != nil {
				return err
			}
		case pg_query.ConstrType_CONSTR_IDENTITY:
			if col.Identity != "" {
				return at(fail("42601", "multiple identity specifications for column %q of table %q", c.Name, d.table.Name), d.sql, int(k.Location))
			}
			if col.Default != "" || col.Sequence != 0 {
				return at(fail("42601", "both default and identity specified for column %q of table %q", c.Name, d.table.Name), d.sql, int(k.Location))
			}
			if k := col.Type.Kind; k != vector.Int16 && k != vector.Int32 && k != vector.Int64 {
				return fail(codeInvalidParameter, "identity column type must be smallint, integer, or bigint")
			}
			col.NotNull, col.Identity = true, k.GeneratedWhen
			if err := d.ownSequence(col, col.Base, k.Options); err != nil {
				return err
			}
		case pg_query.ConstrType_CONSTR_GENERATED:
			text, err := parse.Deparse(k.RawExpr)
			if err != nil {
				return asError(err)
			}
			if col.Default != "" {
				return at(fail("42601", "both default and generation expression specified for column %q of table %q", c.Name, d.table.Name), d.sql, int(k.Location))
			}
			col.Generated = text
			d.later = append(d.later, draftConstraint{k, c.Name})
		case pg_query.ConstrType_CONSTR_ATTR_DEFERRABLE, pg_query.ConstrType_CONSTR_ATTR_DEFERRED, pg_query.ConstrType_CONSTR_ATTR_NOT_DEFERRABLE, pg_query.ConstrType_CONSTR_ATTR_IMMEDIATE:
			if last == nil {
				return at(fail("42601", "misplaced DEFERRABLE clause"), d.sql, int(k.Location))
			}
			last.Deferrable = k.Contype == pg_query.ConstrType_CONSTR_ATTR_DEFERRABLE || k.Contype == pg_query.ConstrType_CONSTR_ATTR_DEFERRED || last.Deferrable && k.Contype == pg_query.ConstrType_CONSTR_ATTR_IMMEDIATE
			last.Initdeferred = k.Contype == pg_query.ConstrType_CONSTR_ATTR_DEFERRED
		default:
			last = k
			d.later = append(d.later, draftConstraint{k, c.Name})
		}
	}
	return nil
}

// systemColumns are names that PostgreSQL keeps for itself.
var systemColumns = []string{"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}

// setDefault checks and sets the default of a column.
func (d *tableDraft) setDefault(ctx context.Context, c *tables.Column, expr *pg_query.Node) error {
	text, err := d.s.checkDefault(ctx, d.sql, c, expr)
	if err == nil {
		c.Default = text
	}
	return err
}

// checkDefault is the text of a default, and refuses what cannot be one.
func (s *Session) checkDefault(ctx context.Context, sql string, c *tables.Column, expr *pg_query.Node) (string, error) {
	var bad error
	parse.Walk(expr, func(m proto.Message) bool {
		switch n := m.(type) {
		case *pg_query.ColumnRef:
			bad = at(fail(codeUnsupported, "cannot use column reference in DEFAULT expression"), sql, int(n.Location))
		case *pg_query.SubLink:
			bad = at(fail(codeUnsupported, "cannot use subquery in DEFAULT expression"), sql, int(n.Location))
		}
		return bad == nil
	})
	if bad != nil {
		return "", bad
	}
	if n := expr.GetAConst(); n != nil && n.Isnull {
		return "", nil
	}
	target := targetOf(c)
	target.Default = true
	if err := (&tableDraft{s: s, sql: sql}).assigned(ctx, expr, nil, target, "DEFAULT expressions"); err != nil { // 'many' for an integer fails when the table is made
		return "", err
	}
	if isUnknown(expr) {
		var err error
		if expr, err = declaredCast(expr, c); err != nil {
			return "", err
		}
	}
	return parse.Deparse(expr)
}

// declaredCast is a literal with the type of its column, as PostgreSQL keeps it.
func declaredCast(lit *pg_query.Node, c *tables.Column) (*pg_query.Node, error) {
	name := strings.SplitN(c.Declared, "(", 2)[0]
	if c.Base == "numeric" || c.Precision != nil || strings.HasSuffix(c.Declared, "[]") {
		name = c.Declared
	}
	parsed, err := pg_query.Parse("SELECT NULL::" + name)
	if err != nil {
		return nil, err
	}
	n := parsed.Stmts[0].Stmt.GetSelectStmt().TargetList[0].GetResTarget().Val
	n.GetTypeCast().Arg = lit
	// The deparser writes a point before its literal where it stands there, and leaves out that it is an array.
	n.GetTypeCast().TypeName.Location = int32(nodeLocation(lit) + 1)
	return n, nil
}

// ownSequence makes the sequence of a serial or identity column.
func (d *tableDraft) ownSequence(c *tables.Column, base string, options []*pg_query.Node) error {
	name := tables.ChooseName(d.table.Name, c.Name, "seq", d.taken)
	var rest []*pg_query.Node
	for _, o := range options {
		if e := o.GetDefElem(); e.Defname == "sequence_name" {
			items := e.Arg.GetList().GetItems()
			name = items[len(items)-1].GetString_().GetSval()
			continue
		}
		rest = append(rest, o)
	}
	seq, err := d.s.newDraft(d.sql, tables.Sequence, d.table.Schema, name, d.table.Temp)
	if err != nil {
		return err
	}
	seq.table.Seq = &tables.SequenceRange{Type: formatNames[base], Increment: 1, Cache: 1}
	if err := sequenceOptions(d.sql, seq.table, rest, true); err != nil {
		return err
	}
	seq.table.OwnedBy, seq.table.OwnedByColumn = d.table.ID, c.Name
	c.Sequence = seq.table.ID
	if c.Identity == "" {
		c.Default = fmt.Sprintf("nextval('%s'::regclass)", strings.ReplaceAll(qualifiedName(seq.table), "'", "''"))
	}
	d.made = append(d.made, seq.table)
	return nil
}

// qualifiedName is a relation's name as regclass writes it.
func qualifiedName(o *tables.Object) string {
	if o.Temp || o.Schema == tables.Public {
		return quoteName(o.Name)
	}
	return quoteName(o.Schema) + "." + quoteName(o.Name)
}

// taken reports whether a relation's name is used, by others or by this draft.
func (d *tableDraft) taken(name string) bool {
	return d.s.nameTaken(d.table.Schema, name) || d.table.Name == name ||
		slices.ContainsFunc(d.made, func(o *tables.Object) bool { return o.Name == name })
}

// like copies another table's columns.
func (d *tableDraft) like(ctx context.Context, l *pg_query.TableLikeClause) error {
	src, err := d.s.likeSource(ctx, l.Relation, d.sql)
	if err != nil {
		return err
	}
	const defaults, generated, identity, comments, constraints, indexes = 1 << 3, 1 << 4, 1 << 5, 1 << 0, 1 << 2, 1 << 6
	for _, c := range src.Columns {
		if d.table.Column(c.Name) != nil {
			return fail(codeDuplicateColumn, "column %q specified more than once", c.Name)
		}
		seq := c.Sequence
		if c.Sequence = 0; c.Identity != "" {
			kind := c.Identity
			if c.Identity = ""; l.Options&identity != 0 {
				c.Identity = kind
			}
		}
		if l.Options&defaults == 0 {
			c.Default = ""
		}
		if l.Options&generated == 0 {
			c.Generated = ""
		}
		if l.Options&comments == 0 {
			c.Comment = ""
		}
		d.table.Columns = append(d.table.Columns, c)
		if c.Identity != "" {
			col := &d.table.Columns[len(d.table.Columns)-1]
			if err := d.ownSequence(col, c.Base, nil); err != nil {
				return err
			}
			if old := d.s.tabs.ByID[seq]; old != nil {
				r := *old.Seq
				d.made[len(d.made)-1].Seq = &r
			}
		}
	}
	for _, k := range src.Constraints {
		switch {
		case k.Kind == tables.Check && l.Options&constraints != 0:
			if k.ID, err = d.s.newObjectID(); err != nil {
				return err
			}
			d.table.Constraints = append(d.table.Constraints, k)
		case (k.Kind == tables.PrimaryKey || k.Kind == tables.Unique) && l.Options&indexes != 0:
			k.Name = ""
			if err := d.addKey(k); err != nil {
				return err
			}
		}
	}
	return nil
}

// likeSource is the table, view or event table that LIKE names.
func (s *Session) likeSource(ctx context.Context, rv *pg_query.RangeVar, sql string) (*tables.Object, error) {
	if r := eventTableOf(s.catalog(), rv); r != nil {
		o := &tables.Object{Kind: tables.Table, Name: r.Name}
		for _, c := range r.Columns {
			o.Columns = append(o.Columns, tables.Column{Name: c.Name, Type: c.Type, Declared: c.Type.String(), NotNull: c.NotNull, Default: c.Default, Comment: c.Comment})
		}
		return o, nil
	}
	o, err := s.target(ctx, rv, sql)
	if err != nil {
		return nil, err
	}
	if o.Kind == tables.Index || o.Kind == tables.Sequence {
		return nil, at(fail(codeWrongObject, "relation %q is invalid in LIKE clause", rv.Relname), sql, int(rv.Location))
	}
	return o, nil
}

// create makes the table in DuckDB and writes the documents.
func (d *tableDraft) create(ctx context.Context) error {
	cols := make([]string, len(d.table.Columns))
	for i := range d.table.Columns {
		c := &d.table.Columns[i]
		cols[i] = duck.QuoteIdent(c.Name) + " " + duckColumnType(c)
		if c.NotNull {
			cols[i] += " NOT NULL"
		}
	}
	if len(cols) == 0 {
		return hint(fail(codeUnsupported, "a table without columns is not supported"), "CREATE TABLE %s (…)", d.table.Name)
	}
	kind := "TABLE"
	if d.table.Temp {
		kind = "TEMP TABLE"
	}
	if _, err := d.s.conn.Exec(ctx, fmt.Sprintf("CREATE %s %s (%s)", kind, duckName(d.table), strings.Join(cols, ", "))); err != nil {
		return err
	}
	return d.save(ctx)
}

// save writes the documents of the table and of what was made with it.
func (d *tableDraft) save(ctx context.Context) error {
	for _, o := range append([]*tables.Object{d.table}, d.made...) {
		if err := d.s.putObject(ctx, o); err != nil {
			return err
		}
	}
	d.made = nil
	return nil
}

// storageParameters are the parameters of PostgreSQL 15's tables.
var storageParameters = map[string]bool{"fillfactor": true, "toast_tuple_target": true, "parallel_workers": true, "user_catalog_table": true,
	"vacuum_index_cleanup": true, "vacuum_truncate": true, "log_autovacuum_min_duration": true, "oids": true,
	"autovacuum_enabled": true, "autovacuum_vacuum_threshold": true, "autovacuum_vacuum_scale_factor": true, "autovacuum_vacuum_insert_threshold": true,
	"autovacuum_vacuum_insert_scale_factor": true, "autovacuum_analyze_threshold": true, "autovacuum_analyze_scale_factor": true,
	"autovacuum_vacuum_cost_delay": true, "autovacuum_vacuum_cost_limit": true, "autovacuum_freeze_min_age": true, "autovacuum_freeze_max_age": true,
	"autovacuum_freeze_table_age": true, "autovacuum_multixact_freeze_min_age": true, "autovacuum_multixact_freeze_max_age": true,
	"autovacuum_multixact_freeze_table_age": true}

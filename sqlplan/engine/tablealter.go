package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/analyze"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// bindAlterOrdinary binds ALTER TABLE and its kin of ordinary objects.
func (s *Session) bindAlterOrdinary(st *parse.SQL, n *pg_query.AlterTableStmt) bound {
	word := map[pg_query.ObjectType]string{pg_query.ObjectType_OBJECT_VIEW: "VIEW", pg_query.ObjectType_OBJECT_MATVIEW: "MATERIALIZED VIEW",
		pg_query.ObjectType_OBJECT_INDEX: "INDEX", pg_query.ObjectType_OBJECT_SEQUENCE: "SEQUENCE"}[n.Objtype]
	if word == "" {
		word = "TABLE"
	}
	return s.ddl(func(ctx context.Context) (string, error) {
		o, err := s.alterTarget(ctx, n.Relation, n.MissingOk, st.Text)
		if o == nil || err != nil {
			return "ALTER " + word, err
		}
		if err := s.takeLocks(ctx, s.lockSet(o, false)); err != nil {
			return "", err
		}
		for _, c := range n.Cmds {
			if err := s.alterOrdinary(ctx, st.Text, o.ID, c.GetAlterTableCmd()); err != nil {
				return "", err
			}
		}
		return "ALTER " + word, nil
	})
}

// alterTarget finds the object of an ALTER; nil where it is not there and may be missing.
func (s *Session) alterTarget(ctx context.Context, rv *pg_query.RangeVar, missingOK bool, sql string) (*tables.Object, error) {
	o, err := s.target(ctx, rv, "")
	if e := asError(err); e != nil {
		if missingOK && e.Code == codeUndefinedTable {
			s.notice(session.Notice{Message: e.Message + ", skipping"})
			return nil, nil
		}
		return nil, e
	}
	return o, nil
}

func (s *Session) alterOrdinary(ctx context.Context, sql string, id uint64, cmd *pg_query.AlterTableCmd) error {
	o := s.tabs.ByID[id].Clone()
	d := &tableDraft{s: s, sql: sql, table: o}
	if o.Kind != tables.Table {
		switch cmd.Subtype {
		case pg_query.AlterTableType_AT_ChangeOwner, pg_query.AlterTableType_AT_SetRelOptions, pg_query.AlterTableType_AT_ResetRelOptions:
		default:
			return fail(codeUnsupported, "this change of %s %q is not supported", o.Kind, o.Name)
		}
	}
	column := func() (*tables.Column, error) {
		c := o.Column(cmd.Name)
		if c == nil {
			return nil, fail(codeUndefinedColumn, "column %q of relation %q does not exist", cmd.Name, o.Name)
		}
		return c, nil
	}
	table := duckName(o)
	switch cmd.Subtype {
	case pg_query.AlterTableType_AT_AddColumn:
		return d.alterAddColumn(ctx, cmd)
	case pg_query.AlterTableType_AT_DropColumn:
		if o.Column(cmd.Name) == nil {
			if cmd.MissingOk {
				s.notice(session.Notice{Message: fmt.Sprintf("column %q of relation %q does not exist, skipping", cmd.Name, o.Name)})
				return nil
			}
			return fail(codeUndefinedColumn, "column %q of relation %q does not exist", cmd.Name, o.Name)
		}
		return s.alterDropColumn(ctx, o, cmd.Name, cmd.Behavior == pg_query.DropBehavior_DROP_CASCADE)
	case pg_query.AlterTableType_AT_ColumnDefault:
		c, err := column()
		if err != nil {
			return err
		}
		switch {
		case c.Identity != "":
			return hint(fail("42601", "column %q of relation %q is an identity column", c.Name, o.Name), "Use ALTER TABLE ... ALTER COLUMN ... DROP IDENTITY instead.")
		case c.Generated != "":
			return fail("42601", "column %q of relation %q is a generated column", c.Name, o.Name)
		}
		c.Default = ""
		if cmd.Def != nil {
			if err := d.setDefault(ctx, c, cmd.Def); err != nil {
				return err
			}
		}
	case pg_query.AlterTableType_AT_SetNotNull:
		c, err := column()
		if err != nil {
			return err
		}
		if err := d.noNulls(ctx, table, c.Name); err != nil {
			return err
		}
		if !c.NotNull {
			c.NotNull = true
			if err := d.rebuild(ctx, nil, nil); err != nil {
				return err
			}
		}
	case pg_query.AlterTableType_AT_DropNotNull:
		c, err := column()
		if err != nil {
			return err
		}
		if p := o.Primary(); p != nil && slices.Contains(p.Columns, c.Name) {
			return fail("42P16", "column %q is in a primary key", c.Name)
		}
		if c.Identity != "" {
			return fail("42601", "column %q of relation %q is an identity column", c.Name, o.Name)
		}
		if c.NotNull {
			c.NotNull = false
			if err := d.rebuild(ctx, nil, nil); err != nil {
				return err
			}
		}
	case pg_query.AlterTableType_AT_AlterColumnType:
		return d.alterType(ctx, cmd)
	case pg_query.AlterTableType_AT_AddConstraint:
		k := cmd.Def.GetConstraint()
		if k.Indexname != "" {
			return fail(codeUnsupported, "ADD CONSTRAINT … USING INDEX is not supported")
		}
		was := len(o.Constraints)
		if err := d.addConstraint(ctx, k, ""); err != nil {
			return err
		}
		if err := d.checkExisting(ctx, was); err != nil {
			return err
		}
		return d.save(ctx)
	case pg_query.AlterTableType_AT_ValidateConstraint:
		k := o.Constraint(cmd.Name)
		if k == nil {
			return fail(codeUndefinedObject, "constraint %q of relation %q does not exist", cmd.Name, o.Name)
		}
		if k.NotValid {
			k.NotValid = false
			if err := d.checkOne(ctx, k); err != nil {
				return err
			}
		}
	case pg_query.AlterTableType_AT_DropConstraint:
		return s.alterDropConstraint(ctx, o, cmd)
	case pg_query.AlterTableType_AT_AddIdentity:
		c, err := column()
		if err != nil {
			return err
		}
		switch {
		case !c.NotNull:
			return fail("55000", "column %q of relation %q must be declared NOT NULL before identity can be added", c.Name, o.Name)
		case c.Identity != "":
			return fail("55000", "column %q of relation %q is already an identity column", c.Name, o.Name)
		case c.Default != "":
			return fail("55000", "column %q of relation %q already has a default value", c.Name, o.Name)
		}
		k := cmd.Def.GetConstraint()
		c.Identity = k.GeneratedWhen
		if err := d.ownSequence(c, c.Base, k.Options); err != nil {
			return err
		}
		return d.save(ctx)
	case pg_query.AlterTableType_AT_DropIdentity:
		c, err := column()
		if err != nil {
			return err
		}
		if c.Identity == "" {
			if cmd.MissingOk {
				s.notice(session.Notice{Message: fmt.Sprintf("column %q of relation %q is not an identity column, skipping", c.Name, o.Name)})
				return nil
			}
			return fail("55000", "column %q of relation %q is not an identity column", c.Name, o.Name)
		}
		seq := s.tabs.ByID[c.Sequence]
		c.Identity, c.Sequence = "", 0
		if err := s.putObject(ctx, o); err != nil || seq == nil {
			return err
		}
		return s.removeOrdinary(ctx, seq)
	case pg_query.AlterTableType_AT_SetIdentity:
		c, err := column()
		if err != nil {
			return err
		}
		if c.Identity == "" {
			return fail("55000", "column %q of relation %q is not an identity column", c.Name, o.Name)
		}
		seq := s.tabs.ByID[c.Sequence].Clone()
		var rest []*pgNode
		for _, n := range cmd.Def.GetList().GetItems() {
			if e := n.GetDefElem(); e.Defname == "generated" {
				c.Identity = string(rune(e.Arg.GetInteger().GetIval()))
				continue
			}
			rest = append(rest, n)
		}
		if err := s.putObject(ctx, o); err != nil {
			return err
		}
		return s.changeSequence(ctx, sql, seq, rest)
	case pg_query.AlterTableType_AT_DropExpression:
		c, err := column()
		if err != nil {
			return err
		}
		if c.Generated == "" {
			if cmd.MissingOk {
				s.notice(session.Notice{Message: fmt.Sprintf("column %q of relation %q is not a stored generated column, skipping", c.Name, o.Name)})
				return nil
			}
			return fail("55000", "column %q of relation %q is not a stored generated column", c.Name, o.Name)
		}
		c.Generated = ""
	case pg_query.AlterTableType_AT_SetRelOptions, pg_query.AlterTableType_AT_ResetRelOptions:
		for _, n := range cmd.Def.GetList().GetItems() {
			e := n.GetDefElem()
			o.Options = slices.DeleteFunc(o.Options, func(x string) bool { return strings.HasPrefix(x, e.Defname+"=") })
			if cmd.Subtype == pg_query.AlterTableType_AT_SetRelOptions {
				o.Options = append(o.Options, e.Defname+"="+optionText(e.Arg))
			}
		}
	case pg_query.AlterTableType_AT_SetStatistics, pg_query.AlterTableType_AT_SetStorage, pg_query.AlterTableType_AT_SetCompression, pg_query.AlterTableType_AT_ClusterOn, pg_query.AlterTableType_AT_DropCluster:
		// These say how PostgreSQL stores and samples rows, and change no answer.
		if cmd.Name != "" && cmd.Subtype != pg_query.AlterTableType_AT_ClusterOn {
			_, err := column()
			return err
		}
		return nil
	case pg_query.AlterTableType_AT_ReplicaIdentity, pg_query.AlterTableType_AT_SetLogged:
		return nil
	case pg_query.AlterTableType_AT_AlterConstraint:
		k := o.Constraint(cmd.Def.GetConstraint().Conname)
		if k == nil {
			return fail(codeUndefinedObject, "constraint %q of relation %q does not exist", cmd.Def.GetConstraint().Conname, o.Name)
		}
		if k.Kind != tables.ForeignKey {
			return fail(codeWrongObject, "constraint %q of relation %q is not a foreign key constraint", k.Name, o.Name)
		}
		k.Deferrable, k.Deferred = cmd.Def.GetConstraint().Deferrable, cmd.Def.GetConstraint().Initdeferred
	case pg_query.AlterTableType_AT_ChangeOwner:
		ref, _ := ordinaryRef(o)
		return s.takeRights(func(c *schema.Catalog) error { return s.newOwner(c, cmd.Newowner, grantTarget{ref, o.Name}) })
	default:
		return fail(codeUnsupported, "ALTER TABLE %q: %s is not supported", o.Name, strings.TrimPrefix(cmd.Subtype.String(), "AT_"))
	}
	return s.putObject(ctx, o)
}

// alterAddColumn is ADD COLUMN: the rows that are there get the default.
func (d *tableDraft) alterAddColumn(ctx context.Context, cmd *pg_query.AlterTableCmd) error {
	def := cmd.Def.GetColumnDef()
	if d.table.Column(def.Colname) != nil {
		if cmd.MissingOk {
			d.s.notice(session.Notice{Code: codeDuplicateColumn, Message: fmt.Sprintf("column %q of relation %q already exists, skipping", def.Colname, d.table.Name)})
			return nil
		}
		return fail(codeDuplicateColumn, "column %q of relation %q already exists", def.Colname, d.table.Name)
	}
	was, old := len(d.table.Constraints), d.s.tabs.ByID[d.table.ID]
	if err := d.addColumn(ctx, def); err != nil {
		return err
	}
	if err := d.constrain(ctx); err != nil {
		return err
	}
	c := &d.table.Columns[len(d.table.Columns)-1]
	// What was made with the column, its sequence among it, is there before its values are computed.
	if err := d.save(ctx); err != nil {
		return err
	}
	var v *pgNode
	var err error
	switch {
	case c.Generated != "":
		v, err = expressionText(c.Generated)
	case c.Identity != "" || c.Default != "":
		v, err = d.s.defaultExpr(c)
	}
	if err != nil {
		return err
	}
	if v == nil && !c.NotNull {
		_, err = d.s.conn.Exec(ctx, fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s", duckName(d.table), duck.QuoteIdent(c.Name), duckColumnType(c)))
	} else {
		if v == nil {
			v = &pgNode{Node: &pg_query.Node_AConst{AConst: &pg_query.A_Const{Isnull: true}}}
		}
		err = d.rebuild(ctx, old, map[string]*pgNode{c.Name: v})
	}
	if err != nil {
		return err
	}
	return d.checkExisting(ctx, was)
}

// noNulls refuses NULLs in a column that is to be NOT NULL; rows is DuckDB's name of the table.
func (d *tableDraft) noNulls(ctx context.Context, rows, column string) error {
	bad, err := d.s.one(ctx, fmt.Sprintf("SELECT 1 FROM %s WHERE %s IS NULL LIMIT 1", rows, duck.QuoteIdent(column)))
	if err != nil || bad == nil {
		return err
	}
	e := (&rowCheck{s: d.s, table: d.table}).ofTable(fail(codeNotNull, "column %q of relation %q contains null values", column, d.table.Name))
	e.Column = column
	return e
}

// rebuild makes the table anew with the columns that it is to have: DuckDB alters no table that its transaction has changed. news
// are the values of columns over old, the table as it was; the others keep theirs.
func (d *tableDraft) rebuild(ctx context.Context, old *tables.Object, news map[string]*pgNode) error {
	s, o := d.s, d.table
	defer s.dropTemps()
	var items []*pgNode
	var targets []analyze.Target
	cols := make([]string, len(o.Columns))
	for i := range o.Columns {
		c := &o.Columns[i]
		cols[i] = duck.QuoteIdent(c.Name) + " " + duckColumnType(c)
		if c.NotNull {
			cols[i] += " NOT NULL"
		}
		v, target := columnRef(o.Name, c.Name, 0), analyze.Target{}
		if n := news[c.Name]; n != nil {
			v, target = n, targetOf(c)
		}
		items, targets = append(items, namedTarget(c.Name, v)), append(targets, target)
	}
	sql := fmt.Sprintf("SELECT %s FROM %s", quotedColumns(tableColumnNames(o.Columns)), duckName(o))
	if len(news) > 0 {
		b := s.binderAt(ctx, s.catalog(), d.sql, true)
		b.setRef(targetRef, duckName(o), declaredColumns(old))
		st := &parse.SQL{Text: d.sql, Plain: d.sql}
		p, err := s.typedPart(b, st, selectNode(items, placeholder(targetRef, o.Name)), nil, assignment{targets: targets, clause: "transform expressions"}, false)
		if err != nil {
			return err
		}
		if p == nil {
			return fail(codeUnsupported, "what the rows of table %q are changed by is not supported", o.Name)
		}
		b = s.binderAt(ctx, s.catalog(), d.sql, false)
		b.refs[targetRef] = duckName(o)
		if sql, err = p.sql(b, st, nil); err != nil {
			return err
		}
	}
	next := *o
	next.Name = fmt.Sprintf("__rebuilt_%d", o.ID)
	kind := "TABLE"
	if o.Temp {
		kind = "TEMP TABLE"
	}
	staged := s.temp("staged")
	if _, err := s.conn.Exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s AS %s", staged, sql)); err != nil {
		return err
	}
	for i := range o.Columns {
		if o.Columns[i].NotNull {
			if err := d.noNulls(ctx, "temp.main."+staged, o.Columns[i].Name); err != nil {
				return err
			}
		}
	}
	for _, sql := range []string{
		fmt.Sprintf("CREATE %s %s (%s)", kind, duckName(&next), strings.Join(cols, ", ")),
		fmt.Sprintf("INSERT INTO %s SELECT * FROM temp.main.%s", duckName(&next), staged),
		"DROP TABLE " + duckName(o),
		fmt.Sprintf("ALTER TABLE %s RENAME TO %s", duckName(&next), duck.QuoteIdent(o.Name)),
	} {
		if _, err := s.conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// checkExisting checks the rows that are there against the constraints from a place on.
func (d *tableDraft) checkExisting(ctx context.Context, from int) error {
	for i := from; i < len(d.table.Constraints); i++ {
		k := &d.table.Constraints[i]
		if k.NotValid {
			continue
		}
		if err := d.checkOne(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// checkOne checks the rows that are there against a constraint.
func (d *tableDraft) checkOne(ctx context.Context, k *tables.Constraint) error {
	c := &rowCheck{s: d.s, table: d.table}
	switch k.Kind {
	case tables.Check:
		expr, err := d.s.checkExpr(ctx, d.table, k)
		if err != nil {
			return err
		}
		bad, err := d.s.one(ctx, fmt.Sprintf("SELECT 1 FROM %s AS %s WHERE NOT (%s) LIMIT 1", duckName(d.table), duck.QuoteIdent(d.table.Name), expr))
		if err != nil || bad == nil {
			return err
		}
		e := c.ofTable(fail("23514", "check constraint %q of relation %q is violated by some row", k.Name, d.table.Name))
		e.Constraint = k.Name
		return e
	case tables.ForeignKey:
		return c.reference(ctx, k, duckName(d.table))
	}
	if k.Kind == tables.PrimaryKey {
		for _, name := range k.Columns {
			if err := d.noNulls(ctx, duckName(d.table), name); err != nil {
				return err
			}
		}
	}
	key := uniqueKey{name: k.Name, nullsEqual: k.NullsNotDistinct}
	for _, n := range k.Columns {
		key.column(d.table.Column(n))
	}
	return d.s.uniqueNow(ctx, d.table, &key)
}

// uniqueNow checks that the rows that are there have different keys.
func (s *Session) uniqueNow(ctx context.Context, o *tables.Object, key *uniqueKey) error {
	var values, more []string
	for i, v := range key.values {
		values, more = append(values, fmt.Sprintf("any_value(s.v%d)", i)), append(more, fmt.Sprintf(", %s AS v%d", v, i))
	}
	rows := key.keyed(duckName(o), duck.QuoteIdent(o.Name), strings.Join(more, ""))
	bad, err := s.one(ctx, fmt.Sprintf("SELECT %s FROM %s AS s GROUP BY %s HAVING count(*) > 1 LIMIT 1", strings.Join(values, ", "), rows, key.list("s")))
	if err != nil || bad == nil {
		return err
	}
	e := (&rowCheck{s: s, table: o}).ofTable(fail(codeUnique, "could not create unique index %q", key.name))
	e.Constraint = key.name
	e.Detail = fmt.Sprintf("Key (%s)=(%s) is duplicated.", strings.Join(key.columns, ", "), s.keyValues(bad.Cols, 0))
	return e
}

// alterDropColumn drops a column with the constraints and indexes of it, and with CASCADE with the views that read it.
func (s *Session) alterDropColumn(ctx context.Context, o *tables.Object, name string, cascade bool) error {
	var also []dependent
	for _, x := range s.tabs.Sorted(func(x *tables.Object) bool {
		return (x.Kind == tables.View || x.Kind == tables.MaterializedView) && slices.Contains(x.Reads, o.ID) && viewNames(x, name)
	}) {
		also = append(also, dependent{object: x})
	}
	for _, k := range o.Constraints {
		if (k.Kind == tables.PrimaryKey || k.Kind == tables.Unique) && slices.Contains(k.Columns, name) {
			for _, r := range s.tabs.Referrers(o.ID) {
				if r.Table.ID != o.ID && slices.Contains(r.Constraint.ReferencesColumns, name) {
					also = append(also, dependent{object: r.Table, constraint: r.Constraint.Name})
				}
			}
		}
	}
	for _, c := range o.Columns {
		if c.Generated != "" && c.Name != name && mentions(c.Generated, name) {
			also = append(also, dependent{object: o, column: c.Name})
		}
	}
	var lines []string
	var over func(d dependent)
	over = func(d dependent) {
		for _, x := range s.dependents(d.object) {
			lines = append(lines, fmt.Sprintf("%s depends on %s", x.describe(), describeObject(d.object)))
			if x.constraint == "" && x.column == "" {
				over(x)
			}
		}
	}
	for _, d := range also {
		lines = append(lines, fmt.Sprintf("%s depends on column %s of table %s", d.describe(), quoteName(name), qualifiedName(o)))
		if d.constraint == "" && d.column == "" {
			over(d)
		}
	}
	if len(also) > 0 && !cascade {
		e := hint(fail(codeDependent, "cannot drop column %s of table %s because other objects depend on it", quoteName(name), qualifiedName(o)), "Use DROP ... CASCADE to drop the dependent objects too.")
		e.Detail = strings.Join(lines, "\n")
		return e
	}
	for _, d := range also {
		s.notice(session.Notice{Message: "drop cascades to " + d.describe()})
		if d.constraint == "" && d.column == "" {
			quiet := s.notices
			err := s.dropOrdinary(ctx, d.object.Kind, [][2]string{{d.object.Schema, d.object.Name}}, true, true)
			s.notices = quiet
			if err != nil {
				return err
			}
			continue
		}
		if err := s.detach(ctx, d); err != nil {
			return err
		}
	}
	return s.dropColumn(ctx, s.tabs.ByID[o.ID].Clone(), name)
}

// dropColumn takes a column out of a table, with what is only of it.
func (s *Session) dropColumn(ctx context.Context, o *tables.Object, name string) error {
	if len(o.Columns) == 1 {
		return hint(fail(codeUnsupported, "a table without columns is not supported"), "Add another column first, or DROP TABLE %s.", o.Name)
	}
	c := *o.Column(name)
	for _, x := range s.tabs.IndexesOf(o.ID) {
		named := slices.Contains(x.Of.Include, name) || x.Of.Where != "" && mentions(x.Of.Where, name)
		for _, k := range x.Of.Keys {
			named = named || k.Column == name || k.Expr != "" && mentions(k.Expr, name)
		}
		if named {
			if err := s.removeDocument(ctx, x); err != nil {
				return err
			}
		}
	}
	o.Constraints = slices.DeleteFunc(o.Constraints, func(k tables.Constraint) bool { return slices.Contains(k.Columns, name) })
	o.Columns = slices.DeleteFunc(o.Columns, func(c tables.Column) bool { return c.Name == name })
	if err := (&tableDraft{s: s, table: o}).rebuild(ctx, nil, nil); err != nil {
		return err
	}
	for _, seq := range s.tabs.Sorted(func(x *tables.Object) bool {
		return x.Kind == tables.Sequence && x.OwnedBy == o.ID && x.OwnedByColumn == c.Name
	}) {
		if err := s.removeDocument(ctx, seq); err != nil {
			return err
		}
	}
	return s.putObject(ctx, o)
}

// mentions reports whether an expression of a definition names a column.
func mentions(expr, name string) bool {
	n, err := expressionText(expr)
	if err != nil {
		return true
	}
	d := tableDraft{table: &tables.Object{Columns: []tables.Column{{Name: name}}}}
	return len(d.columnsIn(n)) > 0
}

// alterType is ALTER COLUMN … TYPE … USING.
func (d *tableDraft) alterType(ctx context.Context, cmd *pg_query.AlterTableCmd) error {
	s, o := d.s, d.table
	c := o.Column(cmd.Name)
	if c == nil {
		return fail(codeUndefinedColumn, "column %q of relation %q does not exist", cmd.Name, o.Name)
	}
	for _, x := range s.tabs.Sorted(func(x *tables.Object) bool {
		return (x.Kind == tables.View || x.Kind == tables.MaterializedView) && slices.Contains(x.Reads, o.ID) && viewNames(x, c.Name)
	}) {
		e := fail(codeUnsupported, "cannot alter type of a column used by a view or rule")
		e.Detail = fmt.Sprintf("rule _RETURN on %s %s depends on column %q", x.Kind, qualifiedName(x), c.Name)
		return e
	}
	if c.Generated != "" && cmd.Def.GetColumnDef().RawDefault != nil {
		return fail(codeUnsupported, "cannot specify USING when altering type of generated column")
	}
	for _, g := range o.Columns {
		if g.Generated != "" && g.Name != c.Name && mentions(g.Generated, c.Name) {
			e := fail(codeUnsupported, "cannot alter type of a column used by a generated column")
			e.Detail = fmt.Sprintf("Column %q is used by generated column %q.", c.Name, g.Name)
			return e
		}
	}
	def := cmd.Def.GetColumnDef()
	next := *c
	next.Length, next.Precision = 0, nil
	if err := columnType(def.TypeName, &next); err != nil {
		return at(asError(err), d.sql, int(def.TypeName.Location))
	}
	value := columnRef(o.Name, c.Name, 0)
	if def.RawDefault != nil {
		value = def.RawDefault
	}
	if err := d.assignable(ctx, value, targetOf(&next)); err != nil {
		if e := asError(err); e.Code != codeTypeMismatch || !strings.HasPrefix(e.Message, "column ") {
			return err
		}
		if def.RawDefault == nil {
			return hint(fail(codeTypeMismatch, "column %q cannot be cast automatically to type %s", c.Name, next.Declared), "You might need to specify \"USING %s::%s\".", quoteName(c.Name), next.Declared)
		}
		return hint(fail(codeTypeMismatch, "result of USING clause for column %q cannot be cast automatically to type %s", c.Name, next.Declared), "You might need to add an explicit cast.")
	}
	old := s.tabs.ByID[o.ID]
	if c.Default != "" && c.Sequence == 0 {
		expr, err := expressionText(c.Default)
		if err != nil {
			return err
		}
		if expr.GetTypeCast() != nil && isUnknown(expr.GetTypeCast().Arg) && next.Type.Kind == vector.Text {
			expr = expr.GetTypeCast().Arg
		}
		if next.Default, err = s.checkDefault(ctx, d.sql, &next, expr); err != nil {
			return fail(codeTypeMismatch, "default for column %q cannot be cast automatically to type %s", c.Name, next.Declared)
		}
	}
	*c = next
	if err := d.rebuild(ctx, old, map[string]*pgNode{c.Name: value}); err != nil {
		return err
	}
	for i := range o.Constraints {
		if k := &o.Constraints[i]; slices.Contains(k.Columns, c.Name) && !k.NotValid {
			if err := d.checkOne(ctx, k); err != nil {
				return err
			}
		}
	}
	return s.putObject(ctx, o)
}

func (s *Session) alterDropConstraint(ctx context.Context, o *tables.Object, cmd *pg_query.AlterTableCmd) error {
	k := o.Constraint(cmd.Name)
	if k == nil {
		if cmd.MissingOk {
			s.notice(session.Notice{Message: fmt.Sprintf("constraint %q of relation %q does not exist, skipping", cmd.Name, o.Name)})
			return nil
		}
		return fail(codeUndefinedObject, "constraint %q of relation %q does not exist", cmd.Name, o.Name)
	}
	var also []dependent
	if k.Kind == tables.PrimaryKey || k.Kind == tables.Unique {
		for _, r := range s.tabs.Referrers(o.ID) {
			if slices.Equal(slices.Sorted(slices.Values(r.Constraint.ReferencesColumns)), slices.Sorted(slices.Values(k.Columns))) {
				also = append(also, dependent{object: r.Table, constraint: r.Constraint.Name})
			}
		}
	}
	if len(also) > 0 && cmd.Behavior != pg_query.DropBehavior_DROP_CASCADE {
		e := hint(fail(codeDependent, "cannot drop constraint %s on table %s because other objects depend on it", quoteName(k.Name), qualifiedName(o)), "Use DROP ... CASCADE to drop the dependent objects too.")
		lines := make([]string, len(also))
		for i, d := range also {
			lines[i] = fmt.Sprintf("%s depends on index %s", d.describe(), quoteName(k.Name))
		}
		e.Detail = strings.Join(lines, "\n")
		return e
	}
	for _, d := range also {
		s.notice(session.Notice{Message: "drop cascades to " + d.describe()})
		if err := s.detach(ctx, d); err != nil {
			return err
		}
	}
	for _, x := range s.tabs.IndexesOf(o.ID) {
		if x.Of.Constraint == k.Name {
			if err := s.removeDocument(ctx, x); err != nil {
				return err
			}
		}
	}
	next := s.tabs.ByID[o.ID].Clone()
	next.Constraints = slices.DeleteFunc(next.Constraints, func(x tables.Constraint) bool { return x.Name == cmd.Name })
	return s.putObject(ctx, next)
}

package engine

import (
	"context"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/pgcatalog"
	"github.com/tilehouse/tilehouse/sqlplan/rewrite"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// maxViewDepth bounds views over views, whose owners' privileges are checked one after the other.
const maxViewDepth = 64

// access checks what one role may do, at one catalog. It works on the statement's tree and not on its plan, so that no way to
// plan a statement goes around it.
type access struct {
	ctx   context.Context
	s     *Session
	cat   *schema.Catalog
	role  uint32
	depth int // of views around what is read
}

// authorize refuses a statement that the session's role may not run. Each kind of statement has a rule here; one that has none
// is a superuser's. What does not exist is not this function's to say. Errors: 42501.
func (s *Session) authorize(ctx context.Context, cat *schema.Catalog, st parse.Statement) error {
	if cat.Superuser(s.role) {
		return nil
	}
	if _, err := s.ordinary(ctx); err != nil {
		return err
	}
	a := &access{ctx: ctx, s: s, cat: cat, role: s.role}
	switch st := st.(type) {
	case nil, *parse.Show:
		return nil
	case *parse.CreateTable:
		return a.create(st.Name.Name, false)
	case *parse.CreateEntity:
		return a.create(st.Name.Name, st.OrReplace)
	case *parse.CreateFeatureView:
		return a.create(st.Name.Name, st.OrReplace)
	case *parse.CreateEventView:
		return a.create(st.Name.Name, st.OrReplace)
	case *parse.CreateSource:
		if err := a.create(st.Name.Name, st.OrReplace); err != nil {
			return err
		}
		if st.Batch != nil {
			for _, n := range []*parse.Name{st.Batch, st.Stream} {
				if err := a.relation(n.Schema, n.Name, schema.Select, nil); err != nil {
					return err
				}
			}
			return nil
		}
		if c := st.Options["connector"].Value; c == kafkaConnector || c == postgresConnector {
			if _, archived := st.Options["archive"]; archived && !(cat.HasRightsOf(s.role, schema.ReadServerFiles) && cat.HasRightsOf(s.role, schema.WriteServerFiles)) {
				return hint(denied("must be superuser or have privileges of the pg_read_server_files and pg_write_server_files roles to create a source with an archive"), "GRANT pg_read_server_files, pg_write_server_files TO %s;", roleName(s, s.role))
			}
			return a.useConnection(st.Options["connection"].Value)
		}
		if !cat.HasRightsOf(s.role, schema.ReadServerFiles) {
			return hint(denied("must be superuser or have privileges of the pg_read_server_files role to create a source of files"), "GRANT pg_read_server_files TO %s;", roleName(s, s.role))
		}
		return nil
	case *parse.CreateFeature:
		return a.createFeature(st)
	case *parse.Drop:
		return a.ownAll(string(st.Object), st.Names...)
	case *parse.Alter:
		if st.Object == parse.Connection && (st.Action == parse.AlterSet || st.Action == parse.AlterReset) { // as to make one
			return denied("must be superuser to change a connection")
		}
		return a.ownAll(string(st.Object), st.Name)
	case *parse.Refresh:
		names := []parse.Name{st.Name}
		if r := cat.Relation(st.Name.Name); r != nil && r.Dual != nil {
			names = append(names, parse.Name{Name: cat.Relations[r.Dual.Batch].Name, Position: st.Name.Position})
		}
		return a.ownAll(string(st.Object), names...)
	case *parse.DeadLetters:
		return a.ownAll(string(parse.Source), st.Source)
	case *parse.Comment:
		return a.ownAll(string(st.Object), st.Name)
	case *parse.Grant: // the step itself asks who may grant
		return nil
	case *parse.Explain:
		return s.authorize(ctx, cat, st.Inner)
	case *parse.ExplainFeature:
		return a.relation("", st.Name.Name, schema.Select, nil)
	case *parse.SQL:
		return a.sql(st)
	}
	return denied("must be superuser to run this statement")
}

// sql is authorize for PostgreSQL's statements.
func (a *access) sql(st *parse.SQL) error {
	switch n := st.Node.Node.(type) {
	case *pg_query.Node_TransactionStmt, *pg_query.Node_VariableSetStmt, *pg_query.Node_VariableShowStmt, *pg_query.Node_DiscardStmt,
		*pg_query.Node_FetchStmt, *pg_query.Node_ClosePortalStmt, *pg_query.Node_DeallocateStmt, *pg_query.Node_ListenStmt,
		*pg_query.Node_UnlistenStmt, *pg_query.Node_NotifyStmt, *pg_query.Node_ConstraintsSetStmt:
		return nil // they read and write nothing, or what was allowed before
	case *pg_query.Node_ExecuteStmt:
		return nil // what is executed is bound, and so allowed, by itself
	case *pg_query.Node_CreateRoleStmt, *pg_query.Node_AlterRoleStmt, *pg_query.Node_AlterRoleSetStmt, *pg_query.Node_DropRoleStmt,
		*pg_query.Node_GrantStmt, *pg_query.Node_GrantRoleStmt, *pg_query.Node_AlterDefaultPrivilegesStmt, *pg_query.Node_AlterOwnerStmt,
		*pg_query.Node_ReassignOwnedStmt, *pg_query.Node_DropOwnedStmt:
		return nil // the steps themselves ask, with the catalog of the moment
	case *pg_query.Node_SelectStmt, *pg_query.Node_InsertStmt, *pg_query.Node_UpdateStmt, *pg_query.Node_DeleteStmt, *pg_query.Node_MergeStmt:
		return a.query(st.Node)
	case *pg_query.Node_PrepareStmt, *pg_query.Node_DeclareCursorStmt:
		return nil // likewise, where it is executed
	case *pg_query.Node_ExplainStmt:
		return a.query(n.ExplainStmt.Query)
	case *pg_query.Node_LockStmt:
		return a.lock(n.LockStmt)
	case *pg_query.Node_VacuumStmt:
		return nil // it tells what it skips
	case *pg_query.Node_CheckPointStmt:
		if !a.cat.HasRightsOf(a.role, schema.Checkpoint) {
			return denied("must be superuser or have privileges of pg_checkpoint to do CHECKPOINT")
		}
		return nil
	case *pg_query.Node_ReindexStmt:
		if n.ReindexStmt.Relation == nil { // of a schema or the database
			return denied("must be owner of database %s", a.s.info.Database)
		}
		return a.ownVar(n.ReindexStmt.Relation)
	case *pg_query.Node_ClusterStmt:
		return a.ownVar(n.ClusterStmt.Relation)
	case *pg_query.Node_CopyStmt:
		return a.copy(n.CopyStmt)
	case *pg_query.Node_CreateStmt:
		return a.createTable(n.CreateStmt)
	case *pg_query.Node_CreateTableAsStmt:
		if err := a.query(n.CreateTableAsStmt.Query); err != nil {
			return err
		}
		return a.createOrdinary(n.CreateTableAsStmt.Into.Rel, false)
	case *pg_query.Node_ViewStmt:
		return a.createOrdinary(n.ViewStmt.View, n.ViewStmt.Replace)
	case *pg_query.Node_CreateFunctionStmt:
		if err := a.inSchema(publicSchema, schema.Create); err != nil {
			return err
		}
		words := n.CreateFunctionStmt.Funcname
		if f := a.cat.Function(words[len(words)-1].GetString_().GetSval()); f != nil && n.CreateFunctionStmt.Replace {
			return a.own(f)
		}
		return nil
	case *pg_query.Node_TruncateStmt:
		return a.truncate(n.TruncateStmt)
	case *pg_query.Node_IndexStmt:
		if err := a.ownVar(n.IndexStmt.Relation); err != nil {
			return err
		}
		return a.createBeside(n.IndexStmt.Relation)
	case *pg_query.Node_AlterTableStmt:
		if err := a.ownVar(n.AlterTableStmt.Relation); err != nil {
			return err
		}
		return a.references(n.AlterTableStmt)
	case *pg_query.Node_RenameStmt:
		if n.RenameStmt.Relation == nil {
			return nil // of a role: its step asks
		}
		if err := a.ownVar(n.RenameStmt.Relation); err != nil {
			return err
		}
		if k := n.RenameStmt.RenameType; k == pg_query.ObjectType_OBJECT_COLUMN || k == pg_query.ObjectType_OBJECT_TABCONSTRAINT {
			return nil
		}
		return a.createBeside(n.RenameStmt.Relation)
	case *pg_query.Node_AlterObjectSchemaStmt:
		if err := a.ownVar(n.AlterObjectSchemaStmt.Relation); err != nil {
			return err
		}
		return a.inSchema(n.AlterObjectSchemaStmt.Newschema, schema.Create)
	case *pg_query.Node_RefreshMatViewStmt:
		return a.refreshView(n.RefreshMatViewStmt)
	case *pg_query.Node_CreateSchemaStmt:
		if a.cat.Allowed(a.role, schema.Ref{Class: schema.ClassDatabase, Name: a.s.info.Database}, schema.Create) == 0 {
			return denied("permission denied for database %s", a.s.info.Database)
		}
		return nil
	case *pg_query.Node_CreateSeqStmt:
		return a.createOrdinary(n.CreateSeqStmt.Sequence, false)
	case *pg_query.Node_AlterSeqStmt:
		return a.ownVar(n.AlterSeqStmt.Sequence)
	case *pg_query.Node_CommentStmt:
		return a.comment(n.CommentStmt)
	case *pg_query.Node_DropStmt:
		return a.drop(n.DropStmt)
	}
	return denied("must be superuser to run %s", firstWords(st.Text))
}

// query checks a SELECT, INSERT, UPDATE or DELETE: every relation that is read, and the target.
func (a *access) query(n *pg_query.Node) error {
	// Writes in WITH and at the top.
	var err error
	parse.Walk(n, func(m proto.Message) bool {
		if err != nil {
			return false
		}
		switch w := m.(type) {
		case *pg_query.InsertStmt:
			rights := schema.Insert
			if c := w.OnConflictClause; c != nil && c.Action == pg_query.OnConflictAction_ONCONFLICT_UPDATE {
				rights |= schema.Update
			}
			if c := w.OnConflictClause; readsColumns(w.ReturningList...) || c != nil && (c.Infer != nil || c.Action == pg_query.OnConflictAction_ONCONFLICT_UPDATE) {
				rights |= schema.Select
			}
			err = a.rangeVar(w.Relation, rights, w)
		case *pg_query.UpdateStmt:
			rights := schema.Update
			if readsColumns(w.WhereClause) || readsColumns(w.ReturningList...) || readsColumns(w.TargetList...) {
				rights |= schema.Select
			}
			err = a.rangeVar(w.Relation, rights, w)
		case *pg_query.DeleteStmt:
			rights := schema.Delete
			if readsColumns(w.WhereClause) || readsColumns(w.ReturningList...) {
				rights |= schema.Select
			}
			err = a.rangeVar(w.Relation, rights, w)
		case *pg_query.MergeStmt:
			err = a.rangeVar(w.Relation, schema.Insert|schema.Update|schema.Delete|schema.Select, w)
		case *pg_query.RangeVar:
			// Planners find entities and feature views by their names alone: a WITH query of such a name does not hide them here.
			switch a.cat.Lookup(w.Relname).(type) {
			case *schema.Entity, *schema.FeatureView, *schema.Feature:
				err = a.rangeVar(w, schema.Select, n)
			}
		case *pg_query.FuncCall:
			err = a.call(w, n)
		case *pg_query.SelectStmt:
			if w.IntoClause != nil {
				err = a.createOrdinary(w.IntoClause.Rel, false)
			}
			for _, l := range w.LockingClause {
				if err == nil {
					err = a.forUpdate(w, l.GetLockingClause())
				}
			}
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	err = rewrite.EachRelation(n, func(rv *pg_query.RangeVar) error { return a.rangeVar(rv, schema.Select, n) })
	return err
}

// readsColumns reports whether expressions name columns.
func readsColumns(exprs ...*pg_query.Node) bool {
	reads := false
	for _, e := range exprs {
		if e == nil {
			continue
		}
		parse.Walk(e, func(m proto.Message) bool {
			_, is := m.(*pg_query.ColumnRef)
			reads = reads || is
			return !reads
		})
	}
	return reads
}

// call checks a function that takes the name of what it reads: features_for, features_at and their kin.
func (a *access) call(f *pg_query.FuncCall, top proto.Message) error {
	if fn := a.ownFunction(f); fn != nil {
		ref, _ := schema.RefOf(fn)
		if a.cat.Allowed(a.role, ref, schema.Execute) == 0 {
			return denied("permission denied for function %s", fn.Name)
		}
		return nil
	}
	if len(f.Funcname) == 0 || len(f.Args) == 0 || !namesRelation[f.Funcname[len(f.Funcname)-1].GetString_().GetSval()] {
		return nil
	}
	name, _, ok := constantText(f.Args[0])
	if !ok {
		return nil // such functions take literals only
	}
	return a.relation("", name, schema.Select, top)
}

// ownFunction is the function of the user's own that a call means, nil for another.
func (a *access) ownFunction(f *pg_query.FuncCall) *schema.Function {
	n := len(f.Funcname)
	if n == 0 || n > 2 || n == 2 && f.Funcname[0].GetString_().GetSval() != publicSchema {
		return nil
	}
	return a.cat.Function(f.Funcname[n-1].GetString_().GetSval())
}

// namesRelation are the functions whose first argument is the name of an entity or feature view that they read.
var namesRelation = map[string]bool{featuresAtName: true, featuresForName: true, "skew": true}

func (a *access) rangeVar(rv *pg_query.RangeVar, rights schema.Rights, top proto.Message) error {
	if rv == nil {
		return nil
	}
	return a.relation(rv.Schemaname, rv.Relname, rights, top)
}

// relation checks rights on a relation. top is the tree whose columns say which of an entity's features are read; nil: all.
func (a *access) relation(space, name string, rights schema.Rights, top proto.Message) error {
	switch space {
	case "tilehouse":
		if heldValues[name] && !a.cat.HasRightsOf(a.role, schema.ReadAllData) { // it has values
			return denied("permission denied for view %s", name)
		}
		return nil
	case "pg_catalog", "information_schema", "":
		if r := pgcatalog.System(&pg_query.RangeVar{Schemaname: space, Relname: name}); r != nil {
			return a.system(r, rights)
		}
		if space != "" { // that it is not there is for the statement to say
			return nil
		}
	}
	ref, o, ok := a.s.relationRef(a.cat, space, name)
	in := publicSchema
	switch {
	case o != nil && o.Temp:
		return a.behind(ref, a.depth)
	case o != nil:
		in = o.Schema
	case space != "":
		in = space
	}
	if err := a.inSchema(in, schema.Usage); err != nil {
		if space == "" { // a schema that may not be used is not searched
			return fail(codeUndefinedTable, "relation %q does not exist", name)
		}
		return err
	}
	if !ok {
		return nil
	}
	if e, is := a.cat.Lookup(name).(*schema.Entity); o == nil && is && rights == schema.Select {
		return a.entity(e, top)
	}
	rights &= ref.Class.Rights()
	if a.cat.Allowed(a.role, ref, rights) == rights {
		if o != nil && o.Kind == tables.View && rights&(schema.Insert|schema.Update|schema.Delete) != 0 {
			if err := a.writesThrough(o, ref, rights); err != nil {
				return err
			}
		}
		return a.behind(ref, a.depth)
	}
	return denied("permission denied for %s", a.s.refWords(a.cat, ref))
}

// system checks rights on a relation of PostgreSQL's own.
func (a *access) system(r *pgcatalog.Relation, rights schema.Rights) error {
	if a.cat.HasRightsOf(a.role, schema.ReadAllData) || rights&^schema.Select != 0 { // nobody writes to it
		return nil
	}
	for _, name := range pgcatalog.Readers(r) {
		if name == "" {
			return nil
		}
		if role := a.cat.Role(name); role != nil && a.cat.HasRightsOf(a.role, role.ID) {
			return nil
		}
	}
	word := "table"
	if r.View != "" {
		word = "view"
	}
	return denied("permission denied for %s %s", word, r.Name)
}

// inSchema checks a right on a schema. That a schema is not there is for the statement to say.
func (a *access) inSchema(name string, right schema.Rights) error {
	if a.s.hasSchema(name) && a.cat.Allowed(a.role, schema.Ref{Class: schema.ClassSchema, Name: name}, right) == 0 {
		return denied("permission denied for schema %s", name)
	}
	return nil
}

// entity checks a read of an entity's features: with SELECT on the entity all, otherwise those with SELECT of their own, as
// PostgreSQL has privileges on a table and on its columns.
func (a *access) entity(e *schema.Entity, top proto.Message) error {
	ref, _ := schema.RefOf(e)
	if a.cat.Allowed(a.role, ref, schema.Select) != 0 {
		return nil
	}
	named, all := namedIn(top, e.Name)
	some := false
	for _, f := range a.cat.FeaturesOf(e.ID) {
		fref, _ := schema.RefOf(f)
		may := a.cat.Allowed(a.role, fref, schema.Select) != 0
		some = some || may
		reads := all || slices.ContainsFunc(f.Outputs, func(o schema.Output) bool { return named[o.Name] })
		if reads && !may {
			err := denied("permission denied for feature %s", f.Name)
			if all {
				return hint(err, "Name the columns that you may read: * is all features of entity %s.", e.Name)
			}
			return err
		}
	}
	if !some {
		return denied("permission denied for entity %s", e.Name)
	}
	return nil
}

// namedIn are the names of columns in a tree; all: something takes every column of an entity. The names may be of other relations, too: then a
// privilege is asked for that is not needed, and never the other way round.
func namedIn(top proto.Message, entity string) (names map[string]bool, all bool) {
	names = map[string]bool{}
	if top == nil {
		return names, true
	}
	parse.Walk(top, func(m proto.Message) bool {
		switch n := m.(type) {
		case *pg_query.ColumnRef:
			for i, f := range n.Fields {
				if f.GetAStar() != nil {
					all = all || i == 0 || starTakes(top, n.Fields[i-1].GetString_().GetSval(), entity)
				} else {
					names[f.GetString_().GetSval()] = true
				}
			}
		case *pg_query.JoinExpr:
			all = all || n.IsNatural
			for _, u := range n.UsingClause {
				names[u.GetString_().GetSval()] = true
			}
		case *pg_query.RangeVar: // a name that is used as a column is the whole row
			if n.Alias != nil {
				names["\x00"+n.Alias.Aliasname] = true
			} else {
				names["\x00"+n.Relname] = true
			}
		case *pg_query.CopyStmt:
			for _, c := range n.Attlist {
				names[c.GetString_().GetSval()] = true
			}
		}
		return true
	})
	for n := range names {
		if rel, ok := strings.CutPrefix(n, "\x00"); ok && wholeRow(top, rel) {
			all = true
		}
	}
	return names, all
}

// starTakes reports whether alias.* may show an entity's columns: unless all that is known as alias in a tree is other relations and
// sub-SELECTs, which say themselves what they show.
func starTakes(top proto.Message, alias, entity string) bool {
	known, takes := false, false
	parse.Walk(top, func(m proto.Message) bool {
		switch n := m.(type) {
		case *pg_query.RangeVar:
			if n.Alias.GetAliasname() == alias || n.Alias == nil && n.Relname == alias {
				known, takes = true, takes || n.Relname == entity
			}
		case *pg_query.RangeSubselect:
			known = known || n.Alias.GetAliasname() == alias
		case *pg_query.RangeFunction:
			takes = takes || n.Alias == nil || n.Alias.Aliasname == alias
		case *pg_query.JoinExpr:
			takes = takes || n.Alias.GetAliasname() == alias
		}
		return true
	})
	return takes || !known
}

// wholeRow reports whether a name of a relation stands alone as a column, which is its row.
func wholeRow(top proto.Message, name string) bool {
	found := false
	parse.Walk(top, func(m proto.Message) bool {
		if c, ok := m.(*pg_query.ColumnRef); ok && len(c.Fields) == 1 && c.Fields[0].GetString_().GetSval() == name {
			found = true
		}
		return !found
	})
	return found
}

// behind checks, for a view that may be read, that its owner may read what it reads: views run with their owners' rights.
func (a *access) behind(ref schema.Ref, depth int) error {
	if depth > maxViewDepth {
		return fail("54001", "views are nested more than %d deep", maxViewDepth)
	}
	var reads []schema.Ref
	switch ref.Class {
	case schema.ClassRelation:
		if r := a.cat.Relations[ref.ID]; r != nil && r.View != nil {
			reads = append(reads, schema.Ref{Class: schema.ClassRelation, ID: r.View.Base})
		}
	case schema.ClassFeatureView:
		return a.behindFeatureView(a.cat.FeatureViews[ref.ID])
	case schema.ClassOrdinary:
		return a.behindOrdinary(ref, depth)
	}
	owner := a.cat.Owner(ref)
	if a.cat.Superuser(owner) {
		return nil
	}
	for _, r := range reads {
		if a.cat.Allowed(owner, r, schema.Select) == 0 {
			return denied("permission denied for %s", a.s.refWords(a.cat, r))
		}
		if err := a.behind(r, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (a *access) behindFeatureView(v *schema.FeatureView) error {
	ref, _ := schema.RefOf(v)
	owner := a.cat.Owner(ref)
	for _, b := range v.Base {
		f := a.cat.Features[b.Feature]
		if f == nil {
			continue
		}
		fref, _ := schema.RefOf(f)
		eref := schema.Ref{Class: schema.ClassEntity, ID: f.Entity}
		if a.cat.Allowed(owner, fref, schema.Select) == 0 && a.cat.Allowed(owner, eref, schema.Select) == 0 {
			return denied("permission denied for feature %s", f.Name)
		}
	}
	return nil
}

// create checks that something may be made under a name.
func (a *access) create(name string, replace bool) error {
	if err := a.inSchema(publicSchema, schema.Create); err != nil {
		return err
	}
	if o := a.cat.Lookup(name); o != nil && replace {
		return a.own(o)
	}
	return nil
}

// createFeature checks that the source may be read, and that the entity takes features of this role.
func (a *access) createFeature(st *parse.CreateFeature) error {
	if err := a.create(st.Name.Name, st.OrReplace); err != nil {
		return err
	}
	for _, f := range st.Body.From {
		if err := a.query(f); err != nil {
			return err
		}
	}
	if st.Body.Select != nil {
		if err := a.query(&pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: st.Body.Select}}); err != nil {
			return err
		}
	}
	if rv := st.Body.Source; rv != nil {
		if err := a.rangeVar(rv, schema.Select, nil); err != nil {
			return err
		}
	}
	if st.Entity == nil {
		return nil // it is the one that the keys fit, which mayJoin asks about
	}
	if e := a.cat.Entity(st.Entity.Name); e != nil {
		return a.joinEntity(e)
	}
	return nil
}

// mayJoin checks the entities of the features that a step added.
func (s *Session) mayJoin(role uint32, before, c *schema.Catalog) error {
	if c.Superuser(role) {
		return nil
	}
	a := &access{s: s, cat: c, role: role}
	for id, f := range c.Features {
		if e := c.Entities[f.Entity]; before.Features[id] == nil && e != nil {
			if err := a.joinEntity(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// joinEntity checks that a role's feature may belong to an entity: it adds columns to it.
func (a *access) joinEntity(e *schema.Entity) error {
	ref, _ := schema.RefOf(e)
	if a.cat.Owns(a.role, ref) || a.cat.Allowed(a.role, ref, schema.References) != 0 {
		return nil
	}
	return hint(denied("permission denied for entity %s", e.Name), "A feature adds columns to its entity: GRANT REFERENCES ON ENTITY %s TO %s.", e.Name, roleName(a.s, a.role))
}

// copy checks COPY: the relation or query, and the server's files.
func (a *access) copy(n *pg_query.CopyStmt) error {
	switch {
	case n.IsProgram:
		return denied("must be superuser or have privileges of the pg_execute_server_program role to COPY to or from an external program")
	case n.Filename != "" && n.IsFrom && !a.cat.HasRightsOf(a.role, schema.ReadServerFiles):
		return hint(denied("must be superuser or have privileges of the pg_read_server_files role to COPY from a file"), `Anyone can COPY to stdout or from stdin. psql's \copy command also works for anyone.`)
	case n.Filename != "" && !n.IsFrom && !a.cat.HasRightsOf(a.role, schema.WriteServerFiles):
		return hint(denied("must be superuser or have privileges of the pg_write_server_files role to COPY to a file"), `Anyone can COPY to stdout or from stdin. psql's \copy command also works for anyone.`)
	case n.Query != nil:
		return a.query(n.Query)
	case n.IsFrom:
		return a.rangeVar(n.Relation, schema.Insert, nil)
	case len(n.Attlist) > 0:
		return a.rangeVar(n.Relation, schema.Select, n)
	}
	return a.rangeVar(n.Relation, schema.Select, nil)
}

// own checks that the role has its owner's rights of an object of the catalog.
func (a *access) own(o any) error {
	ref, ok := schema.RefOf(o)
	if ok && !a.cat.Owns(a.role, ref) {
		return a.s.mustOwn(a.cat, ref)
	}
	return nil
}

func (a *access) ownAll(kind string, names ...parse.Name) error {
	for _, n := range names {
		if o := ofKind(a.cat, kind, n.Name); o != nil {
			if err := a.own(o); err != nil {
				return err
			}
		}
	}
	return nil
}

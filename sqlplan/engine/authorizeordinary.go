package engine

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// The rules of statements that make, change and drop ordinary objects.

// createOrdinary checks that an ordinary table or view may be made.
func (a *access) createOrdinary(rv *pg_query.RangeVar, replace bool) error {
	if rv.GetRelpersistence() == "t" {
		if a.cat.Allowed(a.role, schema.Ref{Class: schema.ClassDatabase, Name: a.s.info.Database}, schema.Temporary) == 0 {
			return denied("permission denied to create temporary tables in database %q", a.s.info.Database)
		}
		return nil
	}
	in, temp, err := a.s.place(a.ctx, rv, "")
	if err != nil || temp {
		return nil // the statement itself says what is wrong
	}
	if err := a.inSchema(in, schema.Create); err != nil {
		return err
	}
	if o := a.s.tabs.Relation(in, rv.GetRelname()); replace && o != nil {
		return a.ownVar(rv)
	}
	return nil
}

// createBeside checks that something may be made in the schema of a relation, as an index and a new name are.
func (a *access) createBeside(rv *pg_query.RangeVar) error {
	if o := a.s.find(a.s.tabs, rv.Schemaname, rv.Relname); o != nil && o.Temp {
		return nil
	} else if o != nil {
		return a.inSchema(o.Schema, schema.Create)
	}
	return a.inSchema(publicSchema, schema.Create)
}

// createTable checks CREATE TABLE: its schema, what LIKE names, and what its constraints refer to.
func (a *access) createTable(n *pg_query.CreateStmt) error {
	if err := a.createOrdinary(n.Relation, false); err != nil {
		return err
	}
	for _, e := range n.TableElts {
		if l := e.GetTableLikeClause(); l != nil {
			if err := a.rangeVar(l.Relation, schema.Select, nil); err != nil {
				return err
			}
		}
	}
	return a.references(n)
}

// references checks the right to refer to the tables of a statement's foreign keys. One that refers to itself is there only after it.
func (a *access) references(n proto.Message) error {
	var err error
	parse.Walk(n, func(m proto.Message) bool {
		if k, ok := m.(*pg_query.Constraint); ok && err == nil && k.Pktable != nil {
			err = a.rangeVar(k.Pktable, schema.References, nil)
		}
		return err == nil
	})
	return err
}

// truncate checks TRUNCATE: of the tables, of those that CASCADE adds, and that sequences to restart belong to the role.
func (a *access) truncate(n *pg_query.TruncateStmt) error {
	var tabs []*tables.Object
	for _, r := range n.Relations {
		rv := r.GetRangeVar()
		if err := a.rangeVar(rv, schema.Truncate, nil); err != nil {
			return err
		}
		if _, o, _ := a.s.relationRef(a.cat, rv.Schemaname, rv.Relname); o != nil {
			tabs = append(tabs, o)
		}
	}
	for i := 0; i < len(tabs); i++ {
		if n.Behavior == pg_query.DropBehavior_DROP_CASCADE {
			for _, r := range a.s.tabs.Referrers(tabs[i].ID) {
				if slices.Contains(tabs, r.Table) {
					continue
				}
				if err := a.relation(space(r.Table), r.Table.Name, schema.Truncate, nil); err != nil {
					return err
				}
				tabs = append(tabs, r.Table)
			}
		}
		if ref, _ := ordinaryRef(tabs[i]); n.RestartSeqs && !tabs[i].Temp {
			for _, q := range a.s.ownedSequences(ref) {
				if !a.cat.Owns(a.role, q) {
					return a.s.mustOwn(a.cat, q)
				}
			}
		}
	}
	return nil
}

// space is how an ordinary object's schema is written.
func space(o *tables.Object) string {
	if o.Temp {
		return tables.TempSchema
	}
	return o.Schema
}

// refreshView checks REFRESH MATERIALIZED VIEW, which reads with its owner's rights.
func (a *access) refreshView(n *pg_query.RefreshMatViewStmt) error {
	if err := a.ownVar(n.Relation); err != nil || n.SkipData {
		return err
	}
	if ref, o, ok := a.s.relationRef(a.cat, n.Relation.Schemaname, n.Relation.Relname); ok && o != nil && o.Kind == tables.MaterializedView {
		return a.ownerReads(o, ref, 0)
	}
	return nil
}

// lockShare and lockRowExclusive are modes of LOCK as PostgreSQL numbers them.
const (
	lockShare        = 1
	lockRowExclusive = 3
)

// lock checks LOCK, which takes any of the rights to do what a lock of its mode is for.
func (a *access) lock(n *pg_query.LockStmt) error {
	if a.s.tx == nil || a.s.tx.implicit {
		return nil // it is refused outside of a block
	}
	any := schema.Update | schema.Delete | schema.Truncate
	switch n.Mode {
	case lockShare:
		any = schema.Select
	case lockRowExclusive:
		any |= schema.Insert
	}
	for _, r := range n.Relations {
		rv := r.GetRangeVar()
		if ref, o, ok := a.s.relationRef(a.cat, rv.GetSchemaname(), rv.GetRelname()); ok && (o == nil || !o.Temp) {
			if err := a.rangeVar(rv, 0, nil); err != nil {
				return err
			}
			if a.cat.Allowed(a.role, ref, any) == 0 {
				return denied("permission denied for %s", a.s.refWords(a.cat, ref))
			}
		}
	}
	return nil
}

// forUpdate checks SELECT … FOR UPDATE and its kin: the relations that it locks are as if they were updated.
func (a *access) forUpdate(n *pg_query.SelectStmt, l *pg_query.LockingClause) error {
	for _, f := range n.FromClause {
		for _, leaf := range leaves(f) {
			rv := leaf.node.GetRangeVar()
			if rv == nil || len(l.LockedRels) > 0 && !slices.ContainsFunc(l.LockedRels, func(r *pg_query.Node) bool { return r.GetRangeVar().GetRelname() == leaf.alias }) {
				continue
			}
			if err := a.rangeVar(rv, schema.Select|schema.Update, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// ownVar checks that the role owns a relation of either kind.
func (a *access) ownVar(rv *pg_query.RangeVar) error {
	if rv == nil {
		return nil
	}
	ref, o, ok := a.s.relationRef(a.cat, rv.Schemaname, rv.Relname)
	switch {
	case !ok:
		if rv.Schemaname != "" {
			return a.inSchema(rv.Schemaname, schema.Usage)
		}
		return nil
	case o != nil && o.Temp, a.cat.Owns(a.role, ref):
		return nil
	}
	if o != nil && o.Kind == tables.Index {
		return denied("must be owner of index %s", o.Name)
	}
	return denied("must be owner of %s", a.s.refWords(a.cat, ref))
}

// dropVar checks that the role may drop a relation: it owns it, or its schema.
func (a *access) dropVar(rv *pg_query.RangeVar) error {
	err := a.ownVar(rv)
	if err == nil {
		return nil
	}
	in := publicSchema
	if _, o, _ := a.s.relationRef(a.cat, rv.Schemaname, rv.Relname); o != nil {
		in = o.Schema
	}
	if a.cat.Owns(a.role, schema.Ref{Class: schema.ClassSchema, Name: in}) {
		return nil
	}
	return err
}

// ownSchema checks that the role owns a schema.
func (a *access) ownSchema(name string) error {
	if ref := (schema.Ref{Class: schema.ClassSchema, Name: name}); a.s.hasSchema(name) && !a.cat.Owns(a.role, ref) {
		return a.s.mustOwn(a.cat, ref)
	}
	return nil
}

func (a *access) comment(n *pg_query.CommentStmt) error {
	items := n.Object.GetList().GetItems()
	switch n.Objtype {
	case pg_query.ObjectType_OBJECT_SCHEMA:
		return a.ownSchema(n.Object.GetString_().GetSval())
	case pg_query.ObjectType_OBJECT_COLUMN, pg_query.ObjectType_OBJECT_TABCONSTRAINT:
		if len(items) > 0 {
			items = items[:len(items)-1]
		}
	case pg_query.ObjectType_OBJECT_TABLE, pg_query.ObjectType_OBJECT_VIEW, pg_query.ObjectType_OBJECT_MATVIEW, pg_query.ObjectType_OBJECT_INDEX, pg_query.ObjectType_OBJECT_SEQUENCE:
	default:
		return denied("must be superuser to comment on this kind of object")
	}
	return a.ownWords(items)
}

func (a *access) ownWords(items []*pg_query.Node) error { return a.ownVar(rangeVarOf(items)) }

// rangeVarOf is a name's words as a relation, nil for none.
func rangeVarOf(items []*pg_query.Node) *pg_query.RangeVar {
	if len(items) == 0 {
		return nil
	}
	rv := &pg_query.RangeVar{Relname: items[len(items)-1].GetString_().GetSval()}
	if len(items) > 1 {
		rv.Schemaname = items[len(items)-2].GetString_().GetSval()
	}
	return rv
}

func (a *access) drop(n *pg_query.DropStmt) error {
	for _, o := range n.Objects {
		switch n.RemoveType {
		case pg_query.ObjectType_OBJECT_FUNCTION:
			words := o.GetObjectWithArgs().GetObjname()
			if f := a.cat.Function(words[len(words)-1].GetString_().GetSval()); f != nil {
				if err := a.own(f); err != nil {
					return err
				}
			}
		case pg_query.ObjectType_OBJECT_TABLE, pg_query.ObjectType_OBJECT_VIEW, pg_query.ObjectType_OBJECT_MATVIEW, pg_query.ObjectType_OBJECT_SEQUENCE, pg_query.ObjectType_OBJECT_INDEX:
			if err := a.dropVar(rangeVarOf(o.GetList().GetItems())); err != nil {
				return err
			}
		case pg_query.ObjectType_OBJECT_SCHEMA:
			if err := a.ownSchema(o.GetString_().GetSval()); err != nil {
				return err
			}
		case pg_query.ObjectType_OBJECT_TYPE: // there are none
		default:
			return denied("must be superuser to run DROP of this kind of object")
		}
	}
	return nil
}

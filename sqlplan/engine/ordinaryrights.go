package engine

import (
	"context"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// Owners and privileges of ordinary objects are documents of storage/schema, by the ids that storage/tables gives and never gives
// again: a name that is used anew, another schema's or another session's temporary one has nothing of what an older one had.

// ordinaryRef is what the privileges of an ordinary object are known by; ok is false for a kind that has none of its own.
func ordinaryRef(o *tables.Object) (ref schema.Ref, ok bool) {
	switch o.Kind {
	case tables.Schema:
		return schema.Ref{Class: schema.ClassSchema, Name: o.Name}, true
	case tables.Sequence:
		return schema.Ref{Class: schema.ClassSequence, Ordinary: o.ID}, true
	case tables.Table, tables.View, tables.MaterializedView:
		return schema.Ref{Class: schema.ClassOrdinary, Ordinary: o.ID}, true
	}
	return schema.Ref{}, false
}

// relationRef is the relation that a name means, an index being a part of its table; ok is false where there is none that has
// privileges. o is the ordinary object, nil for one of the catalog's own. Ordinary objects have been read (ordinary).
func (s *Session) relationRef(c *schema.Catalog, space, name string) (ref schema.Ref, o *tables.Object, ok bool) {
	if space == "" || space == publicSchema {
		if ref, ok = schema.RefOf(c.Lookup(name)); ok {
			return ref, nil, true
		}
	}
	if o = s.find(s.tabs, space, name); o == nil {
		return schema.Ref{}, nil, false
	}
	of := o
	if o.Kind == tables.Index {
		of = s.tabs.ByID[o.Of.Table]
	}
	ref, ok = ordinaryRef(of)
	return ref, o, ok
}

// containing is the schema of an object, or the database of a schema: where its owner must be able to make one.
func (s *Session) containing(ref schema.Ref) schema.Ref {
	switch o := s.tabs.ByID[ref.Ordinary]; {
	case ref.Class == schema.ClassSchema:
		return schema.Ref{Class: schema.ClassDatabase, Name: s.info.Database}
	case o != nil:
		return schema.Ref{Class: schema.ClassSchema, Name: o.Schema}
	}
	return schema.Ref{Class: schema.ClassSchema, Name: publicSchema}
}

// ownedSequences are the sequences of a table's columns, whose owner is the table's.
func (s *Session) ownedSequences(ref schema.Ref) []schema.Ref {
	var out []schema.Ref
	if ref.Class != schema.ClassOrdinary {
		return nil
	}
	for _, o := range s.tabs.Sorted(func(o *tables.Object) bool { return o.Kind == tables.Sequence && o.OwnedBy == ref.Ordinary }) {
		part, _ := ordinaryRef(o)
		out = append(out, part)
	}
	return out
}

// adoptOrdinary gives a new object its owner and the privileges that the owner's default privileges say, as a step of the open
// transaction. A savepoint makes objects again, under their ids: what has a document keeps it.
func (s *Session) adoptOrdinary(o *tables.Object) error {
	ref, ok := ordinaryRef(o)
	if !ok || o.Temp || o.Kind == tables.Schema { // createSchema says whose a schema is
		return nil
	}
	owner := s.role
	if of := s.tabs.ByID[o.OwnedBy]; of != nil {
		table, _ := ordinaryRef(of)
		owner = s.catalog().Owner(table)
	}
	return s.own(ref, o.Schema, owner)
}

// own makes a role the owner of a new object.
func (s *Session) own(ref schema.Ref, space string, owner uint32) error {
	c := s.catalog()
	if c.PrivilegesOf(ref) != nil || owner == schema.BootstrapID && c.InitialACL(ref, space, owner) == nil {
		return nil // what nothing is written of belongs to the bootstrap role
	}
	return s.takeRights(func(c *schema.Catalog) error {
		if c.PrivilegesOf(ref) == nil {
			c.SetPrivileges(schema.Privileges{Ref: ref, Owner: owner, ACL: c.InitialACL(ref, space, owner)})
		}
		return nil
	})
}

// forgetRights takes the owner and privileges of an object that is dropped.
func (s *Session) forgetRights(o *tables.Object) error {
	ref, ok := ordinaryRef(o)
	if !ok || o.Temp || s.catalog().PrivilegesOf(ref) == nil {
		return nil
	}
	return s.takeRights(func(c *schema.Catalog) error {
		c.DropPrivileges(ref)
		return nil
	})
}

// behindOrdinary checks that an ordinary view's owner may read what the view reads. The rows of a materialized view were read when
// they were written.
func (a *access) behindOrdinary(ref schema.Ref, depth int) error {
	v := a.s.tabs.ByID[ref.Ordinary]
	if v == nil || v.Kind != tables.View {
		return nil
	}
	return a.ownerReads(v, ref, depth)
}

// ownerReads checks that the owner of a view may read what its SELECT reads.
func (a *access) ownerReads(v *tables.Object, ref schema.Ref, depth int) error {
	owner := a.cat.Owner(ref)
	if v.Temp {
		owner = a.role
	}
	if a.cat.Superuser(owner) {
		return nil
	}
	n, err := viewSelect(v)
	if err != nil {
		return err
	}
	of := &access{a.ctx, a.s, a.cat, owner, depth + 1}
	return of.query(n)
}

// mayUse reports whether the session's role may use a schema: search_path passes over those that it may not.
func (s *Session) mayUse(space string) bool {
	return s.catalog().Allowed(s.role, schema.Ref{Class: schema.ClassSchema, Name: space}, schema.Usage) != 0
}

// sequenceRights are those of the session's role on a sequence. Who may write the table of an identity column may draw its values.
func (s *Session) sequenceRights(o *tables.Object) schema.Rights {
	c := s.catalog()
	ref, _ := ordinaryRef(o)
	if o.Temp || c.Superuser(s.role) {
		return ref.Class.Rights()
	}
	may := c.Allowed(s.role, ref, ref.Class.Rights())
	if t := s.tabs.ByID[o.OwnedBy]; t != nil {
		column := t.Column(o.OwnedByColumn)
		table, _ := ordinaryRef(t)
		if column != nil && column.Identity != "" && c.Allowed(s.role, table, schema.Insert|schema.Update) != 0 {
			may |= schema.Usage
		}
	}
	return may
}

// mayCall are the rights of which one lets a role call a function of sequences.
var mayCall = map[int64]schema.Rights{callNext: schema.Usage | schema.Update, callCurrent: schema.Usage | schema.Select, callLast: schema.Usage | schema.Select, callSet: schema.Update}

// sameOwner refuses to link a sequence to a table of another role's.
func (s *Session) sameOwner(seq, table *tables.Object) error {
	c, owner := s.catalog(), s.role
	if s.tabs.ByID[seq.ID] != nil {
		ref, _ := ordinaryRef(seq)
		owner = c.Owner(ref)
	}
	ref, ok := ordinaryRef(table)
	if ok && !seq.Temp && !table.Temp && c.Owner(ref) != owner {
		return fail("55000", "sequence must have same owner as table it is linked to")
	}
	return nil
}

// showsRows reports whether the session's role may be told of a table's rows, which errors do.
func (s *Session) showsRows(o *tables.Object) bool {
	ref, ok := ordinaryRef(o)
	return !ok || o.Temp || s.catalog().Allowed(s.role, ref, schema.Select) != 0
}

// mayMaintain tells that VACUUM or ANALYZE skips a relation of another's; it does nothing anyway.
func (s *Session) mayMaintain(ctx context.Context, rv *pg_query.RangeVar, verb string) error {
	if _, err := s.ordinary(ctx); err != nil {
		return err
	}
	c := s.catalog()
	if ref, o, ok := s.relationRef(c, rv.Schemaname, rv.Relname); ok && (o == nil || !o.Temp) && !c.Owns(s.role, ref) {
		s.notice(warning("01000", "skipping %q --- only table or database owner can %s it", rv.Relname, verb))
	}
	return nil
}

// schemaOwner is the role that CREATE SCHEMA … AUTHORIZATION gives the schema to.
func (s *Session) schemaOwner(c *schema.Catalog, spec *pg_query.RoleSpec) (uint32, error) {
	if spec == nil {
		return s.role, nil
	}
	r, err := s.roleOf(c, spec)
	if err != nil {
		return 0, err
	}
	if !c.MemberOf(s.role, r.ID) {
		return 0, denied("must be member of role %q", r.Name)
	}
	return r.ID, nil
}

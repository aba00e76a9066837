package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// publicSchema is the schema of everything that is made here.
const publicSchema = "public"

// grantTarget is an object of a GRANT, with its name for messages.
type grantTarget struct {
	ref  schema.Ref
	name string
}

// refWords is an object in the words of a message: table x, feature y, schema z. Ordinary objects have been read (ordinary).
func (s *Session) refWords(c *schema.Catalog, ref schema.Ref) string {
	switch ref.Class {
	case schema.ClassRelation:
		if r := c.Relations[ref.ID]; r != nil {
			return strings.ToLower(objectKind(r)) + " " + r.Name
		}
	case schema.ClassEntity:
		if e := c.Entities[ref.ID]; e != nil {
			return "entity " + e.Name
		}
	case schema.ClassFeature:
		if f := c.Features[ref.ID]; f != nil {
			return "feature " + f.Name
		}
	case schema.ClassFeatureView:
		if v := c.FeatureViews[ref.ID]; v != nil {
			return "feature view " + v.Name
		}
	case schema.ClassFunction:
		if f := c.Functions[ref.ID]; f != nil {
			return "function " + f.Name
		}
	case schema.ClassConnection:
		if x := c.Connections[ref.ID]; x != nil {
			return "connection " + x.Name
		}
	case schema.ClassSecret:
		if x := c.Secrets[ref.ID]; x != nil {
			return "secret " + x.Name
		}
	case schema.ClassOrdinary, schema.ClassSequence:
		if o := s.tabs.ByID[ref.Ordinary]; o != nil {
			return string(o.Kind) + " " + o.Name
		}
	}
	return string(ref.Class) + " " + ref.Name
}

// hasSchema reports whether a schema is there: a system's or a user's. Ordinary objects have been read.
func (s *Session) hasSchema(name string) bool {
	return slices.Contains(schema.SystemSchemas, name) || s.tabs.HasSchema(name)
}

func noSchema(name string) *session.Error {
	return fail(codeInvalidSchema, "schema %q does not exist", name)
}

// relationTarget is the relation of a GRANT. Errors: 42P01, 3F000, 42809, 0A000.
func (s *Session) relationTarget(c *schema.Catalog, rv *pg_query.RangeVar, class schema.Class, kind parse.Object) (grantTarget, error) {
	if rv.Schemaname != "" && rv.Schemaname != tables.TempSchema && !s.hasSchema(rv.Schemaname) {
		return grantTarget{}, noSchema(rv.Schemaname)
	}
	ref, o, ok := s.relationRef(c, rv.Schemaname, rv.Relname)
	switch {
	case !ok && rv.Schemaname != publicSchema && slices.Contains(schema.SystemSchemas, rv.Schemaname):
		return grantTarget{}, fail(codeUnsupported, "privileges on relations of schema %q cannot be changed", rv.Schemaname)
	case !ok:
		return grantTarget{}, noRelation(rv)
	case o != nil && o.Kind == tables.Index:
		return grantTarget{}, fail(codeWrongObject, "%q is an index", o.Name)
	case o != nil && o.Temp:
		return grantTarget{}, fail(codeUnsupported, "privileges on temporary %s %q cannot be changed: no other session sees it", o.Kind, o.Name)
	case class == schema.ClassSequence && ref.Class != schema.ClassSequence:
		return grantTarget{}, fail(codeWrongObject, "%q is not a sequence", rv.Relname)
	}
	is := objectKind(c.Lookup(rv.Relname))
	if o != nil {
		is = strings.ToUpper(string(o.Kind))
	}
	if kind != "" && is != string(kind) {
		return grantTarget{}, hint(fail(codeWrongObject, "%q is not a %s", rv.Relname, strings.ToLower(string(kind))), "It is an object of another kind: GRANT … ON %s %s.", is, rv.Relname)
	}
	return grantTarget{ref, rv.Relname}, nil
}

// grantClasses are the classes by what GRANT calls them.
var grantClasses = map[pg_query.ObjectType]schema.Class{pg_query.ObjectType_OBJECT_TABLE: schema.ClassRelation, pg_query.ObjectType_OBJECT_SEQUENCE: schema.ClassSequence,
	pg_query.ObjectType_OBJECT_SCHEMA: schema.ClassSchema, pg_query.ObjectType_OBJECT_DATABASE: schema.ClassDatabase,
	pg_query.ObjectType_OBJECT_FUNCTION: schema.ClassFunction, pg_query.ObjectType_OBJECT_ROUTINE: schema.ClassFunction, pg_query.ObjectType_OBJECT_PROCEDURE: "procedure"}

// grantObjects are the objects that a GRANT names.
func (s *Session) grantObjects(c *schema.Catalog, n *pg_query.GrantStmt, class schema.Class, kind parse.Object) (out []grantTarget, err error) {
	for _, o := range n.Objects {
		name := o.GetString_().GetSval()
		if n.Targtype == pg_query.GrantTargetType_ACL_TARGET_ALL_IN_SCHEMA {
			if !s.hasSchema(name) {
				return nil, noSchema(name)
			}
			out = append(out, s.allObjects(c, class, name)...)
			continue
		}
		t := grantTarget{schema.Ref{Class: class, Name: name}, name}
		switch class {
		case schema.ClassRelation, schema.ClassSequence:
			if t, err = s.relationTarget(c, o.GetRangeVar(), class, kind); err != nil {
				return nil, err
			}
		case schema.ClassConnection, schema.ClassSecret:
			name = o.GetRangeVar().GetRelname()
			x := ofKind(c, string(kind), name)
			if x == nil {
				return nil, fail(codeUndefinedObject, "%s %q does not exist", class, name)
			}
			t.name = name
			t.ref, _ = schema.RefOf(x)
		case schema.ClassSchema:
			if !s.hasSchema(name) {
				return nil, noSchema(name)
			}
		case schema.ClassDatabase:
			if name != s.info.Database {
				return nil, fail("3D000", "database %q does not exist", name)
			}
		case schema.ClassFunction:
			words := o.GetObjectWithArgs().GetObjname()
			t.name = words[len(words)-1].GetString_().GetSval()
			f := c.Function(t.name)
			if f == nil {
				return nil, fail("42883", "function %s does not exist", t.name)
			}
			t.ref, _ = schema.RefOf(f)
		default:
			return nil, fail(codeUndefinedObject, "procedures do not exist")
		}
		out = append(out, t)
	}
	return out, nil
}

// allObjects are the objects of a class in a schema, all that is read as a relation being of one. Ordinary objects have been read.
func (s *Session) allObjects(c *schema.Catalog, class schema.Class, space string) []grantTarget {
	var out []grantTarget
	add := func(o any, name string) {
		ref, _ := schema.RefOf(o)
		out = append(out, grantTarget{ref, name})
	}
	switch {
	case space != publicSchema:
	case class == schema.ClassFunction:
		for _, f := range c.Functions {
			add(f, f.Name)
		}
	case class == schema.ClassRelation:
		for _, r := range c.Relations {
			add(r, r.Name)
		}
		for _, e := range c.Entities {
			add(e, e.Name)
		}
		for _, f := range c.Features {
			add(f, f.Name)
		}
		for _, v := range c.FeatureViews {
			add(v, v.Name)
		}
	}
	for _, o := range s.tabs.ByID {
		ref, ok := ordinaryRef(o)
		if ok && !o.Temp && o.Schema == space && (class == ref.Class || class == schema.ClassRelation && ref.Class == schema.ClassOrdinary) {
			out = append(out, grantTarget{ref, o.Name})
		}
	}
	slices.SortFunc(out, func(a, b grantTarget) int { return strings.Compare(a.name, b.name) })
	return out
}

// grantRights are the privileges that a GRANT names; none named are all.
func grantRights(n *pg_query.GrantStmt, class schema.Class) (rights schema.Rights, all bool, err error) {
	can := class.Rights()
	words := map[schema.Class]string{schema.ClassRelation: "relation"}[class]
	if words == "" {
		words = string(class)
	}
	if len(n.Privileges) == 0 {
		return can, true, nil
	}
	for _, p := range n.Privileges {
		a := p.GetAccessPriv()
		if a.PrivName == "" { // ALL PRIVILEGES (column)
			return 0, false, columnRights()
		}
		r := schema.RightNamed(a.PrivName)
		switch {
		case r == 0:
			return 0, false, fail("42601", "unrecognized privilege type %q", a.PrivName)
		case len(a.Cols) > 0:
			return 0, false, columnRights()
		case r&can == 0:
			if class == schema.ClassRelation && r == schema.Usage { // a sequence would have it
				words = "table"
			}
			return 0, false, fail(codeInvalidGrant, "invalid privilege type %s for %s", r.Names()[0], words)
		}
		rights |= r
	}
	return rights, false, nil
}

func columnRights() error {
	return hint(fail(codeUnsupported, "privileges on columns are not supported"), "Features are granted one by one; of a table, CREATE VIEW … AS SELECT the columns, and grant SELECT on the view.")
}

// bindGrant binds GRANT and REVOKE of privileges. kind is the kind of object of ours that it names, "" for any.
func (s *Session) bindGrant(st *parse.SQL, n *pg_query.GrantStmt, kind parse.Object) (bound, error) {
	return s.definition(func(ctx context.Context) (string, error) {
		class := grantClasses[n.Objtype]
		switch kind {
		case parse.Connection:
			class = schema.ClassConnection
		case parse.Secret:
			class = schema.ClassSecret
		}
		if class == "" {
			return "", hint(fail(codeUnsupported, "GRANT and REVOKE on this kind of object are not supported"), "There are privileges on tables, sequences, sources, entities, features, views, feature views, functions, schemas and the database.")
		}
		if _, err := s.ordinary(ctx); err != nil {
			return "", err
		}
		rights, all, err := grantRights(n, class)
		if err != nil {
			return "", err
		}
		tag := "GRANT"
		if !n.IsGrant {
			tag = "REVOKE"
		}
		return tag, s.rightsStep(func(c *schema.Catalog, notice func(session.Notice)) error {
			if n.Grantor != nil {
				if g, err := s.roleOf(c, n.Grantor); err != nil {
					return err
				} else if g.ID != s.role {
					return fail(codeInvalidGrant, "grantor must be current user")
				}
			}
			grantees, err := s.grantees(c, n)
			if err != nil {
				return err
			}
			targets, err := s.grantObjects(c, n, class, kind)
			if err != nil {
				return err
			}
			for _, t := range targets {
				if err := s.grant(c, n, t, grantees, rights, all, notice); err != nil {
					return err
				}
			}
			return nil
		})
	}), nil
}

// grantees are the roles of a GRANT, Public among them.
func (s *Session) grantees(c *schema.Catalog, n *pg_query.GrantStmt) ([]uint32, error) {
	var out []uint32
	for _, g := range n.Grantees {
		spec := g.GetRoleSpec()
		if spec.Roletype == pg_query.RoleSpecType_ROLESPEC_PUBLIC {
			if n.IsGrant && n.GrantOption {
				return nil, fail(codeInvalidGrant, "grant options can only be granted to roles")
			}
			out = append(out, schema.Public)
			continue
		}
		r, err := s.roleOf(c, spec)
		if err != nil {
			return nil, err
		}
		out = append(out, r.ID)
	}
	return out, nil
}

// grantor is the role in whose name this one grants, and what it may: the owner where it has its rights, else the one of its
// roles that may give on the most.
func (s *Session) grantor(c *schema.Catalog, ref schema.Ref, rights schema.Rights) (uint32, schema.Rights) {
	if c.Owns(s.role, ref) {
		return c.Owner(ref), rights
	}
	best, may := s.role, schema.Rights(0)
	acl, _ := c.ACLOf(ref)
	for _, g := range acl {
		if g.Grantee != schema.Public && c.HasRightsOf(s.role, g.Grantee) {
			if can := g.Grantable & rights; len(can.Names()) > len(may.Names()) {
				best, may = g.Grantee, can
			}
		}
	}
	return best, may
}

// grant grants or revokes on one object.
func (s *Session) grant(c *schema.Catalog, n *pg_query.GrantStmt, t grantTarget, grantees []uint32, rights schema.Rights, all bool, notice func(session.Notice)) error {
	grantor, may := s.grantor(c, t.ref, rights)
	if may == 0 {
		every := t.ref.Class.Rights()
		acl, _ := c.ACLOf(t.ref)
		if c.Allowed(s.role, t.ref, every) == 0 && !slices.ContainsFunc(acl, func(g schema.Grant) bool { return g.Grantee == s.role }) {
			return denied("permission denied for %s", s.refWords(c, t.ref))
		}
	}
	switch {
	case n.IsGrant && may == 0:
		notice(warning(codeNotGranted, "no privileges were granted for %q", t.name))
	case n.IsGrant && !all && may != rights:
		notice(warning(codeNotGranted, "not all privileges were granted for %q", t.name))
	case !n.IsGrant && may == 0:
		notice(warning(codeNotRevoked, "no privileges could be revoked for %q", t.name))
	case !n.IsGrant && !all && may != rights:
		notice(warning(codeNotRevoked, "not all privileges could be revoked for %q", t.name))
	}
	if may == 0 {
		return nil
	}
	acl, _ := c.ACLOf(t.ref)
	owner := c.Owner(t.ref)
	var err error
	for _, g := range grantees {
		if acl, err = changeACL(acl, n, owner, grantor, g, may); err != nil {
			return err
		}
	}
	p := c.CurrentPrivileges(t.ref)
	p.ACL = &acl
	c.SetPrivileges(p)
	return nil
}

// changeACL is a list after a grant or revocation by a grantor.
func changeACL(acl schema.ACL, n *pg_query.GrantStmt, owner, grantor, grantee uint32, rights schema.Rights) (schema.ACL, error) {
	g := schema.Grant{Grantee: grantee, Grantor: grantor, Rights: rights}
	if n.IsGrant {
		if n.GrantOption && grantee != owner { // the owner has them anyway
			g.Grantable = rights
		}
		return acl.With(g), nil
	}
	if n.GrantOption { // GRANT OPTION FOR
		g.Rights, g.Grantable = 0, rights
	}
	return revoke(acl, g, owner, n.Behavior == pg_query.DropBehavior_DROP_CASCADE)
}

// revoke takes rights, and what the grantee gave of them on.
func revoke(acl schema.ACL, g schema.Grant, owner uint32, cascade bool) (schema.ACL, error) {
	out := acl.Without(g)
	if g.Grantee == owner || g.Grantee == schema.Public {
		return out, nil
	}
	var left schema.Rights // that it may still give on
	for _, have := range out {
		if have.Grantee == g.Grantee {
			left |= have.Grantable
		}
	}
	lost := (g.Rights | g.Grantable) &^ left
	for _, have := range out {
		if have.Grantor != g.Grantee || have.Rights&lost == 0 {
			continue
		}
		if !cascade {
			return nil, hint(fail(codeDependent, "dependent privileges exist"), "Use CASCADE to revoke them too.")
		}
		var err error
		if out, err = revoke(out, schema.Grant{Grantee: have.Grantee, Grantor: have.Grantor, Rights: have.Rights & lost}, owner, true); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// bindDefaultPrivileges binds ALTER DEFAULT PRIVILEGES.
func (s *Session) bindDefaultPrivileges(n *pg_query.AlterDefaultPrivilegesStmt) (bound, error) {
	return s.definition(func(ctx context.Context) (string, error) {
		const tag = "ALTER DEFAULT PRIVILEGES"
		if _, err := s.ordinary(ctx); err != nil {
			return "", err
		}
		var roles, schemas []*pg_query.Node
		for _, o := range n.Options {
			switch d := o.GetDefElem(); d.Defname {
			case "roles":
				roles = d.Arg.GetList().GetItems()
			case "schemas":
				schemas = d.Arg.GetList().GetItems()
			}
		}
		class := grantClasses[n.Action.Objtype]
		if !slices.Contains([]schema.Class{schema.ClassRelation, schema.ClassSequence, schema.ClassFunction}, class) {
			return "", hint(fail(codeUnsupported, "default privileges on this kind of object are not supported"), "There are default privileges on TABLES, which stand for sources, entities, features and views, too, on SEQUENCES and on FUNCTIONS.")
		}
		rights, _, err := grantRights(n.Action, class)
		if err != nil {
			return "", err
		}
		return tag, s.rightsStep(func(c *schema.Catalog, _ func(session.Notice)) error {
			targets, err := s.roleSpecs(c, roles)
			if err != nil {
				return err
			}
			if roles == nil {
				targets = []*schema.Role{c.Roles[s.role]}
			}
			grantees, err := s.grantees(c, n.Action)
			if err != nil {
				return err
			}
			spaces := []string{""}
			if schemas != nil {
				spaces = nil
				for _, o := range schemas {
					name := o.GetString_().GetSval()
					if !s.hasSchema(name) {
						return noSchema(name)
					}
					spaces = append(spaces, name)
				}
			}
			for _, r := range targets {
				if r == nil || !c.MemberOf(s.role, r.ID) {
					return denied("must be member of role %q", r.Name)
				}
				for _, space := range spaces {
					if err := setDefaults(c, n.Action, r.ID, space, class, grantees, rights); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}), nil
}

// setDefaults changes what a role's new objects of a class have for privileges.
func setDefaults(c *schema.Catalog, n *pg_query.GrantStmt, role uint32, space string, class schema.Class, grantees []uint32, rights schema.Rights) error {
	initial := schema.ACL{} // those of one schema are added
	if space == "" {
		initial = schema.DefaultACL(schema.Ref{Class: class}, role)
	}
	d := &schema.DefaultPrivileges{ID: 1, Role: role, Schema: space, Class: class, ACL: initial}
	found := false
	for id, have := range c.Defaults {
		if have.Role == role && have.Schema == space && have.Class == class {
			next := *have
			d, found = &next, true
			break
		}
		d.ID = max(d.ID, id+1)
	}
	if !found {
		for id := range c.Defaults {
			d.ID = max(d.ID, id+1)
		}
	}
	var err error
	for _, g := range grantees {
		if d.ACL, err = changeACL(d.ACL, n, role, role, g, rights); err != nil {
			return err
		}
	}
	if slices.Equal(d.ACL, initial) {
		delete(c.Defaults, d.ID)
		return nil
	}
	c.Defaults[d.ID] = d
	return nil
}

// newOwner gives objects another owner.
func (s *Session) newOwner(c *schema.Catalog, to *pg_query.RoleSpec, targets ...grantTarget) error {
	r, err := s.roleOf(c, to)
	if err != nil {
		return err
	}
	for _, t := range targets {
		if !c.Owns(s.role, t.ref) {
			return s.mustOwn(c, t.ref)
		}
		p := c.CurrentPrivileges(t.ref)
		if p.Owner == r.ID {
			continue
		}
		if !c.Superuser(s.role) {
			if !c.MemberOf(s.role, r.ID) {
				return denied("must be member of role %q", r.Name)
			}
			if in := s.containing(t.ref); c.Allowed(r.ID, in, schema.Create) == 0 {
				return denied("permission denied for %s %s", in.Class, in.Name)
			}
		}
		if acl, explicit := c.ACLOf(t.ref); explicit {
			acl = acl.NewOwner(p.Owner, r.ID)
			p.ACL = &acl
		}
		p.Owner = r.ID
		c.SetPrivileges(p)
		for _, part := range s.ownedSequences(t.ref) {
			q := c.CurrentPrivileges(part)
			if acl, explicit := c.ACLOf(part); explicit {
				acl = acl.NewOwner(q.Owner, r.ID)
				q.ACL = &acl
			}
			q.Owner = r.ID
			c.SetPrivileges(q)
		}
	}
	return nil
}

func (s *Session) mustOwn(c *schema.Catalog, ref schema.Ref) *session.Error {
	return denied("must be owner of %s", s.refWords(c, ref))
}

// bindOwner binds OWNER TO of an object of a name.
func (s *Session) bindOwner(tag, space, name string, missingOK bool, to *pg_query.RoleSpec) (bound, error) {
	return s.definition(func(ctx context.Context) (string, error) {
		if _, err := s.ordinary(ctx); err != nil {
			return "", err
		}
		return tag, s.rightsStep(func(c *schema.Catalog, notice func(session.Notice)) error {
			ref, o, ok := s.relationRef(c, space, name)
			switch {
			case !ok && missingOK:
				notice(session.Notice{Message: fmt.Sprintf("relation %q does not exist, skipping", name)})
				return nil
			case !ok:
				return noRelation(&pg_query.RangeVar{Schemaname: space, Relname: name})
			case o != nil && o.Temp:
				return fail(codeUnsupported, "the owner of temporary %s %q cannot be changed: no other session sees it", o.Kind, o.Name)
			case o != nil && o.Kind == tables.Index:
				return hint(fail(codeWrongObject, "cannot change owner of index %q", o.Name), "Change the ownership of the index's table, instead.")
			case o != nil && o.Kind == tables.Sequence && o.OwnedBy != 0:
				e := fail(codeUnsupported, "cannot change owner of sequence %q", o.Name)
				e.Detail = fmt.Sprintf("Sequence %q is linked to table %q.", o.Name, s.tabs.ByID[o.OwnedBy].Name)
				return e
			}
			return s.newOwner(c, to, grantTarget{ref, name})
		})
	}), nil
}

// bindAlterOwner binds OWNER TO of what is no relation.
func (s *Session) bindAlterOwner(st *parse.SQL, n *pg_query.AlterOwnerStmt) (bound, error) {
	var find func(c *schema.Catalog) (grantTarget, error)
	tag := ""
	switch n.ObjectType {
	case pg_query.ObjectType_OBJECT_SCHEMA:
		name := n.Object.GetString_().GetSval()
		tag = "ALTER SCHEMA"
		find = func(*schema.Catalog) (grantTarget, error) {
			if !s.hasSchema(name) {
				return grantTarget{}, noSchema(name)
			}
			return grantTarget{schema.Ref{Class: schema.ClassSchema, Name: name}, name}, nil
		}
	case pg_query.ObjectType_OBJECT_FUNCTION, pg_query.ObjectType_OBJECT_ROUTINE:
		words := n.Object.GetObjectWithArgs().GetObjname()
		name := words[len(words)-1].GetString_().GetSval()
		tag = "ALTER FUNCTION"
		find = func(c *schema.Catalog) (grantTarget, error) {
			f := c.Function(name)
			if f == nil {
				return grantTarget{}, fail("42883", "function %s does not exist", name)
			}
			ref, _ := schema.RefOf(f)
			return grantTarget{ref, name}, nil
		}
	default:
		return bound{}, fail(codeUnsupported, "%s … OWNER TO is not supported", firstWords(st.Text))
	}
	return s.definition(func(ctx context.Context) (string, error) {
		if _, err := s.ordinary(ctx); err != nil {
			return "", err
		}
		return tag, s.rightsStep(func(c *schema.Catalog, _ func(session.Notice)) error {
			t, err := find(c)
			if err != nil {
				return err
			}
			return s.newOwner(c, n.Newowner, t)
		})
	}), nil
}

// bindReassignOwned binds REASSIGN OWNED BY.
func (s *Session) bindReassignOwned(n *pg_query.ReassignOwnedStmt) (bound, error) {
	return s.definition(func(context.Context) (string, error) {
		return "REASSIGN OWNED", s.rightsStep(func(c *schema.Catalog, _ func(session.Notice)) error {
			from, err := s.roleSpecs(c, n.Roles)
			if err != nil {
				return err
			}
			to, err := s.roleOf(c, n.Newrole)
			if err != nil {
				return err
			}
			for _, r := range append(slices.Clone(from), to) {
				if !c.HasRightsOf(s.role, r.ID) {
					return denied("permission denied to reassign objects")
				}
			}
			for _, p := range c.Privileges {
				if !slices.ContainsFunc(from, func(r *schema.Role) bool { return r.ID == p.Owner }) {
					continue
				}
				next := *p
				if next.ACL != nil {
					acl := next.ACL.NewOwner(p.Owner, to.ID)
					next.ACL = &acl
				}
				next.Owner = to.ID
				c.SetPrivileges(next)
			}
			return nil
		})
	}), nil
}

// bindDropOwned binds DROP OWNED BY: it takes the roles' privileges. Objects that belong to them are left to DROP.
func (s *Session) bindDropOwned(n *pg_query.DropOwnedStmt) (bound, error) {
	return s.definition(func(ctx context.Context) (string, error) {
		if _, err := s.ordinary(ctx); err != nil {
			return "", err
		}
		return "DROP OWNED", s.rightsStep(func(c *schema.Catalog, _ func(session.Notice)) error {
			roles, err := s.roleSpecs(c, n.Roles)
			if err != nil {
				return err
			}
			for _, r := range roles {
				if !c.HasRightsOf(s.role, r.ID) {
					return denied("permission denied to drop objects")
				}
				for _, p := range c.Privileges {
					if p.Owner == r.ID {
						return hint(fail(codeUnsupported, "DROP OWNED BY does not drop %s, which belongs to role %q", s.refWords(c, p.Ref), r.Name), "DROP it, or REASSIGN OWNED BY %s TO …", r.Name)
					}
					if p.ACL == nil {
						continue
					}
					acl := *p.ACL
					for _, g := range *p.ACL {
						if g.Grantee == r.ID {
							if acl, err = revoke(acl, schema.Grant{Grantee: g.Grantee, Grantor: g.Grantor, Rights: g.Rights}, p.Owner, true); err != nil {
								return err
							}
						}
					}
					next := *p
					next.ACL = &acl
					c.SetPrivileges(next)
				}
				for id, d := range c.Defaults {
					if d.Role == r.ID {
						delete(c.Defaults, id)
						continue
					}
					next := *d
					next.ACL = slices.DeleteFunc(slices.Clone(d.ACL), func(g schema.Grant) bool { return g.Grantee == r.ID })
					c.Defaults[id] = &next
				}
			}
			return nil
		})
	}), nil
}

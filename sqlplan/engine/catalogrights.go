package engine

import (
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/sqlplan/pgcatalog"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// addRights adds the roles, and who owns what and may do what with it, to what clients see of the catalogs.
func (s *Session) addRights(o *pgcatalog.Objects, c *schema.Catalog, tabs *tables.Catalog) {
	o.User = roleName(s, s.role)
	o.Roles = nil
	for _, r := range c.AllRoles() {
		if !r.Predefined() { // those are PostgreSQL's rows
			x := pgcatalog.Role{OID: r.ID, Name: r.Name, Super: r.Superuser, Inherit: !r.NoInherit, CreateRole: r.CreateRole, CreateDB: r.CreateDB, Login: r.Login,
				Replication: r.Replication, BypassRLS: r.BypassRLS, ConnectionLimit: r.ConnectionLimit(), ValidUntil: r.ValidUntil, Comment: r.Comment}
			for name, v := range r.Settings {
				x.Config = append(x.Config, name+"="+v)
			}
			slices.Sort(x.Config)
			o.Roles = append(o.Roles, x)
		}
	}
	for _, m := range c.AllMemberships() {
		if !m.Predefined() {
			o.Members = append(o.Members, pgcatalog.Member{Role: m.Role, Member: m.Member, Grantor: m.Grantor, Admin: m.Admin})
		}
	}
	refs := objectRefs(c, tabs)
	database := schema.Ref{Class: schema.ClassDatabase, Name: s.info.Database}
	refs[o.DatabaseOID], o.DatabaseACL = database, c.ACLText(database)
	for name, oid := range map[string]uint32{tables.Public: pgcatalog.SchemaPublic, "pg_catalog": pgcatalog.SchemaCatalog, "tilehouse": oidTilehouse} {
		refs[oid] = schema.Ref{Class: schema.ClassSchema, Name: name}
		if oid != oidTilehouse && c.PrivilegesOf(refs[oid]) != nil { // those that were never changed are PostgreSQL's rows
			o.Schemas = append(o.Schemas, pgcatalog.Schema{OID: oid, Name: name})
		}
	}
	for i := range o.Schemas {
		if x := &o.Schemas[i]; x.OID != oidTempSchema {
			ref := schema.Ref{Class: schema.ClassSchema, Name: x.Name}
			x.Owner, x.ACL = c.Owner(ref), c.ACLText(ref)
		}
	}
	for _, t := range o.Tables {
		if ref, ok := refs[t.OID]; ok {
			t.Owner, t.ACL = c.Owner(ref), c.ACLText(ref)
		}
	}
	for _, f := range o.Functions {
		if ref, ok := refs[f.OID]; ok {
			f.Owner, f.ACL = c.Owner(ref), c.ACLText(ref)
		}
	}
	kinds := map[schema.Class]byte{schema.ClassRelation: 'r', schema.ClassSequence: 'S', schema.ClassFunction: 'f'}
	for _, d := range c.Defaults {
		space := uint32(0)
		for oid, ref := range refs {
			if d.Schema != "" && ref.Class == schema.ClassSchema && ref.Name == d.Schema {
				space = oid
			}
		}
		o.DefaultACLs = append(o.DefaultACLs, pgcatalog.DefaultACL{OID: hashedOID("defaults", d.ID), Role: d.Role, Schema: space, Kind: kinds[d.Class], ACL: c.Text(d.ACL)})
	}
	asked := &askedRights{c, refs, o.Tables}
	o.Privileged = asked.privileged
	o.HasRole = func(role, of uint32, privilege string) bool {
		switch privilege {
		case "MEMBER":
			return c.MemberOf(role, of)
		case "ADMIN":
			return c.AdminOf(role, of)
		}
		return c.HasRightsOf(role, of)
	}
}

// objectRefs are the objects that have privileges by the object ids that clients know them by.
func objectRefs(c *schema.Catalog, tabs *tables.Catalog) map[uint32]schema.Ref {
	refs := map[uint32]schema.Ref{}
	add := func(kind int, id uint32, class schema.Class) {
		refs[objectOID(kind, id)] = schema.Ref{Class: class, ID: id}
	}
	for id := range c.Relations {
		add(relationOIDs, id, schema.ClassRelation)
	}
	for id := range c.Entities {
		add(entityOIDs, id, schema.ClassEntity)
	}
	for id := range c.Features {
		add(featureOIDs, id, schema.ClassFeature)
	}
	for id := range c.FeatureViews {
		add(featureViewOIDs, id, schema.ClassFeatureView)
	}
	for id := range c.Functions {
		add(functionOIDs, id, schema.ClassFunction)
	}
	for id := range c.Connections {
		add(connectionOIDs, id, schema.ClassConnection)
	}
	for _, o := range tabs.ByID {
		if ref, ok := ordinaryRef(o); ok && !o.Temp {
			refs[ordinaryOID(o.ID)] = ref
		}
	}
	return refs
}

// askedRights answers has_table_privilege and its kin.
type askedRights struct {
	c      *schema.Catalog
	refs   map[uint32]schema.Ref
	tables []*pgcatalog.Table
}

func (a *askedRights) privileged(role uint32, kind string, oid uint32, column int, privilege string) bool {
	if a.c.Superuser(role) {
		return true
	}
	word, grant := strings.CutSuffix(privilege, " WITH GRANT OPTION")
	right := schema.RightNamed(word)
	ref, ok := a.refs[oid]
	if !ok {
		return a.unlisted(role, kind, oid, word, grant)
	}
	may := a.c.Allowed
	if grant {
		may = a.c.Grantable
	}
	if right&ref.Class.Rights() != 0 && may(role, ref, right) != 0 {
		return true
	}
	if ref.Class != schema.ClassEntity || kind != "column" && kind != "any column" {
		return false
	}
	// A feature is a column of its entity.
	name := ""
	if i := slices.IndexFunc(a.tables, func(t *pgcatalog.Table) bool { return t.OID == oid }); i >= 0 && kind == "column" && column > 0 && column <= len(a.tables[i].Columns) {
		name = a.tables[i].Columns[column-1].Name
	}
	for _, f := range a.c.FeaturesOf(ref.ID) {
		fref, _ := schema.RefOf(f)
		names := kind == "any column" || slices.ContainsFunc(f.Outputs, func(o schema.Output) bool { return o.Name == name }) ||
			right == schema.Select && slices.ContainsFunc(a.c.Entities[ref.ID].Keys, func(k schema.Column) bool { return k.Name == name })
		if names && may(role, fref, right) != 0 {
			return true
		}
	}
	return false
}

// unlisted are the rights on what has no owner of its own: what is PostgreSQL's, the views of schema tilehouse, and temporary objects.
func (a *askedRights) unlisted(role uint32, kind string, oid uint32, word string, grant bool) bool {
	switch kind {
	case "table", "column", "any column", "sequence":
		i := slices.IndexFunc(a.tables, func(t *pgcatalog.Table) bool { return t.OID == oid })
		switch {
		case i >= 0 && a.tables[i].Persistence == 't': // no other session sees it
			return true
		case i >= 0 && heldValues[a.tables[i].Name]:
			return word == "SELECT" && !grant && a.c.HasRightsOf(role, schema.ReadAllData)
		}
		return word == "SELECT" && !grant
	case "schema":
		return word == "USAGE" && !grant
	case "function", "type", "language":
		return !grant
	}
	return false
}

package schema

import (
	"cmp"
	"slices"
	"strings"
)

// Rights is a set of privileges.
type Rights uint16

// The privileges, in the order in which PostgreSQL prints them.
const (
	Insert Rights = 1 << iota
	Select
	Update
	Delete
	Truncate
	References
	Trigger
	Execute
	Usage
	Create
	Temporary
	Connect
)

// rightLetters are what PostgreSQL's aclitem writes for them, rightNames what SQL does.
const rightLetters = "arwdDxtXUCTc"

var rightNames = []string{"INSERT", "SELECT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "EXECUTE", "USAGE", "CREATE", "TEMPORARY", "CONNECT"}

// RightNamed is the privilege of a name, in any case; 0 where there is none.
func RightNamed(name string) Rights {
	name = strings.ToUpper(name)
	if name == "TEMP" {
		name = "TEMPORARY"
	}
	if i := slices.Index(rightNames, name); i >= 0 {
		return 1 << i
	}
	return 0
}

// Names are the names of the privileges in r, as SQL writes them.
func (r Rights) Names() []string {
	var out []string
	for i, n := range rightNames {
		if r&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return out
}

// Letters are the privileges in r, as aclitem writes them.
func (r Rights) Letters() string {
	out := ""
	for i := range len(rightLetters) {
		if r&(1<<i) != 0 {
			out += rightLetters[i : i+1]
		}
	}
	return out
}

// Class is a kind of object that has an owner and privileges.
type Class string

// The classes. Ordinary tables, views and sequences are known by the id that storage/tables gives them, schemas and the database
// by name.
const (
	ClassRelation    Class = KindRelation
	ClassEntity      Class = KindEntity
	ClassFeature     Class = KindFeature
	ClassFeatureView Class = KindFeatureView
	ClassFunction    Class = KindFunction
	ClassConnection  Class = KindConnection
	ClassSecret      Class = KindSecret
	ClassOrdinary    Class = "ordinary"
	ClassSequence    Class = "sequence"
	ClassSchema      Class = "schema"
	ClassDatabase    Class = "database"
)

// Rights are those that there are on an object of the class.
func (k Class) Rights() Rights {
	switch k {
	case ClassFunction:
		return Execute
	case ClassConnection, ClassSecret:
		return Usage
	case ClassSequence:
		return Usage | Select | Update
	case ClassSchema:
		return Usage | Create
	case ClassDatabase:
		return Create | Temporary | Connect
	}
	return Insert | Select | Update | Delete | Truncate | References | Trigger
}

// Ref names an object that has privileges: by ID, an ordinary one by Ordinary, by Name where its class has no ids.
type Ref struct {
	Class    Class  `json:"class"`
	ID       uint32 `json:"object,omitempty"`
	Ordinary uint64 `json:"ordinary,omitempty"`
	Name     string `json:"name,omitempty"`
}

// SystemSchemas are the schemas that are always there. Everybody may use them.
var SystemSchemas = []string{"public", "pg_catalog", "information_schema", "tilehouse"}

func (r Ref) systemSchema() bool {
	return r.Class == ClassSchema && slices.Contains(SystemSchemas, r.Name)
}

// RefOf is the Ref of an object of the catalog; ok is false for what is none.
func RefOf(o any) (ref Ref, ok bool) {
	switch o := o.(type) {
	case *Relation:
		return Ref{Class: ClassRelation, ID: o.ID}, true
	case *Entity:
		return Ref{Class: ClassEntity, ID: o.ID}, true
	case *Feature:
		return Ref{Class: ClassFeature, ID: o.ID}, true
	case *FeatureView:
		return Ref{Class: ClassFeatureView, ID: o.ID}, true
	case *Function:
		return Ref{Class: ClassFunction, ID: o.ID}, true
	case *Connection:
		return Ref{Class: ClassConnection, ID: o.ID}, true
	case *Secret:
		return Ref{Class: ClassSecret, ID: o.ID}, true
	}
	return Ref{}, false
}

// Public is the grantee that means every role.
const Public uint32 = 0

// Grant is what one role gave to another, or to Public: an aclitem of PostgreSQL's.
type Grant struct {
	Grantee   uint32 `json:"grantee"`
	Grantor   uint32 `json:"grantor"`
	Rights    Rights `json:"rights"`
	Grantable Rights `json:"grantable,omitempty"` // those of Rights that the grantee may give on
}

// ACL is the privileges on an object.
type ACL []Grant

// Privileges is an object's owner and privileges. An object without such a document belongs to the bootstrap role, and has its
// class's default privileges.
type Privileges struct {
	Ref
	ID    uint32 `json:"id"`
	Owner uint32 `json:"owner"`
	ACL   *ACL   `json:"acl,omitempty"` // nil: the default
}

// DefaultPrivileges are what ALTER DEFAULT PRIVILEGES said of the objects that a role will make.
type DefaultPrivileges struct {
	ID     uint32 `json:"id"`
	Role   uint32 `json:"role"`
	Schema string `json:"schema,omitempty"` // "": in all
	Class  Class  `json:"class"`            // ClassRelation stands for all that is read as a relation
	ACL    ACL    `json:"acl"`
}

// defaultClass is the class that default privileges know an object's class by.
func defaultClass(k Class) Class {
	switch k {
	case ClassEntity, ClassFeature, ClassFeatureView, ClassOrdinary:
		return ClassRelation
	}
	return k
}

// DefaultACL is the privileges on an object of a class that nobody granted or revoked anything on.
func DefaultACL(ref Ref, owner uint32) ACL {
	out := ACL{{Grantee: owner, Grantor: owner, Rights: ref.Class.Rights()}}
	switch {
	case ref.Class == ClassFunction:
		out = append(ACL{{Grantee: Public, Grantor: owner, Rights: Execute}}, out...)
	case ref.Class == ClassDatabase:
		out = append(ACL{{Grantee: Public, Grantor: owner, Rights: Temporary | Connect}}, out...)
	case ref.systemSchema():
		out = append(out, Grant{Grantee: Public, Grantor: owner, Rights: Usage})
	}
	return out
}

// PrivilegesOf is the document of an object, nil where it has none.
func (c *Catalog) PrivilegesOf(ref Ref) *Privileges {
	if c.byRef != nil {
		return c.byRef[ref]
	}
	for _, p := range c.Privileges {
		if p.Ref == ref {
			return p
		}
	}
	return nil
}

// Owner is the role that an object belongs to.
func (c *Catalog) Owner(ref Ref) uint32 {
	if p := c.PrivilegesOf(ref); p != nil {
		return p.Owner
	}
	return firstOwner(ref)
}

// firstOwner is the owner of an object without a document.
func firstOwner(ref Ref) uint32 {
	if ref.Class == ClassSchema && ref.Name == "public" {
		return DatabaseOwner
	}
	return BootstrapID
}

// ACLOf is the privileges on an object; explicit is false where they are its class's default.
func (c *Catalog) ACLOf(ref Ref) (acl ACL, explicit bool) {
	if p := c.PrivilegesOf(ref); p != nil && p.ACL != nil {
		return *p.ACL, true
	}
	// PostgreSQL's initdb grants the use of these schemas, so that their privileges are never the default.
	return DefaultACL(ref, c.Owner(ref)), ref.systemSchema()
}

// ACLText is the privileges on an object as PostgreSQL's aclitem[] prints them, nil where they are its class's default.
func (c *Catalog) ACLText(ref Ref) []string {
	acl, explicit := c.ACLOf(ref)
	if !explicit {
		return nil
	}
	return c.Text(acl)
}

// Text is an ACL as PostgreSQL's aclitem[] prints it: grantee=rights/grantor, * after each that may be given on.
func (c *Catalog) Text(acl ACL) []string {
	out := make([]string, 0, len(acl))
	for _, g := range acl {
		var b strings.Builder
		if g.Grantee != Public {
			b.WriteString(aclName(c.RoleName(g.Grantee)))
		}
		b.WriteByte('=')
		for i := range len(rightLetters) {
			if g.Rights&(1<<i) != 0 {
				b.WriteByte(rightLetters[i])
				if g.Grantable&(1<<i) != 0 {
					b.WriteByte('*')
				}
			}
		}
		b.WriteString("/" + aclName(c.RoleName(g.Grantor)))
		out = append(out, b.String())
	}
	return out
}

// aclName is a role's name as an aclitem has it: quoted where it is more than letters, digits and underscores.
func aclName(name string) string {
	plain := strings.IndexFunc(name, func(r rune) bool {
		return !(r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
	}) < 0
	if plain {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// Owns reports whether a role may do with an object what its owner may.
func (c *Catalog) Owns(role uint32, ref Ref) bool { return c.HasRightsOf(role, c.Owner(ref)) }

// Allowed are those of the rights that a role has on an object: of its own, of the roles whose rights it inherits, and Public's. On the versions
// of a source's rows it has those that it has on the source, too.
func (c *Catalog) Allowed(role uint32, ref Ref, want Rights) Rights {
	if c.Superuser(role) {
		return want
	}
	acl, _ := c.ACLOf(ref)
	got := c.has(role, acl, want, false) | c.everywhere(role, ref, want)
	if r := c.Relations[ref.ID]; ref.Class == ClassRelation && r != nil && r.VersionsOf != 0 { // who reads the rows of a source reads their versions
		got |= c.Allowed(role, Ref{Class: ClassRelation, ID: r.VersionsOf}, want)
	}
	return got
}

// Grantable are those of the rights that a role may give on.
func (c *Catalog) Grantable(role uint32, ref Ref, want Rights) Rights {
	if c.Owns(role, ref) {
		return want
	}
	acl, _ := c.ACLOf(ref)
	return c.has(role, acl, want, true)
}

func (c *Catalog) has(role uint32, acl ACL, want Rights, grantable bool) Rights {
	mine := c.roles(role, true)
	var got Rights
	for _, g := range acl {
		switch {
		case grantable && mine[g.Grantee]:
			got |= g.Grantable
		case !grantable && (g.Grantee == Public || mine[g.Grantee]):
			got |= g.Rights
		}
	}
	return got & want
}

// everywhere are the rights that PostgreSQL's roles for all data have.
func (c *Catalog) everywhere(role uint32, ref Ref, want Rights) Rights {
	var got Rights
	switch ref.Class {
	case ClassFunction, ClassDatabase, ClassConnection, ClassSecret:
		return 0
	}
	mine := c.roles(role, true)
	if mine[ReadAllData] {
		got |= Select | Usage
	}
	if mine[WriteAllData] {
		got |= Insert | Update | Delete | Usage
	}
	return got & want & ref.Class.Rights()
}

// SetPrivileges replaces an object's owner and privileges; a document that says the default is none.
func (c *Catalog) SetPrivileges(p Privileges) {
	old := c.PrivilegesOf(p.Ref)
	if p.ACL == nil && p.Owner == firstOwner(p.Ref) {
		if old != nil {
			delete(c.Privileges, old.ID)
			delete(c.byRef, p.Ref)
		}
		return
	}
	if p.ID = 1; old != nil {
		p.ID = old.ID
	} else {
		for id := range c.Privileges {
			p.ID = max(p.ID, id+1)
		}
	}
	c.Privileges[p.ID] = &p
	if c.byRef != nil {
		c.byRef[p.Ref] = &p
	}
}

// CurrentPrivileges is an object's document, or what would be in it.
func (c *Catalog) CurrentPrivileges(ref Ref) Privileges {
	if p := c.PrivilegesOf(ref); p != nil {
		return *p
	}
	return Privileges{Ref: ref, Owner: c.Owner(ref)}
}

// Adopt gives the objects that before lacks their owner, and the privileges that the owner's default privileges say. An object
// that takes the place of another of its kind and name takes over its owner and privileges. What is gone leaves no privileges
// behind. It is called after each change of the objects.
func (c *Catalog) Adopt(before *Catalog, owner uint32) {
	adopt(c, before.Relations, c.Relations, owner, func(o *Relation) string { return o.Name })
	adopt(c, before.Entities, c.Entities, owner, func(o *Entity) string { return o.Name })
	adopt(c, before.Features, c.Features, owner, func(o *Feature) string { return o.Name })
	adopt(c, before.FeatureViews, c.FeatureViews, owner, func(o *FeatureView) string { return o.Name })
	adopt(c, before.Functions, c.Functions, owner, func(o *Function) string { return o.Name })
	adopt(c, before.Connections, c.Connections, owner, func(o *Connection) string { return o.Name })
	adopt(c, before.Secrets, c.Secrets, owner, func(o *Secret) string { return o.Name })
}

func adopt[T any](c *Catalog, before, now map[uint32]*T, owner uint32, name func(o *T) string) {
	for id, o := range now {
		if before[id] != nil {
			continue
		}
		ref, _ := RefOf(any(o))
		p := Privileges{Ref: ref, Owner: owner, ACL: c.InitialACL(ref, "public", owner)}
		for old, was := range before {
			if now[old] == nil && name(was) == name(o) {
				was, _ := RefOf(any(was))
				p = c.CurrentPrivileges(was)
				p.Ref = ref
			}
		}
		c.SetPrivileges(p)
	}
	for id, o := range before {
		if now[id] == nil {
			ref, _ := RefOf(any(o))
			c.DropPrivileges(ref)
		}
	}
}

// DropPrivileges forgets an object's owner and privileges.
func (c *Catalog) DropPrivileges(ref Ref) {
	if p := c.PrivilegesOf(ref); p != nil {
		delete(c.Privileges, p.ID)
		delete(c.byRef, ref)
	}
}

// InitialACL is the privileges of a new object in a schema by its owner's default privileges, nil where they say nothing.
func (c *Catalog) InitialACL(ref Ref, schema string, owner uint32) *ACL {
	var global, local *DefaultPrivileges
	for _, d := range c.Defaults {
		if d.Role == owner && d.Class == defaultClass(ref.Class) {
			switch d.Schema {
			case "":
				global = d
			case schema:
				local = d
			}
		}
	}
	if global == nil && local == nil {
		return nil
	}
	acl := DefaultACL(ref, owner)
	if global != nil {
		acl = slices.Clone(global.ACL)
	}
	if local != nil {
		for _, g := range local.ACL {
			acl = acl.With(g)
		}
	}
	acl = acl.sorted()
	if slices.Equal(acl, DefaultACL(ref, owner).sorted()) {
		return nil
	}
	return &acl
}

// With is the list with more rights for a grantee of a grantor.
func (a ACL) With(g Grant) ACL {
	out := slices.Clone(a)
	for i := range out {
		if out[i].Grantee == g.Grantee && out[i].Grantor == g.Grantor {
			out[i].Rights |= g.Rights
			out[i].Grantable |= g.Grantable
			return out
		}
	}
	return append(out, g)
}

// Without is the list with less rights for a grantee of a grantor.
func (a ACL) Without(g Grant) ACL {
	out := ACL{}
	for _, have := range a {
		if have.Grantee == g.Grantee && have.Grantor == g.Grantor {
			have.Rights &^= g.Rights
			have.Grantable &^= g.Grantable | g.Rights
			if have.Rights == 0 {
				continue
			}
		}
		out = append(out, have)
	}
	return out
}

func (a ACL) sorted() ACL {
	out := slices.Clone(a)
	slices.SortStableFunc(out, func(x, y Grant) int {
		return cmp.Or(cmp.Compare(x.Grantee, y.Grantee), cmp.Compare(x.Grantor, y.Grantor))
	})
	return out
}

// NewOwner is the list after the object went from one owner to another: what the old one had and gave is the new one's.
func (a ACL) NewOwner(from, to uint32) ACL {
	out := ACL{}
	for _, g := range a {
		if g.Grantee == from {
			g.Grantee = to
		}
		if g.Grantor == from {
			g.Grantor = to
		}
		out = out.With(g)
	}
	return out
}

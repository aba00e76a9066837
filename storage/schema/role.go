package schema

import (
	"maps"
	"slices"
)

// BootstrapRole is the superuser that exists from the start, BootstrapID its object id, which is PostgreSQL's.
const (
	BootstrapRole        = "tilehouse"
	BootstrapID   uint32 = 10
)

// FirstRoleID is the least object id of a role that CREATE ROLE made.
const FirstRoleID uint32 = 16384

// Role is who may connect, or what others are members of. Its attributes are those of PostgreSQL's pg_authid.
type Role struct {
	ID          uint32            `json:"id"` // its object id
	Name        string            `json:"name"`
	Verifier    string            `json:"verifier,omitempty"` // SCRAM-SHA-256 in PostgreSQL's form; "": it has no password
	Superuser   bool              `json:"superuser,omitempty"`
	NoInherit   bool              `json:"no_inherit,omitempty"`
	CreateRole  bool              `json:"create_role,omitempty"`
	CreateDB    bool              `json:"create_db,omitempty"`
	Login       bool              `json:"login,omitempty"`
	Replication bool              `json:"replication,omitempty"`
	BypassRLS   bool              `json:"bypass_rls,omitempty"`
	Connections *int              `json:"connections,omitempty"` // at most so many at a time; nil: no limit
	ValidUntil  *int64            `json:"valid_until,omitempty"` // of the password, microseconds since 1970; nil: for ever
	Settings    map[string]string `json:"settings,omitempty"`    // that its sessions begin with
	Comment     string            `json:"comment,omitempty"`
	// Secret is of the bootstrap role only: random bytes, of which names without a password get the salts that they seem to have.
	Secret []byte `json:"secret,omitempty"`

	predefined bool // one of PostgreSQL's own, which is not stored
}

// Predefined reports whether the role is PostgreSQL's own: it cannot be changed or dropped, and nobody logs in as it.
func (r *Role) Predefined() bool { return r.predefined }

// ConnectionLimit is how many connections the role may have at a time, -1 for any number.
func (r *Role) ConnectionLimit() int {
	if r.Connections == nil {
		return -1
	}
	return *r.Connections
}

// Membership says that one role is a member of another.
type Membership struct {
	ID      uint32 `json:"id"`
	Role    uint32 `json:"role"`
	Member  uint32 `json:"member"`
	Grantor uint32 `json:"grantor"`
	Admin   bool   `json:"admin,omitempty"` // the member may make others members
}

// Predefined reports whether the membership is one of PostgreSQL's own.
func (m *Membership) Predefined() bool { return m.ID < firstMembership }

// The predefined roles whose rights the engine asks for.
const (
	ReadAllData      uint32 = 6181
	WriteAllData     uint32 = 6182
	DatabaseOwner    uint32 = 6171
	ReadServerFiles  uint32 = 4569
	WriteServerFiles uint32 = 4570
	SignalBackend    uint32 = 4200
	Checkpoint       uint32 = 4544
	Monitor          uint32 = 3373
	ReadAllSettings  uint32 = 3374
	ReadAllStats     uint32 = 3375
)

// predefinedRoles are PostgreSQL 15's, with its object ids.
var predefinedRoles = map[uint32]string{
	Monitor: "pg_monitor", ReadAllSettings: "pg_read_all_settings", ReadAllStats: "pg_read_all_stats", 3377: "pg_stat_scan_tables",
	SignalBackend: "pg_signal_backend", Checkpoint: "pg_checkpoint", ReadServerFiles: "pg_read_server_files", WriteServerFiles: "pg_write_server_files",
	4571: "pg_execute_server_program", DatabaseOwner: "pg_database_owner", ReadAllData: "pg_read_all_data", WriteAllData: "pg_write_all_data",
}

// builtinRoles are the roles of an empty catalog.
func builtinRoles() map[uint32]*Role {
	m := map[uint32]*Role{BootstrapID: bootstrap(&Role{})}
	for id, name := range predefinedRoles {
		m[id] = &Role{ID: id, Name: name, predefined: true}
	}
	return m
}

// builtinMemberships are those of PostgreSQL's predefined roles in one another; they are not stored.
func builtinMemberships() map[uint32]*Membership {
	m := map[uint32]*Membership{}
	for i, role := range []uint32{ReadAllSettings, ReadAllStats, 3377} {
		id := uint32(i + 1)
		m[id] = &Membership{ID: id, Role: role, Member: Monitor, Grantor: BootstrapID}
	}
	return m
}

// firstMembership is the least id of a membership that is stored.
const firstMembership uint32 = 100

// bootstrap makes r the superuser of the start, whatever a catalog of the time when there was no other role says of it.
func bootstrap(r *Role) *Role {
	r.ID, r.Name = BootstrapID, BootstrapRole
	r.Superuser, r.CreateRole, r.CreateDB, r.Login, r.Replication, r.BypassRLS = true, true, true, true, true, true
	return r
}

// Role is the role of a name, nil if there is none.
func (c *Catalog) Role(name string) *Role {
	for _, r := range c.Roles {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// RoleName is the name of a role, or PostgreSQL's words for one that is gone.
func (c *Catalog) RoleName(id uint32) string {
	if r := c.Roles[id]; r != nil {
		return r.Name
	}
	return "unknown"
}

// AllRoles are the roles by object id, PostgreSQL's predefined ones among them.
func (c *Catalog) AllRoles() []*Role {
	out := slices.Collect(maps.Values(c.Roles))
	slices.SortFunc(out, func(a, b *Role) int { return int(a.ID) - int(b.ID) })
	return out
}

// AllMemberships are the memberships of roles in roles, by id.
func (c *Catalog) AllMemberships() []*Membership {
	out := slices.Collect(maps.Values(c.Memberships))
	slices.SortFunc(out, func(a, b *Membership) int { return int(a.ID) - int(b.ID) })
	return out
}

// Membership is that of member in role itself, not through others; nil if there is none.
func (c *Catalog) Membership(role, member uint32) *Membership {
	for _, m := range c.Memberships {
		if m.Role == role && m.Member == member {
			return m
		}
	}
	return nil
}

// NewMembership is an id for a membership.
func (c *Catalog) NewMembership() uint32 {
	id := firstMembership
	for k := range c.Memberships {
		id = max(id, k+1)
	}
	return id
}

// Superuser reports whether a role is one.
func (c *Catalog) Superuser(id uint32) bool {
	r := c.Roles[id]
	return r != nil && r.Superuser
}

// MemberOf reports whether member is role, or a member of it, directly or through other roles; a superuser is one of every role.
func (c *Catalog) MemberOf(member, role uint32) bool {
	return c.Superuser(member) || c.roles(member, false)[role]
}

// NotSuperMemberOf is MemberOf that does not ask whether member is a superuser.
func (c *Catalog) NotSuperMemberOf(member, role uint32) bool { return c.roles(member, false)[role] }

// HasRightsOf reports whether member has the rights of role without SET ROLE: by memberships that are inherited. A superuser has
// those of every role.
func (c *Catalog) HasRightsOf(member, role uint32) bool {
	return c.Superuser(member) || c.roles(member, true)[role]
}

// AdminOf reports whether member may make others members of role.
func (c *Catalog) AdminOf(member, role uint32) bool {
	if c.Superuser(member) {
		return true
	}
	for id := range c.roles(member, false) {
		if m := c.Membership(role, id); m != nil && m.Admin {
			return true
		}
	}
	return false
}

// roles are member itself and the roles that it is a member of; inherited: only those whose rights it has at once.
func (c *Catalog) roles(member uint32, inherited bool) map[uint32]bool {
	seen := map[uint32]bool{member: true}
	for next := []uint32{member}; len(next) > 0; {
		id := next[0]
		next = next[1:]
		if r := c.Roles[id]; r == nil || inherited && r.NoInherit {
			continue
		}
		for _, m := range c.Memberships {
			if m.Member == id && !seen[m.Role] {
				seen[m.Role] = true
				next = append(next, m.Role)
			}
		}
	}
	if member == BootstrapID { // it owns the database
		seen[DatabaseOwner] = true
	}
	return seen
}

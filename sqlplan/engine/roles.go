package engine

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/scram"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// SQLSTATEs of roles and privileges.
const (
	codeReservedName  = "42939"
	codeInvalidGrant  = "0LP01"
	codeObjectInUse   = "55006"
	codeNotGranted    = "01007"
	codeNotRevoked    = "01006"
	codeInvalidRole   = "22023"
	codeInvalidSchema = "3F000"
)

// rightsStep is define for a step that changes roles, owners and privileges only. Such steps go together with writes to ordinary
// tables in one transaction: DuckDB commits first, and a crash in between leaves tables that only the bootstrap role may use.
func (s *Session) rightsStep(step func(c *schema.Catalog, notice func(session.Notice)) error) error {
	var notices []session.Notice // of the last time that the step was taken
	err := s.takeRights(func(c *schema.Catalog) error {
		notices = notices[:0]
		return step(c, func(n session.Notice) { notices = append(notices, n) })
	})
	if err != nil {
		return err
	}
	for _, n := range notices {
		s.notice(n)
	}
	return nil
}

func warning(code, format string, args ...any) session.Notice {
	return session.Notice{Severity: "WARNING", Code: code, Message: fmt.Sprintf(format, args...)}
}

func noRole(name string) *session.Error {
	return fail(codeUndefinedObject, "role %q does not exist", name)
}

// denied is an error of lacking privileges.
func denied(format string, args ...any) *session.Error { return fail(codeDenied, format, args...) }

// roleOf is the role that a statement means. Public is refused.
func (s *Session) roleOf(c *schema.Catalog, spec *pg_query.RoleSpec) (*schema.Role, error) {
	id := s.role
	switch spec.GetRoletype() {
	case pg_query.RoleSpecType_ROLESPEC_SESSION_USER:
		id = s.sessionRole
	case pg_query.RoleSpecType_ROLESPEC_PUBLIC:
		return nil, noRole("public")
	case pg_query.RoleSpecType_ROLESPEC_CSTRING:
		r := c.Role(spec.Rolename)
		if r == nil {
			return nil, noRole(spec.Rolename)
		}
		return r, nil
	}
	if r := c.Roles[id]; r != nil {
		return r, nil
	}
	return nil, fail(codeUndefinedObject, "role %d does not exist", id)
}

// roleSpecs are the roles of a list.
func (s *Session) roleSpecs(c *schema.Catalog, l []*pg_query.Node) ([]*schema.Role, error) {
	var out []*schema.Role
	for _, n := range l {
		r, err := s.roleOf(c, n.GetRoleSpec())
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// roleOptions is what CREATE ROLE and ALTER ROLE say of a role.
type roleOptions struct {
	set                 []func(r *schema.Role)
	in, members, admins []*pg_query.Node // RoleSpecs
	needs               map[string]bool  // attributes that only a superuser gives or takes
	others              bool             // options beyond a password
}

// readRoleOptions reads the options. The password becomes a verifier here, and is kept nowhere.
func (s *Session) readRoleOptions(st *parse.SQL, options []*pg_query.Node) (*roleOptions, error) {
	o := &roleOptions{needs: map[string]bool{}}
	seen := map[string]bool{}
	flags := map[string]func(r *schema.Role, on bool){
		"superuser":     func(r *schema.Role, on bool) { r.Superuser = on },
		"inherit":       func(r *schema.Role, on bool) { r.NoInherit = !on },
		"createrole":    func(r *schema.Role, on bool) { r.CreateRole = on },
		"createdb":      func(r *schema.Role, on bool) { r.CreateDB = on },
		"canlogin":      func(r *schema.Role, on bool) { r.Login = on },
		"isreplication": func(r *schema.Role, on bool) { r.Replication = on },
		"bypassrls":     func(r *schema.Role, on bool) { r.BypassRLS = on },
	}
	for _, n := range options {
		d := n.GetDefElem()
		if seen[d.Defname] {
			return nil, at(fail("42601", "conflicting or redundant options"), st.Text, int(d.Location))
		}
		seen[d.Defname] = true
		if d.Defname != "password" {
			o.others = true
		}
		if set := flags[d.Defname]; set != nil {
			on := d.Arg.GetBoolean().GetBoolval()
			o.set = append(o.set, func(r *schema.Role) { set(r, on) })
			switch d.Defname {
			case "superuser", "isreplication", "bypassrls":
				o.needs[d.Defname] = on
			}
			continue
		}
		switch d.Defname {
		case "password":
			verifier, err := s.verifierOf(d.Arg)
			if err != nil {
				return nil, err
			}
			o.set = append(o.set, func(r *schema.Role) { r.Verifier = verifier })
		case "connectionlimit":
			limit := int(d.Arg.GetInteger().GetIval())
			if limit < -1 {
				return nil, fail(codeInvalidParameter, "invalid connection limit: %d", limit)
			}
			o.set = append(o.set, func(r *schema.Role) {
				if r.Connections = &limit; limit < 0 {
					r.Connections = nil
				}
			})
		case "validUntil":
			text := d.Arg.GetString_().GetSval()
			var until *int64
			if !strings.EqualFold(strings.TrimSpace(text), "infinity") {
				t, err := parseTime(text, s.location)
				if err != nil {
					return nil, err
				}
				until = &t
			} else {
				ever := int64(math.MaxInt64)
				until = &ever
			}
			o.set = append(o.set, func(r *schema.Role) { r.ValidUntil = until })
		case "addroleto":
			o.in = d.Arg.GetList().GetItems()
		case "rolemembers":
			o.members = d.Arg.GetList().GetItems()
		case "adminmembers":
			o.admins = d.Arg.GetList().GetItems()
		case "sysid":
			s.notice(session.Notice{Message: "SYSID can no longer be specified"})
		default:
			return nil, at(fail(codeUnsupported, "role option %q is not supported", d.Defname), st.Text, int(d.Location))
		}
	}
	return o, nil
}

// verifierOf is what is kept of PASSWORD: a verifier of it, a verifier that was given in its place, or nothing.
func (s *Session) verifierOf(arg *pg_query.Node) (string, error) {
	if arg == nil { // PASSWORD NULL
		return "", nil
	}
	password := arg.GetString_().GetSval()
	switch {
	case password == "":
		s.notice(session.Notice{Message: "empty string is not a valid password, clearing password"})
		return "", nil
	case strings.HasPrefix(password, "SCRAM-SHA-256$"):
		if _, err := scram.Parse(password); err == nil {
			return password, nil
		}
	case len(password) == 35 && strings.HasPrefix(password, "md5") && strings.Trim(password[3:], "0123456789abcdef") == "":
		return "", hint(fail(codeUnsupported, "passwords hashed by md5 are not supported"), "Give the password itself, or its SCRAM-SHA-256 verifier.")
	}
	return scram.Verifier(password)
}

// reservedRole refuses the names that PostgreSQL keeps for itself.
func reservedRole(name string) error {
	switch {
	case name == "public", name == "none":
		return fail(codeReservedName, "role name %q is reserved", name)
	case strings.HasPrefix(name, "pg_"):
		e := fail(codeReservedName, "role name %q is reserved", name)
		e.Detail = `Role names starting with "pg_" are reserved.`
		return e
	}
	return nil
}

// bindCreateRole binds CREATE ROLE, CREATE USER and CREATE GROUP.
func (s *Session) bindCreateRole(st *parse.SQL, n *pg_query.CreateRoleStmt) (bound, error) {
	return s.definition(func(context.Context) (string, error) {
		const tag = "CREATE ROLE"
		o, err := s.readRoleOptions(st, n.Options)
		if err != nil {
			return "", err
		}
		seq, err := s.e.log.Sequence("role")
		if err != nil {
			return "", err
		}
		id := schema.FirstRoleID + uint32(seq)
		return tag, s.rightsStep(func(c *schema.Catalog, notice func(session.Notice)) error {
			me := c.Roles[s.role]
			if !c.Superuser(s.role) {
				for _, kind := range []struct{ option, words string }{{"superuser", "superusers"}, {"isreplication", "replication users"}, {"bypassrls", "bypassrls users"}} {
					if o.needs[kind.option] {
						return denied("must be superuser to create %s", kind.words)
					}
				}
				if me == nil || !me.CreateRole {
					return denied("permission denied to create role")
				}
			}
			if err := reservedRole(n.Role); err != nil {
				return err
			}
			if c.Role(n.Role) != nil {
				return fail(codeDuplicateObject, "role %q already exists", n.Role)
			}
			r := &schema.Role{ID: id, Name: n.Role, Login: n.StmtType == pg_query.RoleStmtType_ROLESTMT_USER}
			for _, set := range o.set {
				set(r)
			}
			c.Roles[id] = r
			in, err := s.roleSpecs(c, o.in)
			if err != nil {
				return err
			}
			for _, of := range in {
				if err := s.addMember(c, of, r, false, notice); err != nil {
					return err
				}
			}
			for i, l := range [][]*pg_query.Node{o.members, o.admins} {
				members, err := s.roleSpecs(c, l)
				if err != nil {
					return err
				}
				for _, m := range members {
					if err := s.addMember(c, r, m, i == 1, notice); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}), nil
}

// mayAlter refuses a change of a role by one that may not.
func (s *Session) mayAlter(c *schema.Catalog, r *schema.Role, o *roleOptions) error {
	if c.Superuser(s.role) {
		return nil
	}
	_, superuser := o.needs["superuser"]
	_, replication := o.needs["isreplication"]
	_, bypass := o.needs["bypassrls"]
	me := c.Roles[s.role]
	switch {
	case superuser || r.Superuser:
		return denied("must be superuser to alter superuser roles or change superuser attribute")
	case replication || r.Replication:
		return denied("must be superuser to alter replication roles or change replication attribute")
	case bypass:
		return denied("must be superuser to change bypassrls attribute")
	case me != nil && me.CreateRole, !o.others && r.ID == s.role:
		return nil
	}
	return denied("permission denied")
}

// changeable refuses to change PostgreSQL's own roles.
func changeableRole(r *schema.Role) error {
	if r.Predefined() {
		e := fail(codeReservedName, "role name %q is reserved", r.Name)
		e.Detail = `Cannot alter reserved roles.`
		return e
	}
	return nil
}

// bindAlterRole binds ALTER ROLE, ALTER USER and ALTER GROUP … ADD and DROP USER.
func (s *Session) bindAlterRole(st *parse.SQL, n *pg_query.AlterRoleStmt) (bound, error) {
	return s.definition(func(context.Context) (string, error) {
		o, err := s.readRoleOptions(st, n.Options)
		if err != nil {
			return "", err
		}
		return "ALTER ROLE", s.rightsStep(func(c *schema.Catalog, notice func(session.Notice)) error {
			r, err := s.roleOf(c, n.Role)
			if err != nil {
				return err
			}
			if err := changeableRole(r); err != nil {
				return err
			}
			if err := s.mayAlter(c, r, o); err != nil {
				return err
			}
			next := *r
			for _, set := range o.set {
				set(&next)
			}
			if next.ID == schema.BootstrapID && (!next.Superuser || !next.Login) {
				return hint(fail(codeUnsupported, "role %q stays a superuser that may log in", next.Name), "Work as another role: CREATE ROLE r LOGIN …")
			}
			c.Roles[r.ID] = &next
			members, err := s.roleSpecs(c, o.members)
			if err != nil {
				return err
			}
			for _, m := range members {
				if n.Action < 0 {
					err = s.dropMember(c, &next, m, false, notice)
				} else {
					err = s.addMember(c, &next, m, false, notice)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}), nil
}

// bindAlterRoleSet binds ALTER ROLE … SET and RESET.
func (s *Session) bindAlterRoleSet(n *pg_query.AlterRoleSetStmt) (bound, error) {
	return s.definition(func(context.Context) (string, error) {
		if n.Role == nil {
			return "", fail(codeUnsupported, "ALTER ROLE ALL SET is not supported")
		}
		if n.Database != "" && n.Database != s.info.Database {
			return "", fail("3D000", "database %q does not exist", n.Database)
		}
		set := n.Setstmt
		key, value := settingKey(set.Name), ""
		switch set.Kind {
		case pg_query.VariableSetKind_VAR_SET_VALUE:
			d, err := s.changeable(set.Name)
			if err != nil {
				return "", err
			}
			if d.hidden {
				return "", fail("55P02", "parameter %q cannot be changed", d.name)
			}
			if value, err = s.settingValue(set); err != nil {
				return "", err
			}
			if value, err = d.normalise(s, value); err != nil {
				return "", err
			}
		case pg_query.VariableSetKind_VAR_SET_DEFAULT, pg_query.VariableSetKind_VAR_RESET, pg_query.VariableSetKind_VAR_RESET_ALL:
		default:
			return "", fail(codeUnsupported, "this form of ALTER ROLE … SET %s is not supported", set.Name)
		}
		return "ALTER ROLE", s.rightsStep(func(c *schema.Catalog, _ func(session.Notice)) error {
			r, err := s.roleOf(c, n.Role)
			if err != nil {
				return err
			}
			if err := changeableRole(r); err != nil {
				return err
			}
			me := c.Roles[s.role]
			switch {
			case c.Superuser(s.role):
			case r.Superuser:
				return denied("must be superuser to alter superusers")
			case r.ID != s.role && (me == nil || !me.CreateRole):
				return denied("permission denied")
			}
			next := *r
			next.Settings = maps.Clone(r.Settings)
			if next.Settings == nil {
				next.Settings = map[string]string{}
			}
			switch set.Kind {
			case pg_query.VariableSetKind_VAR_SET_VALUE:
				next.Settings[key] = value
			case pg_query.VariableSetKind_VAR_RESET_ALL:
				next.Settings = nil
			default:
				delete(next.Settings, key)
			}
			c.Roles[r.ID] = &next
			return nil
		})
	}), nil
}

// bindRenameRole binds ALTER ROLE … RENAME TO.
func (s *Session) bindRenameRole(n *pg_query.RenameStmt) (bound, error) {
	return s.definition(func(context.Context) (string, error) {
		return "ALTER ROLE", s.rightsStep(func(c *schema.Catalog, _ func(session.Notice)) error {
			r := c.Role(n.Subname)
			me := c.Roles[s.role]
			switch {
			case r == nil:
				return noRole(n.Subname)
			case r.ID == s.sessionRole:
				return fail(codeUnsupported, "session user cannot be renamed")
			case r.ID == s.role:
				return fail(codeUnsupported, "current user cannot be renamed")
			case r.ID == schema.BootstrapID:
				return fail(codeUnsupported, "role %q cannot be renamed", r.Name)
			}
			if err := reservedRole(r.Name); err != nil {
				return err
			}
			if err := reservedRole(n.Newname); err != nil {
				return err
			}
			switch {
			case c.Role(n.Newname) != nil:
				return fail(codeDuplicateObject, "role %q already exists", n.Newname)
			case c.Superuser(s.role):
			case r.Superuser:
				return denied("must be superuser to rename superusers")
			case me == nil || !me.CreateRole:
				return denied("permission denied to rename role")
			}
			next := *r
			next.Name = n.Newname
			c.Roles[r.ID] = &next
			return nil
		})
	}), nil
}

// bindDropRole binds DROP ROLE, DROP USER and DROP GROUP.
func (s *Session) bindDropRole(n *pg_query.DropRoleStmt) (bound, error) {
	return s.definition(func(ctx context.Context) (string, error) {
		if _, err := s.ordinary(ctx); err != nil {
			return "", err
		}
		return "DROP ROLE", s.rightsStep(func(c *schema.Catalog, notice func(session.Notice)) error {
			me := c.Roles[s.role]
			if !c.Superuser(s.role) && (me == nil || !me.CreateRole) {
				return denied("permission denied to drop role")
			}
			for _, spec := range n.Roles {
				name := spec.GetRoleSpec()
				if name.GetRoletype() != pg_query.RoleSpecType_ROLESPEC_CSTRING {
					return fail(codeInvalidRole, "cannot use special role specifier in DROP ROLE")
				}
				r := c.Role(name.Rolename)
				switch {
				case r == nil && n.MissingOk:
					notice(session.Notice{Message: fmt.Sprintf("role %q does not exist, skipping", name.Rolename)})
					continue
				case r == nil:
					return noRole(name.Rolename)
				case r.ID == s.role:
					return fail(codeObjectInUse, "current user cannot be dropped")
				case r.ID == s.sessionRole:
					return fail(codeObjectInUse, "session user cannot be dropped")
				case r.Superuser && !c.Superuser(s.role):
					return denied("must be superuser to drop superusers")
				case r.ID == schema.BootstrapID || r.Predefined():
					return fail(codeDependent, "cannot drop role %s because it is required by the database system", r.Name)
				}
				if needs := s.dependsOnRole(c, r.ID); len(needs) > 0 {
					e := hint(fail(codeDependent, "role %q cannot be dropped because some objects depend on it", r.Name), "REASSIGN OWNED BY %s TO …; DROP OWNED BY %[1]s;", r.Name)
					e.Detail = strings.Join(needs, "\n")
					return e
				}
				delete(c.Roles, r.ID)
				maps.DeleteFunc(c.Memberships, func(_ uint32, m *schema.Membership) bool { return m.Role == r.ID || m.Member == r.ID })
			}
			return nil
		})
	}), nil
}

// dependsOnRole are the objects that belong to a role or that it has privileges on, as PostgreSQL lists them.
func (s *Session) dependsOnRole(c *schema.Catalog, role uint32) []string {
	var out []string
	for _, p := range c.Privileges {
		if p.Ordinary != 0 && s.tabs.ByID[p.Ordinary] == nil {
			continue // a crash came between its end and that of its privileges
		}
		words := s.refWords(c, p.Ref)
		if o := s.tabs.ByID[p.Ordinary]; o != nil {
			words = describeObject(o)
		}
		if p.Owner == role {
			out = append(out, "owner of "+words)
		} else if p.ACL != nil && slices.ContainsFunc(*p.ACL, func(g schema.Grant) bool { return g.Grantee == role || g.Grantor == role }) {
			out = append(out, "privileges for "+words)
		}
	}
	for _, d := range c.Defaults {
		where := ""
		if d.Schema != "" {
			where = " in schema " + d.Schema
		}
		kind := map[schema.Class]string{schema.ClassFunction: "functions", schema.ClassSequence: "sequences"}[d.Class]
		if kind == "" {
			kind = "relations"
		}
		if d.Role == role || slices.ContainsFunc(d.ACL, func(g schema.Grant) bool { return g.Grantee == role }) {
			verb := "privileges for"
			if d.Role == role {
				verb = "owner of"
			}
			out = append(out, fmt.Sprintf("%s default privileges on new %s belonging to role %s%s", verb, kind, c.RoleName(d.Role), where))
		}
	}
	slices.Sort(out)
	return out
}

// bindGrantRole binds GRANT role TO role and REVOKE role FROM role.
func (s *Session) bindGrantRole(n *pg_query.GrantRoleStmt) (bound, error) {
	return s.definition(func(context.Context) (string, error) {
		tag, option := "GRANT ROLE", false
		if !n.IsGrant {
			tag = "REVOKE ROLE"
		}
		for _, o := range n.Opt {
			d := o.GetDefElem()
			if d.Defname != "admin" {
				return "", fail(codeUnsupported, "option %s of memberships is not supported", strings.ToUpper(d.Defname))
			}
			option = d.Arg == nil || d.Arg.GetBoolean().GetBoolval()
		}
		return tag, s.rightsStep(func(c *schema.Catalog, notice func(session.Notice)) error {
			if n.Grantor != nil {
				if g, err := s.roleOf(c, n.Grantor); err != nil {
					return err
				} else if g.ID != s.role && !c.Superuser(s.role) {
					return denied("must be superuser to set grantor")
				}
			}
			members, err := s.roleSpecs(c, n.GranteeRoles)
			if err != nil {
				return err
			}
			for _, g := range n.GrantedRoles {
				a := g.GetAccessPriv()
				if len(a.Cols) > 0 {
					return fail(codeInvalidGrant, "column names cannot be included in GRANT/REVOKE ROLE")
				}
				r := c.Role(a.PrivName)
				if r == nil {
					return noRole(a.PrivName)
				}
				for _, m := range members {
					if n.IsGrant {
						err = s.addMember(c, r, m, option, notice)
					} else {
						err = s.dropMember(c, r, m, option, notice)
					}
					if err != nil {
						return err
					}
				}
			}
			return nil
		})
	}), nil
}

// mayGrantRole refuses to make or unmake members of a role by one that may not.
func (s *Session) mayGrantRole(c *schema.Catalog, r *schema.Role) error {
	me := c.Roles[s.role]
	switch {
	case r.ID == schema.DatabaseOwner:
		return fail(codeInvalidGrant, "role %q cannot have explicit members", r.Name)
	case c.Superuser(s.role):
	case r.Superuser:
		return denied("must be superuser to alter superusers")
	case (me == nil || !me.CreateRole) && !c.AdminOf(s.role, r.ID):
		return denied("must have admin option on role %q", r.Name)
	}
	return nil
}

// addMember makes m a member of r.
func (s *Session) addMember(c *schema.Catalog, r, m *schema.Role, admin bool, notice func(session.Notice)) error {
	if err := s.mayGrantRole(c, r); err != nil {
		return err
	}
	if m.ID == schema.DatabaseOwner {
		return fail(codeInvalidGrant, "role %q cannot be a member of any role", m.Name)
	}
	if c.NotSuperMemberOf(r.ID, m.ID) {
		return fail(codeInvalidGrant, "role %q is a member of role %q", r.Name, m.Name)
	}
	if have := c.Membership(r.ID, m.ID); have != nil {
		if have.Admin || !admin {
			notice(session.Notice{Message: fmt.Sprintf("role %q is already a member of role %q", m.Name, r.Name)})
			return nil
		}
		next := *have
		next.Admin = true
		c.Memberships[have.ID] = &next
		return nil
	}
	id := c.NewMembership()
	c.Memberships[id] = &schema.Membership{ID: id, Role: r.ID, Member: m.ID, Grantor: s.role, Admin: admin}
	return nil
}

// dropMember makes m no member of r any more, or takes its admin option.
func (s *Session) dropMember(c *schema.Catalog, r, m *schema.Role, option bool, notice func(session.Notice)) error {
	if err := s.mayGrantRole(c, r); err != nil {
		return err
	}
	have := c.Membership(r.ID, m.ID)
	switch {
	case have == nil:
		notice(warning("01000", "role %q is not a member of role %q", m.Name, r.Name))
	case option:
		next := *have
		next.Admin = false
		c.Memberships[have.ID] = &next
	default:
		delete(c.Memberships, have.ID)
	}
	return nil
}

package schema

import (
	"slices"
	"testing"
)

func TestRightsComeThroughMembership(t *testing.T) {
	c := Empty()
	c.Roles[20001] = &Role{ID: 20001, Name: "readers"}
	c.Roles[20002] = &Role{ID: 20002, Name: "bob"}
	c.Roles[20003] = &Role{ID: 20003, Name: "Eve Doe", NoInherit: true}
	for i, member := range []uint32{20002, 20003} {
		id := firstMembership + uint32(i)
		c.Memberships[id] = &Membership{ID: id, Role: 20001, Member: member, Grantor: BootstrapID}
	}
	f := &Feature{ID: 7, Name: "spend"}
	c.Features[7] = f
	c.Index()
	ref, _ := RefOf(f)
	acl, explicit := c.ACLOf(ref)
	if explicit || c.ACLText(ref) != nil {
		t.Errorf("a new object has explicit privileges %v", acl)
	}
	acl = acl.With(Grant{Grantee: 20001, Grantor: BootstrapID, Rights: Select}).With(Grant{Grantee: 20003, Grantor: BootstrapID, Rights: Update, Grantable: Update})
	c.SetPrivileges(Privileges{Ref: ref, Owner: BootstrapID, ACL: &acl})
	if got, want := c.ACLText(ref), []string{"tilehouse=arwdDxt/tilehouse", "readers=r/tilehouse", `"Eve Doe"=w*/tilehouse`}; !slices.Equal(got, want) {
		t.Errorf("privileges are printed as %q, want %q", got, want)
	}
	for role, want := range map[uint32]Rights{20001: Select, 20002: Select, 20003: Update, BootstrapID: ClassFeature.Rights()} {
		if got := c.Allowed(role, ref, ClassFeature.Rights()); got != want {
			t.Errorf("%s has %v, want %v", c.RoleName(role), got.Names(), want.Names())
		}
	}
	if !c.MemberOf(20003, 20001) || c.HasRightsOf(20003, 20001) || !c.HasRightsOf(20002, 20001) || c.MemberOf(20001, 20002) {
		t.Error("a member that does not inherit is a member without rights, one that does has them, and the role is no member of its members")
	}
}

func TestPrivilegesFollowAReplacement(t *testing.T) {
	before := Empty()
	before.Features[1] = &Feature{ID: 1, Name: "spend"}
	ref, _ := RefOf(before.Features[1])
	acl := DefaultACL(ref, 20001).With(Grant{Grantee: Public, Grantor: 20001, Rights: Select})
	before.SetPrivileges(Privileges{Ref: ref, Owner: 20001, ACL: &acl})
	c := before.Clone().Index()
	delete(c.Features, 1)
	c.Features[2] = &Feature{ID: 2, Name: "spend"}
	c.Adopt(before, BootstrapID)
	if got := c.Owner(Ref{Class: ClassFeature, ID: 2}); got != 20001 {
		t.Errorf("the replacement belongs to %d", got)
	}
	if got := c.ACLText(Ref{Class: ClassFeature, ID: 2}); len(got) != 2 {
		t.Errorf("the replacement has the privileges %q", got)
	}
	if len(c.Privileges) != 1 {
		t.Errorf("%d documents of privileges are left of one object", len(c.Privileges))
	}
	delete(c.Features, 2)
	was := c.Clone()
	was.Features[2] = &Feature{ID: 2, Name: "spend"}
	c.Adopt(was, BootstrapID)
	if len(c.Privileges) != 0 {
		t.Error("a dropped object left its privileges behind")
	}
}

func TestBootstrapRoleOfOldCatalogs(t *testing.T) {
	c := Empty()
	if err := c.Add(KindRole, []byte(`{"id":1,"name":"tilehouse","verifier":"SCRAM-SHA-256$4096:a$b:c"}`)); err != nil {
		t.Fatal(err)
	}
	r := c.Role(BootstrapRole)
	if r.ID != BootstrapID || !r.Superuser || !r.Login || r.Verifier == "" {
		t.Errorf("the role is %+v", r)
	}
}

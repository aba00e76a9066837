package engine

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// saltBytes is the length of a salt, PostgreSQL's.
const saltBytes = 16

// Login says how a role logs in.
func (e *Engine) Login(ctx context.Context, role string) (session.Login, error) {
	l := session.Login{Connections: -1}
	if r := e.catalog.Current().Role(role); r != nil {
		l.Exists, l.Superuser, l.Verifier, l.Connections = true, r.Superuser, r.Verifier, r.ConnectionLimit()
		l.Expired = r.ValidUntil != nil && e.now() > *r.ValidUntil
	}
	if l.Verifier != "" {
		return l, nil
	}
	secret, err := e.loginSecret(ctx)
	if err != nil {
		return l, err
	}
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(role))
	l.Salt = h.Sum(nil)[:saltBytes]
	return l, nil
}

// loginSecret is what salts of names without a password are made of. It is kept, so that they stay the same over restarts as
// those of passwords do.
func (e *Engine) loginSecret(ctx context.Context) ([]byte, error) {
	if r := e.catalog.Current().Roles[schema.BootstrapID]; len(r.Secret) > 0 {
		return r.Secret, nil
	}
	secret := make([]byte, sha256.Size)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	err := e.catalog.Update(ctx, func(c *schema.Catalog) error {
		r := *c.Roles[schema.BootstrapID]
		if len(r.Secret) > 0 { // another login was first
			secret = r.Secret
			return nil
		}
		r.Secret = secret
		c.Roles[r.ID] = &r
		return nil
	})
	return secret, err
}

// HasPassword reports whether a role must give a password.
func (e *Engine) HasPassword(role string) bool {
	r := e.catalog.Current().Role(role)
	return r != nil && r.Verifier != ""
}

// SetVerifier sets a role's SCRAM-SHA-256 verifier; the password itself never comes here. Errors: 42704 for an unknown role.
func (e *Engine) SetVerifier(ctx context.Context, role, verifier string) error {
	return e.catalog.Update(ctx, func(c *schema.Catalog) error {
		old := c.Role(role)
		if old == nil {
			return noRole(role)
		}
		r := *old
		r.Verifier = verifier
		c.Roles[r.ID] = &r
		return nil
	})
}

// sessionAuthorization is the setting that says whose a session is.
const sessionAuthorization = "session_authorization"

// rolesChanged takes over the roles from the settings, which transactions and savepoints put back. A role that is gone stays the
// session's until it takes another one.
func (s *Session) rolesChanged() {
	c := s.catalog()
	switch name := s.set[sessionAuthorization]; name {
	case "":
		s.sessionRole = s.login
	default:
		if r := c.Role(name); r != nil {
			s.sessionRole = r.ID
		}
	}
	switch name := s.set["role"]; name {
	case "", "none":
		s.role = s.sessionRole
	default:
		if r := c.Role(name); r != nil {
			s.role = r.ID
		}
	}
}

// checkRole is whether SET ROLE may take a role.
func checkRole(s *Session, name string) (string, error) {
	if name == "none" || name == "" {
		return "none", nil
	}
	c := s.catalog()
	r := c.Role(name)
	switch {
	case r == nil:
		return "", fail(codeInvalidRole, "role %q does not exist", name)
	case !c.MemberOf(s.sessionRole, r.ID):
		return "", denied("permission denied to set role %q", name)
	}
	return name, nil
}

// checkSessionRole is whether SET SESSION AUTHORIZATION may take a role.
func checkSessionRole(s *Session, name string) (string, error) {
	c := s.catalog()
	r := c.Role(name)
	switch {
	case r == nil:
		return "", fail(codeInvalidRole, "role %q does not exist", name)
	case r.ID != s.login && !c.Superuser(s.login):
		return "", denied("permission denied to set session authorization %q", name)
	}
	return name, nil
}

func roleName(s *Session, id uint32) string {
	if r := s.catalog().Roles[id]; r != nil {
		return r.Name
	}
	return fmt.Sprint(id)
}

func showSuperuser(s *Session) string { return onOff(s.catalog().Superuser(s.role)) }

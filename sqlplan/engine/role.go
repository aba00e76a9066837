package engine

import (
	"context"

	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// Password is the SCRAM-SHA-256 verifier of a role, "" where no password is asked for.
func (e *Engine) Password(_ context.Context, role string) (string, error) {
	if r := e.catalog.Current().Role(role); r != nil {
		return r.Verifier, nil
	}
	if role == DefaultRole {
		return "", nil
	}
	return "", fail("28000", "role %q does not exist", role)
}

// HasPassword reports whether a role must give a password.
func (e *Engine) HasPassword(role string) bool {
	r := e.catalog.Current().Role(role)
	return r != nil && r.Verifier != ""
}

// oneRole refuses statements about roles and their rights.
func oneRole(sql string) *session.Error {
	return hint(fail(codeUnsupported, "%s is not supported: there is one role, %q, which may do everything", firstWords(sql), DefaultRole), "Its password is set by tilehouse password, or --password; readers that must not write need a server of their own.")
}

// SetVerifier sets a role's SCRAM-SHA-256 verifier; the password itself never comes here.
func (e *Engine) SetVerifier(ctx context.Context, role, verifier string) error {
	id, err := e.log.Sequence("role")
	if err != nil {
		return err
	}
	return e.catalog.Update(ctx, func(c *schema.Catalog) error {
		r := &schema.Role{ID: uint32(id), Name: role, Verifier: verifier}
		if old := c.Role(role); old != nil {
			r.ID = old.ID
		}
		c.Roles[r.ID] = r
		return nil
	})
}

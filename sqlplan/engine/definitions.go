package engine

import (
	"context"
	"errors"

	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// definitions are what a transaction changes of the catalog, as steps that are taken again over whatever others commit
// meanwhile. Its statements see cat; everybody else sees nothing before COMMIT makes one catalog version of it, together with
// the rows that the transaction wrote to event tables.
type definitions struct {
	base  *schema.Catalog // of all, which cat was made of
	cat   *schema.Catalog
	steps []func(c *schema.Catalog) error
	// objects says that a step was of more than roles and privileges.
	objects bool
	batch   *materialize.Batch
}

// catalog is what the session's statements bind to: the newest catalog, with what its open transaction defined.
func (s *Session) catalog() *schema.Catalog {
	if s.tx != nil && s.tx.defs != nil {
		return s.tx.defs.cat
	}
	return s.e.catalog.Current()
}

// rebase takes the open transaction's definitions again where others changed the catalog. Errors: the two do not fit.
func (s *Session) rebase() error {
	if s.tx == nil || s.tx.defs == nil || s.tx.failed {
		return nil
	}
	d := s.tx.defs
	now := s.e.catalog.Current()
	if d.base == now {
		return nil
	}
	next := now.Clone().Index()
	if err := d.apply(next); err != nil {
		return s.overtaken(err)
	}
	d.base, d.cat = now, next.Index()
	return nil
}

func (d *definitions) apply(c *schema.Catalog) error {
	for _, step := range d.steps {
		if err := takeStep(c, step); err != nil {
			return err
		}
	}
	return nil
}

func takeStep(c *schema.Catalog, step func(c *schema.Catalog) error) error {
	if err := step(c); err != nil {
		return err
	}
	c.DropUnread()
	return c.Index().CheckViews()
}

// overtaken makes a serialization failure of a step that did not fit what others committed since it was first taken.
func (s *Session) overtaken(err error) error {
	if s.tx.single {
		return err
	}
	e := *asError(err)
	e.Code, e.Message = codeConflict, "could not serialize access: "+e.Message
	e.Hint = "Another transaction changed definitions meanwhile. Run the transaction again."
	return &e
}

// defining is the open transaction's definitions. Outside of a transaction there is one around each statement.
func (s *Session) defining() *definitions {
	if s.tx.defs == nil {
		now := s.e.catalog.Current()
		s.tx.defs = &definitions{base: now, cat: now, batch: s.e.mat.Begin(s.tx.single)}
	}
	return s.tx.defs
}

// define changes the transaction's catalog. The step gets a copy, whose objects it replaces and does not change in place; it is
// taken again over newer catalogs, and must not depend on anything but the catalog it is given.
func (s *Session) define(step func(c *schema.Catalog) error) error {
	if err := s.refuseMixed(true); err != nil {
		return err
	}
	role := s.role
	if err := s.takeInto(func(c *schema.Catalog) error {
		before := c.Clone()
		if err := step(c); err != nil {
			return err
		}
		if err := s.mayJoin(role, before, c); err != nil {
			return err
		}
		c.Adopt(before, role)
		return nil
	}); err != nil {
		return err
	}
	s.tx.defs.objects = true
	return nil
}

// takeRights is define for a step that changes no objects. It is taken again with the roles of its statement, which SET ROLE may have
// changed since.
func (s *Session) takeRights(step func(c *schema.Catalog) error) error {
	role, sessionRole := s.role, s.sessionRole
	return s.takeInto(func(c *schema.Catalog) error {
		now, nowSession := s.role, s.sessionRole
		s.role, s.sessionRole = role, sessionRole
		defer func() { s.role, s.sessionRole = now, nowSession }()
		return step(c)
	})
}

func (s *Session) takeInto(step func(c *schema.Catalog) error) error {
	d := s.defining()
	next := d.cat.Clone().Index()
	if err := takeStep(next, step); err != nil {
		return err
	}
	d.cat = next
	d.steps = append(d.steps, step)
	return nil
}

// unborn reports whether a relation was defined by the open transaction, so that nothing of it is committed.
func (s *Session) unborn(r *schema.Relation) bool {
	return s.tx != nil && s.tx.defs != nil && s.e.catalog.Current().Relations[r.ID] == nil
}

// discardDefinitions removes what an open transaction's definitions left outside of the catalog.
func (s *Session) discardDefinitions() error {
	d := s.tx.defs
	if d == nil {
		return nil
	}
	s.tx.defs = nil
	now := s.e.catalog.Current()
	var made []*schema.Relation
	for id, r := range d.cat.Relations {
		if now.Relations[id] == nil && d.base.Relations[id] == nil {
			made = append(made, r)
		}
	}
	return d.batch.Discard(made)
}

// publish commits rows and the open transaction's definitions, if there are any, as one version of the catalog and one position.
func (s *Session) publish(ctx context.Context, rows []reclog.Change) error {
	d := s.tx.defs
	if d == nil {
		if len(rows) == 0 {
			return nil
		}
		return s.e.commit(ctx, s.catalog(), rows)
	}
	before := s.e.catalog.Current()
	err := d.batch.Publish(ctx, rows, func(c *schema.Catalog) error {
		if err := d.apply(c); err != nil {
			return s.overtaken(err)
		}
		return nil
	})
	switch {
	case errors.Is(err, materialize.ErrOvertaken):
		err = s.overtaken(fail(codeConflict, "%s", materialize.ErrOvertaken))
	case err != nil && len(rows) > 0:
		err = s.e.commitError(err, d.cat, rows)
	}
	if err != nil {
		return errors.Join(err, s.discardDefinitions())
	}
	s.tx.defs = nil
	if err := s.dropLogs(before); err != nil { // it is committed
		s.e.cfg.Log.Error("removing the logs of dropped feature views", "error", err)
	}
	return nil
}

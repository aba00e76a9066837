package parse

import (
	"errors"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// columnsOf reads the columns and the primary key of a CREATE TABLE. owner ("an event table") is for messages.
func columnsOf(owner string, elts []*pg_query.Node) ([]Column, []string, error) {
	var cols []Column
	var key []string
	keyAt := -1
	setKey := func(at int, names []string) error {
		if key != nil {
			return faultAt(at, "42P16", "", "multiple primary keys are not allowed")
		}
		key, keyAt = names, at
		return nil
	}
	for _, e := range elts {
		switch {
		case e.GetColumnDef() != nil:
			c, primary, err := columnOf(owner, e.GetColumnDef())
			if err != nil {
				return nil, nil, err
			}
			if slices.ContainsFunc(cols, func(o Column) bool { return o.Name == c.Name }) {
				return nil, nil, faultAt(c.Position, codeDuplicate, "", `column "%s" specified more than once`, c.Name)
			}
			cols = append(cols, c)
			if primary >= 0 {
				if err := setKey(primary, []string{c.Name}); err != nil {
					return nil, nil, err
				}
			}
		case e.GetConstraint() != nil:
			c := e.GetConstraint()
			if c.Contype != pg_query.ConstrType_CONSTR_PRIMARY {
				return nil, nil, refuseConstraint(owner, c)
			}
			var names []string
			for _, k := range c.Keys {
				names = append(names, k.GetString_().GetSval())
			}
			if err := setKey(int(c.Location), names); err != nil {
				return nil, nil, err
			}
		default:
			return nil, nil, faultAt(firstLocation(e), codeUnsupported, "", "%s cannot have LIKE or OF", owner)
		}
	}
	for i, k := range key {
		at := slices.IndexFunc(cols, func(c Column) bool { return c.Name == k })
		if at < 0 {
			return nil, nil, faultAt(keyAt, "42703", "", `column "%s" named in key does not exist`, k)
		}
		if slices.Contains(key[:i], k) {
			return nil, nil, faultAt(cols[at].Position, codeDuplicate, "", `column "%s" appears twice in primary key constraint`, k)
		}
		cols[at].NotNull = true
	}
	return cols, key, nil
}

// columnOf reads one column; primary is the offset of its PRIMARY KEY, or -1.
func columnOf(owner string, d *pg_query.ColumnDef) (c Column, primary int, err error) {
	c = Column{Name: d.Colname, TypeName: d.TypeName, Position: int(d.Location)}
	primary = -1
	if c.Type, err = TypeOf(d.TypeName); err != nil {
		return c, -1, typeFault(d.TypeName, c.Name, err)
	}
	if d.CollClause != nil {
		return c, -1, faultAt(int(d.CollClause.Location), codeUnsupported, "", `%s cannot have COLLATE (column "%s")`, owner, c.Name)
	}
	for _, n := range d.Constraints {
		k := n.GetConstraint()
		switch k.GetContype() {
		case pg_query.ConstrType_CONSTR_NOTNULL:
			c.NotNull = true
		case pg_query.ConstrType_CONSTR_NULL:
		case pg_query.ConstrType_CONSTR_PRIMARY:
			primary = int(k.Location)
		case pg_query.ConstrType_CONSTR_DEFAULT:
			if c.Default, err = deparse(k.RawExpr); err != nil {
				return c, -1, err
			}
		default:
			return c, -1, refuseConstraint(owner, k)
		}
	}
	return c, primary, nil
}

// typeFault places an error of TypeOf.
func typeFault(t *pg_query.TypeName, column string, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	return faultAt(int(t.GetLocation()), e.Code, e.Hint, `column "%s": %s`, column, e.Message)
}

func refuseConstraint(owner string, c *pg_query.Constraint) error {
	names := map[pg_query.ConstrType]string{
		pg_query.ConstrType_CONSTR_CHECK:     "CHECK",
		pg_query.ConstrType_CONSTR_UNIQUE:    "UNIQUE",
		pg_query.ConstrType_CONSTR_FOREIGN:   "FOREIGN KEY",
		pg_query.ConstrType_CONSTR_EXCLUSION: "EXCLUDE",
		pg_query.ConstrType_CONSTR_IDENTITY:  "GENERATED AS IDENTITY",
		pg_query.ConstrType_CONSTR_GENERATED: "GENERATED ALWAYS AS",
	}
	name := names[c.GetContype()]
	if name == "" {
		name = "DEFERRABLE"
	}
	return faultAt(int(c.GetLocation()), codeUnsupported, "", "%s cannot have a %s constraint", owner, name)
}

// onlyTypes refuses what an entity's key has no use for.
func onlyTypes(cols []Column, key []string) error {
	for _, c := range cols {
		switch {
		case c.Default != "":
			return faultAt(c.Position, codeUnsupported, "", `a key of an entity cannot have a DEFAULT (column "%s")`, c.Name)
		case c.Type.Kind == vector.List, c.Type.Kind == vector.JSON, c.Type.Kind == vector.Interval:
			return faultAt(c.Position, codeUnsupported, "", `type %s cannot be the key of an entity (column "%s")`, c.Type, c.Name)
		}
	}
	if key != nil {
		return faultAt(cols[0].Position, codeUnsupported, "leave PRIMARY KEY out", "all columns of an entity are its key")
	}
	return nil
}

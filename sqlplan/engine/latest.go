package engine

import (
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// latestFunction is the partial that latest-value features read; SQL cannot call it.
const latestFunction = "latest"

// A latest-value feature has no mechanism of its own:
//
//	SELECT customer_id, plan FROM plans WHERE c
//
// over an entity of key customer_id stands for
//
//	SELECT customer_id, latest(plan) AS plan FROM plans WHERE c GROUP BY customer_id WINDOW LIFETIME
//
// where latest is last that takes a NULL for a value: a version says since when it holds, not until when, so the newest one
// before the cut is the one in force, and a NULL in it ends what the one before it said. Rows that c refuses are no versions.
//
// Since when a version holds is the relation's event time. A version's other natural beginning, when it became known, is the time of a
// commit: sources that record it for every version have it as their event time; an event table's and a file's rows say it
// themselves. A version that was deleted was never there, as with all rows: the one before it is in force again.

// latestBody is st, a latest-value feature, as the windowed feature that it stands for.
func latestBody(cat *schema.Catalog, st *parse.CreateFeature) (*parse.CreateFeature, error) {
	ent, err := latestEntity(cat, st)
	if err != nil {
		return nil, err
	}
	out := *st
	out.Entity = &parse.Name{Name: ent.Name, Position: st.Name.Position}
	if st.Entity != nil {
		out.Entity = st.Entity
	}
	out.Windows = []parse.Window{{Lifetime: true, Spelling: "lifetime", Position: st.Body.Start}}
	out.Body.GroupBy, out.Body.Targets = nil, nil
	values := 0
	for _, t := range st.Body.Targets {
		if hasKey(ent, t.Name) {
			if i := slices.IndexFunc(out.Body.Targets, func(u parse.Target) bool { return u.Name == t.Name }); i >= 0 {
				return nil, at(fail(codeDuplicateColumn, "key %q of entity %q is an output twice", t.Name, ent.Name), st.Text, t.Position)
			}
			t.Key = len(out.Body.GroupBy)
			out.Body.GroupBy = append(out.Body.GroupBy, t.Expr)
		} else {
			values++
			t.Call = &parse.AggregateCall{Name: latestFunction, Args: []parse.Expr{t.Expr}, Position: max(t.Position, 0)}
		}
		out.Body.Targets = append(out.Body.Targets, t)
	}
	for _, k := range ent.Keys {
		if !hasOutput(st, k.Name) {
			return nil, at(hint(fail(codeDefinition, "feature %q lacks key %q of entity %q", st.Name.Name, k.Name, ent.Name),
				"An output of that name is the key: SELECT %s, …, or x AS %[1]s where the column has another name.", k.Name), st.Text, st.Name.Position)
		}
	}
	if values == 0 {
		return nil, at(hint(fail(codeDefinition, "feature %q has no output beside the keys of entity %q", st.Name.Name, ent.Name), "Add the column whose latest value is wanted to the SELECT list."), st.Text, st.Body.Start)
	}
	for _, t := range out.Body.Targets {
		if values > 1 && t.Name == unnamed {
			return nil, at(hint(fail(codeDefinition, "an output of feature %q has no name", st.Name.Name), "Give it an alias: %s AS name.", t.Expr.Text), st.Text, t.Position)
		}
	}
	return &out, nil
}

// unnamed is the name that PostgreSQL gives to an expression without one.
const unnamed = "?column?"

// latestEntity is the entity that a latest-value feature names, or the one whose keys are among its outputs.
func latestEntity(cat *schema.Catalog, st *parse.CreateFeature) (*schema.Entity, error) {
	if st.Entity != nil {
		ent := cat.Entity(st.Entity.Name)
		if ent == nil {
			return nil, at(noEntity(st.Entity.Name), st.Text, st.Entity.Position)
		}
		return ent, nil
	}
	var ent *schema.Entity
	var fits, outputs []string
	for _, t := range st.Body.Targets {
		outputs = append(outputs, t.Name)
	}
	for _, e := range cat.Entities {
		if len(e.Keys) < len(outputs) && !slices.ContainsFunc(e.Keys, func(k schema.Column) bool { return !slices.Contains(outputs, k.Name) }) {
			ent = e
			fits = append(fits, e.Name)
		}
	}
	slices.Sort(fits)
	switch len(fits) {
	case 0:
		return nil, at(hint(fail(codeUndefinedObject, "no entity has its keys among the outputs (%s)", strings.Join(outputs, ", ")),
			"CREATE ENTITY name (key type); then the output of the key's name is the key, and the others are values."), st.Text, st.Name.Position)
	case 1:
		return ent, nil
	}
	return nil, at(hint(fail(codeDefinition, "several entities have their keys among the outputs (%s): %s", strings.Join(outputs, ", "), strings.Join(fits, ", ")),
		"Name one: CREATE FEATURE %s ON %s …", st.Name.Name, fits[0]), st.Text, st.Name.Position)
}

func noEntity(name string) *session.Error {
	return hint(fail(codeUndefinedObject, "entity %q does not exist", name), "CREATE ENTITY %s (…) names its keys and their types.", name)
}

func hasKey(ent *schema.Entity, name string) bool {
	return slices.ContainsFunc(ent.Keys, func(k schema.Column) bool { return k.Name == name })
}

func hasOutput(st *parse.CreateFeature, name string) bool {
	return slices.ContainsFunc(st.Body.Targets, func(t parse.Target) bool { return t.Name == name })
}

// sinceEver is an event time before all others, which must be finite.
const sinceEver = "TIMESTAMPTZ '0001-01-01 00:00:00Z'"

// initialValidFrom reads the option that says since when the rows of a first snapshot hold. Rows that say it in a column have
// one answer: since then.
func initialValidFrom(o *optionReader, relation string) {
	switch v := o.oneOf("initial_valid_from", "column", "column", "snapshot", "-infinity"); v {
	case "snapshot", "-infinity":
		o.refuse(o.opts["initial_valid_from"], codeUnsupported, "initial_valid_from = '%s' is for sources of snapshots, whose rows do not say since when they hold; here the event time says it", v)
		o.err = hint(asError(o.err), "Rows that hold since ever say so in an event view: CREATE VIEW v WITH (event_time = 'since') AS SELECT *, %s AS since FROM %s;", sinceEver, relation)
	}
}

// validFrom checks the option that names the column since when a version holds: the relation's event time.
func validFrom(st *parse.CreateFeature, r *schema.Relation) error {
	v, ok := st.Options["valid_from"]
	switch {
	case !ok || v.Value == r.EventTime:
		return nil
	case r.ColumnIndex(v.Value) < 0:
		return at(hint(fail(codeUndefinedColumn, "column %q of valid_from does not exist in relation %q", v.Value, r.Name), "Columns of %s: %s.", r.Name, columnNames(r.Columns)), st.Text, v.ValuePosition)
	}
	return at(hint(fail(codeUnsupported, "valid_from must be the event time of relation %q, which is %q, not %q", r.Name, r.EventTime, v.Value),
		"Read an event view that has that event time: CREATE VIEW v WITH (event_time = '%s') AS SELECT … FROM %s", v.Value, r.Name), st.Text, v.ValuePosition)
}

package engine

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// objectKind is what DROP calls an object, "" where it knows none such.
func objectKind(o any) string {
	switch o := o.(type) {
	case *schema.Feature:
		return "FEATURE"
	case *schema.FeatureView:
		return "FEATURE VIEW"
	case *schema.Entity:
		return "ENTITY"
	case *schema.Connection:
		return "CONNECTION"
	case *schema.Secret:
		return "SECRET"
	case *schema.Relation:
		switch o.Kind {
		case schema.FileSource, schema.KafkaSource, schema.PostgresSource, schema.DualSource:
			return "SOURCE"
		case schema.EventTable:
			return "TABLE"
		case schema.EventView:
			return "VIEW"
		}
	}
	return ""
}

// objectName is the name of an object that objectKind knows.
func objectName(o any) string {
	switch o := o.(type) {
	case *schema.Feature:
		return o.Name
	case *schema.FeatureView:
		return o.Name
	case *schema.Entity:
		return o.Name
	case *schema.Relation:
		return o.Name
	case *schema.Connection:
		return o.Name
	case *schema.Secret:
		return o.Name
	}
	return ""
}

// ofKind is the object of a name that a statement calls by a kind: connections and secrets have names of their own. nil: none.
func ofKind(c *schema.Catalog, kind, name string) any {
	switch kind {
	case "CONNECTION":
		if o := c.Connection(name); o != nil {
			return o
		}
		return nil
	case "SECRET":
		if o := c.Secret(name); o != nil {
			return o
		}
		return nil
	}
	return c.Lookup(name)
}

// named is an object in the words of a message.
func named(o any) string {
	if r, ok := o.(*schema.Relation); ok {
		return string(r.Kind) + " " + r.Name
	}
	return strings.ToLower(objectKind(o)) + " " + objectName(o)
}

// readersOf are the objects whose definitions name o: they cannot be without it.
func readersOf(c *schema.Catalog, o any) []any {
	var out []any
	over := func(views []*schema.FeatureView) {
		for _, v := range views {
			out = append(out, v)
		}
	}
	switch o := o.(type) {
	case *schema.Feature:
		over(c.ViewsOf(o))
	case *schema.FeatureView:
		over(c.ViewsOver(o))
	case *schema.Entity:
		over(c.ViewsKeyed(o))
		for _, f := range c.Features {
			if f.Entity == o.ID {
				out = append(out, f)
			}
		}
	case *schema.Relation:
		for _, f := range c.Features {
			if f.Relation == o.ID || slices.Contains(f.Attributes, o.ID) {
				out = append(out, f)
			}
		}
		for _, v := range c.Relations {
			if v.View != nil && v.View.Base == o.ID {
				out = append(out, v)
			}
		}
		if v := c.VersionsOf(o); v != nil {
			out = append(out, readersOf(c, v)...)
		}
		for _, d := range c.DualsOf(o.ID) {
			out = append(out, d)
		}
	case *schema.Connection:
		for _, r := range c.Relations {
			if r.StreamConnection() == o.ID {
				out = append(out, r)
			}
		}
	case *schema.Secret:
		for _, x := range c.Connections {
			if usesSecret(x, o) {
				out = append(out, x)
			}
		}
	}
	return out
}

// removeObject takes o and, before it, all that reads it out of a catalog; gone is told of each.
func removeObject(c *schema.Catalog, o any, gone func(o any)) {
	for _, r := range readersOf(c, o) {
		if has(c, r) { // not gone with another reader
			removeObject(c, r, gone)
		}
	}
	gone(o)
	switch o := o.(type) {
	case *schema.Feature:
		delete(c.Features, o.ID)
	case *schema.FeatureView:
		delete(c.FeatureViews, o.ID)
	case *schema.Entity:
		delete(c.Entities, o.ID)
	case *schema.Relation:
		delete(c.Relations, o.ID)
		if o.Postgres != nil { // they go with the source, and not without it
			delete(c.Relations, o.Postgres.Versions)
		}
	case *schema.Connection:
		delete(c.Connections, o.ID)
	case *schema.Secret:
		delete(c.Secrets, o.ID)
	}
}

func has(c *schema.Catalog, o any) bool {
	switch o := o.(type) {
	case *schema.Feature:
		return c.Features[o.ID] != nil
	case *schema.FeatureView:
		return c.FeatureViews[o.ID] != nil
	case *schema.Entity:
		return c.Entities[o.ID] != nil
	case *schema.Relation:
		return c.Relations[o.ID] != nil
	case *schema.Connection:
		return c.Connections[o.ID] != nil
	case *schema.Secret:
		return c.Secrets[o.ID] != nil
	}
	return false
}

// drop drops features, entities and sources; what reads them goes with CASCADE only.
func (s *Session) drop(ctx context.Context, sql string, st *parse.Drop) (string, error) {
	tag := "DROP " + string(st.Object)
	for _, n := range st.Names {
		if err := s.viewsOver(ctx, "drop", n.Name); err != nil {
			return "", at(asError(err), sql, n.Position)
		}
	}
	return tag, s.dropObjects(sql, string(st.Object), st.Names, st.IfExists, st.Cascade)
}

func (s *Session) dropObjects(sql, kind string, names []parse.Name, ifExists, cascade bool) error {
	var notices []session.Notice // of the last time that the step was taken
	err := s.define(func(c *schema.Catalog) error {
		notices = notices[:0]
		asked := map[any]parse.Name{}
		var objects []any
		for _, n := range names {
			o := ofKind(c, kind, n.Name)
			switch {
			case o != nil && objectKind(o) == kind:
				asked[o] = n
				objects = append(objects, o)
			case ifExists:
				notices = append(notices, session.Notice{Message: fmt.Sprintf("%s %q does not exist, skipping", strings.ToLower(kind), n.Name)})
			default:
				return at(notThatKind(o, "DROP", kind, n), sql, n.Position)
			}
		}
		var all []string
		for _, o := range objects {
			if !has(c, o) {
				continue // named twice, or it read an object that was named before
			}
			var also []string
			removeObject(c, o, func(r any) {
				if _, ok := asked[r]; !ok {
					also = append(also, named(r))
				}
			})
			slices.Sort(also)
			if len(also) > 0 && !cascade {
				e := hint(fail(codeDependent, "cannot drop %s %s because other objects depend on it", strings.ToLower(kind), objectName(o)), "Use DROP … CASCADE to drop them too.")
				e.Detail = "Readers: " + strings.Join(also, ", ") + "."
				return at(e, sql, asked[o].Position)
			}
			all = append(all, also...)
		}
		if n := cascadeNotice(all); n != nil {
			notices = append(notices, *n)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, n := range notices {
		s.notice(n)
	}
	return nil
}

// cascadeNotice says which objects DROP … CASCADE took along, as PostgreSQL says it; nil: none.
func cascadeNotice(also []string) *session.Notice {
	switch len(also) {
	case 0:
		return nil
	case 1:
		return &session.Notice{Message: "drop cascades to " + also[0]}
	}
	slices.Sort(also)
	return &session.Notice{Message: fmt.Sprintf("drop cascades to %d other objects", len(also)), Detail: "drop cascades to " + strings.Join(also, "\ndrop cascades to ")}
}

// wordIn is the byte offset of a name's first mention as a word of its own, -1 where there is none: the parser gives the
// names of DROP no place.
func wordIn(sql, name string) int {
	at := regexp.MustCompile(`(?i)\b` + regexp.QuoteMeta(name) + `\b`).FindStringIndex(sql)
	if at == nil {
		return -1
	}
	return at[0]
}

// bindDropStmt binds PostgreSQL's DROP: TABLE and VIEW of ours, or ordinary ones.
func (s *Session) bindDropStmt(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.DropStmt) (bound, error) {
	if n.RemoveType == pg_query.ObjectType_OBJECT_FUNCTION {
		return s.bindDropFunction(st, n)
	}
	kind, known := dropKinds[n.RemoveType]
	if !known {
		return bound{}, fail(codeUnsupported, "%s is not supported", firstWords(st.Text))
	}
	var ours []parse.Name
	for _, o := range droppedNames(n) {
		if cat.Lookup(o[1]) != nil && (o[0] == "" || o[0] == tables.Public) && (kind == tables.Table || kind == tables.View) {
			ours = append(ours, parse.Name{Name: o[1], Position: wordIn(st.Text, o[1])})
		}
	}
	switch {
	case len(ours) == 0:
		return s.bindDropOrdinary(st, n), nil
	case len(ours) < len(n.Objects):
		return bound{}, fail(codeUnsupported, "DROP of event tables and ordinary ones in one statement is not supported")
	}
	word := strings.ToUpper(string(kind))
	return s.definition(func(ctx context.Context) (string, error) {
		for _, o := range ours {
			if err := s.viewsOver(ctx, "drop", o.Name); err != nil {
				return "", err
			}
		}
		return "DROP " + word, s.dropObjects(st.Text, word, ours, n.MissingOk, n.Behavior == pg_query.DropBehavior_DROP_CASCADE)
	}), nil
}

// viewsOver refuses a change of an object of ours that ordinary views read by its name.
func (s *Session) viewsOver(ctx context.Context, verb, name string) error {
	cat, err := s.ordinary(ctx)
	if err != nil {
		return err
	}
	for _, v := range cat.Sorted(func(o *tables.Object) bool { return slices.Contains(o.ReadsNames, name) }) {
		e := hint(fail(codeDependent, "cannot %s %s because other objects depend on it", verb, name), "DROP %s %s first.", strings.ToUpper(string(v.Kind)), qualifiedName(v))
		e.Detail = fmt.Sprintf("%s depends on %s", describeObject(v), name)
		return e
	}
	return nil
}

package engine

import (
	"context"
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// bindCreateSequence binds CREATE SEQUENCE.
func (s *Session) bindCreateSequence(st *parse.SQL, n *pg_query.CreateSeqStmt) bound {
	return s.ddl(func(ctx context.Context) (string, error) {
		const tag = "CREATE SEQUENCE"
		space, temp, err := s.makes(ctx, n.Sequence, st.Text)
		if err != nil {
			return "", err
		}
		name := n.Sequence.Relname
		if s.nameTaken(space, name) {
			if n.IfNotExists {
				s.notice(session.Notice{Code: codeDuplicateTable, Message: fmt.Sprintf("relation %q already exists, skipping", name)})
				return tag, nil
			}
			return "", fail(codeDuplicateTable, "relation %q already exists", name)
		}
		d, err := s.newDraft(st.Text, tables.Sequence, space, name, temp)
		if err != nil {
			return "", err
		}
		d.table.Seq = &tables.SequenceRange{Increment: 1, Cache: 1}
		rest, err := s.ownedBy(ctx, d.table, n.Options)
		if err != nil {
			return "", err
		}
		if err := sequenceOptions(st.Text, d.table, rest, true); err != nil {
			return "", err
		}
		return tag, s.putObject(ctx, d.table)
	})
}

// ownedBy takes OWNED BY out of a sequence's options.
func (s *Session) ownedBy(ctx context.Context, o *tables.Object, options []*pgNode) ([]*pgNode, error) {
	var rest []*pgNode
	for _, n := range options {
		e := n.GetDefElem()
		if e.Defname != "owned_by" {
			rest = append(rest, n)
			continue
		}
		names := nodeNames(e.Arg.GetList().GetItems())
		if len(names) == 1 {
			if names[0] != "none" {
				return nil, hint(fail("42601", "invalid OWNED BY option"), "Specify OWNED BY table.column or OWNED BY NONE.")
			}
			o.OwnedBy, o.OwnedByColumn = 0, ""
			continue
		}
		rv := &pg_query.RangeVar{Relname: names[len(names)-2]}
		if len(names) > 2 {
			rv.Schemaname = names[len(names)-3]
		}
		t, err := s.target(ctx, rv, "")
		if err != nil {
			return nil, err
		}
		c := t.Column(names[len(names)-1])
		if c == nil {
			return nil, fail(codeUndefinedColumn, "column %q of relation %q does not exist", names[len(names)-1], t.Name)
		}
		if err := s.sameOwner(o, t); err != nil {
			return nil, err
		}
		o.OwnedBy, o.OwnedByColumn = t.ID, c.Name
	}
	return rest, nil
}

// bindAlterSequence binds ALTER SEQUENCE.
func (s *Session) bindAlterSequence(st *parse.SQL, n *pg_query.AlterSeqStmt) bound {
	return s.ddl(func(ctx context.Context) (string, error) {
		const tag = "ALTER SEQUENCE"
		o, err := s.alterTarget(ctx, n.Sequence, n.MissingOk, st.Text)
		if o == nil || err != nil {
			return tag, err
		}
		if o.Kind != tables.Sequence {
			return "", fail(codeWrongObject, "%q is not a sequence", o.Name)
		}
		next := o.Clone()
		rest, err := s.ownedBy(ctx, next, n.Options)
		if err != nil {
			return "", err
		}
		return tag, s.changeSequence(ctx, st.Text, next, rest)
	})
}

// changeSequence applies options to a copy of a sequence and writes it. A value that the sequence has already reached stays.
func (s *Session) changeSequence(ctx context.Context, sql string, o *tables.Object, options []*pgNode) error {
	last, _, err := s.e.sequences.current(o.Seq)
	if err != nil {
		return err
	}
	if err := sequenceOptions(sql, o, options, false); err != nil {
		return err
	}
	if o.Seq.State != 0 {
		switch {
		case last < o.Seq.Min:
			return fail(codeInvalidParameter, "RESTART value (%d) cannot be less than MINVALUE (%d)", last, o.Seq.Min)
		case last > o.Seq.Max:
			return fail(codeInvalidParameter, "RESTART value (%d) cannot be greater than MAXVALUE (%d)", last, o.Seq.Max)
		}
	}
	return s.putObject(ctx, o)
}

// bindTruncateStmt binds TRUNCATE.
func (s *Session) bindTruncateStmt(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.TruncateStmt) (bound, error) {
	ours := 0
	for _, r := range n.Relations {
		if eventTableOf(cat, r.GetRangeVar()) != nil {
			ours++
		}
	}
	switch {
	case ours == 0:
		return s.bindTruncate(st, n), nil
	case ours < len(n.Relations):
		return bound{}, fail(codeUnsupported, "TRUNCATE of event tables and ordinary ones in one statement is not supported")
	}
	return s.truncateEvents(ctx, cat, st, n)
}

// bindTruncate binds TRUNCATE of ordinary tables.
func (s *Session) bindTruncate(st *parse.SQL, n *pg_query.TruncateStmt) bound {
	return s.ddl(func(ctx context.Context) (string, error) {
		const tag = "TRUNCATE TABLE"
		var targets []*tables.Object
		for _, r := range n.Relations {
			o, err := s.target(ctx, r.GetRangeVar(), "")
			if err != nil {
				return "", err
			}
			if o.Kind != tables.Table {
				return "", fail(codeWrongObject, "%q is not a table", o.Name)
			}
			if !slices.Contains(targets, o) {
				targets = append(targets, o)
			}
		}
		cascade := n.Behavior == pg_query.DropBehavior_DROP_CASCADE
		for i := 0; i < len(targets); i++ {
			for _, r := range s.tabs.Referrers(targets[i].ID) {
				if slices.ContainsFunc(targets, func(o *tables.Object) bool { return o.ID == r.Table.ID }) {
					continue
				}
				if !cascade {
					e := hint(fail(codeUnsupported, "cannot truncate a table referenced in a foreign key constraint"), "Truncate table %q at the same time, or use TRUNCATE ... CASCADE.", r.Table.Name)
					e.Detail = fmt.Sprintf("Table %q references %q.", r.Table.Name, targets[i].Name)
					return "", e
				}
				s.notice(session.Notice{Message: fmt.Sprintf("truncate cascades to table %q", r.Table.Name)})
				targets = append(targets, r.Table)
			}
		}
		var locks []uint64
		for _, o := range targets {
			locks = append(locks, s.lockSet(o, false)...)
			s.changes(o, false)
		}
		if err := s.takeLocks(ctx, locks); err != nil {
			return "", err
		}
		for _, o := range targets {
			if _, err := s.conn.Exec(ctx, "DELETE FROM "+duckName(o)); err != nil {
				return "", err
			}
			s.freshTable(o)
			if !n.RestartSeqs {
				continue
			}
			for _, seq := range s.tabs.Sorted(func(x *tables.Object) bool { return x.Kind == tables.Sequence && x.OwnedBy == o.ID }) {
				next := seq.Clone()
				next.Seq.First, next.Seq.State = next.Seq.Start, 0
				if err := s.putObject(ctx, next); err != nil {
					return "", err
				}
			}
		}
		return tag, nil
	})
}

// bindCommentOrdinary binds COMMENT ON an ordinary object.
func (s *Session) bindCommentOrdinary(st *parse.SQL, n *pg_query.CommentStmt) (bound, error) {
	names := nodeNames(n.Object.GetList().GetItems())
	if t := n.Object.GetString_(); t != nil {
		names = []string{t.Sval}
	}
	if t := n.Object.GetTypeName(); t != nil {
		names = nodeNames(t.Names)
	}
	kinds := map[pg_query.ObjectType]tables.Kind{pg_query.ObjectType_OBJECT_COLUMN: "column", pg_query.ObjectType_OBJECT_TABCONSTRAINT: "constraint"}
	kind := dropKinds[n.Objtype]
	if kind == "" {
		kind = kinds[n.Objtype]
	}
	if kind == "" || len(names) == 0 {
		return bound{}, hint(fail(codeUnsupported, "COMMENT ON this kind of object is not supported"), "Comments are for features, entities, sources, tables, views, their columns and constraints, indexes, sequences, types and schemas.")
	}
	part := ""
	if kind == "column" || kind == "constraint" {
		part, names = names[len(names)-1], names[:len(names)-1]
	}
	space := ""
	if len(names) > 1 {
		space = names[len(names)-2]
	}
	name := names[len(names)-1]
	return s.ddl(func(ctx context.Context) (string, error) {
		const tag = "COMMENT"
		if kind == tables.Schema && name == tables.Public {
			return "", fail(codeUnsupported, "schema public cannot have a comment")
		}
		var o *tables.Object
		var err error
		if part != "" {
			o, err = s.target(ctx, &pg_query.RangeVar{Schemaname: space, Relname: name}, "")
		} else {
			o, err = s.dropTarget(kind, space, name)
			if e := asError(err); e != nil {
				if e.Code == codeUndefinedTable || e.Code == codeUndefinedObject && kind == tables.Index {
					e.Code, e.Message = codeUndefinedTable, fmt.Sprintf("relation %q does not exist", joined([2]string{space, name}))
				}
				e.Hint = ""
			}
		}
		if err != nil {
			return "", err
		}
		next := o.Clone()
		switch kind {
		case "column":
			c := next.Column(part)
			if c == nil {
				return "", fail(codeUndefinedColumn, "column %q of relation %q does not exist", part, name)
			}
			c.Comment = n.Comment
			if _, err := s.conn.Exec(ctx, fmt.Sprintf("COMMENT ON COLUMN %s.%s IS %s", duckName(o), duck.QuoteIdent(part), orNull(n.Comment))); err != nil {
				return "", err
			}
		case "constraint":
			k := next.Constraint(part)
			if k == nil {
				return "", fail(codeUndefinedObject, "constraint %q for table %q does not exist", part, name)
			}
			k.Comment = n.Comment
		default:
			next.Comment = n.Comment
			if o.Kind == tables.Table || o.Kind == tables.MaterializedView || o.Kind == tables.View {
				word := "TABLE"
				if o.Kind == tables.View {
					word = "VIEW"
				}
				if _, err := s.conn.Exec(ctx, fmt.Sprintf("COMMENT ON %s %s IS %s", word, duckName(o), orNull(n.Comment))); err != nil {
					return "", err
				}
			}
		}
		return tag, s.putObject(ctx, next)
	}), nil
}

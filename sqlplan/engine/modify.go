package engine

import (
	"context"
	"fmt"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// targetPlaceholder stands for the table that an UPDATE or DELETE changes, with its row ids.
const targetPlaceholder = "__target"

// bindDelete binds DELETE FROM an event table: a SELECT of row ids, and a delete of those versions.
func (s *Session) bindDelete(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.DeleteStmt, r *schema.Relation, given []vector.Type) (bound, error) {
	return s.bindModify(ctx, cat, st, &modifyPlan{rel: r, tag: "DELETE", target: n.Relation, from: n.UsingClause, where: n.WhereClause}, given)
}

// bindUpdate binds UPDATE of an event table: a SELECT of row ids and new rows, a delete and an insert.
func (s *Session) bindUpdate(ctx context.Context, cat *schema.Catalog, st *parse.SQL, n *pg_query.UpdateStmt, r *schema.Relation, given []vector.Type) (bound, error) {
	p := &modifyPlan{rel: r, tag: "UPDATE", target: n.Relation, from: n.FromClause, where: n.WhereClause, set: map[int]*pg_query.Node{}}
	for _, t := range n.TargetList {
		rt := t.GetResTarget()
		i := r.ColumnIndex(rt.Name)
		if i < 0 {
			return bound{}, at(fail(codeUndefinedColumn, "column %q of relation %q does not exist", rt.Name, r.Name), st.Text, int(rt.Location))
		}
		p.set[i] = rt.Val
	}
	return s.bindModify(ctx, cat, st, p, given)
}

// modifyPlan is an UPDATE or DELETE of an event table.
type modifyPlan struct {
	rel    *schema.Relation
	tag    string
	target *pg_query.RangeVar
	from   []*pg_query.Node
	where  *pg_query.Node
	set    map[int]*pg_query.Node // UPDATE: new values by column; nil: DELETE
}

// query is the SELECT that finds the rows: the row id and, for UPDATE, every column's new value.
func (p *modifyPlan) query() *pg_query.Node {
	alias := p.rel.Name
	if p.target.Alias != nil {
		alias = p.target.Alias.Aliasname
	}
	column := func(name string) *pg_query.Node {
		return pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeStrNode(alias), pg_query.MakeStrNode(name)}, 0)
	}
	items := []*pg_query.Node{pg_query.MakeResTargetNodeWithVal(column(rowIDName), 0)}
	if p.set != nil {
		for i, c := range p.rel.Columns {
			v, ok := p.set[i]
			if !ok {
				v = column(c.Name)
			}
			items = append(items, pg_query.MakeResTargetNodeWithVal(v, 0))
		}
	}
	return &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: &pg_query.SelectStmt{
		TargetList: items, FromClause: append([]*pg_query.Node{placeholder(targetPlaceholder, alias)}, p.from...), WhereClause: p.where,
		LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg_query.SetOperation_SETOP_NONE}}}
}

// modifyRetries is how often a statement outside a block is tried again when another transaction changed its rows first.
const modifyRetries = 5

func (s *Session) bindModify(ctx context.Context, cat *schema.Catalog, st *parse.SQL, p *modifyPlan, given []vector.Type) (bound, error) {
	if p.rel.Kind != schema.EventTable {
		return bound{}, at(fail(codeWrongObject, "cannot change %s %q", p.rel.Kind, p.rel.Name), st.Text, int(p.target.Location))
	}
	b := &binder{ctx: ctx, s: s, cat: cat, describe: true, sql: st.Text, refs: map[string]string{}}
	find := func(b *binder) (string, error) {
		rel, err := b.relationSQL(p.rel, true)
		if err != nil {
			return "", err
		}
		b.refs[targetPlaceholder] = rel
		return b.duckSQL(clone(p.query()))
	}
	if _, err := find(b); err != nil {
		return bound{}, err
	}
	for i, v := range p.set {
		given = typeParam(given, v, p.rel.Columns[i].Type)
	}
	params, columns, err := s.describeNode(ctx, b, p.query(), given)
	if err != nil {
		return bound{}, err
	}
	for i := range p.set {
		if c, t := p.rel.Columns[i], columns[i+1].Type; !assignable(t, c.Type) {
			return bound{}, at(fail(codeTypeMismatch, "column %q is of type %s but expression is of type %s", c.Name, c.Type, t), st.Text, nodeLocation(p.set[i]))
		}
	}
	return bound{params: params, run: func(ctx context.Context, args []*vector.Vector) (session.Result, error) {
		for try := 0; ; try++ {
			var n int
			err := s.inSerial(ctx, func(ctx context.Context) (err error) {
				n, err = s.modify(ctx, cat, st, p, find, args)
				return err
			})
			if e := asError(err); e != nil && e.Code == codeConflict && s.tx == nil && try < modifyRetries {
				continue
			}
			if err != nil {
				return nil, err
			}
			return noRows{fmt.Sprintf("%s %d", p.tag, n)}, nil
		}
	}}, nil
}

func (s *Session) modify(ctx context.Context, cat *schema.Catalog, st *parse.SQL, p *modifyPlan, find func(*binder) (string, error), args []*vector.Vector) (int, error) {
	if err := s.refuseMixed(true); err != nil {
		return 0, err
	}
	defer s.dropTemps()
	b := &binder{ctx: ctx, s: s, cat: cat, position: s.position(), sql: st.Text, refs: map[string]string{}}
	sql, err := find(b)
	if err != nil {
		return 0, err
	}
	rows, err := s.query(ctx, sql, args)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var ids []int64
	seen := map[int64]bool{}
	var news *vector.Chunk
	if p.set != nil {
		news = vector.NewChunk(relationTypes(p.rel), 0)
	}
	for {
		ch, err := rows.Next()
		if err != nil {
			return 0, err
		}
		if ch == nil {
			break
		}
		for i := range ch.N {
			id := ch.Cols[0].I64[i]
			if seen[id] { // a join that matches a row twice changes it once, as in PostgreSQL
				continue
			}
			seen[id] = true
			ids = append(ids, id)
			if news == nil {
				continue
			}
			for c, v := range news.Cols {
				if err := s.cast(v, ch.Cols[c+1], i); err != nil {
					return 0, ofColumn(asError(err), p.rel, c)
				}
			}
			news.N++
		}
	}
	rows.Close()
	if news != nil {
		if err := s.checkRows(p.rel, news); err != nil {
			return 0, err
		}
	}
	if len(ids) == 0 {
		return 0, nil
	}
	return len(ids), s.write(ctx, p.rel, ids, news)
}

// ofColumn names the column that an error is about.
func ofColumn(err *session.Error, r *schema.Relation, column int) *session.Error {
	err.Table, err.Column = r.Name, r.Columns[column].Name
	return err
}

// cast appends value i of src to dst as an assignment does: through its text where the types differ.
func (s *Session) cast(dst, src *vector.Vector, i int) error {
	switch {
	case src.IsNull(i):
		dst.AppendNull()
		return nil
	case dst.Type.Equal(src.Type):
		dst.AppendFrom(src, i)
		return nil
	case dst.Type.Buffer() == vector.BufI64 && src.Type.Buffer() == vector.BufI64 && widens(src.Type, dst.Type):
		dst.AppendInt(src.I64[i])
		return nil
	}
	settings := *s.codecSettings()
	if dst.Type.Kind != vector.Text { // the text is read again
		settings.Dates, settings.Intervals = codec.DatesISO, codec.StylePostgres
	}
	text := codec.AppendText(nil, src, i, &settings)
	if src.Type.Kind == vector.Float64 || src.Type.Kind == vector.Float32 || src.Type.Kind == vector.Decimal {
		switch dst.Type.Kind {
		case vector.Int16, vector.Int32, vector.Int64: // an assignment rounds
			d := vector.New(vector.DecimalOf(38, 0), 1)
			if err := codec.AppendParsed(d, text, s.codecSettings()); err != nil {
				return err
			}
			text = codec.AppendText(nil, d, 0, s.codecSettings())
		}
	}
	return codec.AppendParsed(dst, text, s.codecSettings())
}

package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// Executions of one UPDATE or DELETE that are written together are computed together, too: their parameters become the columns
// of a relation that the table is joined to. DuckDB plans a statement that reads a table anew each time, which costs as much as
// ten rows.

const (
	batchRef    = "__batch_rows"
	batchAlias  = "__batch"
	batchNumber = "__n" // which execution a row is of
)

// batchSQL is a change's SELECT for several executions, with emptyBatch where their parameters go; "" where it is none that can be
// computed so.
func (w *rowWrite) batchSQL(ctx context.Context, p *fewPlan) (string, error) {
	if len(p.numbers) == 0 || slices.Contains(p.types(w), "") || w.generated != nil {
		return "", nil
	}
	sql, err := w.fewSQL(ctx, func(node *pgNode) bool {
		nowIsParameter(node, len(w.params)+1)
		sel := node.GetSelectStmt()
		if len(sel.FromClause) != 1 || parameters(sel.FromClause[0], false) {
			return false
		}
		parameters(node, true)
		sel.TargetList = append([]*pgNode{namedTarget(batchNumber, columnRef(batchAlias, batchNumber, 0))}, sel.TargetList...)
		sel.FromClause = append(sel.FromClause, placeholder(batchRef, batchAlias))
		return true
	}, map[string]string{batchRef: p.emptyBatch(w)})
	if err != nil || strings.Count(sql, p.emptyBatch(w)) != 1 {
		return "", err
	}
	return w.checkedSQL(sql, p.rules, batchNumber+", "), nil
}

// parameters reports whether a statement has parameters; replace makes them columns of the batch.
func parameters(n *pgNode, replace bool) (found bool) {
	parse.Walk(n, func(m proto.Message) bool {
		p, ok := m.(*pgNode)
		if !ok || p.GetParamRef() == nil {
			return true
		}
		if found = true; replace {
			p.Node = columnRef(batchAlias, fmt.Sprintf("__p%d", p.GetParamRef().Number), 0).Node
		}
		return false
	})
	return found
}

// types are DuckDB's names of the types of the parameters that the plan names, "" for one that is not known.
func (p *fewPlan) types(w *rowWrite) []string {
	out := make([]string, len(p.numbers))
	for i, n := range p.numbers {
		switch {
		case n == len(w.params)+1 && p.now:
			out[i] = vector.T(vector.TimestampTZ).DuckDB()
		case n <= len(w.params) && w.params[n-1].Kind != vector.Invalid && w.params[n-1].Kind != vector.Null:
			out[i] = w.params[n-1].DuckDB()
		}
	}
	return out
}

func (p *fewPlan) emptyBatch(w *rowWrite) string {
	cols := []string{"NULL::BIGINT AS " + batchNumber}
	for i, t := range p.types(w) {
		cols = append(cols, fmt.Sprintf("NULL::%s AS __p%d", t, p.numbers[i]))
	}
	return "(SELECT " + strings.Join(cols, ", ") + " WHERE false)"
}

// valuesOf is a relation of rows of parameters, which have types.
func valuesOf(rows int, types, names []string) string {
	var out strings.Builder
	out.WriteString("(SELECT * FROM (VALUES ")
	for i := range rows {
		if i > 0 {
			out.WriteString(", ")
		}
		out.WriteString("(")
		for k, t := range types {
			if k > 0 {
				out.WriteString(", ")
			}
			fmt.Fprintf(&out, "$%d::%s", i*len(types)+k+1, t)
		}
		out.WriteString(")")
	}
	return out.String() + ") AS v(" + strings.Join(names, ", ") + "))"
}

// manyTogether computes and writes executions of one statement, as far as it can; rest are the jobs that it leaves.
func (b *fewBatch) manyTogether(ctx context.Context, jobs []*fewJob) (rest []*fewJob, err error) {
	for {
		var same, others []*fewJob
		for _, j := range jobs {
			if first := jobs[0]; j.p.batch != "" && j.p.batch == first.p.batch && j.p.write == first.p.write {
				same = append(same, j)
			} else {
				others = append(others, j)
			}
		}
		if len(same) < 2 {
			return jobs, nil
		}
		later, err := b.together(ctx, same)
		if err != nil {
			return nil, err
		}
		if jobs = append(later, others...); len(later)*2 > len(same) || len(jobs) < 2 { // they wait for the same rows
			return jobs, nil
		}
	}
}

// together computes executions of one statement, and writes them; later are those that change a row which one before them changes.
func (b *fewBatch) together(ctx context.Context, jobs []*fewJob) (later []*fewJob, err error) {
	p, w := jobs[0].p, jobs[0].w
	types, names := append([]string{"BIGINT"}, p.types(w)...), []string{batchNumber}
	for _, n := range p.numbers {
		names = append(names, fmt.Sprintf("__p%d", n))
	}
	var args []*vector.Vector
	for i, j := range jobs {
		n := vector.New(vector.T(vector.Int64), 1)
		n.AppendInt(int64(i))
		args = append(append(args, n), j.args...)
	}
	rows, err := b.s.conn.Query(ctx, strings.Replace(p.batch, p.emptyBatch(w), valuesOf(len(jobs), types, names), 1), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for {
		ch, err := rows.Next()
		if err != nil {
			return nil, err
		}
		if ch == nil {
			break
		}
		for row := range ch.N {
			if err := jobs[ch.Cols[0].I64[row]].take(ch.Cols[1:], row, row+1); err != nil {
				return nil, err
			}
		}
	}
	changed := map[int64]bool{}
	var write []*fewJob
	for _, j := range jobs {
		if j.rows == nil {
			continue
		}
		if slices.ContainsFunc(j.ids.I64, func(id int64) bool { return changed[id] }) {
			j.reset()
			later = append(later, j)
			continue
		}
		_, broken, err := b.check(ctx, j)
		if err != nil {
			return nil, err
		}
		if j.err = broken; broken == nil {
			for _, id := range j.ids.I64 {
				changed[id] = true
			}
			write = append(write, j)
		}
	}
	return later, b.replace(ctx, write)
}

// replace writes the rows of executions of one UPDATE or DELETE, which are different ones.
func (b *fewBatch) replace(ctx context.Context, jobs []*fewJob) error {
	n := 0
	for _, j := range jobs {
		n += j.rows.N
	}
	if n == 0 {
		return nil
	}
	var args []*vector.Vector
	for _, j := range jobs {
		for row := range j.rows.N {
			args = append(args, values(append(picked(j.rows.Cols, j.p.set), j.ids), row)...)
		}
	}
	p, o := jobs[0].p, b.rules.table
	sql := p.write
	switch {
	case n == 1:
	case jobs[0].w.kind == 'd':
		sql = fmt.Sprintf("DELETE FROM %s WHERE rowid IN %s", duckName(o), marks(1, n))
	default:
		var sets, types, names []string
		for k, c := range p.set {
			col := &o.Columns[c]
			sets = append(sets, fmt.Sprintf("%s = __v.c%d", duck.QuoteIdent(col.Name), k))
			types, names = append(types, duckColumnType(col)), append(names, fmt.Sprintf("c%d", k))
		}
		sql = fmt.Sprintf("UPDATE %s AS __t SET %s FROM %s AS __v WHERE __t.rowid = __v.r", duckName(o), strings.Join(sets, ", "),
			valuesOf(n, append(types, "BIGINT"), append(names, "r")))
	}
	_, err := b.s.conn.Exec(ctx, sql, args...)
	return err
}

package materialize

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// keysAreColumns reports whether which of a relation's rows are events of g, and of what keys, follows from columns of theirs.
func keysAreColumns(c *schema.Catalog, g *schema.Group) bool {
	r := c.Relations[g.Relation]
	if r.View != nil || len(g.Unnest)+len(g.Joins) > 0 {
		return false
	}
	stored := r.Stored()
	return !slices.ContainsFunc(g.Keys, func(e schema.Expr) bool { return !isColumn(stored, e) })
}

// isColumn reports whether an expression is a column as it is.
func isColumn(stored []schema.Column, e schema.Expr) bool {
	return e.Column >= 0 && stored[e.Column].Type.Equal(e.Type)
}

// columns is rows of a group whose keys are columns: what is computed is computed by DuckDB, of the columns that it names, and all else taken
// as it is.
func (ev *evaluator) columns(ctx context.Context, c *schema.Catalog, g *schema.Group, ch *vector.Chunk, ids []int64) (*event.Rows, error) {
	r := c.Relations[g.Relation]
	stored := r.Stored()
	ch, ids = events(g, r, ch, ids)
	out := event.NewRows(g.Layout, ch.N)
	if ch.N == 0 {
		return out, nil
	}
	computed, err := ev.compute(ctx, r, g, ch)
	if err != nil {
		return nil, err
	}
	pick := &vector.Chunk{N: ch.N}
	for _, k := range g.Keys {
		pick.Cols = append(pick.Cols, ch.Cols[k.Column])
	}
	idv := vector.New(vector.T(vector.Int64), 0)
	idv.I64, idv.N = ids, len(ids)
	pick.Cols = append(pick.Cols, ch.Cols[r.PlaceOf(r.EventTime)], idv)
	if g.Layout.Tie {
		for _, k := range r.PrimaryKey {
			pick.Cols = append(pick.Cols, ch.Cols[r.PlaceOf(k)])
		}
	}
	for _, col := range g.Columns {
		if isColumn(stored, col) {
			pick.Cols = append(pick.Cols, ch.Cols[col.Column])
			continue
		}
		pick.Cols, computed = append(pick.Cols, computed[0]), computed[1:]
	}
	view := event.NewRows(g.Layout, 0)
	eventRows(g.Layout, pick, nil, len(r.PrimaryKey), view)
	out.AppendRange(view, 0, view.N())
	return out, nil
}

// events are the rows of ch that have a key and a finite event time, with their ids.
func events(g *schema.Group, r *schema.Relation, ch *vector.Chunk, ids []int64) (*vector.Chunk, []int64) {
	ts := ch.Cols[r.PlaceOf(r.EventTime)]
	keys := make([]*vector.Vector, len(g.Keys))
	for i, k := range g.Keys {
		keys[i] = ch.Cols[k.Column]
	}
	none := func(i int) bool {
		return !finite(ts, i) || slices.ContainsFunc(keys, func(k *vector.Vector) bool { return k.IsNull(i) })
	}
	first := 0
	for first < ch.N && !none(first) {
		first++
	}
	if first == ch.N {
		return ch, ids
	}
	kept, keptIDs := vector.NewChunk(ch.Types(), ch.N), append([]int64(nil), ids[:first]...)
	kept.AppendRange(ch, 0, first)
	for i := first + 1; i < ch.N; i++ {
		if !none(i) {
			kept.AppendRow(ch, i)
			keptIDs = append(keptIDs, ids[i])
		}
	}
	return kept, keptIDs
}

// compute computes the columns of a group that are no columns of its relation's rows, all of which are events.
func (ev *evaluator) compute(ctx context.Context, r *schema.Relation, g *schema.Group, ch *vector.Chunk) ([]*vector.Vector, error) {
	stored := r.Stored()
	var items []string
	for _, col := range g.Columns {
		if !isColumn(stored, col) {
			items = append(items, col.SQL)
		}
	}
	if len(items) == 0 {
		return nil, nil
	}
	text := strings.ToLower(strings.Join(items, ", "))
	var columns []schema.Column
	part := &vector.Chunk{N: ch.N}
	for i, col := range stored {
		// A column that is not named is not there: an expression that had it all the same would fail, not be another.
		if strings.Contains(text, strings.ToLower(strings.ReplaceAll(col.Name, `"`, `""`))) {
			columns, part.Cols = append(columns, col), append(part.Cols, ch.Cols[i])
		}
	}
	few, of, ok := distinctRows(part)
	if !ok {
		return ev.computeEach(ctx, r, items, columns, part)
	}
	out, err := ev.computeEach(ctx, r, items, columns, few)
	if err != nil {
		return nil, err
	}
	return spread(out, of), nil
}

// computeEach computes expressions of rows of some columns of a relation.
func (ev *evaluator) computeEach(ctx context.Context, r *schema.Relation, items []string, columns []schema.Column, part *vector.Chunk) ([]*vector.Vector, error) {
	n := part.N
	number := vector.New(vector.T(vector.Int64), n)
	for i := range n {
		number.AppendInt(int64(i))
	}
	part.Cols = append(part.Cols, number)
	ev.mu.Lock()
	defer ev.mu.Unlock()
	table, err := ev.table(ctx, r, columns, part)
	if err != nil {
		return nil, err
	}
	res, err := ev.conn.Query(ctx, fmt.Sprintf("SELECT %s, %s FROM %s", strings.Join(items, ", "), rowIDColumn, table))
	if err != nil {
		return nil, err
	}
	defer res.Close()
	var out *vector.Chunk
	for {
		next, err := res.Next()
		switch {
		case err != nil:
			return nil, err
		case next != nil && out == nil:
			out = vector.NewChunk(next.Types(), n)
			fallthrough
		case next != nil:
			out.AppendRange(next, 0, next.N)
			continue
		case out == nil || out.N != n:
			return nil, fmt.Errorf("relation %s: expressions of %d rows have other values", r.Name, n)
		}
		return inOrder(out).Cols[:len(items)], nil
	}
}

// inOrder is rows by their last column, which numbers them. DuckDB gives them as they were put into the table, but for its threads.
func inOrder(ch *vector.Chunk) *vector.Chunk {
	numbers := ch.Cols[len(ch.Cols)-1].I64
	if slices.IsSorted(numbers) {
		return ch
	}
	at := make([]int, ch.N)
	for i, n := range numbers {
		at[n] = i
	}
	out := vector.NewChunk(ch.Types(), ch.N)
	for _, i := range at {
		out.AppendRow(ch, i)
	}
	return out
}

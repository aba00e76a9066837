package materialize

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// evaluator turns rows of event tables into event rows of groups: the expressions of a feature over rows that were just
// written. Groups whose expressions are plain columns never enter DuckDB; the rest goes through a temporary table, many rows
// at a time, because a round trip costs as much as evaluating thousands of rows.
type evaluator struct {
	mu     sync.Mutex
	conn   *duck.Conn
	tables map[uint32][]vector.Type // temporary tables made, by relation: of their columns

	attributes *attributes // of the connection
}

// columnsOnly reports whether g's rows can be taken from a row of its relation without evaluating anything.
func columnsOnly(c *schema.Catalog, g *schema.Group) bool {
	r := c.Relations[g.Relation]
	if r.View != nil || len(g.Unnest)+len(g.Joins) > 0 {
		return false
	}
	stored := r.Stored()
	other := func(e schema.Expr) bool { return e.Column < 0 || !stored[e.Column].Type.Equal(e.Type) }
	return !slices.ContainsFunc(g.Keys, other) && !slices.ContainsFunc(g.Columns, other)
}

// rows are the event rows of g for the rows ch of its base relation, with the attributes in force at a position; ids are their
// row ids. The result does not share ch.
func (ev *evaluator) rows(ctx context.Context, c *schema.Catalog, g *schema.Group, ch *vector.Chunk, ids []int64, position uint64) (*event.Rows, error) {
	out := event.NewRows(g.Layout, ch.N)
	b, err := baseOf(c, g.Relation)
	if err != nil {
		return nil, err
	}
	r := c.Relations[g.Relation]
	if ch.N == 0 {
		return out, nil
	}
	if ch, err = fit(b, ch); err != nil {
		return nil, err
	}
	if columnsOnly(c, g) {
		pick := &vector.Chunk{N: ch.N}
		for _, k := range g.Keys {
			pick.Cols = append(pick.Cols, ch.Cols[k.Column])
		}
		idv := vector.New(vector.T(vector.Int64), ch.N)
		for _, id := range ids {
			idv.AppendInt(id)
		}
		ts := ch.Cols[r.PlaceOf(r.EventTime)]
		pick.Cols = append(pick.Cols, ts, idv)
		if g.Layout.Tie {
			for _, k := range b.PrimaryKey {
				pick.Cols = append(pick.Cols, ch.Cols[b.PlaceOf(k)])
			}
		}
		for _, col := range g.Columns {
			pick.Cols = append(pick.Cols, ch.Cols[col.Column])
		}
		view := event.NewRows(g.Layout, 0)
		eventRows(g.Layout, pick, nil, len(b.PrimaryKey), view)
		for i := range ch.N {
			if keyed(pick, len(g.Keys), i) && finite(ts, i) {
				out.Append(view, i)
			}
		}
		return out, nil
	}
	ev.mu.Lock()
	defer ev.mu.Unlock()
	table, err := ev.load(ctx, b, ch, ids)
	if err != nil {
		return nil, err
	}
	from := baseRows{sql: table, few: ch.N <= fewRows}
	if from.attributes, err = ev.attributes.of(ctx, c, g, position); err != nil {
		return nil, err
	}
	rows, err := ev.conn.Query(ctx, eventSQL(c, g, from))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	view := event.NewRows(g.Layout, 0)
	for {
		ch, err := rows.Next()
		if err != nil {
			return nil, err
		}
		if ch == nil {
			return out, nil
		}
		eventRows(g.Layout, ch, nil, len(b.PrimaryKey), view)
		for i := range ch.N {
			out.Append(view, i)
		}
	}
}

// fewRows is up to how many rows attributes are first narrowed to their keys.
const fewRows = 10_000

// load puts rows of a relation into its temporary table, in place of what it had, and says the table's name.
func (ev *evaluator) load(ctx context.Context, b *schema.Relation, ch *vector.Chunk, ids []int64) (string, error) {
	table := fmt.Sprintf("rows_%d", b.ID)
	stored := b.Stored()
	if !sameTypes(ev.tables[b.ID], stored) {
		cols := make([]string, len(stored))
		for i, col := range stored {
			cols[i] = duck.QuoteIdent(col.Name) + " " + col.Type.DuckDB()
		}
		if _, err := ev.conn.Exec(ctx, fmt.Sprintf("CREATE OR REPLACE TEMP TABLE %s (%s, %s BIGINT)", table, strings.Join(cols, ", "), rowIDColumn)); err != nil {
			return "", err
		}
		ev.tables[b.ID] = columnTypes(b)
	}
	if _, err := ev.conn.Exec(ctx, "TRUNCATE temp.main."+table); err != nil {
		return "", err
	}
	if err := appendWithIDs(ev.conn, "temp", table, ch, ids); err != nil {
		return "", err
	}
	return "temp.main." + table, nil
}

// drop forgets a relation.
func (ev *evaluator) drop(ctx context.Context, relation uint32) error {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	if err := ev.attributes.forget(ctx, relation); err != nil || ev.tables[relation] == nil {
		return err
	}
	delete(ev.tables, relation)
	_, err := ev.conn.Exec(ctx, fmt.Sprintf("DROP TABLE IF EXISTS temp.main.rows_%d", relation))
	return err
}

func keyed(ch *vector.Chunk, keys, i int) bool {
	for _, k := range ch.Cols[:keys] {
		if k.IsNull(i) {
			return false
		}
	}
	return true
}

func finite(ts *vector.Vector, i int) bool {
	return !ts.IsNull(i) && ts.I64[i] != vector.PosInfinity && ts.I64[i] != vector.NegInfinity
}

// appendChunkRows bounds the chunks given to DuckDB's appender, in rows: its vector size.
const appendChunkRows = 2048

// appendWithIDs appends ch's rows and their ids to a table of those columns.
func appendWithIDs(conn *duck.Conn, catalog, table string, ch *vector.Chunk, ids []int64) error {
	idv := vector.New(vector.T(vector.Int64), ch.N)
	for i := range ch.N {
		idv.AppendInt(ids[i])
	}
	return appendRows(conn, catalog, table, &vector.Chunk{N: ch.N, Cols: append(slices.Clone(ch.Cols), idv)})
}

// appendRows appends rows to a table of their columns.
func appendRows(conn *duck.Conn, catalog, table string, ch *vector.Chunk) error {
	a, err := conn.Appender(catalog, "main", table)
	if err != nil {
		return err
	}
	types := ch.Types()
	part := vector.NewChunk(types, min(ch.N, appendChunkRows))
	for i := 0; i < ch.N; {
		part.Reset()
		for ; i < ch.N && part.N < appendChunkRows; i++ {
			part.AppendRow(ch, i)
		}
		if err := a.Append(part); err != nil {
			_ = a.Close()
			return err
		}
	}
	return a.Close()
}

// consecutive are n row ids from first.
func consecutive(first uint64, n int) []int64 {
	ids := make([]int64, n)
	for i := range ids {
		ids[i] = int64(first) + int64(i)
	}
	return ids
}

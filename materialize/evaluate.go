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
	"github.com/zeebo/xxh3"
)

// evaluator turns rows of event tables into event rows of groups: the expressions of a feature over rows that were just
// written. What is a plain column never enters DuckDB; the rest goes through a temporary table, many rows at a time, because a round trip
// costs as much as evaluating thousands of rows.
type evaluator struct {
	mu     sync.Mutex
	conn   *duck.Conn
	tables map[uint32]map[string][]vector.Type // temporary tables made, by relation and name: the types of their columns

	attributes *attributes // of the connection
}

// rows are the event rows of g for the rows ch of its base relation, with the attributes in force at a position; ids are their
// row ids. The result does not share ch.
func (ev *evaluator) rows(ctx context.Context, c *schema.Catalog, g *schema.Group, ch *vector.Chunk, ids []int64, position uint64) (*event.Rows, error) {
	out := event.NewRows(g.Layout, ch.N)
	b, err := baseOf(c, g.Relation)
	if err != nil {
		return nil, err
	}
	if ch.N == 0 {
		return out, nil
	}
	if ch, err = fit(b, ch); err != nil {
		return nil, err
	}
	if keysAreColumns(c, g) {
		return ev.columns(ctx, c, g, ch, ids)
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
		out.AppendRange(view, 0, ch.N)
	}
}

// fewRows is up to how many rows attributes are first narrowed to their keys.
const fewRows = 10_000

// load puts rows of a relation into its temporary table, in place of what it had, and says the table's name.
func (ev *evaluator) load(ctx context.Context, b *schema.Relation, ch *vector.Chunk, ids []int64) (string, error) {
	idv := vector.New(vector.T(vector.Int64), ch.N)
	idv.I64, idv.N = append(idv.I64, ids...), ch.N
	return ev.table(ctx, b, b.Stored(), &vector.Chunk{N: ch.N, Cols: append(slices.Clone(ch.Cols), idv)})
}

// table puts rows of some of a relation's columns, and an id, into the temporary table of these columns, in place of what it had.
func (ev *evaluator) table(ctx context.Context, b *schema.Relation, columns []schema.Column, ch *vector.Chunk) (string, error) {
	names := make([]string, len(columns))
	cols := make([]string, len(columns))
	for i, col := range columns {
		names[i] = col.Name
		cols[i] = duck.QuoteIdent(col.Name) + " " + col.Type.DuckDB() + ", "
	}
	table := fmt.Sprintf("rows_%d_%x", b.ID, xxh3.HashString(strings.Join(names, "\x00")))
	made := ev.tables[b.ID]
	if !sameTypes(made[table], columns) || made[table] == nil {
		if _, err := ev.conn.Exec(ctx, fmt.Sprintf("CREATE OR REPLACE TEMP TABLE %s (%s%s BIGINT)", table, strings.Join(cols, ""), rowIDColumn)); err != nil {
			return "", err
		}
		if made == nil {
			made = map[string][]vector.Type{}
			ev.tables[b.ID] = made
		}
		made[table] = make([]vector.Type, len(columns))
		for i, col := range columns {
			made[table][i] = col.Type
		}
	}
	if _, err := ev.conn.Exec(ctx, "TRUNCATE temp.main."+table); err != nil {
		return "", err
	}
	if err := appendRows(ev.conn, "temp", table, ch); err != nil {
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
	for table := range ev.tables[relation] {
		if _, err := ev.conn.Exec(ctx, "DROP TABLE IF EXISTS temp.main."+table); err != nil {
			return err
		}
	}
	delete(ev.tables, relation)
	return nil
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
		to := min(i+appendChunkRows, ch.N)
		part.AppendRange(ch, i, to)
		i = to
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

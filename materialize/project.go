package materialize

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// projections keep event tables as DuckDB tables for SQL. Each is brought up to a statement's position before the statement
// runs; the position stands in the same DuckDB transaction as the rows, so a crash between the two is impossible.
type projections struct {
	db      *duck.DB
	log     *reclog.Log
	catalog func() *schema.Catalog

	mu     sync.Mutex // guards tables
	tables map[uint32]*projection
}

type projection struct {
	mu       sync.Mutex // one catch-up at a time
	position uint64
	types    []vector.Type // of the table's columns, without the row id
	known    bool          // position and types were read from DuckDB
}

// CreatePositions runs before the configuration is locked.
const CreatePositions = "CREATE TABLE IF NOT EXISTS proj.main.positions (relation BIGINT, position BIGINT)"

func (p *projections) of(relation uint32) *projection {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.tables[relation]
	if t == nil {
		t = &projection{}
		p.tables[relation] = t
	}
	return t
}

// bring brings r's projection up to position at least. It is a no-op where nothing was written since. A statement may know fewer
// columns of r than there are by now, and no rows are to lose theirs: the projection has the columns of the newest catalog.
func (p *projections) bring(ctx context.Context, r *schema.Relation, position uint64) (err error) {
	t := p.of(r.ID)
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := p.catalog().Relations[r.ID]; now != nil {
		r = now
	}
	stored := r.Stored()
	if t.known && t.position >= position && t.fits(stored) {
		return nil
	}
	conn, err := p.db.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	if !t.known {
		if err := t.load(ctx, conn, p.log, r); err != nil {
			return err
		}
	}
	if !t.fits(stored) {
		if err := t.widen(ctx, conn, r); err != nil {
			return err
		}
	}
	if t.position >= position {
		return nil
	}
	if _, err := conn.Exec(ctx, "BEGIN TRANSACTION"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			t.known = false
			_, _ = conn.Exec(context.WithoutCancel(ctx), "ROLLBACK") // the first error is the one to report
		}
	}()
	if err := p.replay(ctx, conn, r, t.position, position); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, fmt.Sprintf("UPDATE proj.main.positions SET position = %d WHERE relation = %d", position, r.ID)); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "COMMIT"); err != nil {
		return err
	}
	t.position = position
	return nil
}

// load reads the projection's position, and makes its table where there is none, or one so old that deletes after it were trimmed.
func (t *projection) load(ctx context.Context, conn *duck.Conn, log *reclog.Log, r *schema.Relation) error {
	var err error
	var found bool
	if t.position, found, err = projectedTo(ctx, conn, r.ID); err != nil {
		return err
	}
	trimmed, err := log.Trimmed(reclog.SourceID(r.ID))
	if err != nil {
		return err
	}
	if found && t.position >= trimmed.Position {
		st, err := conn.Prepare(ctx, "SELECT * FROM "+ProjectionTable(r.ID))
		if err != nil {
			return err
		}
		defer st.Close()
		t.types = nil
		for _, c := range st.Columns() {
			t.types = append(t.types, c.Type)
		}
		t.types, t.known = t.types[:len(t.types)-1], true
		return nil
	}
	stored := r.Stored()
	cols := make([]string, len(stored))
	for i, c := range stored {
		cols[i] = duck.QuoteIdent(c.Name) + " " + c.Type.DuckDB()
	}
	for _, sql := range []string{
		"BEGIN TRANSACTION",
		fmt.Sprintf("CREATE OR REPLACE TABLE %s (%s, %s BIGINT)", ProjectionTable(r.ID), strings.Join(cols, ", "), rowIDColumn),
		fmt.Sprintf("DELETE FROM proj.main.positions WHERE relation = %d", r.ID),
		fmt.Sprintf("INSERT INTO proj.main.positions VALUES (%d, 0)", r.ID),
		"COMMIT",
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	t.position, t.types, t.known = 0, columnTypes(r), true
	return nil
}

// fits reports whether the table has all columns, and none of a type that was widened since.
func (t *projection) fits(stored []schema.Column) bool {
	if len(t.types) < len(stored) {
		return false
	}
	for i, c := range stored {
		if !t.types[i].Equal(c.Type) && reclog.Widens(t.types[i], c.Type) {
			return false
		}
	}
	return true
}

// widen gives a projection the columns that were added to its relation, and the types of today. The row id stays the last one.
func (t *projection) widen(ctx context.Context, conn *duck.Conn, r *schema.Relation) error {
	table, s := ProjectionTable(r.ID), RowSchema(r)
	stored := r.Stored()
	items := make([]string, len(stored))
	for i, c := range stored {
		items[i] = duck.QuoteIdent(c.Name)
		if i < len(t.types) && !t.types[i].Equal(c.Type) && reclog.Widens(t.types[i], c.Type) {
			items[i] = fmt.Sprintf("CAST(%s AS %s) AS %[1]s", items[i], c.Type.DuckDB())
		}
	}
	had := min(len(t.types), len(stored))
	added := vector.NewChunk(s.Types[had:], 1)
	added.N = 1
	cols := make([]string, len(added.Cols))
	for i, v := range added.Cols {
		at := had + i
		if at < len(s.Missing) && s.Missing[at] != nil {
			v.AppendFrom(s.Missing[at], 0)
		} else {
			v.AppendNull()
		}
		cols[i] = duck.QuoteIdent(stored[at].Name) + " " + v.Type.DuckDB()
	}
	if len(cols) == 0 {
		if _, err := conn.Exec(ctx, fmt.Sprintf("CREATE OR REPLACE TABLE %s AS SELECT %s, %s FROM %[1]s", table, strings.Join(items, ", "), rowIDColumn)); err != nil {
			return err
		}
		t.types = s.Types
		return nil
	}
	// The values come through a table, as what they are.
	if _, err := conn.Exec(ctx, fmt.Sprintf("CREATE OR REPLACE TEMP TABLE missing (%s)", strings.Join(cols, ", "))); err != nil {
		return err
	}
	if err := appendRows(conn, "temp", "missing", added); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, fmt.Sprintf("CREATE OR REPLACE TABLE %s AS SELECT %s, %s FROM %[1]s, temp.main.missing", table, strings.Join(items, ", "), rowIDColumn)); err != nil {
		return err
	}
	t.types = s.Types
	return nil
}

// projectedTo is the position of a relation's projection as the connection sees it; false where there is none.
func projectedTo(ctx context.Context, conn *duck.Conn, relation uint32) (uint64, bool, error) {
	rows, err := conn.Query(ctx, fmt.Sprintf("SELECT position FROM proj.main.positions WHERE relation = %d", relation))
	if err != nil {
		return 0, false, err
	}
	defer rows.Close()
	ch, err := rows.Next()
	if err != nil || ch == nil || ch.N == 0 {
		return 0, false, err
	}
	return uint64(ch.Cols[0].I64[0]), true, nil
}

// Projected are the positions of the relations' projections as a connection's transaction sees them.
func Projected(ctx context.Context, conn *duck.Conn) (map[uint32]uint64, error) {
	rows, err := conn.Query(ctx, "SELECT relation, position FROM proj.main.positions")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[uint32]uint64{}
	for {
		ch, err := rows.Next()
		if err != nil || ch == nil {
			return out, err
		}
		for i := range ch.N {
			out[uint32(ch.Cols[0].I64[i])] = uint64(ch.Cols[1].I64[i])
		}
	}
}

// deleteBatch bounds the row ids of one DELETE.
const deleteBatch = 1000

// replay applies the changes of positions after < p ≤ upTo to r's table, within the connection's transaction.
func (p *projections) replay(ctx context.Context, conn *duck.Conn, r *schema.Relation, after, upTo uint64) error {
	table := fmt.Sprintf("t_%d", r.ID)
	var app *duck.Appender
	flush := func() error {
		if app == nil {
			return nil
		}
		a := app
		app = nil
		return a.Close()
	}
	defer func() { _ = flush() }() // after an error, which is reported instead
	var dead []string
	erase := func() error {
		if len(dead) == 0 {
			return nil
		}
		if err := flush(); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE %s IN (%s)", ProjectionTable(r.ID), rowIDColumn, strings.Join(dead, ", ")))
		dead = dead[:0]
		return err
	}
	types := columnTypes(r)
	part := vector.NewChunk(append(types, vector.T(vector.Int64)), appendChunkRows)
	push := func() error {
		if part.N == 0 {
			return nil
		}
		if app == nil {
			var err error
			if app, err = conn.Appender("proj", "main", table); err != nil {
				return err
			}
		}
		err := app.Append(part)
		part.Reset()
		return err
	}
	err := p.log.Scan(ctx, reclog.SourceID(r.ID), after, upTo, RowSchema(r), func(_ uint64, deleted []uint64, first uint64, ins *vector.Chunk) error {
		for _, id := range deleted {
			dead = append(dead, fmt.Sprint(id))
			if len(dead) >= deleteBatch {
				if err := push(); err != nil {
					return err
				}
				if err := erase(); err != nil {
					return err
				}
			}
		}
		if ins == nil {
			return nil
		}
		for i := range ins.N {
			for j, c := range ins.Cols {
				part.Cols[j].AppendFrom(c, i)
			}
			part.Cols[len(ins.Cols)].AppendInt(int64(first) + int64(i))
			if part.N++; part.N == appendChunkRows {
				if err := push(); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := push(); err != nil {
		return err
	}
	if err := erase(); err != nil {
		return err
	}
	return flush()
}

// drop removes r's projection.
func (p *projections) drop(ctx context.Context, relation uint32) error {
	t := p.of(relation)
	t.mu.Lock()
	defer t.mu.Unlock()
	conn, err := p.db.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	t.known = false
	for _, sql := range []string{"DROP TABLE IF EXISTS " + ProjectionTable(relation), fmt.Sprintf("DELETE FROM proj.main.positions WHERE relation = %d", relation)} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// dropUnknown removes the projections of relations that the catalog does not have.
func (p *projections) dropUnknown(ctx context.Context, cat *schema.Catalog) error {
	conn, err := p.db.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	rows, err := conn.Query(ctx, "SELECT relation FROM proj.main.positions")
	if err != nil {
		return err
	}
	var unknown []uint32
	for {
		ch, err := rows.Next()
		if err != nil || ch == nil {
			rows.Close()
			if err != nil {
				return err
			}
			break
		}
		for _, id := range ch.Cols[0].I64[:ch.N] {
			if cat.Relations[uint32(id)] == nil {
				unknown = append(unknown, uint32(id))
			}
		}
	}
	var errs []error
	for _, id := range unknown {
		errs = append(errs, p.drop(ctx, id))
	}
	return errors.Join(errs...)
}

func columnTypes(r *schema.Relation) []vector.Type {
	stored := r.Stored()
	out := make([]vector.Type, len(stored), len(stored)+1)
	for i, c := range stored {
		out[i] = c.Type
	}
	return out
}

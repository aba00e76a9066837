package materialize

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// errMoved is the error of an exact scan of a projection that other statements have brought past the position.
var errMoved = errors.New("the projection is past the position")

// baseRows is rows of a relation that is no view, with row ids.
type baseRows struct {
	sql      string
	fileIDs  []uint32 // that the high bits of row ids of files stand for
	rejected *rejects

	attributes []string        // base rows of the relations of the group's joins
	times      *event.Interval // only events of these times; nil: all
	few        bool            // the rows are few: attributes of other keys need not be looked at
}

// rejects counts the rows of files that have no key or no time, by file id. Several goroutines count at once; nil: nobody does.
type rejects struct {
	mu   sync.Mutex
	rows map[uint32]int64
}

func newRejects() *rejects { return &rejects{rows: map[uint32]int64{}} }

// take gives the rows of a chunk of eventSQL's columns that have a key and a time, and counts the others.
func (r *baseRows) take(ch *vector.Chunk, keys int) *vector.Chunk {
	ts := ch.Cols[keys]
	ok := func(i int) bool { return keyed(ch, keys, i) && finite(ts, i) }
	first := 0
	for first < ch.N && ok(first) {
		first++
	}
	if first == ch.N {
		return ch
	}
	types := ch.Types()
	out := vector.NewChunk(types, ch.N)
	r.rejected.mu.Lock()
	defer r.rejected.mu.Unlock()
	for i := range ch.N {
		if ok(i) {
			out.AppendRow(ch, i)
		} else {
			r.rejected.rows[r.fileIDs[ch.Cols[keys+1].I64[i]>>fileRowBits]]++
		}
	}
	return out
}

// scanSQL gives live event rows of a group in chunks that are valid during the call, with the attributes that were in force at a
// position, and says at which position they are: the one asked for, or, unless exact is set, the later one that an event table's
// projection is at. emit is called on DuckDB's threads, several at once, with rows in no order; it must not use DuckDB.
func (m *Manager) scanSQL(ctx context.Context, cat *schema.Catalog, g *schema.Group, from baseRows, position uint64, exact bool, emit func(*event.Rows) error) (at uint64, err error) {
	b, err := baseOf(cat, g.Relation)
	if err != nil {
		return 0, err
	}
	conn, err := m.cfg.DB.Connect()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if from.attributes, err = newAttributes(conn, m.cfg.Log).of(ctx, cat, g, position); err != nil {
		return 0, err
	}
	at = position
	if b.Logged() {
		// The position and the rows are read in one transaction, because others may bring the projection further at any time.
		if _, err := conn.Exec(ctx, "BEGIN TRANSACTION"); err != nil {
			return 0, err
		}
		defer func() { _, _ = conn.Exec(context.WithoutCancel(ctx), "ROLLBACK") }() // nothing was written
		have, found, err := projectedTo(ctx, conn, b.ID)
		switch {
		case err != nil:
			return 0, err
		case !found || have < position:
			return 0, fmt.Errorf("projection of %q is at position %d, not %d", b.Name, have, position)
		case have > position && exact:
			return 0, errMoved
		}
		at = have
	}
	err = conn.Each(ctx, eventSQL(cat, g, from), func() func(*vector.Chunk) error {
		out := event.NewRows(g.Layout, 0)
		return func(ch *vector.Chunk) error {
			if from.rejected != nil {
				if ch = from.take(ch, len(g.Keys)); ch.N == 0 {
					return nil
				}
			}
			eventRows(g.Layout, ch, from.fileIDs, len(b.PrimaryKey), out)
			return emit(out)
		}
	})
	if err != nil {
		return 0, err
	}
	return at, nil
}

// scanAsOf is scan at a position before the newest of an event table: the log is replayed, because the projection holds
// only what is live now.
func (m *Manager) scanAsOf(ctx context.Context, cat *schema.Catalog, g *schema.Group, position uint64, emit func(*event.Rows) error) error {
	b, err := baseOf(cat, g.Relation)
	if err != nil {
		return err
	}
	return m.LiveRows(ctx, b, position, func(rows *vector.Chunk, ids []int64) error {
		out, err := m.eval.rows(ctx, cat, g, rows, ids, position)
		if err != nil {
			return err
		}
		return emit(out)
	})
}

// LiveRows gives the rows of an event table that are live at a position, with their ids, by replaying the log. What emit is
// given is its own to keep.
func (m *Manager) LiveRows(ctx context.Context, b *schema.Relation, position uint64, emit func(rows *vector.Chunk, ids []int64) error) error {
	dead := map[uint64]bool{}
	err := m.cfg.Log.Versions(ctx, reclog.SourceID(b.ID), 0, position, func(v reclog.Version) error {
		if v.Delete {
			dead[v.RowID] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	return m.cfg.Log.Scan(ctx, reclog.SourceID(b.ID), 0, position, RowSchema(b), func(_ uint64, _ []uint64, first uint64, ins *vector.Chunk) error {
		if ins == nil {
			return nil
		}
		keep, ids := ins, consecutive(first, ins.N)
		if len(dead) > 0 {
			keep, ids = vector.NewChunk(columnTypes(b), ins.N), nil
			for i := range ins.N {
				if id := first + uint64(i); !dead[id] {
					keep.AppendRow(ins, i)
					ids = append(ids, int64(id))
				}
			}
		}
		return emit(keep, ids)
	})
}

// RowsOver is a relation over a table that holds rows of its base, with their ids: what RelationSQL is over the projection.
func RowsOver(cat *schema.Catalog, r *schema.Relation, table string) string {
	return rowsSQL(cat, r, table)
}

// Base is the relation whose rows r's rows are: r itself, or the base of a view.
func Base(cat *schema.Catalog, r *schema.Relation) *schema.Relation { return base(cat, r) }

// AppendWithIDs appends rows and their ids to a table of those columns.
func AppendWithIDs(conn *duck.Conn, catalog, table string, rows *vector.Chunk, ids []int64) error {
	return appendWithIDs(conn, catalog, table, rows, ids)
}

package crash

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	keys     = 12            // keys of the entity
	idRange  = 1_000_000_000 // row ids of one writer
	maxOwned = 4_000         // rows that a writer keeps before it deletes some
)

// base is the event time of a directory's first rows, in microseconds.
var base = time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// row is a row of table ev without its id. ts is in microseconds.
type row struct {
	k, x int64
	f    float64
	ts   int64
}

// writer is one connection that changes rows of its own, and what it knows of them.
type writer struct {
	id      int64
	kind    string
	rng     *rand.Rand
	acked   map[int64]row
	pending map[int64]*row // of the transaction that runs: new rows by id, nil: deleted
	next    int64
	done    int // transactions acknowledged
	err     error
}

func newWriter(id int64, kind string, rng *rand.Rand) *writer {
	return &writer{id: id, kind: kind, rng: rng, acked: map[int64]row{}, next: id * idRange}
}

// fresh makes n rows with event times that advance by hours, some of them late by days, and ties.
func (w *writer) fresh(n int) []int64 {
	ids := make([]int64, n)
	for i := range ids {
		at := base + (w.next%idRange)*int64(7*time.Minute/time.Microsecond)
		if w.rng.IntN(10) == 0 {
			at -= w.rng.Int64N(int64(5 * 24 * time.Hour / time.Microsecond))
		}
		if w.rng.IntN(4) == 0 {
			at -= at % int64(time.Hour/time.Microsecond)
		}
		r := &row{k: w.rng.Int64N(keys), x: w.rng.Int64N(1000) - 500, f: w.rng.NormFloat64() * 100, ts: at}
		w.pending[w.next], ids[i] = r, w.next
		w.next++
	}
	return ids
}

// run writes until the connection breaks or ctx ends. A statement that the server refuses is an error of the test.
func (w *writer) run(ctx context.Context, dsn string) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return // killed before it began
	}
	defer conn.Close(context.Background())
	for ctx.Err() == nil {
		w.pending = map[int64]*row{}
		var err error
		switch {
		case len(w.acked) > maxOwned:
			err = w.remove(ctx, conn, 0.5)
		case w.kind == "insert":
			err = w.insert(ctx, conn)
		case w.kind == "transaction":
			err = w.transaction(ctx, conn)
		case w.kind == "copy":
			err = w.copy(ctx, conn)
		default: // "change"
			switch w.rng.IntN(4) {
			case 0, 1:
				err = w.copy(ctx, conn)
			case 2:
				err = w.update(ctx, conn)
			case 3:
				err = w.remove(ctx, conn, 0.1)
			}
		}
		var refused *pgconn.PgError
		switch {
		case err == nil:
			w.settle(w.acked)
			w.pending = nil
			w.done++
		case errors.As(err, &refused):
			w.pending = nil
			w.err = fmt.Errorf("%s: %w", w.kind, err)
			return
		default:
			return // the connection broke: the fate of pending is not known
		}
	}
}

// settle applies what is pending to rows.
func (w *writer) settle(rows map[int64]row) {
	for id, r := range w.pending {
		if r == nil {
			delete(rows, id)
		} else {
			rows[id] = *r
		}
	}
}

// alternatives are the rows that may be there: those acknowledged, or with the pending transaction too.
func (w *writer) alternatives() []map[int64]row {
	out := []map[int64]row{w.acked}
	if len(w.pending) > 0 {
		with := maps.Clone(w.acked)
		w.settle(with)
		out = append(out, with)
	}
	return out
}

const insertSQL = "INSERT INTO ev (id, k, x, f, ts) VALUES ($1, $2, $3, $4, $5)"

func (w *writer) insertRow(ctx context.Context, conn *pgx.Conn, id int64) error {
	r := w.pending[id]
	_, err := conn.Exec(ctx, insertSQL, id, r.k, r.x, r.f, time.UnixMicro(r.ts))
	return err
}

func (w *writer) insert(ctx context.Context, conn *pgx.Conn) error {
	return w.insertRow(ctx, conn, w.fresh(1)[0])
}

// transaction inserts rows, changes one of its own and one older, and commits.
func (w *writer) transaction(ctx context.Context, conn *pgx.Conn) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	ids := w.fresh(2 + w.rng.IntN(4))
	for _, id := range ids {
		if err := w.insertRow(ctx, conn, id); err != nil {
			return err
		}
	}
	touch := ids[:1]
	if old := slices.Sorted(maps.Keys(w.acked)); len(old) > 0 {
		touch = append(slices.Clone(touch), old[w.rng.IntN(len(old))])
	}
	for _, id := range touch {
		r, ok := w.acked[id]
		if !ok {
			r = *w.pending[id]
		}
		r.x += 1000
		w.pending[id] = &r
		tag, err := conn.Exec(ctx, "UPDATE ev SET x = x + 1000 WHERE id = $1", id)
		if err != nil {
			return err
		}
		if tag.RowsAffected() != 1 {
			return &pgconn.PgError{Message: fmt.Sprintf("update of row %d in a transaction changed %d rows", id, tag.RowsAffected())}
		}
	}
	return tx.Commit(ctx)
}

func (w *writer) copy(ctx context.Context, conn *pgx.Conn) error {
	var text strings.Builder
	for _, id := range w.fresh(1 + w.rng.IntN(60)) {
		r := w.pending[id]
		fmt.Fprintf(&text, "%d\t%d\t%d\t%v\t%s\n", id, r.k, r.x, r.f, time.UnixMicro(r.ts).UTC().Format("2006-01-02 15:04:05.999999Z07:00"))
	}
	_, err := conn.PgConn().CopyFrom(ctx, strings.NewReader(text.String()), "COPY ev (id, k, x, f, ts) FROM STDIN")
	return err
}

// update changes every seventh or so of the writer's rows, some of them to another key and day.
func (w *writer) update(ctx context.Context, conn *pgx.Conn) error {
	m, rest := 3+w.rng.Int64N(30), w.rng.Int64N(3)
	n := int64(0)
	for id, r := range w.acked {
		if id%m == rest {
			r.x, r.k, r.f, r.ts = r.x+1, (r.k+1)%keys, r.f/3, r.ts+3_600_000_000
			w.pending[id] = &r
			n++
		}
	}
	tag, err := conn.Exec(ctx, fmt.Sprintf("UPDATE ev SET x = x + 1, k = (k + 1) %% %d, f = f / 3, ts = ts + INTERVAL '1 hour' WHERE id >= %d AND id < %d AND id %% %d = %d",
		keys, w.id*idRange, (w.id+1)*idRange, m, rest))
	if err == nil && tag.RowsAffected() != n {
		return &pgconn.PgError{Message: fmt.Sprintf("UPDATE changed %d rows, not %d", tag.RowsAffected(), n)}
	}
	return err
}

// remove deletes a share of the writer's rows.
func (w *writer) remove(ctx context.Context, conn *pgx.Conn, share float64) error {
	bound := int64(share * 100)
	n := int64(0)
	for id := range w.acked {
		if id*7%100 < bound {
			w.pending[id] = nil
			n++
		}
	}
	tag, err := conn.Exec(ctx, fmt.Sprintf("DELETE FROM ev WHERE id >= %d AND id < %d AND id * 7 %% 100 < %d", w.id*idRange, (w.id+1)*idRange, bound))
	if err == nil && tag.RowsAffected() != n {
		return &pgconn.PgError{Message: fmt.Sprintf("DELETE changed %d rows, not %d", tag.RowsAffected(), n)}
	}
	return err
}

// definer creates, refreshes and drops features beside the one that is compared.
type definer struct {
	rng     *rand.Rand
	has     map[string]bool // features that exist
	pending string          // the one whose CREATE or DROP runs
	next    int
	done    int
	err     error
}

func (d *definer) run(ctx context.Context, dsn string) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return
	}
	defer conn.Close(context.Background())
	for ctx.Err() == nil {
		names := slices.DeleteFunc(slices.Sorted(maps.Keys(d.has)), func(name string) bool { return name == "feat" })
		var sql string
		switch n := d.rng.IntN(3); {
		case n == 0 && len(names) < 4:
			d.next++
			d.pending = fmt.Sprintf("extra_%d", d.next)
			where := [...]string{"", "WHERE x > 0 "}[d.rng.IntN(2)] // one shares the group's columns, one has a filter of its own
			sql = "CREATE FEATURE " + d.pending + " ON ent AS SELECT k, max(f) AS top, count(*) FILTER (WHERE x > 5) AS many FROM ev " + where + "GROUP BY k WINDOW 3 DAYS"
		case n == 1 && len(names) > 0:
			d.pending = names[d.rng.IntN(len(names))]
			sql = "DROP FEATURE " + d.pending
		default:
			sql = "REFRESH FEATURE feat"
		}
		_, err := conn.Exec(ctx, sql)
		var refused *pgconn.PgError
		switch {
		case err == nil:
			if d.pending != "" {
				d.flip(d.has)
			}
			d.pending = ""
			d.done++
		case errors.As(err, &refused):
			d.pending = ""
			d.err = fmt.Errorf("%s: %w", sql, err)
			return
		default:
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(d.rng.IntN(40)) * time.Millisecond):
		}
	}
}

func (d *definer) flip(has map[string]bool) {
	if has[d.pending] {
		delete(has, d.pending)
	} else {
		has[d.pending] = true
	}
}

// reader reads all rows again and again, which brings the tables that SQL reads up to what is committed while others build.
type reader struct {
	rng *rand.Rand
	err error
}

func (r *reader) run(ctx context.Context, dsn string) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return
	}
	defer conn.Close(context.Background())
	for ctx.Err() == nil {
		var rows, ids int64
		err := conn.QueryRow(ctx, "SELECT count(*), count(DISTINCT id) FROM ev").Scan(&rows, &ids)
		var refused *pgconn.PgError
		switch {
		case errors.As(err, &refused):
			r.err = fmt.Errorf("reading rows: %w", err)
			return
		case err != nil:
			return
		case rows != ids:
			r.err = fmt.Errorf("%d rows have %d ids", rows, ids)
			return
		}
		time.Sleep(time.Duration(r.rng.IntN(10)) * time.Millisecond)
	}
}

package crash

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

// keyed is one connection that changes rows of its own in an ordinary table with keys, a check and a reference. Its changes of
// a row or a few are transactions that the server writes together with others'.
type keyed struct {
	id      int64
	rng     *rand.Rand
	acked   map[int64]int64  // n by id
	pending map[int64]*int64 // of the statement or transaction that runs; nil: deleted
	next    int64
	done    int
	err     error
}

const keyedTables = "CREATE TABLE parent (id integer PRIMARY KEY); INSERT INTO parent VALUES (1), (2), (3);" +
	"CREATE TABLE o (id bigint PRIMARY KEY, tag text UNIQUE, parent integer REFERENCES parent, n bigint NOT NULL CHECK (n >= 0), at timestamptz DEFAULT now())"

func (w *keyed) insertRow(ctx context.Context, conn *pgx.Conn) error {
	id, n := w.next, w.rng.Int64N(1000)
	w.next++
	w.pending[id] = &n
	_, err := conn.Exec(ctx, "INSERT INTO o (id, tag, parent, n) VALUES ($1, $2, $3, $4)", id, fmt.Sprint("t", id), 1+w.rng.IntN(3), n)
	return err
}

// some is one of the writer's rows.
func (w *keyed) some() (id, n int64, ok bool) {
	ids := slices.Sorted(maps.Keys(w.acked))
	if len(ids) == 0 {
		return 0, 0, false
	}
	id = ids[w.rng.IntN(len(ids))]
	return id, w.acked[id], true
}

// expect runs a statement that changes one row.
func expect(ctx context.Context, conn *pgx.Conn, sql string, args ...any) error {
	tag, err := conn.Exec(ctx, sql, args...)
	if err == nil && tag.RowsAffected() != 1 {
		err = &pgconn.PgError{Message: fmt.Sprintf("%s %v: %s", sql, args, tag)}
	}
	return err
}

// refusal runs a statement that the server has to refuse with a SQLSTATE.
func refusal(ctx context.Context, conn *pgx.Conn, state, sql string, args ...any) error {
	_, err := conn.Exec(ctx, sql, args...)
	var e *pgconn.PgError
	switch {
	case err == nil:
		return &pgconn.PgError{Message: fmt.Sprintf("%s %v was taken", sql, args)}
	case errors.As(err, &e) && e.Code == state:
		return nil
	}
	return err
}

func (w *keyed) step(ctx context.Context, conn *pgx.Conn) error {
	id, n, ok := w.some()
	kind := w.rng.IntN(12)
	switch {
	case !ok || kind < 5:
		return w.insertRow(ctx, conn)
	case kind < 7:
		more := n + 1
		w.pending[id] = &more
		return expect(ctx, conn, "UPDATE o SET n = n + 1 WHERE id = $1", id)
	case kind == 7:
		w.pending[id] = nil
		return expect(ctx, conn, "DELETE FROM o WHERE id = $1", id)
	case kind == 8:
		return refusal(ctx, conn, "23505", "INSERT INTO o (id, n) VALUES ($1, 1)", id)
	case kind == 9:
		return errors.Join(refusal(ctx, conn, "23514", "UPDATE o SET n = -1 WHERE id = $1", id), refusal(ctx, conn, "23503", "INSERT INTO o (id, parent, n) VALUES ($1, 9, 1)", w.next))
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	if err := w.insertRow(ctx, conn); err != nil {
		return err
	}
	more := n + 10
	w.pending[id] = &more
	if err := expect(ctx, conn, "UPDATE o SET n = n + 10 WHERE id = $1", id); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func (w *keyed) run(ctx context.Context, dsn string) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return // killed before it began
	}
	defer conn.Close(context.Background())
	for ctx.Err() == nil {
		w.pending = map[int64]*int64{}
		err := w.step(ctx, conn)
		var refused *pgconn.PgError
		switch {
		case err == nil:
			w.settle(w.acked)
			w.pending = nil
			w.done++
		case errors.As(err, &refused):
			w.err, w.pending = err, nil
			return
		default:
			return // the fate of pending is not known
		}
	}
}

func (w *keyed) settle(rows map[int64]int64) {
	for id, n := range w.pending {
		if n == nil {
			delete(rows, id)
		} else {
			rows[id] = *n
		}
	}
}

// An ordinary table has every acknowledged change of a killed server exactly once, transactions whole or not at all, and its keys
// hold.
func TestKilledOrdinaryTable(t *testing.T) {
	rounds, seed := roundsAndSeed(t, quickRounds/2)
	rng := rand.New(rand.NewPCG(seed, 2))
	dir := t.TempDir()
	s := servertest.Start(t, dir, servertest.Options{})
	conn := connect(t, s.DSN())
	if _, err := conn.Exec(context.Background(), keyedTables); err != nil {
		t.Fatal(err)
	}
	conn.Close(context.Background())
	var writers []*keyed
	for i := range 8 {
		writers = append(writers, &keyed{id: int64(i), rng: rand.New(rand.NewPCG(seed, uint64(i))), acked: map[int64]int64{}, next: int64(i) * idRange})
	}
	unknown := 0
	for round := range rounds {
		if round > 0 {
			s = servertest.Start(t, dir, servertest.Options{})
		}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for _, w := range writers {
			wg.Go(func() { w.run(ctx, s.DSN()) })
		}
		time.Sleep(time.Duration(100+rng.IntN(900)) * time.Millisecond)
		s.Kill()
		cancel()
		wg.Wait()
		s = servertest.Start(t, dir, servertest.Options{})
		conn := connect(t, s.DSN())
		for _, w := range writers {
			if w.err != nil {
				t.Fatalf("round %d: writer %d: %v", round, w.id, w.err)
			}
			got := map[int64]int64{}
			rows, err := conn.Query(context.Background(), "SELECT id, n FROM o WHERE id >= $1 AND id < $2", w.id*idRange, (w.id+1)*idRange)
			if err != nil {
				t.Fatal(err)
			}
			var id, n int64
			if _, err := pgx.ForEachRow(rows, []any{&id, &n}, func() error {
				if _, twice := got[id]; twice {
					t.Errorf("round %d: row %d is there twice", round, id)
				}
				got[id] = n
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			with := maps.Clone(w.acked)
			w.settle(with)
			switch {
			case maps.Equal(got, w.acked):
			case maps.Equal(got, with):
				unknown++
			default:
				t.Fatalf("round %d: writer %d has %d rows, %d were acknowledged, and %d with what was under way: %v", round, w.id, len(got), len(w.acked), len(with), w.pending)
			}
			w.acked, w.pending = got, nil
		}
		if got := text(t, conn, "SELECT count(*) = count(DISTINCT id) AND count(tag) = count(DISTINCT tag) FROM o"); !slices.Equal(got, []string{"t"}) {
			t.Errorf("round %d: keys are there twice: %v", round, got)
		}
		conn.Close(context.Background())
		if code, _ := s.Terminate(20 * time.Second); code != 0 {
			t.Fatalf("the server ended with code %d:\n%s", code, s.Log())
		}
	}
	done := 0
	for _, w := range writers {
		done += w.done
	}
	report(t, fmt.Sprintf("%d rounds of SIGKILL: %d acknowledged changes of an ordinary table with keys are there once, %d of unknown fate were written", rounds, done, unknown))
}

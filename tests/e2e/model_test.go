package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tilehouse/tilehouse/storage/event"
)

// Whoever reads a value gets the oracle's: lookups at a set read time, ASOF joins, EXPLAIN FEATURE and reads as of older
// positions, while rows arrive in random order, late, updated and deleted, days settle and features are rebuilt.
func TestOnlineOfflineOracle(t *testing.T) {
	r := newRand(t)
	rounds, values, steps := 3, 24_000, 32
	if soak() {
		rounds, values, steps = 8, 200_000, 110
	}
	total := 0
	for round := range rounds {
		o := worldOptions{pk: round%3 != 2, base: time.Date(2024, 2, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), noSettle: round%2 == 0}
		if round%3 == 1 {
			o.base = -30 * day // around the epoch, where floors and remainders differ
		}
		w := newWorld(t, r, o)
		w.create("a", "st")
		w.insert(30)
		w.create("d", "h", "e", "p") // backfilled
		for step := range steps {
			switch step {
			case steps / 3:
				w.create("us", "hd")
			case steps / 2:
				w.create("label")
			}
			w.step()
			w.read()
		}
		for w.values < (round+1)*values/rounds-total {
			w.read()
		}
		w.everywhere(10)
		total += w.values
		w.srv.Stop()
	}
	if soak() {
		t.Logf("soak: %d values online, offline and explained, equal to the oracle's", total)
		return
	}
	t.Logf("%d values", total)
}

// Sessions that write to one table at the same time, each to keys of its own, read the oracle's values of them, while days
// settle and features are rebuilt without a pause.
func TestConcurrentSessions(t *testing.T) {
	r := newRand(t)
	sessions, steps := 3, 25
	if soak() {
		sessions, steps = 6, 300
	}
	first := newWorld(t, r, worldOptions{pk: true, base: time.Date(2024, 2, 1, 0, 0, 0, 0, time.UTC).UnixMicro()})
	first.create("a", "d", "h", "st", "e", "p")
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() { stopped <- rebuildUntil(stop, first) }()
	values := make([]int, sessions)
	t.Run("sessions", func(t *testing.T) {
		for i := range sessions {
			seed := r.Uint64()
			t.Run("", func(t *testing.T) {
				t.Parallel()
				w := *first
				w.t, w.r, w.conn, w.shared = t, rand.New(rand.NewPCG(seed, 2)), first.srv.Connect(t), true
				w.offset = int64(i+1) * 1_000_000
				w.nextID, w.versions, w.log = w.offset+1, nil, nil
				w.insert(20)
				for range steps {
					w.step()
					w.read()
				}
				values[i] = w.values
			})
		}
	})
	close(stop)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	total := 0
	for _, n := range values {
		total += n
	}
	t.Logf("%d values", total)
	if soak() {
		t.Logf("soak: %d values read by %d sessions at once, equal to the oracle's", total, sessions)
	}
}

// rebuildUntil settles days and rebuilds features in turn, until stop closes.
func rebuildUntil(stop chan struct{}, w *world) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, w.srv.DSN)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for i := 0; ; i++ {
		select {
		case <-stop:
			return nil
		default:
		}
		if err := w.srv.Engine.Settle(ctx); err != nil {
			return fmt.Errorf("settle: %w", err)
		}
		name := w.features[i%len(w.features)].name
		if _, err := conn.Exec(ctx, "REFRESH FEATURE "+name); err != nil {
			return fmt.Errorf("refresh of %s: %w", name, err)
		}
	}
}

// TestSwitches reads the same values with each mechanism off, alone and together, and compares all with the oracle.
func TestSwitches(t *testing.T) {
	r := newRand(t)
	points, rounds := 4, 1
	if soak() {
		points, rounds = 40, 4
	}
	total := 0
	for round := range rounds {
		w := newWorld(t, r, worldOptions{pk: round%2 == 0, base: time.Date(2024, 2, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), noSettle: true})
		w.insert(200)
		w.create("a", "d", "h", "hd", "st", "e", "us", "p", "label")
		for range 25 {
			w.step()
		}
		switches := []string{"use_row_packs", "use_levels", "use_runs", "use_partials"}
		for off := range 1 << len(switches) {
			for i, name := range switches {
				state := "on"
				if off>>i&1 == 1 {
					state = "off"
				}
				w.exec("SET tilehouse." + name + " = " + state)
			}
			for range points {
				w.read()
			}
			for _, entity := range []string{"cust", "pair"} {
				k, t := w.someKey(entity), w.cut(entity)
				w.online(entity, t, []key{k}, 0)
				w.asof(entity, 3, off%2 == 0, 0)
				w.asofEach(entity, 8, off%2 == 0)
			}
		}
		total += w.values
		w.srv.Stop()
	}
	if soak() {
		t.Logf("soak: %d values with mechanisms switched off, equal to the oracle's", total)
	}
}

// read reads some values in some way, and compares them.
func (w *world) read() {
	w.t.Helper()
	entity := []string{"cust", "cust", "cust", "pair"}[w.r.IntN(4)]
	asOf := int64(0)
	if w.r.IntN(6) == 0 {
		asOf = w.past()
	}
	switch w.r.IntN(14) {
	case 0, 1, 2, 3:
		keys := []key{w.someKey(entity)}
		if w.r.IntN(3) == 0 {
			if k := w.someKey(entity); k != keys[0] {
				keys = append(keys, k)
			}
		}
		w.online(entity, w.cut(entity), keys, asOf)
	case 4, 5:
		w.asof(entity, 1+w.r.IntN(4), false, asOf)
	case 6:
		w.asof(entity, 1+w.r.IntN(4), true, asOf)
	case 7:
		w.explain()
	case 12, 13:
		w.asofEach(entity, 1+w.r.IntN(12), w.r.IntN(2) == 0)
	case 8:
		w.adHoc()
	case 9:
		if w.columns["d_n_7d"] != nil && w.columns["p_n_1d"] != nil {
			w.chain()
		}
	default:
		w.prepared(w.cut("cust"), w.someKey("cust"))
	}
}

// everywhere reads the same values by lookup and by ASOF join, and again after every feature was rebuilt from rows, and after
// a restart.
func (w *world) everywhere(points int) {
	w.t.Helper()
	type point struct {
		k key
		t int64
	}
	var at []point
	for range points {
		at = append(at, point{w.someKey("cust"), w.cut("cust")})
	}
	all := func() {
		for _, p := range at {
			w.online("cust", p.t, []key{p.k}, 0)
			w.joined("cust", []key{p.k}, []int64{p.t}, false, 0)
		}
	}
	all()
	for _, f := range w.features {
		w.exec("REFRESH FEATURE " + f.name)
	}
	all()
	w.restart()
	all()
}

// TestDayLengths keeps daily states of hours and of several days instead of UTC days: the same rows have the oracle's values by
// every path, whatever the length. The same seed makes the same world for each.
func TestDayLengths(t *testing.T) {
	r := newRand(t)
	rounds, steps, reads := 1, 9, 5
	if soak() {
		rounds, steps, reads = 6, 60, 40
	}
	total := 0
	for range rounds {
		seed := r.Uint64()
		for _, length := range []int64{hour, 6 * hour, day, 3 * day, 5*hour + 7} {
			w := newWorld(t, rand.New(rand.NewPCG(seed, 3)), worldOptions{pk: true, base: time.Date(2024, 2, 1, 0, 0, 0, 0, time.UTC).UnixMicro(),
				noSettle: true, days: event.Days(length)})
			w.insert(60)
			w.create("a", "d", "h", "st", "p", "label")
			for range steps {
				w.step()
				w.settle()
				for range reads {
					w.read()
				}
			}
			w.everywhere(3)
			total += w.values
			w.srv.Stop()
		}
	}
	if soak() {
		t.Logf("soak: %d values with days of 1 hour to 3 days, equal to the oracle's", total)
		return
	}
	t.Logf("%d values", total)
}

package dual

import (
	"fmt"
	"os"
	"slices"
	"testing"
)

func soak() bool { return os.Getenv("TILEHOUSE_SOAK") != "" }

// step does something to one of the sides, at random.
func (w *world) step(edge *int64) {
	w.t.Helper()
	around := *edge
	switch n := w.rng.IntN(24); {
	case n < 6: // early and on time
		var rows []row
		for range 1 + w.rng.IntN(4) {
			rows = append(rows, w.fresh(w.newID(), around))
		}
		w.insert(rows...)
	case n < 8: // late
		w.insert(w.fresh(w.newID(), base+w.rng.Int64N(max(1, around-base))))
	case n < 9: // of a key that batch has, or had
		var ids []int64
		for _, r := range w.batch {
			if !slices.ContainsFunc(w.stream, func(a arrived) bool { return a.id == r.id }) {
				ids = append(ids, r.id)
			}
		}
		if len(ids) > 0 {
			w.insert(w.fresh(ids[w.rng.IntN(len(ids))], []int64{around, base}[w.rng.IntN(2)]))
		}
	case n < 11 && len(w.stream) > 0:
		w.update(w.pick(), w.fresh(0, around-w.rng.Int64N(3*day)))
	case n < 12 && len(w.stream) > 0:
		w.delete(w.pick())
	case n < 16: // batch gets what the stream had, some of it corrected, some of it missing, some of it twice, and some that the stream never had
		*edge += w.rng.Int64N(2 * day)
		var rows []row
		for _, a := range w.stream {
			if w.rng.IntN(3) > 0 && a.ts < *edge {
				r := a.row
				switch w.rng.IntN(8) {
				case 0:
					r.cents++
				case 1:
					r.ts -= hour
				case 2:
					rows = append(rows, r)
				}
				rows = append(rows, r)
			}
		}
		for range w.rng.IntN(4) {
			rows = append(rows, w.fresh(w.newID(), around))
		}
		if w.rng.IntN(6) == 0 {
			r := w.fresh(w.newID(), around)
			r.hasTS = false
			rows = append(rows, r)
			if w.keyed {
				r = w.fresh(0, around)
				r.hasKey = false
				rows = append(rows, r)
			}
		}
		w.write(fmt.Sprintf("p%d.csv", w.rng.IntN(8)), rows)
		w.refresh()
	case n < 17:
		for name := range w.files {
			w.remove(name)
			break
		}
		w.refresh()
	case n < 21 && !w.auto:
		b := base + w.rng.Int64N(8)*day + w.rng.Int64N(2)*hour
		w.exec(fmt.Sprintf("ALTER SOURCE d SET (time_boundary = '%s')", stamp(b)))
		w.loaded(&b)
	case n < 21:
		if w.option = 0; w.rng.IntN(3) > 0 {
			w.option = around + w.rng.Int64N(2*day) - day
			w.exec(fmt.Sprintf("ALTER SOURCE lake SET (complete_through = '%s')", stamp(w.option)))
		} else {
			w.exec("ALTER SOURCE lake RESET (complete_through)")
		}
		w.loaded(nil)
	case n < 22:
		if err := w.srv.Engine.Settle(w.t.Context()); err != nil {
			w.fatal("settle: %v", err)
		}
	default:
		w.srv.Stop()
		w.start()
		w.note("restart")
	}
}

// pick is a row of the stream, of those late at the boundary as often as of all.
func (w *world) pick() int {
	var late []int
	for i, r := range w.stream {
		if w.bound != nil && r.ts < *w.bound && r.came > w.set {
			late = append(late, i)
		}
	}
	if len(late) > 0 && w.rng.IntN(2) == 0 {
		return late[w.rng.IntN(len(late))]
	}
	return w.rng.IntN(len(w.stream))
}

// Whatever comes, goes and changes on both sides, in any order: the rows of a dual source, and every value over them, are those of the union as
// it is defined, at the newest position and at all of before.
func TestRandom(t *testing.T) {
	for _, c := range []struct {
		name               string
		keyed, auto, topic bool
	}{{"fixed", true, false, false}, {"auto", true, true, false}, {"auto without a key", false, true, false}, {"a topic", true, true, true}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.keyed, c.auto)
			if c.topic {
				w.topic = newTopic(t)
			}
			edge := base + 2*day
			for range w.rng.IntN(3) {
				var rows []row
				for range 10 {
					rows = append(rows, w.fresh(w.newID(), edge))
				}
				w.write(fmt.Sprintf("p%d.csv", w.rng.IntN(8)), rows)
			}
			bound := base + w.rng.Int64N(4)*day
			boundary := stamp(bound)
			if c.auto {
				boundary = "auto"
			}
			w.exec("SET timezone = 'Asia/Kolkata'")
			w.sides()
			if w.rng.IntN(2) == 0 {
				w.insert(w.fresh(w.newID(), edge), w.fresh(w.newID(), base))
			}
			w.dual(boundary)
			w.loaded(&bound)
			w.readers()
			steps := 50
			if soak() {
				steps = 1500
			}
			for range steps {
				w.step(&edge)
				w.check()
				w.remember()
				if w.rng.IntN(3) == 0 {
					w.history()
				}
			}
			t.Logf("%d values", w.values)
		})
	}
}

// remember notes what is known now.
func (w *world) remember() { w.past = append(w.past, moment{w.clock.Load(), w.rows()}) }

// history compares what is read as of a moment of before.
func (w *world) history() {
	w.t.Helper()
	m := w.past[w.rng.IntN(len(w.past))]
	then := fmt.Sprintf("FOR SYSTEM_TIME AS OF '%s'", stamp(m.at))
	w.same("SELECT id || ' ' || k || ' ' || (amount * 100)::bigint || ' ' || shop || ' ' || (extract(epoch FROM ts) * 1000000)::bigint FROM d "+then, m.rows)
	w.join(then, m.rows)
}

package dual

import "testing"

// A dual source with a fixed boundary over files and an event table: rows and values are the union's.
func TestThin(t *testing.T) {
	w := newWorld(t, true, false)
	bound := base + 3*day
	w.write("a.csv", []row{{1, 1, 100, "a", base, true, true}, {2, 1, 200, "b", base + 3*day - 1, true, true}, {3, 2, 400, "a", base + 3*day, true, true}, {9, 2, 900, "a", base, true, true}})
	w.define(stamp(bound))
	w.bound, w.set = nil, 0
	w.loaded(&bound)
	w.readers()
	w.check()
	w.insert(row{3, 2, 401, "a", base + 3*day, true, true}, row{4, 2, 500, "c", base + 4*day, true, true})
	w.check()
	w.insert(row{5, 2, 600, "late", base + day, true, true})  // late, and lacking
	w.insert(row{1, 1, 700, "again", base + day, true, true}) // repeated
	w.check()
	w.update(1, row{0, 2, 501, "upd", base + 5*day, true, true})
	w.update(2, row{0, 2, 601, "upd", base + 2*day, true, true})
	w.check()
	w.write("b.csv", []row{{5, 1, 650, "healed", base + day, true, true}, {6, 2, 5, "x", base + 2*day, true, true}})
	w.refresh()
	w.check()
	w.remove("a.csv")
	w.refresh()
	w.check()
	w.srv.Stop()
	w.start()
	w.check()
	w.delete(0)
	w.check()
}

// Rows that both sides have alike change hands without being written anew, and go back when the boundary does, or the files go.
func TestAlike(t *testing.T) {
	w := newWorld(t, true, false)
	one, two := row{1, 1, 100, "a", base + 2*day, true, true}, row{2, 1, 200, "b", base + 2*day + hour, true, true}
	bound := base + day
	move := func(to int64) {
		t.Helper()
		w.exec("ALTER SOURCE d SET (time_boundary = '" + stamp(to) + "')")
		w.loaded(&to)
		w.check()
	}
	w.write("a.csv", []row{one, two, {3, 2, 300, "c", base, true, true}})
	w.define(stamp(bound))
	w.loaded(&bound)
	w.readers()
	w.insert(one, two)
	w.check()
	move(base + 3*day) // both are the batch side's by now
	move(base + day)   // and the stream's again
	move(base + 3*day)
	w.update(0, row{0, 3, 111, "upd", base + 2*day, true, true}) // what the stream does to them changes nothing
	w.delete(1)
	w.check()
	move(base + day) // but here
	move(base + 3*day)
	w.write("b.csv", []row{{4, 2, 400, "d", base + day, true, true}})
	w.refresh()
	w.check()
	w.insert(row{5, 2, 500, "e", base + 2*day, true, true}) // late, and then alike
	w.write("c.csv", []row{{5, 2, 500, "e", base + 2*day, true, true}})
	w.refresh()
	w.check()
	w.delete(1)
	w.check()
	w.remove("a.csv")
	w.refresh()
	w.check()
	w.remove("c.csv")
	w.refresh()
	w.check()
	move(base + day)
	w.remember()
	w.history()
}

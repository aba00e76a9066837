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

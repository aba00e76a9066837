package e2e_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// asofEach reads the features of an entity by an ASOF join to n random labels, each as of its own position.
func (w *world) asofEach(entity string, n int, inclusive bool) {
	w.t.Helper()
	if w.shared || w.position == 0 {
		return
	}
	var labels []string
	var keys []key
	var cuts, positions []int64
	for i := range n {
		k, t, p := w.someKey(entity), w.cut(entity), 1+w.r.Int64N(w.position)
		if w.r.IntN(3) == 0 {
			p = max(1, w.position-w.r.Int64N(3))
		}
		labels = append(labels, fmt.Sprintf("(%d, %d::bigint, '%s', '%s'::timestamptz, '%s'::timestamptz)", i, k.k, k.shop, stamp(t), stamp(w.commits[p-1]+second/4)))
		keys, cuts, positions = append(keys, k), append(cuts, t), append(positions, p)
	}
	op, on, what := ">", "f.k = l.k", "f.*"
	if inclusive {
		op = ">="
	}
	if entity == "pair" {
		on += " AND f.shop = l.shop"
	}
	if w.r.IntN(3) > 0 { // labels, of which each position knows another end, are read position by position
		var known []string
		for _, f := range w.features {
			if f.entity == entity && !f.following {
				known = slices.AppendSeq(known, maps.Keys(f.columns()))
			}
		}
		if slices.Sort(known); len(known) > 0 {
			what = "f." + strings.Join(known, ", f.")
		}
	}
	known, left := "l.known", fmt.Sprintf("(VALUES %s) l(i, k, shop, ts, known)", strings.Join(labels, ", "))
	switch w.r.IntN(3) {
	case 0:
		known = "(l.known + INTERVAL '1 millisecond')"
	case 1:
		left = fmt.Sprintf("(VALUES %s) l(i, k, shop, ts, was) JOIN (SELECT 1) one ON true", strings.Join(labels, ", "))
		known = "l.was"
	}
	on += " AND l.ts " + op + " f.ts"
	sql := fmt.Sprintf("SELECT l.i, %s FROM %s ASOF JOIN %s FOR SYSTEM_TIME AS OF %s f ON %s", what, left, entity, known, on)
	rows := w.query(w.r.IntN(2) == 0, sql)
	if rows == nil && w.files {
		return
	}
	if len(rows) != n {
		w.fail("ASOF join of %d labels at %d positions: %d rows", n, n, len(rows))
	}
	for _, row := range rows {
		i, _ := strconv.Atoi(fmt.Sprint(row["i"]))
		w.compare("ASOF join, a position a row", row, w.rowsOf(keys[i]), keys[i], cuts[i], positions[i], inclusive, nil)
	}
}

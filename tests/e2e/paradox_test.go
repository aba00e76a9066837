package e2e_test

import (
	"fmt"
	"testing"
	"time"
)

// watched is a key and an instant whose values are read again and again.
type watched struct {
	entity string
	k      key
	t      int64
	values result // as last read
	first  result // as of position since
}

// No row outside a value's interval, and none committed after the position read, changes the value. Rows are added at and
// around the ends of the intervals watched; a trial is one value of a key that got rows, none of which counts for it.
func TestNoParadox(t *testing.T) {
	r := newRand(t)
	want := 10_000
	if soak() {
		want = 100_000
	}
	w := newWorld(t, r, worldOptions{pk: true, base: time.Date(2024, 2, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), noSettle: true})
	w.insert(150)
	w.create("a", "d", "h", "hd", "st", "e", "us", "p")
	w.insert(50)
	var points []*watched
	for i := range 24 {
		entity := []string{"cust", "cust", "pair"}[i%3]
		k := key{k: []int64{1, 2, 3}[r.IntN(3)]}
		if entity == "pair" {
			k.shop = []string{"x", "y"}[r.IntN(2)]
		}
		points = append(points, &watched{entity: entity, k: k, t: w.cut(entity)})
	}
	since := w.position
	for _, p := range points {
		p.values = w.texts(p, 0)
		p.first = p.values
	}
	trials, later := 0, 0
	for trials < want {
		w.tick()
		rows := w.fresh(4)
		for i := range rows {
			p := points[r.IntN(len(points))]
			rows[i].TS = w.outside(p)
			rows[i].Cells["k"] = p.k.k
			if p.k.shop != "" {
				rows[i].Cells["shop"] = p.k.shop
			}
		}
		w.add(rows)
		switch r.IntN(12) {
		case 0:
			w.settle()
		case 1:
			w.refresh()
		}
		for _, p := range points {
			now := w.texts(p, 0)
			for name, f := range w.columns {
				if _, ok := now[name]; !ok {
					continue
				}
				got, counts := 0, 0
				for i := range rows {
					if !p.k.of(&rows[i]) {
						continue
					}
					got++
					if f.Counts(rows[i].TS, p.t, false) {
						counts++
					}
				}
				if got == 0 || counts > 0 {
					continue
				}
				if trials++; now[name] != p.values[name] {
					w.fail("%s of %v at %s: %v became %v though none of the rows added counts", name, p.k, stamp(p.t), p.values[name], now[name])
				}
			}
			p.values = now
		}
		p := points[r.IntN(len(points))]
		for name, v := range w.texts(p, since) {
			if later++; p.first[name] != v {
				w.fail("%s of %v at %s as of position %d: %v became %v", name, p.k, stamp(p.t), since, p.first[name], v)
			}
		}
		if r.IntN(10) == 0 { // rows that went later do not matter either
			w.remove()
			for _, p := range points {
				p.values = w.texts(p, 0)
			}
		}
	}
	if soak() {
		t.Logf("soak: %d trials of rows outside the interval and %d of rows after the position: no value changed", trials, later)
	}
}

// outside is a time at or just past an end of one of the intervals of a point.
func (w *world) outside(p *watched) int64 {
	for _, f := range w.columns { // in random order
		if f.Lifetime || w.r.IntN(3) == 0 {
			return p.t - f.Delay + w.r.Int64N(3)*hour*w.r.Int64N(2)
		}
		return []int64{p.t - f.Delay - f.Window - 1, p.t - f.Delay, p.t - f.Delay - f.Window - f.Hop - 1, p.t, p.t + 1}[w.r.IntN(5)]
	}
	return p.t
}

// texts are the values of a point as text: by lookup or by ASOF join, at the newest position or as of an older one.
func (w *world) texts(p *watched, asOf int64) result {
	w.t.Helper()
	from := p.entity
	if asOf > 0 {
		from += " FOR SYSTEM_TIME AS OF '" + stamp(w.commits[asOf-1]+second/2) + "'"
	}
	where, on := fmt.Sprintf("k = %d", p.k.k), "f.k = l.k"
	if p.entity == "pair" {
		where, on = where+" AND shop = '"+p.k.shop+"'", on+" AND f.shop = l.shop"
	}
	var rows []result
	if w.r.IntN(4) > 0 {
		w.query(true, "SET tilehouse.read_time = '"+stamp(p.t)+"'")
		rows = w.query(true, "SELECT * FROM "+from+" WHERE "+where)
	} else {
		rows = w.query(true, fmt.Sprintf("SELECT f.* FROM (VALUES (%d::bigint, '%s', '%s'::timestamptz)) l(k, shop, ts) ASOF JOIN %s f ON %s AND l.ts > f.ts",
			p.k.k, p.k.shop, stamp(p.t), from, on))
	}
	if len(rows) != 1 {
		w.fail("%v: %d rows", p.k, len(rows))
	}
	return rows[0]
}

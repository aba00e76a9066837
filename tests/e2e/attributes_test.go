package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// purchase is an event, and profile a version of what is known of its customer. nil: a NULL key.
type purchase struct {
	id     int64
	k      int64
	c      *int64 // the customer
	amount int64
	ts     int64
}

type profile struct {
	id    int64
	k     *int64 // the customer
	plan  *string
	limit int64
	ts    int64
}

func orNull[T any](p *T, format string) string {
	if p == nil {
		return "NULL"
	}
	return fmt.Sprintf(format, *p)
}

// inForce is the version of a purchase's customer at its time: the last one by time, then by id.
func inForce(versions map[int64]*profile, p *purchase, strict bool) *profile {
	var found *profile
	for _, v := range versions {
		if p.c == nil || v.k == nil || *v.k != *p.c || v.ts > p.ts || strict && v.ts == p.ts {
			continue
		}
		if found == nil || v.ts > found.ts || v.ts == found.ts && v.id > found.id {
			found = v
		}
	}
	return found
}

// TestAttributes compares features over events joined to attributes with loops over the rows, online and by ASOF JOIN, while
// events and versions come, late too, change and go, days settle, and the server restarts. Earlier positions are read as they were.
func TestAttributes(t *testing.T) {
	r := newRand(t)
	w := newWorldAt(t, r, worldOptions{noSettle: true})
	base := w.clock.Load() - 12*day
	for _, sql := range []string{
		"CREATE TABLE buys (id bigint PRIMARY KEY, k bigint, c bigint, amount bigint, ts timestamptz NOT NULL) WITH (event_time = 'ts')",
		"CREATE TABLE profiles (id bigint PRIMARY KEY, k bigint, plan text, lim bigint, ts timestamptz NOT NULL) WITH (event_time = 'ts', future_bound = '30 days')",
		"CREATE VIEW known WITH (event_time = 'since') AS SELECT id, k, plan, ts AS since FROM profiles WHERE plan IS NOT NULL",
		"CREATE ENTITY plan (plan text)", "CREATE ENTITY one (one bigint)",
	} {
		w.exec(sql)
	}
	buys, versions := map[int64]*purchase{}, map[int64]*profile{}
	next := int64(0)
	hour3 := func() int64 { return base + r.Int64N(12)*day + r.Int64N(4)*hour } // so that times meet
	key := func() *int64 {
		if r.IntN(9) == 0 {
			return nil
		}
		k := r.Int64N(4)
		return &k
	}
	buy := func(id int64) *purchase { return &purchase{id, r.Int64N(4), key(), r.Int64N(100), hour3()} }
	version := func(id int64, late bool) *profile {
		v := &profile{id: id, k: key(), limit: r.Int64N(60), ts: hour3()}
		if !late {
			v.ts = base + 13*day + r.Int64N(day)
		}
		if r.IntN(6) > 0 {
			p := string(rune('a' + r.IntN(3)))
			v.plan = &p
		}
		return v
	}
	buyRow := func(p *purchase) string {
		return fmt.Sprintf("(%d, %d, %s, %d, %s)", p.id, p.k, orNull(p.c, "%d"), p.amount, at(p.ts))
	}
	versionRow := func(v *profile) string {
		return fmt.Sprintf("(%d, %s, %s, %d, %s)", v.id, orNull(v.k, "%d"), orNull(v.plan, "'%s'"), v.limit, at(v.ts))
	}
	writeBuys := func(n int) {
		var rows []string
		for range n {
			next++
			buys[next] = buy(next)
			rows = append(rows, buyRow(buys[next]))
		}
		w.exec("INSERT INTO buys VALUES " + strings.Join(rows, ", "))
		for id := range buys {
			switch r.IntN(15) {
			case 0:
				w.exec(fmt.Sprintf("DELETE FROM buys WHERE id = %d", id))
				delete(buys, id)
			case 1:
				p := buy(id)
				buys[id] = p
				w.exec(fmt.Sprintf("UPDATE buys SET k = %d, c = %s, amount = %d, ts = %s WHERE id = %d", p.k, orNull(p.c, "%d"), p.amount, at(p.ts), id))
			}
		}
	}
	writeVersions := func(n int, late bool) {
		for range n {
			next++
			v := version(next, late)
			versions[next] = v
			w.exec("INSERT INTO profiles VALUES " + versionRow(v))
		}
		for id, v := range versions {
			if !late && v.ts < base+13*day {
				continue
			}
			switch r.IntN(8) {
			case 0:
				w.exec(fmt.Sprintf("DELETE FROM profiles WHERE id = %d", id))
				delete(versions, id)
			case 1:
				v := version(id, late)
				versions[id] = v
				w.exec(fmt.Sprintf("UPDATE profiles SET k = %s, plan = %s, lim = %d, ts = %s WHERE id = %d", orNull(v.k, "%d"), orNull(v.plan, "'%s'"), v.limit, at(v.ts), id))
			}
		}
	}
	null := func(n, v int64) string {
		if n == 0 {
			return "NULL"
		}
		return fmt.Sprint(v)
	}
	// What a cut sees of the world, by its three features: see their definitions.
	wantPlan := func(plan string, cut int64) string {
		var n, sum int64
		for _, p := range buys {
			if v := inForce(versions, p, false); p.ts >= cut-3*day && p.ts < cut && v != nil && v.plan != nil && *v.plan == plan {
				n, sum = n+1, sum+p.amount
			}
		}
		return fmt.Sprintf("%s %d %s", plan, n, null(n, sum))
	}
	named := func() map[int64]*profile { // the view
		out := map[int64]*profile{}
		for id, v := range versions {
			if v.plan != nil {
				out[id] = v
			}
		}
		return out
	}
	wantOne := func(k, cut int64) string {
		var over, with, all, known int64
		view := named()
		for _, p := range buys {
			if p.k != k || p.ts < cut-3*day || p.ts >= cut {
				continue
			}
			all++
			if v := inForce(versions, p, true); v != nil && p.amount > v.limit {
				over++
			}
			if v := inForce(view, p, false); v != nil {
				known++
				if *v.plan == "a" {
					with++
				}
			}
		}
		return fmt.Sprintf("%d %d %d %d %d", k, over, all, with, known)
	}
	features := []string{
		"CREATE FEATURE by_plan ON plan AS SELECT v.plan, count(*) AS n, sum(amount) AS s FROM buys b ASOF JOIN profiles v ON v.k = b.c AND b.ts >= v.ts GROUP BY v.plan WINDOW 3 DAYS",
		"CREATE FEATURE spent ON one AS SELECT b.k AS one, count(*) FILTER (WHERE amount > lim) AS over, count(*) AS n FROM buys b ASOF LEFT JOIN profiles v ON v.k = b.c AND b.ts > v.ts GROUP BY b.k WINDOW 3 DAYS",
		"CREATE FEATURE named ON one AS SELECT b.k AS one, count(*) FILTER (WHERE v.plan = 'a') AS a, count(plan) AS n FROM buys b LEFT ASOF JOIN known v ON v.k = b.c AND b.ts >= v.since GROUP BY b.k WINDOW 3 DAYS",
	}
	cutOf := func() int64 { return base + r.Int64N(13)*day + r.Int64N(5)*hour }
	wanted := func(cut int64) (plans, ones map[string]bool) {
		plans, ones = map[string]bool{}, map[string]bool{}
		for _, x := range []string{"a", "b", "c"} {
			plans[wantPlan(x, cut)] = true
		}
		for k := range int64(4) {
			ones[wantOne(k, cut)] = true
		}
		return plans, ones
	}
	check := func() {
		t.Helper()
		for range 4 {
			cut := cutOf()
			plans, ones := wanted(cut)
			w.oneOf(t, fmt.Sprintf("SELECT plan, by_plan_n, by_plan_s FROM features_at('plan', %s) WHERE plan IN ('a', 'b', 'c')", at(cut)), plans)
			w.oneOf(t, fmt.Sprintf("SELECT one, spent_over, spent_n, named_a, named_n FROM features_at('one', %s) WHERE one IN (0, 1, 2, 3)", at(cut)), ones)
			w.oneOf(t, fmt.Sprintf("SELECT l.x, f.by_plan_n, f.by_plan_s FROM (SELECT unnest(ARRAY['a','b','c']) AS x, %s AS ts) l ASOF JOIN plan f ON f.plan = l.x AND l.ts > f.ts", at(cut)), plans)
			w.oneOf(t, fmt.Sprintf("SELECT l.x, f.spent_over, f.spent_n, f.named_a, f.named_n FROM (SELECT unnest(ARRAY[0,1,2,3]::bigint[]) AS x, %s AS ts) l ASOF JOIN one f ON f.one = l.x AND l.ts > f.ts", at(cut)), ones)
			w.oneOf(t, fmt.Sprintf("SELECT l.x, f.n, f.s FROM (SELECT unnest(ARRAY['a','b','c']) AS x, %s AS ts) l ASOF JOIN (SELECT v.plan, count(*) AS n, sum(amount) AS s FROM buys b ASOF JOIN profiles v ON v.k = b.c AND b.ts >= v.ts GROUP BY v.plan WINDOW 72 HOURS) f ON f.plan = l.x AND l.ts > f.ts", at(cut)), plans)
		}
	}
	// A moment is what a cut saw at a commit time.
	type moment struct {
		system      string
		cut         int64
		plans, ones map[string]bool
	}
	var moments []moment
	remember := func() {
		w.clock.Add(1000)
		m := moment{cut: cutOf(), system: at(w.clock.Load())}
		m.plans, m.ones = wanted(m.cut)
		w.clock.Add(1000)
		moments = append(moments, m)
	}
	recall := func() {
		t.Helper()
		for _, m := range moments {
			w.exec("SET tilehouse.read_time = '" + strings.Split(at(m.cut), "'")[1] + "'")
			w.oneOf(t, fmt.Sprintf("SELECT plan, by_plan_n, by_plan_s FROM plan FOR SYSTEM_TIME AS OF %s WHERE plan IN ('a', 'b', 'c')", m.system), m.plans)
			w.oneOf(t, fmt.Sprintf("SELECT one, spent_over, spent_n, named_a, named_n FROM one FOR SYSTEM_TIME AS OF %s WHERE one IN (0, 1, 2, 3)", m.system), m.ones)
			w.exec("RESET tilehouse.read_time")
		}
	}
	writeBuys(60)
	writeVersions(12, true)
	for _, sql := range features {
		w.exec(sql)
	}
	check()
	remember()
	steps := 6
	if soak() {
		steps = 30
	}
	for step := range steps {
		writeBuys(1 + r.IntN(10))
		if step%3 != 2 {
			writeVersions(1+r.IntN(3), step%3 == 1)
		}
		check()
		remember()
		if step%2 == 1 {
			if err := w.srv.Engine.Settle(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if step%5 == 4 {
			w.restart()
		}
		check()
		recall()
	}
	w.exec("REFRESH FEATURE spent")
	check()
	recall()
	t.Logf("%d values", w.values)
}

// TestAttributesOfFiles is the same over files that come, change and go: of the events, of the attributes, or of both.
func TestAttributesOfFiles(t *testing.T) {
	for _, in := range []struct{ events, versions bool }{{false, true}, {true, false}, {true, true}} {
		t.Run(fmt.Sprintf("events %t versions %t", in.events, in.versions), func(t *testing.T) {
			r := newRand(t)
			dir := t.TempDir()
			w := newWorldAt(t, r, worldOptions{noSettle: true}, dir)
			base := w.clock.Load() - 12*day
			buys, versions := map[int64]*purchase{}, map[int64]*profile{}
			next := int64(0)
			file := func(name, header string, lines []string) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(header+"\n"+strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				w.note("write " + name)
			}
			stampOf := func(micros int64) string { return strings.Split(at(micros), "'")[1] }
			events := func(n int) {
				var rows, lines []string
				for range n {
					next++
					c := r.Int64N(4)
					p := &purchase{next, r.Int64N(4), &c, r.Int64N(100), base + r.Int64N(12)*day + r.Int64N(4)*hour}
					buys[next] = p
					rows = append(rows, fmt.Sprintf("(%d, %d, %d, %d, %s)", p.id, p.k, c, p.amount, at(p.ts)))
					lines = append(lines, fmt.Sprintf("%d,%d,%d,%d,%s", p.id, p.k, c, p.amount, stampOf(p.ts)))
				}
				if in.events {
					file(fmt.Sprintf("buys-%d.csv", next), "id,k,c,amount,ts", lines)
				} else {
					w.exec("INSERT INTO buys VALUES " + strings.Join(rows, ", "))
				}
			}
			parts := map[string][]int64{} // versions by file
			attributes := func(n int) {
				var rows, lines []string
				name := fmt.Sprintf("profiles-%d.csv", next)
				for range n {
					next++
					k, plan := r.Int64N(4), string(rune('a'+r.IntN(3)))
					v := &profile{next, &k, &plan, r.Int64N(60), base + r.Int64N(12)*day + r.Int64N(4)*hour}
					versions[next] = v
					parts[name] = append(parts[name], next)
					rows = append(rows, fmt.Sprintf("(%d, %d, '%s', %d, %s)", v.id, k, plan, v.limit, at(v.ts)))
					lines = append(lines, fmt.Sprintf("%d,%d,%s,%d,%s", v.id, k, plan, v.limit, stampOf(v.ts)))
				}
				if in.versions {
					file(name, "id,k,plan,lim,ts", lines)
				} else {
					w.exec("INSERT INTO profiles VALUES " + strings.Join(rows, ", "))
				}
			}
			if !in.events {
				w.exec("CREATE TABLE buys (id bigint PRIMARY KEY, k bigint, c bigint, amount bigint, ts timestamptz NOT NULL) WITH (event_time = 'ts')")
			}
			if !in.versions {
				w.exec("CREATE TABLE profiles (id bigint PRIMARY KEY, k bigint, plan text, lim bigint, ts timestamptz NOT NULL) WITH (event_time = 'ts')")
			}
			events(40)
			attributes(6)
			source := func(name, columns string) {
				w.exec(fmt.Sprintf("CREATE SOURCE %s (%s, ts timestamptz, PRIMARY KEY (id)) WITH (connector = 'file', path = '%s', event_time = 'ts')", name, columns, filepath.Join(dir, name+"-*.csv")))
			}
			if in.events {
				source("buys", "id bigint, k bigint, c bigint, amount bigint")
			}
			if in.versions {
				source("profiles", "id bigint, k bigint, plan text, lim bigint")
			}
			w.exec("CREATE ENTITY one (one bigint)")
			w.exec("CREATE FEATURE spent ON one AS SELECT b.k AS one, count(*) FILTER (WHERE amount > lim) AS over, count(*) AS n FROM buys b ASOF LEFT JOIN profiles v ON v.k = b.c AND b.ts > v.ts GROUP BY b.k WINDOW 3 DAYS")
			check := func() {
				t.Helper()
				for range 4 {
					cut := base + r.Int64N(13)*day + r.Int64N(5)*hour
					for k := range int64(4) {
						var over, n int64
						for _, p := range buys {
							if p.k != k || p.ts < cut-3*day || p.ts >= cut {
								continue
							}
							n++
							if v := inForce(versions, p, true); v != nil && p.amount > v.limit {
								over++
							}
						}
						for _, sql := range []string{
							fmt.Sprintf("SELECT spent_over, spent_n FROM features_at('one', %s) WHERE one = %d", at(cut), k),
							fmt.Sprintf("SELECT f.spent_over, f.spent_n FROM (SELECT %d::bigint AS x, %s AS ts) l ASOF JOIN one f ON f.one = l.x AND l.ts > f.ts", k, at(cut)),
						} {
							var gotOver, gotN int64
							if err := w.conn.QueryRow(context.Background(), sql).Scan(&gotOver, &gotN); err != nil {
								t.Fatal(sql, err)
							}
							if w.values++; gotOver != over || gotN != n {
								t.Fatalf("%s\ngot %d %d, want %d %d\nlast: %v", sql, gotOver, gotN, over, n, w.log)
							}
						}
					}
				}
			}
			refresh := func() {
				if in.versions { // first: the new events are joined to the files that are there
					w.exec("REFRESH SOURCE profiles")
				}
				if in.events {
					w.exec("REFRESH SOURCE buys")
				}
			}
			check()
			for step := range 8 {
				if r.IntN(2) == 0 {
					events(1 + r.IntN(10))
				}
				switch r.IntN(4) {
				case 0, 1:
					attributes(1 + r.IntN(3))
				case 2:
					for name, ids := range parts {
						for _, id := range ids {
							if !in.versions {
								w.exec(fmt.Sprintf("DELETE FROM profiles WHERE id = %d", id))
							}
							delete(versions, id)
						}
						if in.versions {
							if err := os.Remove(filepath.Join(dir, name)); err != nil {
								t.Fatal(err)
							}
							w.note("remove " + name)
						}
						delete(parts, name)
						break
					}
				}
				refresh()
				check()
				if step%3 == 2 {
					if err := w.srv.Engine.Settle(context.Background()); err != nil {
						t.Fatal(err)
					}
					check()
				}
				if step == 5 {
					w.restart()
					check()
				}
			}
			t.Logf("%d values", w.values)
		})
	}
}

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tilehouse/tilehouse/tests/oracle"
)

// key is the key of an entity; shop only of entity pair.
type key struct {
	k    int64
	shop string
}

// of reports whether a row has the key.
func (k key) of(v *oracle.Row) bool {
	return v.Cells["k"] == k.k && (k.shop == "" || v.Cells["shop"] == k.shop)
}

// rowsOf are all versions of the rows of a key.
func (w *world) rowsOf(k key) (out []oracle.Row) {
	for i := range w.versions {
		if k.of(&w.versions[i]) {
			out = append(out, w.versions[i])
		}
	}
	return out
}

// someKey is a random key, now and then one that has no rows.
func (w *world) someKey(entity string) key {
	k := key{k: w.offset + []int64{1, 1, 2, 3, 0, -4, 77}[w.r.IntN(7)]}
	if entity == "pair" {
		k.shop = []string{"x", "y", "a longer one", "nowhere"}[w.r.IntN(4)]
	}
	return k
}

// cut is an instant to read at: one at which an event comes or goes, a microsecond to either side, or any.
func (w *world) cut(entity string) int64 {
	if n := len(w.versions); n > 0 && w.r.IntN(5) > 0 {
		t := w.versions[w.r.IntN(n)].TS + w.r.Int64N(3) - 1
		f := w.features[w.r.IntN(len(w.features))]
		if f.entity == entity && w.r.IntN(3) > 0 {
			for _, o := range f.columns() {
				t += o.Delay + []int64{0, o.Window, o.Window}[w.r.IntN(3)]
				if o.Following {
					t -= o.Delay + 2*o.Window
				}
				break
			}
		}
		return t
	}
	return w.horizon() - w.r.Int64N(75*day) + 5*day
}

// result is a row of a statement's result by column: the text sent, or what pgx decodes from the binary form.
type result map[string]any

// query runs a statement; in text over the simple protocol, otherwise over the extended one with binary results.
func (w *world) query(text bool, sql string, params ...any) []result {
	w.t.Helper()
	mode := pgx.QueryExecModeDescribeExec
	if text {
		mode = pgx.QueryExecModeSimpleProtocol
	}
	return w.queryMode(mode, sql, params...)
}

func (w *world) queryMode(mode pgx.QueryExecMode, sql string, params ...any) []result {
	w.t.Helper()
	text := mode == pgx.QueryExecModeSimpleProtocol
	rows, err := w.conn.Query(context.Background(), sql, append([]any{mode}, params...)...)
	if w.refused(sql, err) {
		return nil
	}
	if err != nil {
		w.fail("%s: %v", abbreviate(sql), err)
	}
	defer rows.Close()
	var out []result
	for rows.Next() {
		one := result{}
		var values []any
		if !text {
			if values, err = rows.Values(); err != nil {
				w.fail("%s: %v", abbreviate(sql), err)
			}
		}
		for i, f := range rows.FieldDescriptions() {
			switch raw := rows.RawValues()[i]; {
			case raw == nil:
				one[f.Name] = "NULL"
			case text:
				one[f.Name] = string(raw)
			case f.DataTypeOID == pgtype.JSONOID: // JSON's binary form is its text; decoding would lose digits
				one[f.Name] = string(raw)
			default:
				one[f.Name] = values[i]
			}
		}
		out = append(out, one)
	}
	if err := rows.Err(); err != nil {
		if w.refused(sql, err) {
			return nil
		}
		w.fail("%s: %v", abbreviate(sql), err)
	}
	return out
}

// refused reports whether err refuses a read of an older position because a file no longer has the content of then.
func (w *world) refused(sql string, err error) bool {
	var pg *pgconn.PgError
	if !w.files || !strings.Contains(sql, "SYSTEM_TIME") || !errors.As(err, &pg) || pg.Code != "22023" || !strings.Contains(pg.Message, "changed or removed") {
		return false
	}
	w.lost++
	return true
}

// fail ends the test with what was done last.
func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nposition %d, primary key %t, base %s; before:\n  %s", fmt.Sprintf(format, args...), w.position, w.pk, stamp(w.base), strings.Join(w.log, "\n  "))
}

// same reports whether a value read is the oracle's: text byte by byte, doubles bit by bit.
func same(got any, want string) bool {
	switch x := got.(type) {
	case string:
		return x == want || sameDoubles(x, want)
	case int64:
		return strconv.FormatInt(x, 10) == want
	case int32:
		return strconv.FormatInt(int64(x), 10) == want
	case float64:
		f, err := strconv.ParseFloat(want, 64)
		return err == nil && (math.Float64bits(f) == math.Float64bits(x) || math.IsNaN(f) && math.IsNaN(x))
	case pgtype.Numeric:
		r, ok := new(big.Rat).SetString(want)
		if !ok || x.Int == nil {
			return false
		}
		scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(x.Exp, -x.Exp))), nil)
		n := new(big.Rat).SetInt(x.Int)
		if x.Exp < 0 {
			n.Quo(n, new(big.Rat).SetInt(scale))
		} else {
			n.Mul(n, new(big.Rat).SetInt(scale))
		}
		return n.Cmp(r) == 0
	case []any:
		var parts []string
		for _, e := range x {
			parts = append(parts, fmt.Sprint(e))
		}
		return "{"+strings.Join(parts, ",")+"}" == want
	}
	return false
}

// sameDoubles reports whether two texts that differ are alike but for doubles of the same bits: PostgreSQL prints a double that
// lies half way to a shorter text with a digit more than the shortest, which happens from 2⁵³ on.
func sameDoubles(a, b string) bool {
	x, y := strings.Split(a, ","), strings.Split(b, ",")
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if x[i] == y[i] {
			continue
		}
		p, q := strings.TrimRight(x[i], "}"), strings.TrimRight(y[i], "}")
		n, m := strings.LastIndexByte(p, ':')+1, strings.LastIndexByte(q, ':')+1
		f, err := strconv.ParseFloat(p[n:], 64)
		g, other := strconv.ParseFloat(q[m:], 64)
		if err != nil || other != nil || p[:n] != q[:m] || !strings.Contains(p[n:], "e+") || math.Float64bits(f) != math.Float64bits(g) {
			return false
		}
	}
	return true
}

// compare checks every feature column of a row against the oracle; skip leaves columns out.
func (w *world) compare(how string, row result, rows []oracle.Row, k key, t, p int64, inclusive bool, skip func(string) bool) {
	w.t.Helper()
	n := 0
	for name, got := range row {
		f := w.columns[name]
		if f == nil || skip != nil && skip(name) {
			continue
		}
		n++
		if want := f.Value(rows, t, p, inclusive); !same(got, want) {
			w.fail("%s: %s of %v at %s (%d), position %d, inclusive %t: %v, the oracle says %s", how, name, k, stamp(t), t, p, inclusive, got, want)
		}
	}
	if n == 0 {
		w.fail("%s: no feature column in %v", how, row)
	}
	w.values += n
}

// online reads all features of a key by lookup at an instant, at the newest position or as of an older one.
func (w *world) online(entity string, t int64, keys []key, asOf int64) {
	w.t.Helper()
	w.query(true, "SET tilehouse.read_time = '"+stamp(t)+"'")
	from, p := entity, w.position
	if asOf > 0 {
		from, p = entity+" FOR SYSTEM_TIME AS OF '"+stamp(w.commits[asOf-1]+second/2)+"'", asOf
	}
	text := w.r.IntN(2) == 0
	var rows []result
	switch {
	case entity == "pair" && text:
		rows = w.query(true, fmt.Sprintf("SELECT * FROM %s WHERE shop = '%s' AND k = %d", from, keys[0].shop, keys[0].k))
		keys = keys[:1]
	case entity == "pair":
		rows = w.query(false, "SELECT * FROM "+from+" WHERE k = $1 AND shop = $2", keys[0].k, keys[0].shop)
		keys = keys[:1]
	case text:
		var list []string
		for _, k := range keys {
			list = append(list, fmt.Sprint(k.k))
		}
		if asOf == 0 && w.r.IntN(2) == 0 {
			from = "features_at('" + entity + "', '" + stamp(t) + "')"
			w.query(true, "RESET tilehouse.read_time")
		}
		rows = w.query(true, "SELECT * FROM "+from+" WHERE k IN ("+strings.Join(list, ", ")+")")
	default:
		var list []int64
		for _, k := range keys {
			list = append(list, k.k)
		}
		rows = w.query(false, "SELECT * FROM "+from+" WHERE k = ANY($1)", list)
	}
	if rows == nil && w.files && asOf > 0 {
		return
	}
	seen := map[key]bool{}
	for _, row := range rows {
		n, _ := strconv.ParseInt(fmt.Sprint(row["k"]), 10, 64)
		k := key{k: n}
		if entity == "pair" {
			k.shop = fmt.Sprint(row["shop"])
		}
		if seen[k] {
			w.fail("lookup of %v: key %v twice", keys, k)
		}
		seen[k] = true
		w.compare(fmt.Sprintf("lookup (text %t, as of %d)", text, asOf), row, w.rowsOf(k), k, t, p, false, nil)
	}
	for _, k := range keys {
		if !seen[k] {
			w.fail("lookup of %v: no row of %v", keys, k)
		}
	}
}

// asof reads the features of an entity by an ASOF join to n random labels.
func (w *world) asof(entity string, n int, inclusive bool, asOf int64) {
	w.t.Helper()
	var keys []key
	var cuts []int64
	for range n {
		keys, cuts = append(keys, w.someKey(entity)), append(cuts, w.cut(entity))
	}
	w.joined(entity, keys, cuts, inclusive, asOf)
}

// prepared reads a fixed list of columns by a statement that is prepared once and kept over rebuilds, drops and restarts.
func (w *world) prepared(t int64, k key) {
	w.t.Helper()
	w.query(true, "SET tilehouse.read_time = '"+stamp(t)+"'")
	rows := w.queryMode(pgx.QueryExecModeCacheStatement,
		"SELECT a_sp_7d, k, a_mp_lifetime, a_lkc_1d, a_nd_30d AS a_nd_30d, a_aa_1h, a_n_7d, a_hia_lifetime FROM cust WHERE $1 = k", k.k)
	if len(rows) != 1 {
		w.fail("prepared lookup: %d rows", len(rows))
	}
	w.compare("prepared lookup", rows[0], w.rowsOf(k), k, t, w.position, false, nil)
}

// adHoc reads windows that no feature declares, over partials that a group may hold and over ones that none does.
func (w *world) adHoc() {
	w.t.Helper()
	k, t, inclusive := w.someKey("cust"), w.cut("cust"), w.r.IntN(2) == 0
	length := 1 + w.r.Int64N(20*24)
	op := ">"
	if inclusive {
		op = ">="
	}
	where, filter := "", (func(*oracle.Row) bool)(nil)
	if w.r.IntN(2) == 0 {
		where, filter = " WHERE qty > 0", positive
	}
	calls := pick(plain, "n sp nd lkq hia mp dc aq")
	w.r.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
	var items []string
	for _, a := range calls {
		items = append(items, a.sql+" AS "+a.name)
	}
	rows := w.query(w.r.IntN(2) == 0, fmt.Sprintf(`SELECT x.* FROM (VALUES (%d::bigint, '%s'::timestamptz)) l(k, moment)
		ASOF JOIN (SELECT k, %s FROM ev%s GROUP BY k WINDOW %d HOURS) x ON x.k = l.k AND l.moment %s x.ts`, k.k, stamp(t), strings.Join(items, ", "), where, length, op))
	if len(rows) != 1 {
		w.fail("ad hoc window: %d rows", len(rows))
	}
	mine := w.rowsOf(k)
	for _, a := range calls {
		f := &oracle.Feature{Func: a.fn, Args: a.args, Constants: a.constants, Window: length * hour, Filter: filter}
		if want := f.Value(mine, t, w.position, inclusive); !same(rows[0][a.name], want) {
			w.fail("ad hoc %s%s over %d hours of %v at %s, inclusive %t: %v, the oracle says %s", a.sql, where, length, k, stamp(t), inclusive, rows[0][a.name], want)
		}
		w.values++
	}
}

// chain reads the features of both entities in one statement, labels without a key or a time included.
func (w *world) chain() {
	w.t.Helper()
	var labels []string
	var keys []key
	var cuts []int64
	for i := range 3 {
		k, t := w.someKey("pair"), w.cut("pair")
		number, at := fmt.Sprintf("%d::bigint", k.k), "'"+stamp(t)+"'::timestamptz"
		switch w.r.IntN(4) {
		case 0:
			number, k = "NULL::bigint", key{k: math.MinInt64, shop: "none"}
		case 1:
			at, k = "NULL::timestamptz", key{k: math.MinInt64, shop: "none"}
		}
		labels = append(labels, fmt.Sprintf("(%d, %s, '%s', %s)", i, number, k.shop, at))
		keys, cuts = append(keys, k), append(cuts, t)
	}
	rows := w.query(w.r.IntN(2) == 0, `SELECT l.i, p.p_sp_30d, p.p_n_1d, p.p_lkc_lifetime, c.a_n_7d, c.a_lp_lifetime, c.a_ma_30d, c.d_n_7d FROM (VALUES `+strings.Join(labels, ", ")+`) l(i, k, shop, ts)
		LEFT ASOF JOIN cust c ON l.k = c.k AND c.ts < l.ts ASOF JOIN pair p MATCH_CONDITION (l.ts > p.ts) ON p.shop = l.shop AND p.k = l.k`)
	if len(rows) != len(keys) {
		w.fail("chain of ASOF joins: %d rows", len(rows))
	}
	for _, row := range rows {
		i, _ := strconv.Atoi(fmt.Sprint(row["i"]))
		onlyPair := func(name string) bool { return !strings.HasPrefix(name, "p_") }
		w.compare("chain", row, w.rowsOf(keys[i]), keys[i], cuts[i], w.position, false, onlyPair)
		c := key{k: keys[i].k}
		w.compare("chain", row, w.rowsOf(c), c, cuts[i], w.position, false, func(name string) bool { return !onlyPair(name) })
	}
}

// joined reads the features of an entity by an ASOF join to labels of the keys at the cuts, at the newest position or as of
// an older one.
func (w *world) joined(entity string, keys []key, cuts []int64, inclusive bool, asOf int64) {
	w.t.Helper()
	var labels []string
	for i, k := range keys {
		labels = append(labels, fmt.Sprintf("(%d, %d::bigint, '%s', '%s'::timestamptz)", i, k.k, k.shop, stamp(cuts[i])))
	}
	op, on, from, p := ">", "f.k = l.k", entity, w.position
	if inclusive {
		op = ">="
	}
	if entity == "pair" {
		on += " AND f.shop = l.shop"
	}
	if asOf > 0 {
		from, p = entity+" FOR SYSTEM_TIME AS OF '"+stamp(w.commits[asOf-1]+second/2)+"'", asOf
	}
	sql := fmt.Sprintf("SELECT l.i, f.* FROM (VALUES %s) l(i, k, shop, ts) ASOF JOIN %s f ON %s AND l.ts %s f.ts", strings.Join(labels, ", "), from, on, op)
	text := w.r.IntN(2) == 0
	rows := w.query(text, sql)
	if rows == nil && w.files && asOf > 0 {
		return
	}
	if len(rows) != len(keys) {
		w.fail("ASOF join of %d labels: %d rows", len(keys), len(rows))
	}
	for _, row := range rows {
		i, _ := strconv.Atoi(fmt.Sprint(row["i"]))
		w.compare(fmt.Sprintf("ASOF join (text %t, as of %d)", text, asOf), row, w.rowsOf(keys[i]), keys[i], cuts[i], p, inclusive, nil)
	}
}

// explain reads a feature's values out of EXPLAIN FEATURE.
func (w *world) explain() {
	w.t.Helper()
	f := w.features[w.r.IntN(len(w.features))]
	if f.following {
		return
	}
	k, t := w.someKey(f.entity), w.cut(f.entity)
	keys := fmt.Sprint(k.k)
	if f.entity == "pair" {
		keys += ", '" + k.shop + "'"
	}
	row, name := result{}, ""
	for _, line := range w.query(true, fmt.Sprintf("EXPLAIN FEATURE %s FOR (%s) AT '%s'", f.name, keys, stamp(t))) {
		text := line["QUERY PLAN"].(string)
		if v, ok := strings.CutPrefix(text, "  value: "); ok {
			row[name] = v
		} else if n, _, ok := strings.Cut(text, " = "); ok && !strings.HasPrefix(text, " ") {
			name = n
		}
	}
	if len(row) != len(f.columns()) {
		w.fail("EXPLAIN FEATURE %s shows %d values of %d", f.name, len(row), len(f.columns()))
	}
	w.compare("EXPLAIN FEATURE", row, w.rowsOf(k), k, t, w.position, false, nil)
}

// past is a position before the newest, 0 where there is none.
func (w *world) past() int64 {
	if w.position < 2 || w.shared { // with others committing, the times of its own commits do not tell its positions apart
		return 0
	}
	return 1 + w.r.Int64N(w.position-1)
}

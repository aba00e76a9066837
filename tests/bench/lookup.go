package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tilehouse/tilehouse/sqlplan/engine"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// The lookups at scale 1: ten values of a key among lookupKeys, from rows that end when the run begins.
const (
	lookupEvents = 6_000_000
	lookupKeys   = 60_000
	lookupSpan   = 40 * 24 * time.Hour
	// cacheFactor is how many times the cache the data are in the second set.
	cacheFactor = 5
)

// lookupClients are the numbers of connections.
var lookupClients = []int{1, 8, 16}

// lookupAggregates are the ten columns, as DuckDB's and PostgreSQL's table has them, each with its definition over a window's rows.
var lookupAggregates = []struct{ name, sql string }{
	{"n", "count(*)"}, {"s", "sum(x)"}, {"mean", "avg(x)"}, {"least", "min(x)"}, {"most", "max(x)"},
}

var lookupWindows = []struct {
	suffix string
	days   int
}{{"7d", 7}, {"30d", 30}}

// lookupColumns lists the ten columns after a prefix.
func lookupColumns(prefix string) string {
	var out []string
	for _, w := range lookupWindows {
		for _, a := range lookupAggregates {
			out = append(out, prefix+a.name+"_"+w.suffix)
		}
	}
	return strings.Join(out, ", ")
}

// createLookupFeature is the ten values as a feature of entity customer.
func createLookupFeature() string {
	var out []string
	for _, a := range lookupAggregates {
		out = append(out, a.sql+" AS "+a.name)
	}
	return "CREATE FEATURE f ON customer AS SELECT k, " + strings.Join(out, ", ") + " FROM events GROUP BY k WINDOW 7 DAYS, 30 DAYS"
}

// precomputed is DuckDB's text of the ten values of every key as of an instant: what a pipeline would put into a table.
func precomputed(path string, keys int, at time.Time) string {
	var out []string
	for _, w := range lookupWindows {
		for _, a := range lookupAggregates {
			out = append(out, fmt.Sprintf("%s FILTER (WHERE ts >= make_timestamptz(%d)) AS %s_%s",
				strings.Replace(a.sql, "(*)", "(x)", 1), at.AddDate(0, 0, -w.days).UnixMicro(), a.name, w.suffix))
		}
	}
	return fmt.Sprintf("SELECT i.k, %s FROM (SELECT range AS k FROM range(%d)) i LEFT JOIN (SELECT * FROM %s WHERE ts < make_timestamptz(%d)) e ON e.k = i.k GROUP BY i.k ORDER BY i.k",
		strings.Join(out, ", "), keys, duck.QuoteLiteral(path), at.UnixMicro())
}

// copyIn loads rows into a table.
func copyIn(ctx context.Context, conn *session, into string, rows [][]string) error {
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(strings.Join(r, "\t") + "\n")
	}
	_, err := conn.PgConn().CopyFrom(ctx, strings.NewReader(b.String()), "COPY "+into+" FROM STDIN")
	return err
}

// everyLookup looks up all keys, a thousand a statement, and compares them with rows where those are given.
func everyLookup(ctx context.Context, conn *session, keys int, want [][]string) error {
	const batch = 1000
	for from := 0; from < keys; from += batch {
		to := min(keys, from+batch)
		var list []string
		for k := from; k < to; k++ {
			list = append(list, fmt.Sprint(k))
		}
		got, err := query(ctx, conn, "SELECT k, "+lookupColumns("f_")+" FROM customer WHERE k = ANY('{"+strings.Join(list, ",")+"}'::bigint[])")
		if err != nil {
			return err
		}
		if len(got) != to-from {
			return fmt.Errorf("%d rows for %d keys", len(got), to-from)
		}
		if want == nil {
			continue
		}
		for _, g := range got { // in no order
			k, err := strconv.Atoi(g[0])
			if err != nil || k < from || k >= to {
				return fmt.Errorf("key %q was not asked for", g[0])
			}
			if err := equalRow(g, want[k]); err != nil {
				return fmt.Errorf("key %d: %w", k, err)
			}
		}
	}
	return nil
}

// lookupScript is pgbench's text: one random key.
func lookupScript(keys int, columns, relation string) string {
	return fmt.Sprintf("\\set k random(0, %d)\nSELECT %s FROM %s WHERE k = :k;\n", keys-1, columns, relation)
}

func lookups(ctx context.Context, e *environment, t *table) (err error) {
	now := time.Now().Truncate(time.Second)
	keys := e.rows(lookupKeys)
	path, err := e.writeEvents(ctx, "lookup.parquet", events{rows: e.rows(lookupEvents), keys: keys, first: now.Add(-lookupSpan), span: lookupSpan, stream: 1})
	if err != nil {
		return err
	}
	_, want, err := e.duckdbRun(ctx, true, precomputed(path, keys, now))
	if err != nil {
		return err
	}
	data := e.freshData()
	if err := e.buildLookups(ctx, data, path, keys, now, want); err != nil {
		return err
	}
	tiles := directoryBytes(filepath.Join(data, "log"))
	m := lookupSet{data: data, keys: keys, want: want}
	table, err := m.measure(ctx, e, t, "hot", []string{"--online-cache", "1GiB"}, nil)
	if err != nil {
		return err
	}
	// The caches are that of blocks, which follows from the memory limit, and that of hot keys' values, which takes what is left of
	// a fifth of the data. The limit is the least that the process keeps to.
	const memory = 256 << 20
	blocks := engine.ShareMemory(memory).Blocks
	cache := max(1<<20, tiles/cacheFactor-blocks)
	factor := float64(tiles) / float64(cache+blocks)
	buffers := max(128<<10, table/cacheFactor)
	name := fmt.Sprintf("data %.1f × the cache", factor)
	_, err = m.measure(ctx, e, t, name, []string{"--memory-limit", fmt.Sprintf("%dMiB", memory>>20), "--online-cache", fmt.Sprintf("%dKiB", cache>>10)},
		[]string{fmt.Sprintf("shared_buffers=%dkB", buffers>>10)}, fmt.Sprintf("online store %s, table %s", mebibytes(tiles), mebibytes(table)))
	return err
}

// buildLookups makes the feature and compares every key's values as of now with DuckDB's.
func (e *environment) buildLookups(ctx context.Context, data, path string, keys int, now time.Time, want [][]string) (err error) {
	srv, err := e.startTilehouse(ctx, data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.stop()) }()
	conn, err := srv.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	began := time.Now()
	if err := execute(ctx, conn,
		"CREATE SOURCE events WITH (connector = 'file', path = "+duck.QuoteLiteral(filepath.Base(path))+", event_time = 'ts')",
		createUser, createLookupFeature(), fmt.Sprintf("SET tilehouse.read_time = '%s'", now.UTC().Format("2006-01-02 15:04:05Z"))); err != nil {
		return err
	}
	progress("  built in %.1f s", time.Since(began).Seconds())
	if err := everyLookup(ctx, conn, keys, want); err != nil {
		return err
	}
	progress("  %d keys compared, all equal", keys)
	return nil
}

// lookupSet is what both servers hold.
type lookupSet struct {
	data string     // a data directory with the feature
	keys int        // 0 … keys − 1
	want [][]string // of each key, the key and its ten values
}

// measure runs pgbench against both servers in turn, and returns the bytes of PostgreSQL's table and index.
func (m *lookupSet) measure(ctx context.Context, e *environment, t *table, name string, flags, settings []string, notes ...string) (bytes int64, err error) {
	srv, err := e.startTilehouse(ctx, m.data, flags...)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, srv.stop()) }()
	pg, err := e.startPostgres(ctx, settings...)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, pg.stop()) }()
	if bytes, err = m.load(ctx, pg); err != nil {
		return 0, err
	}
	if err := m.warm(ctx, srv); err != nil {
		return 0, err
	}
	for _, clients := range lookupClients {
		at := func(target pgbenchTarget, columns, relation string) side {
			return func(ctx context.Context, _ int) (float64, error) {
				r, err := e.pgbench(ctx, target, lookupScript(m.keys, columns, relation), clients)
				if err != nil {
					return 0, err
				}
				return r.rate, nil
			}
		}
		rates, err := alternate(ctx, e.rounds, at(pg.target(), lookupColumns(""), "features"), at(srv.target(), lookupColumns("f_"), "customer"))
		if err != nil {
			return 0, err
		}
		t.add(row{what: fmt.Sprintf("lookup of 10 values, connections: %2d, %s", clients, name), unit: "/s", ours: rates[1], other: rates[0], peer: "PostgreSQL",
			target: 0.5, notes: append([]string{"peak " + srv.peak()}, notes...)})
	}
	return bytes, nil
}

// load makes PostgreSQL's table of values by primary key and reads it once.
func (m *lookupSet) load(ctx context.Context, pg *postgres) (bytes int64, err error) {
	conn, err := pg.connect(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	var columns []string
	for c := range strings.SplitSeq(lookupColumns(""), ", ") {
		kind := "double precision"
		if strings.HasPrefix(c, "n_") {
			kind = "bigint"
		}
		columns = append(columns, c+" "+kind)
	}
	if err := execute(ctx, conn, "CREATE TABLE features (k bigint PRIMARY KEY, "+strings.Join(columns, ", ")+")"); err != nil {
		return 0, err
	}
	if err := copyIn(ctx, conn, "features", m.want); err != nil {
		return 0, err
	}
	if err := execute(ctx, conn, "VACUUM ANALYZE features", "CHECKPOINT", "SELECT sum(s_7d) FROM features"); err != nil {
		return 0, err
	}
	return bytes, conn.QueryRow(ctx, "SELECT pg_total_relation_size('features')").Scan(&bytes)
}

// warm looks up every key once.
func (m *lookupSet) warm(ctx context.Context, srv *tilehouse) (err error) {
	conn, err := srv.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	return everyLookup(ctx, conn, m.keys, nil)
}

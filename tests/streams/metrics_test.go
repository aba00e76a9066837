package streams

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	prommodel "github.com/prometheus/common/model"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
)

var rewrite = flag.Bool("rewrite", false, "write docs/monitoring/README.md's table of metrics anew")

const monitoring = "../../docs/monitoring/"

// metricsOf is the address of the metrics of a server that was started with --metrics-listen, as its log says, which is read beside what
// says that it is ready.
func metricsOf(t *testing.T, s *servertest.Server) string {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if at := regexp.MustCompile(`msg=metrics address=(\S+)`).FindStringSubmatch(s.Log()); at != nil {
			return at[1]
		}
	}
	t.Fatalf("the server does not say where its metrics are: %s", s.Log())
	return ""
}

// scrape reads all metrics of a server.
func scrape(t *testing.T, s *servertest.Server) map[string]*dto.MetricFamily {
	t.Helper()
	res, err := http.Get("http://" + metricsOf(t, s) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	parser := expfmt.NewTextParser(prommodel.UTF8Validation)
	families, err := parser.TextToMetricFamilies(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// sample is the value of the metric with these labels, given as "name=value" pairs; a histogram's is its count. false: there is none.
func sample(families map[string]*dto.MetricFamily, name string, labels ...string) (float64, bool) {
	for _, m := range families[name].GetMetric() {
		matches := 0
		for _, l := range m.Label {
			if slices.Contains(labels, l.GetName()+"="+l.GetValue()) {
				matches++
			}
		}
		if matches != len(labels) {
			continue
		}
		switch {
		case m.Histogram != nil:
			return float64(m.Histogram.GetSampleCount()), true
		case m.Counter != nil:
			return m.Counter.GetValue(), true
		case m.Gauge != nil:
			return m.Gauge.GetValue(), true
		}
	}
	return 0, false
}

// What Prometheus is given is what happened; dashboard, alerts and documentation name metrics that there are, and no others.
func TestMetrics(t *testing.T) {
	bus, client := cluster(t, 2, "events")
	files := t.TempDir()
	if err := os.WriteFile(files+"/a.csv", []byte("k,ts\n1,2024-05-01 10:00:00Z\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := servertest.Start(t, t.TempDir(), servertest.Options{Args: []string{"--metrics-listen", "127.0.0.1:0", "--file-root", files}})
	conn := dial(t, s.DSN())
	exec(t, conn, fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s')", bus.ListenAddrs()[0]))
	exec(t, conn, source("s", ""))
	exec(t, conn, "CREATE CONNECTION store WITH (type = 'cassandra', hosts = '127.0.0.1:1', keyspace = 'none')") // where nobody answers
	exec(t, conn, "CREATE ENTITY e (k bigint)")
	exec(t, conn, "CREATE FEATURE n ON e WITH (target_lag = '1 second') AS SELECT k, count(*) FROM s GROUP BY k WINDOW 1 HOUR")
	exec(t, conn, "CREATE FEATURE VIEW v WITH (online = true, log_fraction = 1) AS SELECT e.n + 1 AS more FROM e")
	exec(t, conn, fmt.Sprintf("CREATE SOURCE f WITH (connector = 'file', path = '%s/*.csv', event_time = 'ts')", files))
	produce(t, client, "events", 0, events(0, 3)...)
	produce(t, client, "events", 1, event(3), "{broken")
	eventually(t, conn, "SELECT rows || ' ' || dead_letters || ' ' || lag FROM tilehouse.sources WHERE name = 's'", "4 1 0")
	for range 5 {
		exec(t, conn, "SELECT n FROM e WHERE k = 1")
		exec(t, conn, "SELECT more FROM v WHERE k = 1")
	}
	for range 2 {
		refusal(t, conn, "SELECT 1/0")
	}
	exec(t, conn, "REFRESH SOURCE f")
	waitFor := time.Now().Add(20 * time.Second) // the log of reads is written in the background
	families := scrape(t, s)
	for v, _ := sample(families, "tilehouse_feature_log_entries_total"); v < 5 && time.Now().Before(waitFor); v, _ = sample(families, "tilehouse_feature_log_entries_total") {
		time.Sleep(20 * time.Millisecond)
		families = scrape(t, s)
	}
	for _, w := range []struct {
		want float64
		name string
		of   []string
	}{
		{4, "tilehouse_source_rows_total", []string{"source=s"}}, {1, "tilehouse_source_dead_letters_total", []string{"source=s"}},
		{4, "tilehouse_source_freshness_seconds", []string{"source=s"}}, {1, "tilehouse_source_state", []string{"source=s", "state=running"}},
		{0, "tilehouse_source_state", []string{"source=s", "state=retrying"}}, {0, "tilehouse_source_lag_messages", []string{"source=s", "partition=1"}},
		{0, "tilehouse_source_failures_total", []string{"source=s"}}, {0, "tilehouse_source_refresh_failed", []string{"source=f"}},
		{10, "tilehouse_lookup_seconds", nil}, {2, "tilehouse_errors_total", []string{"class=22"}}, {1, "tilehouse_connections", []string{"state=session"}},
		{200, "tilehouse_connections_limit", nil}, {4, "tilehouse_tile_rows", nil}, {1, "tilehouse_objects", []string{"kind=feature"}},
		{1, "tilehouse_feature_info", []string{"feature=n", "entity=e", "relation=s", "state=ready"}}, {5, "tilehouse_feature_log_entries_total", []string{"view=v"}},
		{0, "tilehouse_jobs_running", nil}, {0, "tilehouse_login_failures_total", nil},
	} {
		if got, ok := sample(families, w.name, w.of...); !ok || got != w.want {
			t.Errorf("%s%v is %v (there: %v), not %v", w.name, w.of, got, ok, w.want)
		}
	}
	for _, name := range []string{"tilehouse_watermark_timestamp_seconds", "tilehouse_source_last_commit_timestamp_seconds", "tilehouse_source_last_refresh_timestamp_seconds"} {
		if got, ok := sample(families, name); !ok || got < float64(time.Now().Unix()-3600) || got > float64(time.Now().Unix()+1) {
			t.Errorf("%s is %v (there: %v), not a moment ago", name, got, ok)
		}
	}
	if got, _ := sample(families, "tilehouse_statement_seconds", "command=SELECT"); got < 10 {
		t.Errorf("%v SELECTs were counted, not 10 or more", got)
	}
	named(t, families)
	document(t, families)
	exec(t, conn, "DROP SOURCE s CASCADE")
	for _, name := range []string{"tilehouse_source_rows_total", "tilehouse_source_freshness_seconds"} {
		got, ok := sample(scrape(t, s), name, "source=s")
		for end := time.Now().Add(20 * time.Second); ok && time.Now().Before(end); got, ok = sample(scrape(t, s), name, "source=s") {
			time.Sleep(10 * time.Millisecond) // its consumer ends after DROP has answered
		}
		if ok {
			t.Errorf("%s is %v after the source was dropped", name, got)
		}
	}
}

var metricName = regexp.MustCompile(`\b(tilehouse|process|go)_[a-z_]+`)

// elsewhere are metrics that only other sources than those of the test have: labels, type and what each is. tests/pgsource has them.
var elsewhere = map[string][3]string{
	"tilehouse_source_lag_bytes": {"{source}", "gauge", "Bytes of PostgreSQL's log that a source has not read yet; not given while its table is read as a whole, and where PostgreSQL has not told."},
}

// named checks that the dashboard and the alerts are well-formed as far as is told here, and name metrics that there are.
func named(t *testing.T, families map[string]*dto.MetricFamily) {
	used := map[string]bool{}
	for _, file := range []string{"dashboard.json", "alerts.yml"} {
		raw, err := os.ReadFile(monitoring + file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, ".json") && !json.Valid(raw) {
			t.Errorf("%s is no JSON", file)
		}
		for _, name := range metricName.FindAllString(string(raw), -1) {
			for _, suffix := range []string{"_bucket", "_count", "_sum"} {
				if f := families[strings.TrimSuffix(name, suffix)]; f.GetType() == dto.MetricType_HISTOGRAM {
					name = strings.TrimSuffix(name, suffix)
				}
			}
			if used[name] = true; families[name] == nil && elsewhere[name][0] == "" {
				t.Errorf("%s names %s, which there is not", file, name)
			}
		}
	}
	if len(used) < 20 {
		t.Errorf("only %d metrics are used", len(used))
	}
}

// document holds the table of docs/monitoring/README.md equal to what a server gives.
func document(t *testing.T, families map[string]*dto.MetricFamily) {
	const head = "| metric | type | what it is |\n|---|---|---|\n"
	raw, err := os.ReadFile(monitoring + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, _, ok := bytes.Cut(raw, []byte(head))
	if !ok {
		t.Fatal("docs/monitoring/README.md has no table of metrics")
	}
	want := string(before) + head
	names := slices.AppendSeq(slices.Collect(maps.Keys(families)), maps.Keys(elsewhere))
	slices.Sort(names)
	for _, name := range names {
		f := families[name]
		if of, ok := elsewhere[name]; ok {
			want += fmt.Sprintf("| `%s%s` | %s | %s |\n", name, of[0], of[1], of[2])
			continue
		}
		if !strings.HasPrefix(name, "tilehouse_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].Label {
			labels = append(labels, l.GetName())
		}
		if len(labels) > 0 {
			name += "{" + strings.Join(labels, ", ") + "}"
		}
		want += fmt.Sprintf("| `%s` | %s | %s |\n", name, strings.ToLower(f.GetType().String()), f.GetHelp())
	}
	want += "\nBeside them stand those of the Go runtime (`go_…`) and of the process (`process_…`).\n"
	if *rewrite {
		if err := os.WriteFile(monitoring+"README.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(raw) != want {
		t.Error("docs/monitoring/README.md does not have the metrics that there are: go test ./tests/streams -run TestMetrics -rewrite")
	}
}

// A wrong address is told, and the server does not start.
func TestMetricsAddress(t *testing.T) {
	if s, err := servertest.Launch(t, t.TempDir(), servertest.Options{Args: []string{"--metrics-listen", "nowhere.invalid:x"}}); err == nil {
		s.Kill()
		t.Error("a server starts whose metrics cannot listen")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s := servertest.Start(t, t.TempDir(), servertest.Options{Args: []string{"--metrics-listen", "127.0.0.1:0"}})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+metricsOf(t, s)+"/ready", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("/ready gives %v, %v", res, err)
	}
	_ = res.Body.Close()
}

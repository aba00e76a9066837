package pgsource

import (
	"bufio"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// Prometheus is told of a source's state, changes and lag in bytes of PostgreSQL's log.
func TestMetrics(t *testing.T) {
	pg := postgres.StartServer(t, postgres.Options{Logical: true})
	app := dial(t, pg.DSN)
	exec(t, app, "CREATE TABLE m (id bigint PRIMARY KEY)", "INSERT INTO m SELECT generate_series(1, 5)")
	s := servertest.Start(t, t.TempDir(), servertest.Options{Args: []string{"--metrics-listen", "127.0.0.1:0"}})
	conn := dial(t, s.DSN())
	exec(t, conn, connection(t, pg, ""), "CREATE SOURCE m WITH (connector = 'postgres', connection = 'app', table = 'm')")
	eventually(t, conn, "SELECT state FROM tilehouse.sources WHERE name = 'm'", "running")
	exec(t, app, "DELETE FROM m WHERE id = 1")
	eventually(t, conn, "SELECT messages, lag FROM tilehouse.sources WHERE name = 'm'", "6|0")
	var at []string
	for end := time.Now().Add(20 * time.Second); at == nil && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		at = regexp.MustCompile(`msg=metrics address=(\S+)`).FindStringSubmatch(s.Log())
	}
	if at == nil {
		t.Fatalf("the server does not say where its metrics are: %s", s.Log())
	}
	res, err := http.Get("http://" + at[1] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	want := map[string]bool{`tilehouse_source_lag_bytes{source="m"} 0`: false, `tilehouse_source_state{source="m",state="running"} 1`: false, `tilehouse_source_rows_total{source="m"} 6`: false, `tilehouse_source_freshness_seconds_count{source="m"} 1`: false}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if _, ok := want[strings.TrimSpace(lines.Text())]; ok {
			want[lines.Text()] = true
		}
	}
	for line, there := range want {
		if !there {
			t.Errorf("there is no %s", line)
		}
	}
}

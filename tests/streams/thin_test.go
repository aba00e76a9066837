package streams

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/tests/harness"
)

func TestThin(t *testing.T) {
	bus, client := cluster(t, 2, "purchases")
	srv := harness.Start(t, harness.Options{})
	conn := srv.Connect(t)
	exec(t, conn, fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s')", bus.ListenAddrs()[0]))
	produce(t, client, "purchases", 0, fmt.Sprintf(`{"purchase_id": 1, "customer_id": 7, "amount": 10.50, "ts": "%s"}`, now()))
	exec(t, conn, `CREATE SOURCE live (purchase_id bigint, customer_id bigint, amount numeric(12,2), ts timestamptz,
		PRIMARY KEY (purchase_id), WATERMARK FOR ts AS ts - INTERVAL '10 minutes')
		WITH (connector = 'kafka', connection = 'bus', topic = 'purchases') FORMAT PLAIN ENCODE JSON`)
	exec(t, conn, "CREATE ENTITY customer (customer_id bigint)")
	exec(t, conn, "CREATE FEATURE spend ON customer AS SELECT customer_id, sum(amount) AS total, count(*) AS n FROM live GROUP BY customer_id WINDOW 1 HOUR")
	eventually(t, conn, "SELECT spend_total::text AS v FROM customer WHERE customer_id = 7", "10.50")
	produce(t, client, "purchases", 1, fmt.Sprintf(`{"purchase_id": 2, "customer_id": 7, "amount": 0.25, "ts": "%s"}`, now()), `{"broken`,
		fmt.Sprintf(`{"purchase_id": 1, "customer_id": 7, "amount": 5, "ts": "%s"}`, now()), fmt.Sprintf(`{"purchase_id": 3, "amount": 5, "ts": "%s"}`, now()))
	eventually(t, conn, "SELECT spend_total::text AS v FROM customer WHERE customer_id = 7", "10.75")
	eventually(t, conn, "SELECT count(*)::text FROM live", "2")
	eventually(t, conn, "SELECT string_agg(code || ' ' || partition || '/' || message_offset, ', ' ORDER BY number) FROM tilehouse.dead_letters", "22P02 1/1, 23505 1/2, 23502 1/3")
	eventually(t, conn, "SELECT string_agg(__partition || ':' || __offset || ' ' || encode(__key, 'escape') || ' ' || __headers::text, ', ' ORDER BY purchase_id) FROM live",
		`0:0 k [{"key":"h","value":"x"}], 1:0 k [{"key":"h","value":"x"}]`)
	eventually(t, conn, "SELECT state || ' ' || rows || ' ' || dead_letters || ' ' || lag FROM tilehouse.sources WHERE name = 'live'", "running 2 3 0")
	if plan := texts(t, conn, "EXPLAIN FEATURE spend FOR (7)"); !strings.Contains(strings.Join(plan, "\n"), "value: 10.75") {
		t.Errorf("EXPLAIN FEATURE says %q", plan)
	}
	exec(t, conn, "ALTER SOURCE live SUSPEND")
	produce(t, client, "purchases", 0, fmt.Sprintf(`{"purchase_id": 4, "customer_id": 7, "amount": 100, "ts": "%s"}`, now()))
	eventually(t, conn, "SELECT state FROM tilehouse.sources WHERE name = 'live'", "suspended")
	srv.Stop()
	srv = harness.Start(t, harness.Options{Dir: srv.Dir})
	conn = srv.Connect(t)
	eventually(t, conn, "SELECT spend_total::text AS v FROM customer WHERE customer_id = 7", "10.75")
	exec(t, conn, "ALTER SOURCE live RESUME")
	eventually(t, conn, "SELECT spend_total::text AS v FROM customer WHERE customer_id = 7", "110.75")
	eventually(t, conn, "SELECT count(*)::text FROM live", "3")
	exec(t, conn, "DROP SOURCE live CASCADE")
	eventually(t, conn, "SELECT count(*)::text FROM tilehouse.dead_letters", "0")
}

package streams

import (
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/sql/reference"
	"github.com/tilehouse/tilehouse/tests/harness"
)

// The examples of Kafka sources in the reference run as they stand, but for the brokers' address.
func TestReferenceExamples(t *testing.T) {
	bus, client := cluster(t, 1, "purchases", "shop.orders", "clicks")
	t.Setenv("KAFKA_PASSWORD", "x")
	conn := harness.Start(t, harness.Options{}).Connect(t)
	exec(t, conn, "CREATE ENTITY customer (customer_id bigint)")
	for _, page := range []string{"CREATE SOURCE kafka", "REPLAY DEAD LETTERS"} {
		st, ok := reference.Find(page)
		if !ok {
			t.Fatalf("the reference does not have %s", page)
		}
		for _, e := range st.Examples {
			for _, sql := range e.SQL {
				exec(t, conn, strings.ReplaceAll(sql, "127.0.0.1:9092", bus.ListenAddrs()[0]))
			}
		}
	}
	produce(t, client, "purchases", 0, `{"purchase_id": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "customer_id": 42, "amount": 9.99, "status": "ok", "ts": "`+now()+`"}`)
	eventually(t, conn, "SELECT spend_live_1h::text AS v FROM customer WHERE customer_id = 42", "9.99")
}

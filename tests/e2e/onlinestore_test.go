package e2e_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tilehouse/tilehouse/tests/harness"
)

// A connection to Cassandra is in tilehouse.online_store as soon as its statement returns, and is not once it is dropped.
func TestOnlineStoreRow(t *testing.T) {
	conn, ctx := harness.Start(t, harness.Options{}).Connect(t), context.Background()
	rows := func(sql, want string) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		var got string
		if err := conn.QueryRow(ctx, "SELECT coalesce(string_agg(concat_ws(' ', connection, keyspace, state IN ('connecting', 'waiting'), since IS NOT NULL), ', '), '') FROM tilehouse.online_store", pgx.QueryExecModeSimpleProtocol).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Fatalf("after %s there is %q, not %q", sql, got, want)
		}
	}
	for i := range 20 {
		rows(fmt.Sprintf("CREATE CONNECTION store WITH (type = 'cassandra', hosts = '127.0.0.1:1', keyspace = 'k%d')", i), fmt.Sprintf("store k%d true true", i))
		rows("ALTER CONNECTION store SET (keyspace = 'other')", "store other true true")
		rows("DROP CONNECTION store", "")
	}
}

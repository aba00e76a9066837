package servertest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Dial opens a connection that ends with the test.
func Dial(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

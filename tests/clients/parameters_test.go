package clients

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tilehouse/tilehouse/tests/clients/servertest"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// Drivers look up every type that a parameter is described as, with statements that have parameters: object ids must be
// described as such, and what a client names as what it named.
func TestParameterTypes(t *testing.T) {
	ctx := context.Background()
	there, err := pgconn.Connect(ctx, postgres.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close(ctx)
	here := connectTo(t, servertest.Start(t, t.TempDir(), servertest.Options{}).DSN())
	for _, q := range []struct {
		sql   string
		given []uint32
	}{
		{"SELECT $1::oid", nil}, {"SELECT $1::oid[]", nil}, {"SELECT typname FROM pg_type WHERE oid = $1", nil},
		{"SELECT typname FROM pg_catalog.pg_type t WHERE $1 = t.oid AND typname > $2::text", nil},
		{"SELECT attname FROM pg_attribute WHERE attrelid = $1 AND attnum > 0", nil}, {"SELECT relname FROM pg_class WHERE oid = ANY($1)", nil},
		{"SELECT $1::text", []uint32{1043}}, {"SELECT $1::text", []uint32{19}}, {"SELECT $1::bigint", []uint32{21}}, {"SELECT $1::oid", []uint32{26}},
	} {
		want, err := there.Prepare(ctx, "", q.sql, q.given)
		if err != nil {
			t.Fatalf("%s on PostgreSQL: %v", q.sql, err)
		}
		got, err := here.Prepare(ctx, "", q.sql, q.given)
		if err != nil {
			t.Errorf("%s: %v", q.sql, err)
		} else if !slices.Equal(got.ParamOIDs, want.ParamOIDs) {
			t.Errorf("%s given %v is described as of %v, not %v", q.sql, q.given, got.ParamOIDs, want.ParamOIDs)
		}
	}
	// An object id comes in four bytes.
	r := here.ExecParams(ctx, "SELECT typname FROM pg_type WHERE oid = $1", [][]byte{{0, 0, 0, 23}}, nil, []int16{1}, nil).Read()
	if r.Err != nil || len(r.Rows) != 1 || string(r.Rows[0][0]) != "int4" {
		t.Errorf("type 23 is %v, %v", r.Rows, r.Err)
	}
}

// References to the target's columns may say its schema and database.
func TestQualifiedTarget(t *testing.T) {
	s := servertest.Start(t, t.TempDir(), servertest.Options{})
	wantPsql(t, s, `CREATE TABLE w (id integer, name text);
INSERT INTO w VALUES (1, 'a'), (2, 'b');
UPDATE tilehouse.public.w SET name = s.x FROM (SELECT 1 AS id, 'new' AS x) AS s WHERE s.id = tilehouse.public.w.id AND public.w.name = 'a';
DELETE FROM public.w WHERE public.w.id = 2 RETURNING public.w.name;
SELECT tilehouse.public.w.name FROM tilehouse.public.w;`, "b\nnew")
}

// An error is sent at once: clients that send Flush, not Sync, wait for it.
func TestErrorBeforeSync(t *testing.T) {
	conn := connectTo(t, servertest.Start(t, t.TempDir(), servertest.Options{}).DSN())
	f := conn.Frontend()
	f.Send(&pgproto3.Parse{Query: "SELECT * FROM nothing"})
	f.Send(&pgproto3.Flush{})
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := conn.Conn().SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	m, err := f.Receive()
	if e, ok := m.(*pgproto3.ErrorResponse); err != nil || !ok || e.Code != "42P01" {
		t.Errorf("%T %v", m, err)
	}
}

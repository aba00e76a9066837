package materialize

import (
	"errors"
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// readAhead gives every row once and in order, and ends with its taker's or its reader's error.
func TestReadAhead(t *testing.T) {
	db, err := duck.Open("", duck.Options{MemoryLimit: 256 << 20, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	const n = 100_000
	errEnough := errors.New("enough")
	for _, c := range []struct {
		sql   string
		limit int // rows after which the taker has enough; 0: none
		fails bool
	}{
		{"SELECT i::BIGINT AS i, CASE WHEN i % 3 > 0 THEN 'é' || i END AS s FROM range(100000) t(i)", 0, false},
		{"SELECT i::BIGINT AS i, CASE WHEN i % 3 > 0 THEN 'é' || i END AS s FROM range(100000) t(i)", 10_000, true},
		{"SELECT i::BIGINT AS i, CASE WHEN i = 90000 THEN error('broken') ELSE 'x' END AS s FROM range(100000) t(i)", 0, true},
	} {
		rows, err := conn.Query(t.Context(), c.sql)
		if err != nil {
			t.Fatal(err)
		}
		next := int64(0)
		err = readAhead(rows, func(ch *vector.Chunk) error {
			ch.Check()
			for i := range ch.N {
				if ch.Cols[0].I64[i] != next || c.limit+boolInt(c.fails) == 0 && ch.Cols[1].IsNull(i) != (next%3 == 0) {
					t.Fatalf("%s: row %d is %d, NULL %t", c.sql, next, ch.Cols[0].I64[i], ch.Cols[1].IsNull(i))
				}
				next++
			}
			if c.limit > 0 && next >= int64(c.limit) {
				return errEnough
			}
			return nil
		})
		rows.Close()
		if (err != nil) != c.fails || c.limit > 0 && !errors.Is(err, errEnough) || !c.fails && next != n {
			t.Errorf("%s: %d rows, error %v", c.sql, next, err)
		}
	}
	conn.Close()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

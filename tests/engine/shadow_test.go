package engine_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
)

// A user's macros named like the built-ins that PartialSQL calls change no state.
func TestMacrosDoNotShadowBuiltIns(t *testing.T) {
	ctx := context.Background()
	db, err := duck.Open("", duck.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, m := range []string{"sum(x)", "count(x)", "min(x)", "max(x)", "abs(x)", "floor(x)", "md5(x)", "substr(x, y, z)", "replace(x, y, z)",
		"hex(x)", "lower(x)", "epoch_us(x)", "isfinite(x)", "row_number()", "rank()"} {
		if _, err := conn.Exec(ctx, "CREATE MACRO "+m+" AS 'shadow'"); err != nil {
			t.Fatal(err)
		}
	}
	v, five := vector.New(vector.T(vector.Float64), 1), vector.New(vector.T(vector.Int64), 1)
	v.AppendFloat(1.5)
	five.AppendInt(5)
	for _, d := range functions.Aggregates {
		for _, n := range []int{1, 2} {
			a, err := d.Bind([]vector.Type{v.Type, five.Type}[:n], []*vector.Vector{nil, five}[:n], functions.Options{})
			if err != nil {
				continue
			}
			in := functions.PartialInput{From: "(SELECT 1.5::DOUBLE AS x, 5::BIGINT AS y)", Args: []string{"x", "y"}, TS: "y"}
			q := a.PartialSQL(functions.DuckDB, in)
			got, want := a.New(), a.New()
			want.Update(&functions.Input{Args: []*vector.Vector{v, five}, TS: []int64{5}}, 0)
			res, err := conn.Query(ctx, q.SQL)
			if err != nil {
				t.Errorf("%s: %v", d.Name, err)
				continue
			}
			c, err := res.Next()
			if err != nil || c == nil {
				t.Fatalf("%s: %v", d.Name, err)
			}
			if err := q.Fold(got, c.Cols, 0); err != nil {
				t.Errorf("%s: %v", d.Name, err)
			}
			res.Close()
			if string(got.Append(nil)) != string(want.Append(nil)) {
				t.Errorf("%s: %x, want %x in\n%s", d.Name, got.Append(nil), want.Append(nil), q.SQL)
			}
			if strings.Count(q.SQL, "system.main.") == 0 && !d.Ordered {
				t.Errorf("%s: nothing is qualified", d.Name)
			}
		}
	}
}

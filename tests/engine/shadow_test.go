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
		"hex(x)", "lower(x)", "epoch_us(x)", "isfinite(x)", "lpad(x, y, z)", "row_number()", "rank()"} {
		if _, err := conn.Exec(ctx, "CREATE MACRO "+m+" AS 'shadow'"); err != nil {
			t.Fatal(err)
		}
	}
	v, five := vector.New(vector.T(vector.Float64), 1), vector.New(vector.T(vector.Int64), 1)
	v.AppendFloat(1.5)
	five.AppendInt(5)
	yes := vector.New(vector.T(vector.Bool), 1)
	yes.AppendBool(true)
	for _, d := range functions.Aggregates {
		bound := 0
		for _, args := range [][]*vector.Vector{{v}, {v, five}, {v, v}, {yes}} {
			var in functions.Input
			var types []vector.Type
			for _, a := range args {
				in.Args, types = append(in.Args, a), append(types, a.Type)
			}
			in.TS = []int64{5}
			constants := make([]string, len(args))
			for _, p := range d.Parameters {
				types, constants = append(types, five.Type), append(constants, p.Samples[0])
			}
			a, err := d.Bind(types, constants, functions.Options{})
			if err != nil || len(a.ArgTypes()) != len(args) || !a.ArgTypes()[len(args)-1].Equal(args[len(args)-1].Type) {
				continue
			}
			bound++
			sql := map[*vector.Vector]string{v: "x", five: "y", yes: "z"}
			var names []string
			for _, a := range args {
				names = append(names, sql[a])
			}
			q := a.PartialSQL(functions.DuckDB, functions.PartialInput{From: "(SELECT 1.5::DOUBLE AS x, 5::BIGINT AS y, true AS z)", Args: names, TS: "y"})
			got, want := a.New(), a.New()
			want.Update(&in, 0)
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
			if strings.Count(q.SQL, "system.main.") == 0 && !strings.Contains(q.SQL, "row_number() OVER") {
				t.Errorf("%s: nothing is qualified", d.Name)
			}
		}
		if bound == 0 {
			t.Errorf("%s is not bound", d.Name)
		}
	}
}

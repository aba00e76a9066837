package materialize

import (
	"slices"
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// TestColumnsAsByQuery compares the event rows of columns and expressions, taken and computed apart, with those of one query over all
// columns: with rows that are no events, names with quotes, columns that no expression names, and more rows than a chunk of DuckDB's has.
func TestColumnsAsByQuery(t *testing.T) {
	w := newWorld(t)
	i64, text, when := vector.T(vector.Int64), vector.T(vector.Text), vector.T(vector.TimestampTZ)
	r := &schema.Relation{ID: 7, Name: "r", Kind: schema.EventTable, EventTime: "ts", PrimaryKey: []string{"id"}, Columns: []schema.Column{
		{Name: "id", Type: i64}, {Name: "ts", Type: when}, {Name: `a "b"`, Type: text}, {Name: "v", Type: i64}, {Name: "unused", Type: text}, {Name: "k", Type: i64}}}
	g := &schema.Group{ID: 9, Relation: 7, Keys: []schema.Expr{{SQL: "k", Type: i64, Column: 5}},
		Columns: []schema.Expr{{SQL: "(v * 2)", Type: i64, Column: -1}, {SQL: "v", Type: i64, Column: 3}, {SQL: `("a ""b""" = 'x')`, Type: vector.T(vector.Bool), Column: -1}, {SQL: "7::BIGINT", Type: i64, Column: -1}},
		Layout:  event.Layout{Keys: []vector.Type{i64}, Tie: true, Columns: []vector.Type{i64, i64, vector.T(vector.Bool), i64}}}
	must(t, w.reg.Update(t.Context(), func(c *schema.Catalog) error {
		c.Relations[r.ID] = r
		return nil
	}))
	cat := w.reg.Current()
	if !keysAreColumns(cat, g) {
		t.Fatal("keys are columns")
	}
	queried := *g // whose key is no column
	queried.Keys = []schema.Expr{{SQL: "k", Type: i64, Column: -1}}
	md := newModel(t)
	for _, n := range []int{1, 5, 2048, 2049, 9000} {
		ch := vector.NewChunk(typesOfColumns(r.Columns), n)
		ids := make([]int64, n)
		for i := range n {
			ids[i] = int64(1000 + 3*i)
			ch.Cols[0].AppendInt(int64(i))
			switch md.rng.IntN(20) {
			case 0:
				ch.Cols[1].AppendInt(vector.PosInfinity)
			case 1:
				ch.Cols[1].AppendNull()
			default:
				ch.Cols[1].AppendInt(day0 + md.rng.Int64N(event.Day))
			}
			ch.Cols[2].AppendString([]string{"x", "y", ""}[md.rng.IntN(3)])
			ch.Cols[3].AppendInt(md.rng.Int64N(100))
			ch.Cols[4].AppendString("u")
			if md.rng.IntN(15) == 0 {
				ch.Cols[5].AppendNull()
			} else {
				ch.Cols[5].AppendInt(md.rng.Int64N(9))
			}
			ch.N++
		}
		got, err := w.m.eval.rows(t.Context(), cat, g, ch, ids, 1)
		must(t, err)
		want, err := w.m.eval.rows(t.Context(), cat, &queried, ch, ids, 1)
		must(t, err)
		if got.N() != want.N() || n > 100 && got.N() == n {
			t.Fatalf("%d rows, want %d of %d", got.N(), want.N(), n)
		}
		for i := range got.N() {
			if string(got.Key.Bytes(i)) != string(want.Key.Bytes(i)) || got.TS[i] != want.TS[i] || got.RowID[i] != want.RowID[i] || string(got.Tie.Bytes(i)) != string(want.Tie.Bytes(i)) ||
				got.Cols[0].I64[i] != want.Cols[0].I64[i] || got.Cols[1].I64[i] != want.Cols[1].I64[i] || got.Cols[2].Bool(i) != want.Cols[2].Bool(i) || got.Cols[3].I64[i] != want.Cols[3].I64[i] {
				t.Fatalf("row %d of %d differs", i, n)
			}
		}
	}
	must(t, w.m.eval.drop(t.Context(), r.ID))
	ch := vector.NewChunk([]vector.Type{text, i64}, 3)
	for i, x := range []int64{2, 0, 1} {
		ch.Cols[0].AppendString(string(rune('a' + i)))
		ch.Cols[1].AppendInt(x)
		ch.N++
	}
	if in := inOrder(ch); !slices.Equal(in.Cols[1].I64, []int64{0, 1, 2}) || string(in.Cols[0].Bytes(0)) != "b" {
		t.Errorf("%v", in.Cols[1].I64)
	}
}

func typesOfColumns(columns []schema.Column) []vector.Type {
	types := make([]vector.Type, len(columns))
	for i, c := range columns {
		types[i] = c.Type
	}
	return types
}

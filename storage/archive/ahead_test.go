package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/zeebo/xxh3"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// TestSequence reads entries of all sizes, some of which are merged meanwhile, beside Next, which reads none ahead.
func TestSequence(t *testing.T) {
	rng := newSeed(t)
	fsys := vfs.NewMem()
	doc := newArchive(t, fsys, 16)
	a := open(t, fsys, doc)
	at, err := a.End()
	if err != nil {
		t.Fatal(err)
	}
	add := func() {
		covers := []Range{{Partition: int32(rng.IntN(partitions))}}
		covers[0].From = at.Of(covers[0].Partition)
		covers[0].To = covers[0].From + 1 + rng.Int64N(20)
		by := fmt.Sprint(at.Entry)
		if rng.IntN(20) == 0 {
			by = strings.Repeat(by, aheadBytes) // of which Snappy leaves some
		}
		next, added, err := a.Add(at, covers, rowsOf(covers, by))
		if err != nil || !added {
			t.Fatal(added, err)
		}
		at = next
	}
	type give interface {
		Next(context.Context) (*Reader, error)
	}
	texts := func(from give) (out []string) { // what follows, a text a row
		for {
			r, err := from.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if r == nil {
				return out
			}
			for r.More() {
				rows, err := r.Read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for i := range rows.N {
					out = append(out, fmt.Sprint(rows.Cols[0].I64[i], rows.Cols[1].I64[i], xxh3.Hash(rows.Cols[2].Bytes(i))))
				}
			}
			r.Close()
		}
	}
	s := a.From(0)
	defer s.Close()
	one := &oneByOne{a: a}
	for range 40 {
		for range rng.IntN(60) {
			add()
		}
		if diff := cmp.Diff(texts(one), texts(s)); diff != "" {
			t.Fatalf("up to entry %d: %s", at.Entry, diff)
		}
		if s.after != at.Entry {
			t.Fatalf("it is at entry %d of %d", s.after, at.Entry)
		}
		if rng.IntN(3) == 0 {
			if err := a.Merge(t.Context(), at.Entry); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, want := texts(a.From(0)), texts(&oneByOne{a: a}); !cmp.Equal(got, want) {
		t.Fatalf("%d rows, not %d", len(got), len(want))
	}
}

// oneByOne is a Sequence that reads nothing ahead.
type oneByOne struct {
	a     *Archive
	after uint64
}

func (o *oneByOne) Next(context.Context) (*Reader, error) {
	r, err := o.a.Next(o.after)
	if r != nil {
		o.after = r.Position().Entry
	}
	return r, err
}

// BenchmarkEntry reads an entry of 4 rows of 15 columns.
func BenchmarkEntry(b *testing.B) {
	var columns []Column
	kinds := []vector.Kind{vector.Int64, vector.Text, vector.Int64, vector.TimestampTZ, vector.Int32, vector.Int64, vector.TimestampTZ, vector.TimestampTZ, vector.Bytes, vector.JSON, vector.Int16, vector.Text, vector.Text, vector.Bytes, vector.Int64}
	for i, k := range kinds {
		columns = append(columns, Column{fmt.Sprintf("column%d", i), vector.T(k)})
	}
	fsys := vfs.NewMem()
	_ = fsys.MkdirAll("/archives", 0o777)
	doc, _, err := Create(fsys, "/archives/a", nil, []int64{0})
	if err != nil {
		b.Fatal(err)
	}
	a, err := Open(fsys, "/archives/a", doc.ID, columns)
	if err != nil {
		b.Fatal(err)
	}
	rows := vector.NewChunk(types(columns), 4)
	for range 4 {
		for i, v := range rows.Cols {
			switch {
			case i == 8 || i == 9 || i == 11 || i == 12:
				v.AppendNull()
			case kinds[i] == vector.Text || kinds[i] == vector.Bytes:
				v.AppendString(`{"id": 1, "k": "a", "v": 1}`)
			default:
				v.AppendInt(7)
			}
		}
		rows.N++
	}
	if _, _, err := a.Add(Position{Next: []int64{0}}, []Range{{0, 0, 4}}, rows); err != nil {
		b.Fatal(err)
	}
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r, err := a.Next(0)
			if err != nil {
				b.Fatal(err)
			}
			for {
				if _, err := r.Read(b.Context()); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := encodeEntry(columns, about{archive: doc.ID, first: 1, last: 1, next: []int64{4}}, rows); err != nil {
				b.Fatal(err)
			}
		}
	})
}

package featurelog

import (
	"log/slog"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/reclog"
)

func record(view uint32, x float64) Record {
	row := vector.NewChunk([]vector.Type{vector.T(vector.Int64), vector.T(vector.Float64)}, 1)
	row.Cols[0].AppendInt(7)
	row.Cols[1].AppendFloat(x)
	row.N = 1
	return Record{View: view, Instant: -5, Position: 3, Bound: 1, Columns: []string{"k", "x"}, Row: row}
}

func bits(t *testing.T, l *Log, view uint32, since int64, newest bool) (out []uint64) {
	t.Helper()
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Scan(t.Context(), view, since, newest, func(r Record) (bool, error) {
		if r.View != view || r.Instant != -5 || r.Position != 3 || r.Bound != 1 || !reflect.DeepEqual(r.Columns, []string{"k", "x"}) || r.Row.Cols[0].I64[0] != 7 {
			t.Errorf("record %+v", r)
		}
		out = append(out, math.Float64bits(r.Row.Cols[1].F64[0]))
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// Records come back with the bits that were added, in order, from a time on, after a restart too; old ones go.
func TestLog(t *testing.T) {
	fs := vfs.NewMem()
	now := time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	open := func() (*reclog.Log, *Log) {
		log, err := reclog.Open("db", reclog.Options{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		return log, Open(log, clock, slog.New(slog.DiscardHandler))
	}
	log, l := open()
	values := []float64{math.NaN(), math.Copysign(0, -1), math.Inf(1), 0.1}
	var want []uint64
	for _, v := range values {
		want = append(want, math.Float64bits(v))
		l.Add(record(1, v))
	}
	l.Add(record(2, 5))
	if got := bits(t, l, 1, math.MinInt64, false); !reflect.DeepEqual(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	if w, d := l.Counts(1); w != 4 || d != 0 {
		t.Errorf("%d written, %d dropped", w, d)
	}
	l.Close()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	log, l = open()
	defer func() {
		l.Close()
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}()
	l.Add(record(1, 2)) // at the time of the others: the sequences of two processes are not the same
	now = now.Add(time.Hour)
	l.Add(record(1, 3))
	if got := bits(t, l, 1, math.MinInt64, true); len(got) != 6 || got[0] != math.Float64bits(3) {
		t.Errorf("%x", got)
	}
	if got := bits(t, l, 1, now.UnixMicro(), false); len(got) != 1 {
		t.Errorf("%x since the last hour", got)
	}
	now = now.Add(KeepFor - time.Minute)
	l.sweep()
	if got := bits(t, l, 1, math.MinInt64, false); len(got) != 1 || got[0] != math.Float64bits(3) {
		t.Errorf("%x are kept", got)
	}
	if got := bits(t, l, 2, math.MinInt64, false); len(got) != 0 {
		t.Errorf("%x are kept of the other view", got)
	}
	if err := l.Drop(1); err != nil {
		t.Fatal(err)
	}
	if got := bits(t, l, 1, math.MinInt64, false); len(got) != 0 {
		t.Errorf("%x of a view that was dropped", got)
	}
}

// A full queue drops records and counts them; Add never waits.
func TestFullQueue(t *testing.T) {
	l := &Log{clock: time.Now, queue: make(chan item, 2), written: map[uint32]uint64{}, dropped: map[uint32]uint64{}} // without a writer
	for range 5 {
		l.Add(record(1, 1))
	}
	if _, d := l.Counts(1); d != 3 {
		t.Errorf("%d dropped of 5 with room for 2", d)
	}
}

func TestDecodeRefusesDamage(t *testing.T) {
	r := record(1, 1)
	l := &Log{}
	key, good := l.key(&r), encode(&r)
	if _, err := decode(key, good); err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if _, err := decode(key, good[:n]); err == nil {
			t.Errorf("%d bytes of %d are taken", n, len(good))
		}
	}
	if _, err := decode(key[1:], good); err == nil {
		t.Error("a short key is taken")
	}
}

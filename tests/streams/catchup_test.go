package streams

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize/ingest"
	"github.com/tilehouse/tilehouse/storage/archive"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/tests/harness"
)

// catchUpPart is how many messages an entry has, as when single messages come slowly.
const catchUpPart = 4

// longArchive makes an archive of archivedSource in root, which a source there has made and nobody reads, one of many entries of a few messages each, of 4 partitions.
func longArchive(t *testing.T, root string, entries int) {
	t.Helper()
	var doc archive.Doc
	dir := filepath.Join(root, "payments")
	fsys := vfs.NewMem() // which has no syncs to wait for
	if err := fsys.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if ok, err := vfs.Clone(vfs.Default, fsys, dir, dir, vfs.CloneTryLink); err != nil || !ok {
		t.Fatal(ok, err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "archive.json"))
	if err == nil {
		err = json.Unmarshal(b, &doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := &schema.Relation{Kind: schema.KafkaSource, PrimaryKey: []string{"id"}, Columns: []schema.Column{{Name: "id", Type: vector.T(vector.Int64)}, {Name: "k", Type: vector.T(vector.Text)},
		{Name: "v", Type: vector.T(vector.Int64)}, {Name: "ts", Type: vector.T(vector.TimestampTZ)}}}
	columns := ingest.ArchiveColumns(r)
	types := make([]vector.Type, len(columns))
	for i, c := range columns {
		types[i] = c.Type
	}
	a, err := archive.Open(fsys, dir, doc.ID, columns)
	if err != nil {
		t.Fatal(err)
	}
	at := archive.Position{Next: make([]int64, 4)}
	for e := range entries {
		rows := vector.NewChunk(types, catchUpPart)
		var covers []archive.Range
		for p := range catchUpPart {
			n := int64(e*catchUpPart + p)
			offset := int64(e)
			moment := time.Now().UnixMicro()
			covers = append(covers, archive.Range{Partition: int32(p), From: offset, To: offset + 1})
			c := rows.Cols
			c[0].AppendInt(n)
			c[1].AppendString(fmt.Sprint(n % 1000))
			c[2].AppendInt(n)
			c[3].AppendInt(moment)
			c[4].AppendInt(int64(p))
			c[5].AppendInt(offset)
			c[6].AppendInt(moment)
			c[7].AppendInt(moment)
			c[8].AppendNull()
			c[9].AppendNull()
			c[10].AppendInt(int64(ingest.Puts))
			c[11].AppendNull()
			c[12].AppendNull()
			c[13].AppendString(fmt.Sprintf(`{"id": %d, "k": "%d", "v": %[1]d, "ts": %d}`, n, n%1000, moment))
			c[14].AppendNull()
			rows.N++
		}
		next, ok, err := a.Add(at, covers, rows)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		at = next
	}
	names, err := fsys.List(path.Join(dir, "entries"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		f, err := fsys.Open(path.Join(dir, "entries", n))
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1<<20)
		k, _ := f.ReadAt(b, 0)
		if err := os.WriteFile(filepath.Join(dir, "entries", n), b[:k], 0o600); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
}

// TestCatchUp measures how fast a new server reads an archive of many small entries. It is a measurement: TILEHOUSE_CATCHUP is how many entries.
func TestCatchUp(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("TILEHOUSE_CATCHUP"))
	if err != nil {
		t.Skip("a measurement: TILEHOUSE_CATCHUP=20000 runs it")
	}
	bus, client := cluster(t, 4, "events")
	root, brokers := t.TempDir(), bus.ListenAddrs()[0]
	first, a := member(t, brokers, root, "")
	join(t, a, brokers, archivedSource)
	first.Stop()
	longArchive(t, root, n)
	for i := range n * catchUpPart { // the topic goes on where the archive ends
		client.Produce(t.Context(), &kgo.Record{Topic: "events", Partition: int32(i % catchUpPart), Value: []byte("{")}, nil)
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"entries", "after they were merged"} {
		catchUp(t, brokers, root, n, what)
	}
}

func catchUp(t *testing.T, brokers, root string, entries int, what string) {
	s := harness.Start(t, harness.Options{ArchiveRoot: root})
	conn := s.Connect(t)
	began := time.Now()
	join(t, conn, brokers, "BEGIN", archivedSource, "CREATE ENTITY e (k text)", "CREATE FEATURE f ON e AS SELECT k, count(*) AS n, sum(v) AS total FROM s GROUP BY k WINDOW 1 HOUR", "COMMIT")
	waitRows(t, conn, entries*catchUpPart)
	took := time.Since(began)
	fmt.Printf("soak: catching up by %s: %d of %d rows each in %v: %.0f entries/s, %.0f rows/s\n", what, entries, catchUpPart, took.Round(time.Millisecond),
		float64(entries)/took.Seconds(), float64(entries*catchUpPart)/took.Seconds())
	for runs := 0; runs < entries/archive.DefaultSegment; time.Sleep(100 * time.Millisecond) {
		names, _ := filepath.Glob(filepath.Join(root, "payments", "runs", "*"))
		runs = len(names)
	}
	s.Stop()
}

func waitRows(t *testing.T, conn *pgx.Conn, rows int) {
	for {
		if texts(t, conn, "SELECT rows::text FROM tilehouse.sources")[0] == fmt.Sprint(rows) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

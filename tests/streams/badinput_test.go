package streams

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/tests/harness"
)

// Whatever a message is, it is a row or a dead letter with its bytes and a reason, and those behind it are read.
func TestBadMessages(t *testing.T) {
	bus, client := cluster(t, 1, "events")
	large, err := kgo.NewClient(kgo.SeedBrokers(bus.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(100<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(large.Close)
	most := "8388608"
	if _, err := kadm.NewClient(client).AlterTopicConfigs(context.Background(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &most}}, "events"); err != nil {
		t.Fatal(err)
	}
	conn := start(t, bus)
	exec(t, conn, source("s", ""))
	exec(t, conn, strings.Replace(source("strict", ""), "PLAIN", "UPSERT", 1)+" (unknown_fields = 'refuse')")
	at := time.Now().Add(-time.Minute).UTC()
	huge := strings.Repeat("x", 3<<20)
	deep := strings.Repeat("[", 100_000)
	for i, c := range []struct {
		name, value   string
		plain, upsert string // codes; "": a row
		more          bool   // a NULL key
	}{
		{"truncated", `{"id": 1, "k": 1, "ts"`, "22P02", "22P02", false},
		{"cut in a letter", "{\"id\": 1, \"k\": \"\xc3", "22P02", "22P02", false},
		{"another type", `{"id": 2, "k": "one", "ts": "2024-06-01Z"}`, "22P02", "22P02", false},
		{"an object for a number", `{"id": 2, "k": {}, "ts": "2024-06-01Z"}`, "42804", "42804", false},
		{"an unknown field", `{"id": 3, "k": 1, "ts": "2024-06-01Z", "note": null}`, "", "42703", false},
		{"empty", "", "22P02", "22P02", false},
		{"a tombstone", "NULL", "22004", "", false},
		{"huge, and a row", `{"id": 4, "k": 1, "ts": "2024-06-01Z", "note": "` + huge + `"}`, "", "42703", false},
		{"huge, and none", huge, "22P02", "22P02", false},
		{"deep", `{"id": 5, "note": ` + deep, "22P02", "42703", false},
		{"Avro where JSON is meant", "\x00\x00\x00\x00\x07\x02\x04", "22P02", "22P02", false},
		{"seconds", fmt.Sprintf(`{"id": 6, "k": 1, "ts": %d}`, at.Unix()), "22008", "22008", false},
		{"milliseconds", fmt.Sprintf(`{"id": 7, "k": 1, "ts": %d}`, at.UnixMilli()), "", "", false},
		{"microseconds", fmt.Sprintf(`{"id": 8, "k": 1, "ts": %d}`, at.UnixMicro()), "22008", "22008", false},
		{"no key", `{"id": 9, "k": 1, "ts": "2024-06-01Z"}`, "", "23502", true},
		{"an infinite time", `{"id": 10, "k": 1, "ts": "infinity"}`, "22008", "22008", false},
		{"a time in words", `{"id": 11, "k": 1, "ts": "now"}`, "22P02", "22P02", false},
		{"two of a name", `{"id": 12, "id": 13, "k": 1, "ts": "2024-06-01Z"}`, "22P02", "22P02", false},
		{"a number beyond", `{"id": 99999999999999999999, "k": 1, "ts": "2024-06-01Z"}`, "22003", "22003", false},
		{"the tomorrow of a clock", fmt.Sprintf(`{"id": 14, "k": 1, "ts": "%s"}`, time.Now().Add(30*time.Hour).UTC().Format(time.RFC3339)), "22008", "22008", false},
	} {
		r := &kgo.Record{Topic: "events", Key: fmt.Appendf(nil, "%d", 1000+i), Value: []byte(c.value)}
		id := ""
		if n, ok := strings.CutPrefix(c.value, `{"id": `); ok {
			id, _, _ = strings.Cut(n, ",")
			r.Key = []byte(id)
		}
		if c.value == "NULL" {
			r.Value = nil
		}
		if c.more {
			r.Key = nil
		}
		if err := large.ProduceSync(context.Background(), r).FirstErr(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for source, want := range map[string]string{"s": c.plain, "strict": c.upsert} {
			eventually(t, conn, "SELECT messages::text FROM tilehouse.sources WHERE name = '"+source+"'", fmt.Sprint(i+1))
			got := texts(t, conn, fmt.Sprintf("SELECT code || ' ' || coalesce(length(message), -1) FROM tilehouse.dead_letters WHERE source = '%s' AND message_offset = %d", source, i))
			length := len(c.value)
			if r.Value == nil {
				length = -1
			}
			switch {
			case want == "" && len(got) > 0, want != "" && (len(got) != 1 || got[0] != fmt.Sprintf("%s %d", want, length)):
				t.Errorf("%s in %s is %q, want %q", c.name, source, got, want)
			}
		}
	}
	eventually(t, conn, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM s", "3 4 7 9")
	eventually(t, conn, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM strict", "7")
	eventually(t, conn, "SELECT string_agg(state || coalesce(last_error, ''), ' ') FROM tilehouse.sources", "running running")
}

// A batch that is much once it is no longer compressed is not read; its partition says so, and the others are read.
func TestBatchTooLarge(t *testing.T) {
	bus, client := cluster(t, 2, "events")
	large, err := kgo.NewClient(kgo.SeedBrokers(bus.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(100<<20), kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(large.Close)
	conn := start(t, bus)
	exec(t, conn, source("s", ""))
	produce(t, client, "events", 0, events(0, 5)...)
	eventually(t, conn, "SELECT count(*)::text FROM s", "5")
	if err := large.ProduceSync(context.Background(), &kgo.Record{Topic: "events", Partition: 0, Value: bytes.Repeat([]byte{' '}, 80<<20)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	eventually(t, conn, "SELECT state || ' ' || last_error FROM tilehouse.sources", "retrying a batch of messages from offset 5 of partition 0 on is of more than 67108864 bytes, compressed")
	produce(t, client, "events", 1, events(5, 9)...)
	eventually(t, conn, "SELECT count(*)::text FROM s", "9")
	eventually(t, conn, "SELECT string_agg(partition || ':' || next_offset, ' ' ORDER BY partition) FROM tilehouse.source_partitions", "0:5 1:4")
}

// A server whose clock is an hour off reads on: what lies ahead of it counts when its clock is there, or is a dead letter beyond the future
// bound, which a replay takes once the clock is right.
func TestClockOff(t *testing.T) {
	for _, off := range []time.Duration{-time.Hour, time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			bus, client := cluster(t, 1, "events")
			var by atomic.Int64
			by.Store(int64(off))
			conn := harness.Start(t, harness.Options{Clock: func() time.Time { return time.Now().Add(time.Duration(by.Load())) }}).Connect(t)
			exec(t, conn, fmt.Sprintf("CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s')", bus.ListenAddrs()[0]))
			exec(t, conn, source("s", ""))
			exec(t, conn, source("bound", ", future_bound = '10 minutes'"))
			exec(t, conn, "CREATE ENTITY e (k bigint)")
			exec(t, conn, "CREATE FEATURE n ON e AS SELECT k, count(*) FROM s GROUP BY k WINDOW 30 MINUTES")
			exec(t, conn, "CREATE FEATURE b ON e AS SELECT k, count(*) FROM bound GROUP BY k WINDOW 30 MINUTES")
			produce(t, client, "events", 0, event(1), event(4), event(7)) // of now, by the producer's clock; k is 1
			eventually(t, conn, "SELECT string_agg(messages || ' ' || state, ',') FROM tilehouse.sources", "3 running,3 running")
			n, b, dead := "0", "0", "0"
			if off < 0 {
				dead = "3"
			}
			eventually(t, conn, "SELECT n || ' ' || b FROM e WHERE k = 1", n+" "+b)
			eventually(t, conn, "SELECT count(*)::text FROM tilehouse.dead_letters WHERE code = '22008'", dead)
			by.Store(0) // the clock is put right
			eventually(t, conn, "SELECT n::text FROM e WHERE k = 1", "3")
			exec(t, conn, "REPLAY DEAD LETTERS FROM bound")
			eventually(t, conn, "SELECT n || ' ' || b FROM e WHERE k = 1", "3 3")
			produce(t, client, "events", 0, event(10))
			eventually(t, conn, "SELECT n || ' ' || b FROM e WHERE k = 1", "4 4")
		})
	}
}

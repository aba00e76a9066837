package streams

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
)

// A compacted topic has gaps, and tombstones that go: what is left of it makes the rows that it had made whole, and nothing waits for what is
// gone.
func TestCompacted(t *testing.T) {
	bus, client := cluster(t, 1, "events")
	compact, now := "compact", "1"
	if _, err := kadm.NewClient(client).AlterTopicConfigs(context.Background(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "cleanup.policy", Value: &compact}, {Op: kadm.SetConfig, Name: "segment.ms", Value: &now}}, "events"); err != nil {
		t.Fatal(err)
	}
	conn := start(t, bus)
	upsert := func(name string) {
		exec(t, conn, "CREATE SOURCE "+name+" "+columns+" WITH (connector = 'kafka', connection = 'bus', topic = 'events') FORMAT UPSERT ENCODE JSON")
	}
	upsert("before")
	keyed(t, client, 0, "1", event(1), "2", event(2), "1", event(1), "3", event(3), "2", "", "1", event(1), "4", event(4), "3", "", "4", event(4))
	eventually(t, conn, "SELECT messages || ' ' || rows || ' ' || lag FROM tilehouse.sources WHERE name = 'before'", "9 2 0")
	bus.Compact()
	keyed(t, client, 0, "5", event(5))
	upsert("after")
	eventually(t, conn, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM before", "1 4 5")
	eventually(t, conn, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM after", "1 4 5")
	eventually(t, conn, "SELECT string_agg(concat_ws(' ', name, state, last_error, dead_letters, lag), ', ' ORDER BY name) FROM tilehouse.sources", "after running 0 0, before running 0 0")
	if got := texts(t, conn, "SELECT (SELECT next_offset FROM tilehouse.source_partitions WHERE source = 'after') || ' ' || (messages < 10) FROM tilehouse.sources WHERE name = 'after'")[0]; got != "10 true" {
		t.Errorf("of a compacted topic %s were read", got)
	}
}

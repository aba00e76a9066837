package ingest

import "testing"

func TestFetchBytes(t *testing.T) {
	for _, c := range []struct {
		all       int64
		consumers int
		want      int32
	}{
		{64 << 20, 1, 8 << 20}, {1 << 30, 1, mostFetch}, {64 << 20, 8, 1 << 20}, {64 << 20, 1000, leastFetch}, {0, 0, leastFetch},
	} {
		if got := fetchBytes(c.all, c.consumers); got != c.want {
			t.Errorf("%d bytes for %d consumers are fetches of %d, want %d", c.all, c.consumers, got, c.want)
		}
	}
}

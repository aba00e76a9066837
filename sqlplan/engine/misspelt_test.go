package engine

import "testing"

func TestNearest(t *testing.T) {
	among := []string{"path", "connector", "event_time", "hop", "delay", "started at", "customer_id"}
	for name, want := range map[string]string{"pth": "path", "conector": "connector", "event_tim": "event_time", "evnt_tme": "event_time", "nope": "", "dely": "delay", "dealy": "delay",
		"started_at": "started at", "StartedAt": "started at", "customerid": "customer_id", "x": "", "path": "", "custom": ""} {
		if got := nearest(name, among); got != want {
			t.Errorf("%q: %q, not %q", name, got, want)
		}
	}
}

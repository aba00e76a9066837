package demo_test

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/tests/kafka"
)

// TestDemoStream runs the demo of a stream against a real Kafka: on a directory of its own, and twice on one that is kept.
func TestDemoStream(t *testing.T) {
	broker := kafka.Start(t, kafka.Options{})
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	holds := func(out string, patterns map[string]int) {
		t.Helper()
		for pattern, times := range patterns {
			if n := len(regexp.MustCompile(pattern).FindAllString(out, -1)); n != times {
				t.Errorf("%q stands %d times in what it printed, not %d", pattern, n, times)
			}
		}
		if t.Failed() {
			t.Fatalf("it printed\n%s", out)
		}
	}
	topics := func() []string {
		t.Helper()
		there, err := kadm.NewClient(client).ListTopics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return there.Names()
	}
	holds(run(t, "--brokers", broker.Addr, "--exit"), map[string]int{
		`(?m)^ +\d\.\d\d +\d+ +\d+\.\d\d +[a-z]+ +…$`:                        20, // a payment, and after it a lookup
		`(?m)^ +8\.03 +20 +90\.30 +fuel +…$`:                                 1,
		`(?m)^  20 payments, visible after … in the middle and … at most\.$`: 1,
		`(?m)^ +value: 90\.30$`:                                              1,
		`(?m)^  payments +\d +22P02 +the message ends within the JSON`:       1,
		`(?m)^  payments +running +\d+ +1$`:                                  1,
		`(?m)^ +\d+ +\S+ \S+ +1\.37 +1 +1\.00 +bakery$`:                      1,
		`(?m)^  SELECT 20  …$`:                                               1,
		`already there`:                                                      0,
	})
	if slices.Contains(topics(), "tilehouse-demo-payments") {
		t.Error("the topic is left")
	}
	dir := filepath.Join(t.TempDir(), "data")
	run(t, "--brokers", broker.Addr, "--data", dir, "--exit")
	holds(run(t, "--brokers", broker.Addr, "--data", dir, "--exit"), map[string]int{
		`already there, nothing to do`:        7,
		`(?m)^ +8\.03 +40 +180\.60 +fuel +…$`: 1,
		`(?m)^  payments +running +\d+ +2$`:   1,
		`(?m)^  SELECT 40  …$`:                1,
	})
	if !slices.Contains(topics(), "tilehouse-demo-payments") {
		t.Error("the topic of a directory that is kept is gone")
	}
}

// A demo whose brokers do not answer says so, and what to do.
func TestDemoStreamWithoutKafka(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	out, err := exec.CommandContext(ctx, bin, "demo", "--brokers", "127.0.0.1:1", "--exit").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "127.0.0.1:1") || !strings.Contains(string(out), "make demo-stream starts a Kafka of its own") || bytes.Contains(out, []byte("panic")) {
		t.Errorf("%v: %s", err, out)
	}
}

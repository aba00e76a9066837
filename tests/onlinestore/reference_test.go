package onlinestore

import (
	"strings"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/sql/reference"
	"github.com/tilehouse/tilehouse/tests/harness"
)

// The examples of the reference run where nobody answers, too, but for the nodes' addresses: what is made waits for Cassandra.
func TestReferenceExamples(t *testing.T) {
	t.Setenv("CASSANDRA_PASSWORD", "x")
	conn := harness.Start(t, harness.Options{}).Connect(t)
	st, ok := reference.Find("CREATE CONNECTION cassandra")
	if !ok {
		t.Fatal("the reference does not have the page")
	}
	for _, e := range st.Examples {
		for _, sql := range e.SQL {
			exec(t, conn, strings.NewReplacer("10.0.0.1:9042", "127.0.0.1:1", "10.0.0.2:9042", "127.0.0.2:1").Replace(sql))
		}
	}
	within(t, conn, 20*time.Second, "state", "waiting")
}

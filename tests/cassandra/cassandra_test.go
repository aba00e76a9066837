package cassandra

import (
	"os"
	"testing"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

func TestStart(t *testing.T) {
	if os.Getenv("TILEHOUSE_CASSANDRA") == "" {
		t.Skip("a slow test: TILEHOUSE_CASSANDRA=1 starts real nodes")
	}
	c := Start(t, Options{Nodes: 3})
	c.Kill(1)
	c.Restart(t, 1)
	s, err := gocql.NewCluster(c.Hosts...).CreateSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var version string
	if err := s.Query("SELECT release_version FROM system.local").Scan(&version); err != nil || version == "" {
		t.Fatalf("version %q, %v", version, err)
	}
	t.Logf("Cassandra %s", version)
}

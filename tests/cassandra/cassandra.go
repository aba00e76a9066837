// Package cassandra starts real Cassandra nodes for tests: processes of their own, of the jars that Maven fetches once, on loopback
// addresses and a free port, ended with the test.
//
// It needs Java 17 and, the first time, Maven; where they are missing a test is skipped by that name (tests/jars). A node takes less than 900 MB.
package cassandra

import (
	"bytes"
	_ "embed"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/tests/jars"
)

//go:embed pom.xml
var pom []byte

// readyTimeout is how long nodes may take to be ready, on a machine that others use.
const readyTimeout = 180 * time.Second

const logging = `<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%d{HH:mm:ss.SSS} %-5level %logger{0} - %msg%n</pattern></encoder></appender>
  <root level="INFO"><appender-ref ref="out"/></root>
</configuration>
`

// What Java 17 must open up for Cassandra 5.0, by its distribution's conf/jvm17-server.options, and what makes a node for tests start fast: no
// waiting for company. System tables are flushed as ever: a node that is killed would forget its schema.
var jvm = []string{
	"-Djdk.attach.allowAttachSelf=true", "-Dio.netty.tryReflectionSetAccessible=true", "-Djava.net.preferIPv4Stack=true", "-Xss512k",
	"-Dcassandra.ring_delay_ms=100", "-Dcassandra.skip_wait_for_gossip_to_settle=0", "-Dcassandra.superuser_setup_delay_ms=0",
	"-Dcassandra.available_processors=2", "-Dcassandra.shutdown_announce_in_ms=0", "-Dcassandra-foreground=yes",
	"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:MaxDirectMemorySize=256m",
}

var exports = []string{"java.base/jdk.internal.misc", "java.management.rmi/com.sun.jmx.remote.internal.rmi", "java.rmi/sun.rmi.registry", "java.rmi/sun.rmi.server",
	"java.sql/java.sql", "java.base/java.lang.ref", "jdk.unsupported/sun.misc", "jdk.attach/sun.tools.attach"}

var opens = []string{"java.base/java.lang.module", "java.base/jdk.internal.loader", "java.base/jdk.internal.ref", "java.base/jdk.internal.reflect",
	"java.base/jdk.internal.math", "java.base/jdk.internal.module", "java.base/jdk.internal.util.jar", "jdk.management/com.sun.management.internal",
	"java.base/sun.nio.ch", "java.base/java.io", "java.base/java.lang.reflect", "java.base/java.lang"}

// Options of a cluster.
type Options struct {
	Nodes    int    // 1 to 3; 0: 1
	Password bool   // clients must log in; the first role is User with password InitialPassword
	TLS      bool   // clients must speak TLS, with a certificate of Certificates
	Heap     string // of a node; "": 512m
	Optimize bool   // the JVM's optimizing compiler too: for measurements
}

// The first role of a cluster that asks for passwords.
const (
	User            = "cassandra"
	InitialPassword = "cassandra"
)

// Cluster is nodes that run, or were killed.
type Cluster struct {
	Hosts        []string     // host:port of each node
	Certificates Certificates // with Options.TLS
	o            Options
	dir          string
	jars         string
	nodes        []*node
}

type node struct {
	cmd  *exec.Cmd
	log  string
	gone chan struct{}
}

// Start starts a cluster without data, and waits until each of its nodes serves and sees the others.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	if o.Nodes == 0 {
		o.Nodes = 1
	}
	if o.Heap == "" {
		o.Heap = "512m"
	}
	jars, err := jars.Fetch("cassandra", pom)
	if err != nil {
		t.Skip(err)
	}
	c := &Cluster{o: o, dir: t.TempDir(), jars: jars, nodes: make([]*node, o.Nodes)}
	port := freePorts(t, o.Nodes)
	var seeds []string
	for i := range o.Nodes {
		c.Hosts = append(c.Hosts, fmt.Sprintf("127.0.0.%d:%d", i+1, port))
		seeds = append(seeds, fmt.Sprintf("127.0.0.%d:%d", i+1, port+1))
	}
	write(t, filepath.Join(c.dir, "logback.xml"), logging)
	encryption := ""
	if o.TLS {
		encryption = c.encrypt(t)
	}
	for i := range o.Nodes {
		if err := os.MkdirAll(c.path(i), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(c.path(i), "cassandra.yaml"), c.configuration(i, port, strings.Join(seeds, ","))+encryption)
	}
	t.Cleanup(c.KillAll)
	c.RestartAll(t)
	if o.Password { // one node makes the first role, a moment after clients can connect
		c.await(t, "the first role", func() bool {
			for _, n := range c.nodes {
				if said, _ := os.ReadFile(n.log); bytes.Contains(said, []byte("Created default superuser")) {
					return true
				}
			}
			return false
		})
	}
	return c
}

func (c *Cluster) path(i int) string { return filepath.Join(c.dir, fmt.Sprint(i+1)) }

// configuration is a node's: what has no usable default, and what makes it small. The nodes have one port and evenly spaced fixed tokens, and
// each of them is a seed, so that all start side by side and nobody streams.
func (c *Cluster) configuration(i, port int, seeds string) string {
	authenticator, authorizer := "AllowAllAuthenticator", "AllowAllAuthorizer"
	if c.o.Password {
		authenticator, authorizer = "PasswordAuthenticator", "CassandraAuthorizer"
	}
	token := int64(math.MinInt64+1) + int64(i)*(math.MaxInt64/int64(c.o.Nodes))*2
	return fmt.Sprintf(`cluster_name: tilehouse-test
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
listen_address: 127.0.0.%[1]d
rpc_address: 127.0.0.%[1]d
native_transport_port: %[2]d
storage_port: %[3]d
endpoint_snitch: SimpleSnitch
dynamic_snitch: false
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{seeds: "%[4]s"}]
num_tokens: 1
initial_token: %[5]d
auto_bootstrap: false
authenticator: %[6]s
authorizer: %[7]s
role_manager: CassandraRoleManager
commitlog_sync: periodic
commitlog_sync_period: 1000ms
commitlog_segment_size: 16MiB
commitlog_total_space: 256MiB
memtable_heap_space: 64MiB
memtable_offheap_space: 128MiB
memtable_allocation_type: offheap_objects
key_cache_size: 8MiB
counter_cache_size: 0MiB
file_cache_size: 32MiB
networking_cache_size: 32MiB
concurrent_reads: 16
concurrent_writes: 32
concurrent_compactors: 1
auto_snapshot: false
`, i+1, port, port+1, seeds, token, authenticator, authorizer)
}

// RestartAll starts all nodes that do not run, on their data.
func (c *Cluster) RestartAll(t testing.TB) {
	t.Helper()
	for i := range c.nodes {
		c.launch(t, i)
	}
	for i := range c.nodes {
		c.ready(t, i)
	}
}

// Restart starts a node that was killed, counted from 0, on its data and its port, and waits until it serves.
func (c *Cluster) Restart(t testing.TB, i int) {
	t.Helper()
	c.launch(t, i)
	c.ready(t, i)
}

// Kill ends a node, counted from 0, with SIGKILL.
func (c *Cluster) Kill(i int) {
	if n := c.nodes[i]; n != nil {
		_ = n.cmd.Process.Kill() // it may have ended
		<-n.gone
	}
}

// KillAll ends all nodes with SIGKILL.
func (c *Cluster) KillAll() {
	var all sync.WaitGroup
	for i := range c.nodes {
		all.Go(func() { c.Kill(i) })
	}
	all.Wait()
}

func (n *node) runs() bool {
	if n == nil {
		return false
	}
	select {
	case <-n.gone:
		return false
	default:
		return true
	}
}

func (c *Cluster) launch(t testing.TB, i int) {
	t.Helper()
	if c.nodes[i].runs() {
		return
	}
	args := append([]string{}, jvm...)
	if c.o.Optimize {
		args = args[:0]
		for _, a := range jvm {
			if a != "-XX:TieredStopAtLevel=1" {
				args = append(args, a)
			}
		}
	}
	for _, e := range exports {
		args = append(args, "--add-exports", e+"=ALL-UNNAMED")
	}
	for _, o := range opens {
		args = append(args, "--add-opens", o+"=ALL-UNNAMED")
	}
	agents, err := filepath.Glob(filepath.Join(c.jars, "jamm-*.jar"))
	if err != nil || len(agents) != 1 {
		t.Fatalf("one jamm among Cassandra's jars, not %v: %v", agents, err)
	}
	args = append(args, "-Xms"+c.o.Heap, "-Xmx"+c.o.Heap, "-javaagent:"+agents[0], "-Dcassandra.config=file://"+filepath.Join(c.path(i), "cassandra.yaml"),
		"-Dcassandra.storagedir="+c.path(i), "-Dlogback.configurationFile="+filepath.Join(c.dir, "logback.xml"), "-cp", filepath.Join(c.jars, "*"), "org.apache.cassandra.service.CassandraDaemon")
	n := &node{cmd: exec.Command("java", args...), log: filepath.Join(c.path(i), fmt.Sprintf("log.%d", time.Now().UnixNano())), gone: make(chan struct{})}
	out, err := os.Create(n.log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	n.cmd.Stdout, n.cmd.Stderr = out, out
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = n.cmd.Wait()
		close(n.gone)
	}()
	c.nodes[i] = n
}

// ready waits until a node serves clients and sees every other one that runs.
func (c *Cluster) ready(t testing.TB, i int) {
	t.Helper()
	n := c.nodes[i]
	c.await(t, fmt.Sprintf("node %d", i+1), func() bool {
		said, _ := os.ReadFile(n.log)
		if !n.runs() {
			t.Fatalf("Cassandra's node %d ended:\n%s", i+1, tail(said))
		}
		if !bytes.Contains(said, []byte("Starting listening for CQL clients")) {
			return false
		}
		for j, other := range c.nodes {
			if j != i && other.runs() && !bytes.Contains(said, fmt.Appendf(nil, "/127.0.0.%d:", j+1)) {
				return false
			}
		}
		return true
	})
}

func (c *Cluster) await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(readyTimeout); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			for _, n := range c.nodes {
				if n != nil {
					said, _ := os.ReadFile(n.log)
					t.Logf("%s", tail(said))
				}
			}
			t.Fatalf("Cassandra: %s was not ready after %v", what, readyTimeout)
		}
	}
}

func tail(b []byte) []byte { return b[max(0, len(b)-3000):] }

// freePorts is the first of two ports that are free on the addresses of n nodes, below the kernel's own choices.
func freePorts(t testing.TB, n int) int {
	t.Helper()
	for range 100 {
		p, free := 12000+rand.IntN(18000), true
		for i := range n {
			for _, port := range []int{p, p + 1} {
				l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.%d:%d", i+1, port))
				if err != nil {
					free = false
					continue
				}
				_ = l.Close() // it was only asked for
			}
		}
		if free {
			return p
		}
	}
	t.Fatal("no free ports for Cassandra")
	return 0
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// PID is the process id of a node that runs, counted from 0.
func (c *Cluster) PID(i int) int { return c.nodes[i].cmd.Process.Pid }

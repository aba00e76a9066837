// Package kafka starts a real Kafka broker for tests and for the demo of a stream: a process of its own, of the jars that Maven fetches once,
// broker and controller in one, on free loopback ports, ended with the test.
//
// It needs Java 17 or newer and, the first time, Maven; where they are missing a test is skipped by that name (tests/jars).
// Command kafka/run runs a command beside a broker.
package kafka

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tilehouse/tilehouse/tests/jars"
)

//go:embed pom.xml
var pom []byte

// readyTimeout is how long a broker may take to be ready, on a machine that others use.
const readyTimeout = 120 * time.Second

const logging = `rootLogger.level = info
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c{1} %m%n
`

// Broker is a broker that runs, or was killed.
type Broker struct {
	Addr   string // host:port
	Secure string // host:port of the listener that Options.Secure asks for
	dir    string
	jars   string
	cmd    *exec.Cmd
	log    string
	gone   chan struct{}
}

// Options of a broker.
type Options struct {
	User, Password string  // of SCRAM-SHA-256, which clients must then log in by
	Secure         *Secure // a second listener, that speaks TLS
}

// Secure is a listener for TLS and SASL (PLAIN, SCRAM-SHA-256 and -512, OAUTHBEARER with tokens that nobody signed).
type Secure struct {
	Cert, Key      string        // PEM, the key PKCS #8
	ClientCA       string        // PEM: clients show a certificate of this authority; "": they need none
	User, Password string        // of PLAIN; those of SCRAM are an administrator's to make
	Reauth         time.Duration // after how long clients must log in again; 0: never
}

// Start starts a broker with an empty data directory, which ends with the test. A test without Java or the jars is skipped.
func Start(t testing.TB, o Options) *Broker {
	t.Helper()
	jars, err := Jars()
	if err != nil {
		t.Skip(err)
	}
	b, err := Open(t.TempDir(), jars, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Kill)
	return b
}

// Open starts a broker on an empty directory, with the jars of a directory. Kill ends it.
func Open(dir, jars string, o Options) (*Broker, error) {
	b := &Broker{dir: dir, jars: jars}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	b.Addr = fmt.Sprintf("127.0.0.1:%d", ports[0])
	protocol := "PLAINTEXT"
	if o.User != "" {
		protocol = "SASL_PLAINTEXT"
	}
	listeners := fmt.Sprintf("%s://%s", protocol, b.Addr)
	if o.Secure != nil {
		b.Secure = fmt.Sprintf("127.0.0.1:%d", ports[2])
		listeners += ",SASL_SSL://" + b.Secure
	}
	lines := []string{
		"process.roles=broker,controller", "node.id=1", "controller.listener.names=CONTROLLER", "inter.broker.listener.name=" + protocol,
		fmt.Sprintf("controller.quorum.voters=1@127.0.0.1:%d", ports[1]),
		fmt.Sprintf("listeners=%s,CONTROLLER://127.0.0.1:%d", listeners, ports[1]), "advertised.listeners=" + listeners,
		"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
		"log.dirs=" + filepath.Join(b.dir, "data"), "auto.create.topics.enable=false",
		// The internal topics of one broker cannot have three copies.
		"offsets.topic.replication.factor=1", "offsets.topic.num.partitions=4", "transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1",
		"transaction.state.log.num.partitions=4", "share.coordinator.state.topic.replication.factor=1", "share.coordinator.state.topic.min.isr=1",
		"log.cleaner.dedupe.buffer.size=16777216", // the default is more than the heap
	}
	if o.User != "" {
		lines = append(lines, "sasl.enabled.mechanisms=SCRAM-SHA-256", "sasl.mechanism.inter.broker.protocol=SCRAM-SHA-256",
			fmt.Sprintf(`listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="%s" password="%s";`, o.User, o.Password))
	}
	if o.Secure != nil {
		lines = append(lines, o.Secure.lines()...)
	}
	for name, text := range map[string]string{"server.properties": strings.Join(lines, "\n") + "\n", "log4j2.properties": logging} {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	format := []string{"kafka.tools.StorageTool", "format", "-t", clusterID(), "-c", filepath.Join(b.dir, "server.properties")}
	if o.User != "" {
		format = append(format, "--add-scram", fmt.Sprintf("SCRAM-SHA-256=[name=%s,password=%s]", o.User, o.Password))
	}
	if out, err := b.java("-Xmx64m", format...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format Kafka's data directory: %w\n%s", err, out)
	}
	return b, b.run()
}

// lines are a listener's in server.properties.
func (s *Secure) lines() []string {
	const of, module = "listener.name.sasl_ssl.", "org.apache.kafka.common.security."
	pem := func(text string) string { return strings.ReplaceAll(strings.TrimSpace(text), "\n", "\\n") }
	out := []string{
		of + "ssl.keystore.type=PEM", of + "ssl.keystore.certificate.chain=" + pem(s.Cert), of + "ssl.keystore.key=" + pem(s.Key),
		of + "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
		fmt.Sprintf("%splain.sasl.jaas.config=%splain.PlainLoginModule required user_%s=\"%s\";", of, module, s.User, s.Password),
		of + "scram-sha-256.sasl.jaas.config=" + module + "scram.ScramLoginModule required;",
		of + "scram-sha-512.sasl.jaas.config=" + module + "scram.ScramLoginModule required;",
		of + "oauthbearer.sasl.jaas.config=" + module + "oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";",
	}
	if s.ClientCA != "" {
		out = append(out, of+"ssl.client.auth=required", of+"ssl.truststore.type=PEM", of+"ssl.truststore.certificates="+pem(s.ClientCA))
	}
	if s.Reauth > 0 {
		out = append(out, fmt.Sprintf("%sconnections.max.reauth.ms=%d", of, s.Reauth.Milliseconds()))
	}
	return out
}

// clusterID is a random id. One that begins with a dash would be read as an option.
func clusterID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // which does not fail
	return "A" + base64.RawURLEncoding.EncodeToString(id)[1:]
}

func (b *Broker) java(heap string, args ...string) *exec.Cmd {
	return exec.Command("java", append([]string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", heap, "-Dlog4j2.configurationFile=" + filepath.Join(b.dir, "log4j2.properties"), "-cp", filepath.Join(b.jars, "*")}, args...)...)
}

// run starts the process and waits until it serves: an open port is no sign of that.
func (b *Broker) run() error {
	b.log = filepath.Join(b.dir, fmt.Sprintf("log.%d", time.Now().UnixNano()))
	out, err := os.Create(b.log)
	if err != nil {
		return err
	}
	defer out.Close()
	b.cmd = b.java("-Xmx256m", "kafka.Kafka", filepath.Join(b.dir, "server.properties"))
	b.cmd.Stdout, b.cmd.Stderr = out, out
	if err := b.cmd.Start(); err != nil {
		return err
	}
	gone, cmd := make(chan struct{}), b.cmd
	b.gone = gone
	go func() {
		_ = cmd.Wait()
		close(gone)
	}()
	for end := time.Now().Add(readyTimeout); ; time.Sleep(50 * time.Millisecond) {
		said, _ := os.ReadFile(b.log)
		select {
		case <-gone:
			return fmt.Errorf("the broker ended:\n%s", tail(said))
		default:
		}
		if bytes.Contains(said, []byte("Kafka Server started")) {
			return nil
		}
		if time.Now().After(end) {
			b.Kill()
			return fmt.Errorf("the broker was not ready after %v:\n%s", readyTimeout, tail(said))
		}
	}
}

func tail(b []byte) []byte { return b[max(0, len(b)-3000):] }

// Kill ends the broker with SIGKILL.
func (b *Broker) Kill() {
	_ = b.cmd.Process.Kill() // it may have ended
	<-b.gone
}

// Restart starts a broker that was killed on its data and its ports.
func (b *Broker) Restart(t testing.TB) {
	t.Helper()
	if err := b.run(); err != nil {
		t.Fatal(err)
	}
}

// Jars is the directory of the jars, which Maven fetches where they are not there. The error says what is missing.
func Jars() (string, error) { return jars.Fetch("kafka", pom) }

func freePorts(n int) (out []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	return out, nil
}

// PID is the process id of a broker that runs.
func (b *Broker) PID() int { return b.cmd.Process.Pid }

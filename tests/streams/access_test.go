package streams

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/tilehouse/tilehouse/tests/certs"
	"github.com/tilehouse/tilehouse/tests/harness"
	"github.com/tilehouse/tilehouse/tests/kafka"
)

// setScram gives a user a password, or takes the login away by "".
func setScram(t *testing.T, adm *kadm.Client, user, password string) {
	t.Helper()
	for _, m := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} { // one request a mechanism: Kafka takes a user once in each
		var gone []kadm.DeleteSCRAM
		var have []kadm.UpsertSCRAM
		if password == "" {
			gone = append(gone, kadm.DeleteSCRAM{User: user, Mechanism: m})
		} else {
			have = append(have, kadm.UpsertSCRAM{User: user, Mechanism: m, Iterations: 4096, Password: password})
		}
		out, err := adm.AlterUserSCRAMs(context.Background(), gone, have)
		if err == nil {
			err = out.Error()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// token is a token of OAUTHBEARER that nobody signed.
func token(lasts time.Duration) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	now := time.Now()
	return part(`{"alg":"none"}`) + "." + part(fmt.Sprintf(`{"sub":"features","iat":%d,"exp":%d}`, now.Add(-time.Minute).Unix(), now.Add(lasts).Unix())) + "."
}

// Every mechanism logs in over TLS to a real Kafka; what is wrong is told, and never the secret; what stops to be right while the topic is
// read is a state with a reason, and goes on by itself once it is put right.
func TestKafkaAccess(t *testing.T) {
	skipFast(t)
	authority, stranger := certs.NewAuthority(t), certs.NewAuthority(t)
	served := authority.Issue(t, "broker", time.Hour, "127.0.0.1", "broker.internal")
	b, client := realKafka(t, kafka.Options{Secure: &kafka.Secure{Cert: served.Cert, Key: served.Key, User: "features", Password: "hunter2", Reauth: 2 * time.Second}}, 1, "events")
	adm := kadm.NewClient(client)
	setScram(t, adm, "features", "hunter2")
	dir := t.TempDir()
	write := func(name, value string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("good", "hunter2")
	write("bad", "hunter3")
	write("token", token(time.Hour))
	write("expired", token(-10*time.Minute))
	conn := harness.Start(t, harness.Options{}).Connect(t)
	for _, name := range []string{"good", "bad", "token", "expired"} {
		exec(t, conn, fmt.Sprintf("CREATE SECRET %s WITH (backend = 'file') AS '%s'", name, filepath.Join(dir, name)))
	}
	connection := func(name, mechanism, login, tls string) string {
		return fmt.Sprintf("CREATE OR REPLACE CONNECTION %s WITH (type = 'kafka', brokers = '%s', sasl.mechanism = '%s', %s%s)", name, b.Secure, mechanism, login, tls)
	}
	const user = "sasl.username = 'features', sasl.password = SECRET "
	trusted := fmt.Sprintf(", tls = true, tls.ca = '%s'", authority.PEM)
	produce(t, client, "events", 0, events(0, 5)...)
	for _, c := range []struct{ name, mechanism, login string }{
		{"plain", "PLAIN", user + "good"}, {"scram256", "SCRAM-SHA-256", user + "good"}, {"scram512", "SCRAM-SHA-512", user + "good"}, {"bearer", "OAUTHBEARER", "sasl.token = SECRET token"},
	} {
		exec(t, conn, connection(c.name, c.mechanism, c.login, trusted))
		exec(t, conn, strings.Replace(source("s_"+c.name, ""), "'bus'", "'"+c.name+"'", 1))
	}
	each := "SELECT string_agg(state || ' ' || messages, ', ') FROM tilehouse.sources"
	eventually(t, conn, each, "running 5, running 5, running 5, running 5")

	for _, c := range []struct{ what, mechanism, login, tls, code, message string }{
		{"a wrong password", "PLAIN", user + "bad", trusted, "28000", "refuse the login"},
		{"a wrong password", "SCRAM-SHA-256", user + "bad", trusted, "28000", "refuse the login"},
		{"a wrong password", "SCRAM-SHA-512", user + "bad", trusted, "28000", "refuse the login"},
		{"an expired token", "OAUTHBEARER", "sasl.token = SECRET expired", trusted, "28000", "refuse the login"},
		{"no token", "OAUTHBEARER", "sasl.token = SECRET bad", trusted, "28000", "refuse the login"},
		{"an authority that is not known", "PLAIN", user + "good", ", tls = true", "08001", "TLS fails"},
		{"another authority", "PLAIN", user + "good", fmt.Sprintf(", tls = true, tls.ca = '%s'", stranger.PEM), "08001", "TLS fails"},
		{"another name", "PLAIN", user + "good", trusted + ", tls.server_name = 'elsewhere'", "08001", "TLS fails"},
		{"no TLS", "PLAIN", user + "good", "", "08001", "do not answer"},
	} {
		exec(t, conn, connection("wrong", c.mechanism, c.login, c.tls))
		e := refusal(t, conn, strings.Replace(source("s", ""), "'bus'", "'wrong'", 1))
		if e.Code != c.code || !strings.Contains(e.Message, c.message) {
			t.Errorf("%s by %s gives %s %s", c.what, c.mechanism, e.Code, e.Message)
		}
		if said := e.Message + e.Detail + e.Hint; strings.Contains(said, "hunter") || strings.Contains(said, dir) {
			t.Errorf("%s by %s tells %s", c.what, c.mechanism, said)
		}
		t.Logf("%s by %s: %s %s", c.what, c.mechanism, e.Code, e.Message)
	}
	exec(t, conn, connection("wrong", "PLAIN", user+"good", trusted+", tls.server_name = 'broker.internal'"))
	exec(t, conn, strings.Replace(source("named", ""), "'bus'", "'wrong'", 1))
	exec(t, conn, "DROP SOURCE named")

	// A login that is taken away while the topic is read.
	scram := "SELECT string_agg(state || ' ' || coalesce(left(last_error, 28), '') || messages, ', ') FROM tilehouse.sources WHERE name LIKE 's_scram%'"
	setScram(t, adm, "features", "")
	eventually(t, conn, scram, "retrying the brokers refuse the login5, retrying the brokers refuse the login5")
	produce(t, client, "events", 0, events(5, 8)...)
	eventually(t, conn, "SELECT string_agg(state || ' ' || messages, ', ') FROM tilehouse.sources WHERE name NOT LIKE 's_scram%'", "running 8, running 8")
	setScram(t, adm, "features", "hunter2")
	eventually(t, conn, scram, "running 8, running 8")
	// Another password, which the file of the secret has afterwards.
	setScram(t, adm, "features", "hunter4")
	eventually(t, conn, scram, "retrying the brokers refuse the login8, retrying the brokers refuse the login8")
	write("good", "hunter4")
	produce(t, client, "events", 0, events(8, 10)...)
	eventually(t, conn, scram, "running 10, running 10")
	// A token that ends, and another one in its place.
	write("token", token(-10*time.Minute))
	bearer := "SELECT state || ' ' || coalesce(left(last_error, 28), '') || messages FROM tilehouse.sources WHERE name = 's_bearer'"
	eventually(t, conn, bearer, "retrying the brokers refuse the login10")
	write("token", token(time.Hour))
	eventually(t, conn, bearer, "running 10")
	if got := texts(t, conn, "SELECT count(*) || ' ' || count(DISTINCT id) FROM s_scram256")[0]; got != "10 10" {
		t.Errorf("%s messages are rows", got)
	}
}

// Certificates that have expired, and certificates of clients.
func TestKafkaCertificates(t *testing.T) {
	skipFast(t)
	authority, stranger := certs.NewAuthority(t), certs.NewAuthority(t)
	served := authority.Issue(t, "broker", -time.Minute, "127.0.0.1")
	old, _ := realKafka(t, kafka.Options{Secure: &kafka.Secure{Cert: served.Cert, Key: served.Key, User: "features", Password: "hunter2"}}, 1, "events")
	served = authority.Issue(t, "broker", time.Hour, "127.0.0.1")
	b, client := realKafka(t, kafka.Options{Secure: &kafka.Secure{Cert: served.Cert, Key: served.Key, ClientCA: authority.PEM, User: "features", Password: "hunter2"}}, 1, "events")
	t.Setenv("TEST_BUS_PASSWORD", "hunter2")
	conn := harness.Start(t, harness.Options{}).Connect(t)
	exec(t, conn, "CREATE SECRET pw WITH (backend = 'env') AS 'TEST_BUS_PASSWORD'")
	mine, theirs := authority.Issue(t, "features", time.Hour), stranger.Issue(t, "features", time.Hour)
	ended := authority.Issue(t, "features", -time.Minute)
	secret := func(name, value string) {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
		exec(t, conn, fmt.Sprintf("CREATE SECRET %s WITH (backend = 'file') AS '%s'", name, file))
	}
	secret("mine", mine.Key)
	secret("theirs", theirs.Key)
	secret("ended", ended.Key)
	connection := func(broker, more string) {
		exec(t, conn, fmt.Sprintf("CREATE OR REPLACE CONNECTION bus WITH (type = 'kafka', brokers = '%s', sasl.mechanism = 'PLAIN', sasl.username = 'features', sasl.password = SECRET pw, tls = true, tls.ca = '%s'%s)", broker, authority.PEM, more))
	}
	for _, c := range []struct{ what, broker, more, message string }{
		{"an expired certificate of the broker", old.Secure, "", "expired"},
		{"no certificate of the client", b.Secure, "", "TLS fails"},
		{"a certificate of another authority", b.Secure, fmt.Sprintf(", tls.cert = '%s', tls.key = SECRET theirs", theirs.Cert), "TLS fails"},
		{"an expired certificate of the client", b.Secure, fmt.Sprintf(", tls.cert = '%s', tls.key = SECRET ended", ended.Cert), "TLS fails"},
	} {
		connection(c.broker, c.more)
		if e := refusal(t, conn, source("s", "")); e.Code != "08001" || !strings.Contains(e.Message, c.message) || e.Hint == "" {
			t.Errorf("%s: %s %s", c.what, e.Code, e.Message)
		} else {
			t.Logf("%s: %s %s", c.what, e.Code, e.Message)
		}
	}
	connection(b.Secure, fmt.Sprintf(", tls.cert = '%s', tls.key = SECRET mine", mine.Cert))
	exec(t, conn, source("s", ""))
	produce(t, client, "events", 0, events(0, 3)...)
	eventually(t, conn, "SELECT count(*)::text FROM s", "3")
}

// The right to read a topic is taken away while it is read.
func TestRightsRevoked(t *testing.T) {
	allow := func(op kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: "events", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
	}
	bus, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "events"), kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "admin", "pw"),
		kfake.User("PLAIN", "features", "pw", allow(kmsg.ACLOperationRead), allow(kmsg.ACLOperationDescribe)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(bus.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.SASL(plain.Auth{User: "admin", Pass: "pw"}.AsMechanism()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	adm := kadm.NewClient(client)
	t.Setenv("TEST_BUS_PASSWORD", "pw")
	conn := harness.Start(t, harness.Options{}).Connect(t)
	exec(t, conn, fmt.Sprintf("CREATE SECRET pw WITH (backend = 'env') AS 'TEST_BUS_PASSWORD'; CREATE CONNECTION bus WITH (type = 'kafka', brokers = '%s', sasl.mechanism = 'PLAIN', sasl.username = 'features', sasl.password = SECRET pw)", bus.ListenAddrs()[0]))
	exec(t, conn, source("s", ""))
	produce(t, client, "events", 0, events(0, 5)...)
	eventually(t, conn, "SELECT count(*)::text FROM s", "5")
	read := kadm.NewACLs().Topics("events").Operations(kadm.OpRead).Allow("User:features").AllowHosts().ResourcePatternType(kadm.ACLPatternLiteral)
	if gone, err := adm.DeleteACLs(context.Background(), read); err != nil || len(gone) != 1 || len(gone[0].Deleted) != 1 {
		t.Fatalf("the right is taken away: %+v, %v", gone, err)
	}
	eventually(t, conn, "SELECT state || ' ' || (last_error LIKE '%the brokers do not allow the login to read the topic%') FROM tilehouse.sources", "retrying true")
	time.Sleep(3 * time.Second) // it stays so, although the brokers answer all else
	for range 20 {
		if got := texts(t, conn, "SELECT state FROM tilehouse.sources")[0]; got != "retrying" {
			t.Fatalf("a source that may not be read is %s", got)
		}
		time.Sleep(50 * time.Millisecond)
	}
	produce(t, client, "events", 0, events(5, 7)...)
	if _, err := adm.CreateACLs(context.Background(), read); err != nil {
		t.Fatal(err)
	}
	eventually(t, conn, "SELECT state || coalesce(last_error, '') || messages FROM tilehouse.sources", "running7")
	eventually(t, conn, "SELECT count(*) || ' ' || count(DISTINCT id) FROM s", "7 7")
}

package ingest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/tilehouse/tilehouse/storage/schema"
)

// The options of a connection to Kafka.
const (
	OptBrokers    = "brokers"
	OptMechanism  = "sasl.mechanism"
	OptUsername   = "sasl.username"
	OptPassword   = "sasl.password"
	OptToken      = "sasl.token"
	OptTLS        = "tls"
	OptCA         = "tls.ca"
	OptCert       = "tls.cert"
	OptKey        = "tls.key"
	OptServerName = "tls.server_name"
)

// Mechanisms are the SASL mechanisms that a connection may name.
var Mechanisms = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"}

const (
	// dialTimeout is how long a broker may take to answer a connection.
	dialTimeout = 5 * time.Second
	// retryTimeout is how long a request is tried before its error is told.
	retryTimeout = 10 * time.Second
	// maxFetches is from how many brokers at once a client fetches messages. What it fetches it holds until it is taken, and is then
	// rows: twice maxFetches times the bytes of a fetch are a consumer's share of Config.FetchBytes.
	maxFetches = 4
	// leastFetch and mostFetch bound the bytes of a fetch, as the broker has them; a single larger batch of messages is held as a whole.
	leastFetch = 64 << 10
	mostFetch  = 8 << 20
	// batchBytes is the most that a compressed batch of messages may be.
	batchBytes = 64 << 20
	// metadataAge is how old what is known of a topic's partitions and leaders may be.
	metadataAge = 30 * time.Second
)

// SecretError says that a secret's value cannot be had. It does not say where the value was looked for.
type SecretError struct {
	Name string
	Why  string
}

func (e *SecretError) Error() string { return fmt.Sprintf("secret %q: %s", e.Name, e.Why) }

// Reveal is a secret's value. Errors: *SecretError.
func Reveal(s *schema.Secret) (string, error) {
	switch s.Backend {
	case schema.SecretEnv:
		if v, ok := os.LookupEnv(s.Place); ok {
			return v, nil
		}
		return "", &SecretError{s.Name, "the server's environment does not have its variable"}
	case schema.SecretFile:
		b, err := os.ReadFile(s.Place)
		var of *os.PathError
		if errors.As(err, &of) {
			err = of.Err // without the path
		}
		if err != nil {
			return "", &SecretError{s.Name, "its file cannot be read: " + err.Error()}
		}
		v := strings.TrimSuffix(string(b), "\n")
		return strings.TrimSuffix(v, "\r"), nil
	}
	return "", &SecretError{s.Name, fmt.Sprintf("unknown backend %q", s.Backend)}
}

// fetchBytes are the bytes of a fetch of one of so many consumers.
func fetchBytes(all int64, consumers int) int32 {
	return int32(min(max(all/int64(2*maxFetches*max(consumers, 1)), leastFetch), mostFetch))
}

// Value is an option of a connection, given as it is or by a secret; "" where it is not given. Errors: *SecretError.
func Value(cat *schema.Catalog, c *schema.Connection, option string) (string, error) {
	id, ok := c.Secrets[option]
	if !ok {
		return c.Options[option], nil
	}
	s := cat.Secrets[id]
	if s == nil {
		return "", &SecretError{option, "the connection's secret is gone"}
	}
	return Reveal(s)
}

// ClientOptions are the options of a client of a connection: where the brokers are, and how to get in. Errors: *SecretError, bad
// certificates.
func ClientOptions(cat *schema.Catalog, c *schema.Connection) ([]kgo.Opt, error) {
	values := map[string]string{}
	for _, o := range []string{OptUsername, OptPassword, OptToken} {
		v, err := Value(cat, c, o)
		if err != nil {
			return nil, err
		}
		values[o] = v
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(strings.FieldsFunc(c.Options[OptBrokers], func(r rune) bool { return r == ',' || r == ' ' })...),
		kgo.ClientID("tilehouse"), kgo.DialTimeout(dialTimeout), kgo.RetryTimeout(retryTimeout), kgo.MetadataMaxAge(metadataAge), kgo.MetadataMinAge(100 * time.Millisecond),
	}
	switch c.Options[OptMechanism] {
	case "PLAIN":
		opts = append(opts, kgo.SASL(plain.Auth{User: values[OptUsername], Pass: values[OptPassword]}.AsMechanism()))
	case "SCRAM-SHA-256":
		opts = append(opts, kgo.SASL(scram.Auth{User: values[OptUsername], Pass: values[OptPassword]}.AsSha256Mechanism()))
	case "SCRAM-SHA-512":
		opts = append(opts, kgo.SASL(scram.Auth{User: values[OptUsername], Pass: values[OptPassword]}.AsSha512Mechanism()))
	case "OAUTHBEARER":
		opts = append(opts, kgo.SASL(oauth.Oauth(func(context.Context) (oauth.Auth, error) { // a new connection has the token of its time
			token, err := Value(cat, c, OptToken)
			return oauth.Auth{Token: token}, err
		})))
	}
	if c.Options[OptTLS] != "true" {
		return opts, nil
	}
	cfg, err := TLSOf(cat, c)
	if err != nil {
		return nil, err
	}
	return append(opts, kgo.DialTLSConfig(cfg)), nil
}

// TLSOf is how a connection of any type says that TLS is spoken. Errors: *SecretError, bad certificates.
func TLSOf(cat *schema.Catalog, c *schema.Connection) (*tls.Config, error) {
	values := map[string]string{}
	for _, o := range []string{OptCA, OptCert, OptKey} {
		v, err := Value(cat, c, o)
		if err != nil {
			return nil, err
		}
		values[o] = v
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.Options[OptServerName]}
	var err error
	if ca := values[OptCA]; ca != "" {
		if cfg.RootCAs, err = certificates(ca); err != nil {
			return nil, err
		}
	}
	if values[OptCert] != "" {
		pair, err := tls.X509KeyPair([]byte(values[OptCert]), []byte(values[OptKey]))
		if err != nil {
			return nil, fmt.Errorf("%s and %s: %w", OptCert, OptKey, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// certificates are those of a text in PEM.
func certificates(pem string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(pem)) {
		return nil, errors.New(OptCA + " holds no certificate in PEM")
	}
	return pool, nil
}

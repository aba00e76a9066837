package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/peterbourgon/ff/v3"
	"github.com/peterbourgon/ff/v3/ffcli"

	"github.com/tilehouse/tilehouse/sqlplan/engine"
	"github.com/tilehouse/tilehouse/storage/cassandra"
)

// storeConfig is where a gateway reads.
type storeConfig struct {
	hosts                                      list
	keyspace, datacenter, username, secretFile string
	tls                                        bool
	ca, cert, key, serverName                  string
}

func (c *storeConfig) flags(fs *flag.FlagSet) {
	fs.Var(&c.hosts, "cassandra", "`host:port` of a node of Cassandra; may be given several times, others of the cluster are found from there")
	fs.StringVar(&c.keyspace, "keyspace", "", "the `keyspace` that a server's connection of type cassandra names")
	fs.StringVar(&c.datacenter, "cassandra-datacenter", "", "the `datacenter` whose nodes are asked; empty: any")
	fs.StringVar(&c.username, "cassandra-username", "", "user `name` to log in by; the password is in --cassandra-password-file, or TILEHOUSE_CASSANDRA_PASSWORD")
	fs.StringVar(&c.secretFile, "cassandra-password-file", "", "`file` that holds the password; one line end at its end is not of it")
	fs.BoolVar(&c.tls, "cassandra-tls", false, "encrypt connections to Cassandra; its certificates are checked")
	fs.StringVar(&c.ca, "cassandra-tls-ca", "", "`file` (PEM) of authorities of the nodes' certificates; empty: the system's")
	fs.StringVar(&c.cert, "cassandra-tls-cert", "", "the client's certificate `file` (PEM)")
	fs.StringVar(&c.key, "cassandra-tls-key", "", "its private key `file` (PEM)")
	fs.StringVar(&c.serverName, "cassandra-tls-server-name", "", "whom the nodes' certificates must be of; empty: their host")
}

func (c *storeConfig) options() (cassandra.Options, error) {
	o := cassandra.Options{Hosts: c.hosts, Keyspace: c.keyspace, Datacenter: c.datacenter, Username: c.username}
	switch {
	case len(c.hosts) == 0:
		return o, errors.New("gateway needs --cassandra HOST:PORT, where the values are")
	case !cassandra.ValidName(c.keyspace):
		return o, fmt.Errorf("gateway needs --keyspace, a letter, then letters, digits and underscores; %q is none", c.keyspace)
	}
	if c.secretFile != "" {
		b, err := os.ReadFile(c.secretFile)
		if err != nil {
			return o, fmt.Errorf("--cassandra-password-file: %w", err)
		}
		o.Password = strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	} else {
		o.Password = os.Getenv("TILEHOUSE_CASSANDRA_PASSWORD")
	}
	if !c.tls {
		return o, nil
	}
	o.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.serverName}
	if c.ca != "" {
		pem, err := os.ReadFile(c.ca)
		if err != nil {
			return o, fmt.Errorf("--cassandra-tls-ca: %w", err)
		}
		if o.TLS.RootCAs = x509.NewCertPool(); !o.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return o, fmt.Errorf("--cassandra-tls-ca: %s holds no certificate in PEM", c.ca)
		}
	}
	if c.cert != "" || c.key != "" {
		pair, err := tls.LoadX509KeyPair(c.cert, c.key)
		if err != nil {
			return o, fmt.Errorf("--cassandra-tls-cert and --cassandra-tls-key: %w", err)
		}
		o.TLS.Certificates = []tls.Certificate{pair}
	}
	return o, nil
}

func gatewayCommand() *ffcli.Command {
	fs := flag.NewFlagSet("tilehouse gateway", flag.ContinueOnError)
	var c serveConfig
	var store storeConfig
	store.flags(fs)
	c.serverFlags(fs)
	return &ffcli.Command{
		Name: "gateway", ShortUsage: "tilehouse gateway --cassandra HOST:PORT --keyspace NAME [--listen HOST:PORT]",
		ShortHelp: "Answer lookups of features from Cassandra, without data of its own.",
		LongHelp: "A server keeps the values there: CREATE CONNECTION … WITH (type = 'cassandra', …). Its definitions, roles and passwords are the\n" +
			"gateway's, which follows them. Serves until SIGTERM or SIGINT.",
		FlagSet: fs,
		Options: []ff.Option{ff.WithEnvVarPrefix("TILEHOUSE"), ff.WithConfigFileFlag("config"), ff.WithConfigFileParser(ff.PlainParser)},
		Exec: func(ctx context.Context, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("gateway takes no argument %q; see tilehouse gateway -h", args[0])
			}
			o, err := store.options()
			if err != nil {
				return err
			}
			s, err := startWith(ctx, &c, func(ctx context.Context, cfg engine.Config) (*engine.Engine, error) {
				return engine.OpenGateway(ctx, cfg, o)
			})
			if err != nil {
				return err
			}
			fmt.Printf("tilehouse is ready on %s (gateway to keyspace %s, %s, %d ms)\n", s.addr(), o.Keyspace, s.access, s.took.Milliseconds())
			return s.wait(ctx)
		},
	}
}

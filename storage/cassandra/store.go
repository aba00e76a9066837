package cassandra

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// Errors of this package; test with errors.Is.
var (
	// ErrNoKeyspace says that the keyspace does not exist, or has none of this package's tables.
	ErrNoKeyspace = errors.New("the keyspace does not exist")
	// ErrRefused says that the user name or the password is wrong.
	ErrRefused = errors.New("user name or password refused")
	// ErrCertificate says that a certificate was refused, a node's here, or this client's there.
	ErrCertificate = errors.New("certificate refused")
	// ErrForbidden says that the user lacks a permission.
	ErrForbidden = errors.New("permission denied")
	// ErrOwned says that the keyspace belongs to another data directory.
	ErrOwned = errors.New("the keyspace belongs to another data directory")
	// ErrLost says that another process has begun a new epoch.
	ErrLost = errors.New("another server writes to the keyspace")
	// ErrTorn says that a partition changed while it was read: the read begins anew.
	ErrTorn = errors.New("the partition changed while it was read")
)

// Timeouts. A coordinator that another node keeps waiting is given up soon, and the next one asked.
const (
	requestTimeout = 2 * time.Second
	schemaTimeout  = 30 * time.Second
	connectTimeout = 5 * time.Second
	retries        = 5
)

// Connections to each node: requests share them.
const connectionsPerNode = 2

// Options say which keyspace of which cluster.
type Options struct {
	Hosts       []string // host:port; others of the cluster are found from there
	Keyspace    string   // see ValidName
	Replication string   // how a keyspace that does not exist is made: see ParseReplication; "": it is not made
	Datacenter  string   // whose nodes are asked; "": any
	Username    string   // "": no login
	Password    string
	TLS         *tls.Config // nil: none
	Writes      bool        // partitions go to their first replica, not to a random one: those that share it share batches
}

var names = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]{0,47}$`)

// ValidName reports whether a keyspace may be called so: a letter, then letters, digits and underscores, at most 48.
func ValidName(s string) bool { return names.MatchString(s) }

// ParseReplication reads '3', copies in each datacenter, or 'dc1:3, dc2:2', as CQL says it.
func ParseReplication(s string) (cql string, err error) {
	factors := map[string]int{}
	for _, part := range strings.Split(s, ",") {
		dc, n, named := strings.Cut(strings.TrimSpace(part), ":")
		if !named {
			dc, n = "replication_factor", dc
		}
		copies, err := strconv.Atoi(strings.TrimSpace(n))
		if _, twice := factors[dc]; err != nil || copies < 1 || copies > 100 || twice || strings.ContainsAny(dc, `'"\`) || dc == "" {
			return "", fmt.Errorf("replication %q is not written '3', or 'datacenter:3, other:2'", s)
		}
		factors[dc] = copies
	}
	if _, plain := factors["replication_factor"]; plain && len(factors) > 1 {
		return "", fmt.Errorf("replication %q names a datacenter for some copies only", s)
	}
	out := "{'class': 'NetworkTopologyStrategy'"
	for _, dc := range slices.Sorted(maps.Keys(factors)) {
		out += fmt.Sprintf(", '%s': %d", dc, factors[dc])
	}
	return out + "}", nil
}

// tables are what a keyspace has. What a node does not answer in 50 ms another one is asked for, too.
var tables = []string{
	`CREATE TABLE IF NOT EXISTS tiles (grp bigint, key blob, part blob, value blob, round bigint static, meta blob static, PRIMARY KEY ((grp, key), part)) WITH speculative_retry = '50ms'`,
	`CREATE TABLE IF NOT EXISTS groups (grp bigint PRIMARY KEY, meta blob) WITH speculative_retry = '50ms'`,
	`CREATE TABLE IF NOT EXISTS definitions (epoch bigint, version bigint, number int, body blob, PRIMARY KEY ((epoch, version), number))`,
	`CREATE TABLE IF NOT EXISTS published (id int PRIMARY KEY, store text, epoch bigint, version bigint, parts int) WITH speculative_retry = '50ms'`,
	`CREATE TABLE IF NOT EXISTS progress (id int PRIMARY KEY, position bigint, at timestamp)`,
	`CREATE TABLE IF NOT EXISTS owner (id int PRIMARY KEY, store text, directory text, epoch bigint, block bigint)`,
}

// Store is a session with a keyspace. It is safe for concurrent use.
type Store struct {
	session  *gocql.Session
	keyspace string
	policy   gocql.HostSelectionPolicy // the session's
}

// Open connects. With create the keyspace is made, if the options say how, and its tables; without, ErrNoKeyspace where they are missing.
// Errors: ErrNoKeyspace, ErrRefused, ErrCertificate, ErrForbidden; others say that no node answers.
func Open(ctx context.Context, o Options, create bool) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if create {
		if err := prepare(ctx, o); err != nil {
			return nil, err
		}
	}
	policy := o.policy()
	s, err := connect(ctx, o, policy, o.Keyspace, requestTimeout)
	if errors.Is(err, gocql.ErrNoConnectionsStarted) { // which also stands for a keyspace that is not there
		if missing := exists(ctx, o); missing != nil {
			err = missing
		}
	}
	if err != nil {
		return nil, classify(err)
	}
	st := &Store{session: s, keyspace: strings.ToLower(o.Keyspace), policy: policy}
	if err := st.session.Query("SELECT epoch FROM published WHERE id = 1").ExecContext(ctx); err != nil {
		st.Close()
		return nil, classify(err)
	}
	return st, nil
}

// Close ends the session.
func (s *Store) Close() { s.session.Close() }

// connect opens a session. When ctx ends it returns, and a session that is made afterwards is closed.
func connect(ctx context.Context, o Options, policy gocql.HostSelectionPolicy, keyspace string, timeout time.Duration) (*gocql.Session, error) {
	type made struct {
		s   *gocql.Session
		err error
	}
	done := make(chan made, 1)
	go func() {
		s, err := session(o, policy, keyspace, timeout)
		done <- made{s, err}
	}()
	select {
	case m := <-done:
		return m.s, m.err
	case <-ctx.Done():
		go func() {
			if m := <-done; m.err == nil {
				m.s.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// policy is which node is asked first: one that has the partition. It is for one session.
func (o *Options) policy() gocql.HostSelectionPolicy {
	fallback := gocql.RoundRobinHostPolicy()
	if o.Datacenter != "" {
		fallback = gocql.DCAwareRoundRobinPolicy(o.Datacenter)
	}
	if o.Writes {
		return gocql.TokenAwareHostPolicy(fallback, gocql.DoNotShuffleReplicas())
	}
	return gocql.TokenAwareHostPolicy(fallback, gocql.ShuffleReplicas())
}

func session(o Options, policy gocql.HostSelectionPolicy, keyspace string, timeout time.Duration) (*gocql.Session, error) {
	c := gocql.NewCluster(o.Hosts...)
	if len(o.Hosts) > 0 {
		if _, port, err := net.SplitHostPort(o.Hosts[0]); err == nil {
			c.Port, _ = strconv.Atoi(port)
		}
	}
	c.Keyspace, c.Timeout, c.WriteTimeout, c.ConnectTimeout, c.NumConns = keyspace, timeout, timeout, connectTimeout, connectionsPerNode
	c.Consistency, c.SerialConsistency = gocql.LocalQuorum, gocql.LocalSerial
	c.DefaultTimestamp, c.DefaultIdempotence = false, true
	c.RetryPolicy = &gocql.ExponentialBackoffRetryPolicy{NumRetries: retries, Min: 20 * time.Millisecond, Max: time.Second}
	c.ReconnectInterval = time.Second
	c.ReconnectionPolicy = &gocql.ConstantReconnectionPolicy{MaxRetries: 1, Interval: 100 * time.Millisecond}
	c.Metadata.CacheMode = gocql.KeyspaceOnly
	c.WriteCoalesceWaitTime = 0 // a lookup waits for its answer; batches are made above
	c.PoolConfig.HostSelectionPolicy = policy
	if o.Username != "" {
		c.Authenticator = gocql.PasswordAuthenticator{Username: o.Username, Password: o.Password}
	}
	if o.TLS != nil {
		c.SslOpts = &gocql.SslOptions{Config: o.TLS}
	}
	return c.CreateSession()
}

// exists looks for the keyspace. Errors: ErrNoKeyspace, those of connecting.
func exists(ctx context.Context, o Options) error {
	s, err := connect(ctx, o, o.policy(), "", requestTimeout)
	if err != nil {
		return err
	}
	defer s.Close()
	var name string
	err = s.Query(cqlKeyspace, strings.ToLower(o.Keyspace)).ScanContext(ctx, &name)
	if errors.Is(err, gocql.ErrNotFound) {
		return ErrNoKeyspace
	}
	return err
}

const cqlKeyspace = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?"

// prepare makes the keyspace and its tables where they are missing.
func prepare(ctx context.Context, o Options) error {
	s, err := connect(ctx, o, o.policy(), "", schemaTimeout)
	if err != nil {
		return classify(err)
	}
	defer s.Close()
	var name string
	err = s.Query(cqlKeyspace, strings.ToLower(o.Keyspace)).ScanContext(ctx, &name)
	switch {
	case errors.Is(err, gocql.ErrNotFound) && o.Replication == "":
		return ErrNoKeyspace
	case errors.Is(err, gocql.ErrNotFound):
		cql, err := ParseReplication(o.Replication)
		if err == nil {
			err = s.Query("CREATE KEYSPACE IF NOT EXISTS " + o.Keyspace + " WITH replication = " + cql).ExecContext(ctx)
		}
		if err != nil {
			return classify(err)
		}
	case err != nil:
		return classify(err)
	}
	found := map[string]bool{}
	it := s.Query("SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?", strings.ToLower(o.Keyspace)).IterContext(ctx)
	for it.Scan(&name) {
		found[name] = true
	}
	if err := it.Close(); err != nil {
		return classify(err)
	}
	for _, t := range tables {
		if found[strings.Fields(t)[5]] {
			continue
		}
		if err := s.Query(strings.Replace(t, "EXISTS ", "EXISTS "+o.Keyspace+".", 1)).ExecContext(ctx); err != nil {
			return classify(err)
		}
	}
	return classify(s.AwaitSchemaAgreement(ctx))
}

// classify wraps what an error of the driver means.
func classify(err error) error {
	if err == nil || errors.Is(err, ErrNoKeyspace) {
		return err
	}
	var of gocql.RequestError
	text := err.Error()
	code := 0
	if errors.As(err, &of) {
		code = of.Code()
	}
	switch { // the driver flattens errors of connecting to text
	case code == gocql.ErrCodeCredentials || strings.Contains(text, "and/or password are incorrect") || strings.Contains(text, "authentication required"):
		return fmt.Errorf("%w: %s", ErrRefused, text)
	case strings.Contains(text, "x509: ") || strings.Contains(text, "tls: "):
		return fmt.Errorf("%w: %s", ErrCertificate, text)
	case code == gocql.ErrCodeUnauthorized:
		return fmt.Errorf("%w: %s", ErrForbidden, text)
	case code == gocql.ErrCodeInvalid && (strings.Contains(text, "does not exist") || strings.Contains(text, "unconfigured table")),
		strings.Contains(text, "Keyspace '") && strings.Contains(text, "does not exist"), strings.Contains(text, "unconfigured table"), strings.Contains(text, "keyspace does not exist"):
		return fmt.Errorf("%w: %s", ErrNoKeyspace, text)
	}
	return err
}

// Unreachable reports whether an error of reading or writing says that too few nodes answer.
func Unreachable(err error) bool {
	var of gocql.RequestError
	if errors.As(err, &of) {
		switch of.Code() {
		case gocql.ErrCodeUnavailable, gocql.ErrCodeOverloaded, gocql.ErrCodeBootstrapping, gocql.ErrCodeReadTimeout, gocql.ErrCodeWriteTimeout, gocql.ErrCodeReadFailure, gocql.ErrCodeWriteFailure:
			return true
		}
		return false
	}
	var broken net.Error
	for _, e := range []error{gocql.ErrNoConnections, gocql.ErrTimeoutNoResponse, gocql.ErrConnectionClosed, gocql.ErrNoStreams, gocql.ErrUnavailable, io.EOF} {
		if errors.Is(err, e) {
			return true
		}
	}
	return errors.As(err, &broken)
}

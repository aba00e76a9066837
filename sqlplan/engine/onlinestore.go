package engine

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tilehouse/tilehouse/materialize/disperse"
	"github.com/tilehouse/tilehouse/materialize/ingest"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/cassandra"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// A connection of type 'cassandra' is the online store of the server: the values of its online features are kept there, too, and gateways
// answer lookups from there (gateway.go). There is one at most.

// storeOptions are the options of connections to Cassandra.
var storeOptions = []string{disperse.OptHosts, disperse.OptKeyspace, disperse.OptReplication, disperse.OptDatacenter, disperse.OptUsername, disperse.OptPassword,
	ingest.OptTLS, ingest.OptCA, ingest.OptCert, ingest.OptKey, ingest.OptServerName, disperse.OptTakeOver, disperse.OptRows, disperse.OptBytes}

const storeHint = "WITH (type = 'cassandra', hosts = 'host:9042, other:9042', keyspace = 'features', replication = '3')"

// checkStore checks that a connection's options to Cassandra go together.
func checkStore(o *optionReader, x *schema.Connection) error {
	refuse := func(name, format string, args ...any) {
		o.refuse(o.opts[name], codeInvalidParameter, format, args...)
	}
	given := func(name string) bool { _, ok := o.opts[name]; return ok }
	hosts := strings.FieldsFunc(x.Options[disperse.OptHosts], func(r rune) bool { return r == ',' || r == ' ' })
	if len(hosts) == 0 {
		return hint(fail(codeInvalidParameter, "connection %q needs hosts", x.Name), storeHint)
	}
	for _, h := range hosts {
		if host, port, err := net.SplitHostPort(h); err != nil || host == "" || port == "" {
			refuse(disperse.OptHosts, "host %q is not written host:port", h)
		}
	}
	switch keyspace := x.Options[disperse.OptKeyspace]; {
	case keyspace == "":
		return hint(fail(codeInvalidParameter, "connection %q needs a keyspace", x.Name), storeHint)
	case !cassandra.ValidName(keyspace):
		refuse(disperse.OptKeyspace, "%q is no name of a keyspace: a letter, then letters, digits and underscores, at most 48", keyspace)
	}
	if given(disperse.OptReplication) {
		if _, err := cassandra.ParseReplication(x.Options[disperse.OptReplication]); err != nil {
			refuse(disperse.OptReplication, "%s", err)
		}
	}
	if given(disperse.OptUsername) != given(disperse.OptPassword) {
		for _, name := range []string{disperse.OptUsername, disperse.OptPassword} {
			if given(name) {
				refuse(name, "a login is given by %s and %s, both", disperse.OptUsername, disperse.OptPassword)
			}
		}
	}
	for _, name := range []string{ingest.OptTLS, disperse.OptTakeOver} {
		if given(name) {
			x.Options[name] = fmt.Sprint(o.bool(name, false))
		}
	}
	for _, name := range []string{disperse.OptRows, disperse.OptBytes} {
		if given(name) {
			if n, err := strconv.ParseInt(x.Options[name], 10, 64); err != nil || n < 1 || n > 1<<40 {
				refuse(name, "option %q takes a whole number from 1 on, a second", name)
			}
		}
	}
	checkClientTLS(o, x, false)
	return nil
}

// checkClientTLS checks the options of TLS. registry says that a schema registry is reached by https, which needs authorities, too.
func checkClientTLS(o *optionReader, x *schema.Connection, registry bool) {
	given := func(name string) bool { _, ok := o.opts[name]; return ok }
	for _, name := range []string{ingest.OptCA, ingest.OptCert, ingest.OptKey, ingest.OptServerName} {
		if given(name) && x.Options[ingest.OptTLS] != "true" && !(name == ingest.OptCA && registry) {
			o.refuse(o.opts[name], codeInvalidParameter, "option %q needs tls = true", name)
		}
	}
	if given(ingest.OptCert) != given(ingest.OptKey) {
		for _, name := range []string{ingest.OptCert, ingest.OptKey} {
			if given(name) {
				o.refuse(o.opts[name], codeInvalidParameter, "a client's certificate is given by %s and %s, both", ingest.OptCert, ingest.OptKey)
			}
		}
	}
}

// oneStore refuses a second connection to Cassandra.
func oneStore(sql string, name parse.Name, c *schema.Catalog) error {
	if other := disperse.ConnectionOf(c); other != nil && other.Name != name.Name {
		return at(hint(fail(codeDuplicateObject, "connection %q is the online store already, and there is one", other.Name), "DROP CONNECTION %s; first, or ALTER CONNECTION %[1]s SET (…).", other.Name), sql, name.Position)
	}
	return nil
}

// setConnection is ALTER CONNECTION … SET and RESET: the definition with other options.
func (s *Session) setConnection(sql string, st *parse.Alter, x *schema.Connection) error {
	parsed, err := parse.Parse(x.SQL)
	if err != nil {
		return err
	}
	made, ok := parsed.(*parse.CreateConnection)
	if !ok {
		return fail(codeInternal, "the definition of connection %q is no CREATE CONNECTION", x.Name)
	}
	text, err := parse.WithOptions(x.SQL, merged(made.Options, st))
	if err != nil {
		return err
	}
	if parsed, err = parse.Parse(text); err != nil {
		return err
	}
	made = parsed.(*parse.CreateConnection)
	made.OrReplace, made.IfNotExists = true, false
	if _, err := s.createConnection(text, made); err != nil {
		return placeOption(sql, st, err)
	}
	return nil
}

// storeColumns are those of tilehouse.online_store.
var storeColumns = slices.Concat(text("connection", "keyspace", "state", "reason"), times("since"), numbers("epoch", "definitions", "newest_definitions", "position", "newest_position"), intervals("lag"),
	numbers("waiting", "loading", "rows", "bytes", "errors", "merged", "postponed", "skipped", "deleted"))

// storeRows are the rows of tilehouse.online_store: what became of sending values to Cassandra; on a gateway, what it reads.
func storeRows(s *Session, cat *schema.Catalog) ([][]string, error) {
	if g := s.e.gateway; g != nil {
		return g.storeRow(s)
	}
	st := s.e.disperse.Status()
	if st.Connection == nil {
		return nil, nil
	}
	reason := ""
	if st.Err != nil {
		reason = storeReason(st.Err, st.Connection)
	}
	number := func(n int64, known bool) string {
		if !known {
			return "NULL"
		}
		return fmt.Sprint(n)
	}
	lag := "NULL"
	if !st.At.IsZero() {
		lag = intervalLiteral(max(0, s.e.cfg.Clock().Sub(st.At)))
	}
	return [][]string{append(literals(st.Connection.Name, st.Connection.Options[disperse.OptKeyspace], string(st.State)), orNull(reason), timeLiteral(st.Since.UnixMicro()),
		number(st.Epoch, st.Epoch > 0), number(int64(st.Version), st.Version > 0), fmt.Sprint(cat.Version), number(int64(st.Position), !st.At.IsZero()), fmt.Sprint(s.e.log.Position()), lag,
		number(st.Waiting, !st.GivenUp), fmt.Sprint(st.Loading), fmt.Sprint(st.Rows), fmt.Sprint(st.Bytes), fmt.Sprint(st.Errors), fmt.Sprint(st.Merged), fmt.Sprint(st.Postponed), fmt.Sprint(st.Skipped), fmt.Sprint(st.Deleted))}, nil
}

func intervalLiteral(d time.Duration) string {
	return fmt.Sprintf("to_microseconds(%d)", d.Microseconds())
}

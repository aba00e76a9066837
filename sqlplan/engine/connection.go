package engine

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tilehouse/tilehouse/materialize/disperse"
	"github.com/tilehouse/tilehouse/materialize/ingest"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// Connections say where something outside is, secrets where a credential is found. Both are the superuser's: the server connects to what
// a connection names, and reads what a secret names, with its own rights. Where a secret's value is kept is shown to nobody.

// createSecret is CREATE SECRET.
func (s *Session) createSecret(sql string, st *parse.CreateSecret) (string, error) {
	const tag = "CREATE SECRET"
	o := readOptions(sql, tag, st.Options)
	if !o.has("backend") {
		return "", at(hint(fail(codeInvalidParameter, "secret %q needs a backend", st.Name.Name), "CREATE SECRET %s WITH (backend = 'env') AS 'VARIABLE', or (backend = 'file') AS '/path'", st.Name.Name), sql, st.Name.Position)
	}
	x := &schema.Secret{Name: st.Name.Name, Backend: schema.SecretBackend(o.oneOf("backend", "", string(schema.SecretEnv), string(schema.SecretFile))), Place: st.Value}
	if err := o.done(); err != nil {
		return "", err
	}
	switch {
	case x.Place == "":
		return "", at(fail(codeInvalidParameter, "secret %q is empty: say where its value is", x.Name), sql, st.Name.Position)
	case x.Backend == schema.SecretFile && !filepath.IsAbs(x.Place):
		return "", at(fail(codeInvalidParameter, "the file of secret %q must be an absolute path", x.Name), sql, st.Name.Position)
	}
	return tag, s.putNamed(sql, "SECRET", st.Name, st.OrReplace, st.IfNotExists, "secret", func(c *schema.Catalog, id uint32, old any) {
		next := *x
		if next.ID = id; old != nil {
			next.Comment = old.(*schema.Secret).Comment
		}
		c.Secrets[id] = &next
	})
}

// secretOptions are the options of connections whose values no statement has: only a SECRET can say them.
var secretOptions = []string{ingest.OptPassword, ingest.OptToken, ingest.OptKey, ingest.OptRegistryPassword, ingest.OptSecret, ingest.OptSSLKey}

// maybeSecret are the options whose values either a statement or a secret has.
var maybeSecret = []string{ingest.OptUsername, ingest.OptCA, ingest.OptCert, ingest.OptRegistryUsername, ingest.OptUser, ingest.OptSSLRootCert, ingest.OptSSLCert, disperse.OptUsername}

// connectionType is what connections of a type are.
type connectionType struct {
	options []string
	check   func(o *optionReader, x *schema.Connection) error
}

var connectionTypes = map[string]connectionType{
	kafkaConnector: {[]string{ingest.OptBrokers, ingest.OptMechanism, ingest.OptUsername, ingest.OptPassword, ingest.OptToken, ingest.OptTLS, ingest.OptCA, ingest.OptCert, ingest.OptKey, ingest.OptServerName,
		ingest.OptRegistry, ingest.OptRegistryUsername, ingest.OptRegistryPassword}, checkConnection},
	postgresType:            {[]string{ingest.OptHost, ingest.OptPort, ingest.OptDatabase, ingest.OptUser, ingest.OptSecret, ingest.OptSSLMode, ingest.OptSSLRootCert, ingest.OptSSLCert, ingest.OptSSLKey}, checkPostgresConnection},
	disperse.ConnectionType: {storeOptions, checkStore},
}

// createConnection is CREATE CONNECTION. Whether something answers there shows when a source is made of it.
func (s *Session) createConnection(sql string, st *parse.CreateConnection) (string, error) {
	const tag = "CREATE CONNECTION"
	o := readOptions(sql, tag, st.Options)
	x := &schema.Connection{Name: st.Name.Name, Type: o.oneOf("type", "", slices.Sorted(maps.Keys(connectionTypes))...), SQL: sql, Options: map[string]string{}}
	if x.Type == "" {
		return "", at(hint(fail(codeInvalidParameter, "connection %q needs a type", x.Name), "WITH (type = 'kafka', brokers = 'host:9092') or WITH (type = 'postgres', host = '…', database = '…', user = '…', password = SECRET …) or "+storeHint), sql, st.Name.Position)
	}
	if o.err != nil { // what another type needs is not known
		return "", o.err
	}
	of := connectionTypes[x.Type]
	known := of.options
	for _, name := range known {
		if o.has(name) {
			v := st.Options[name]
			switch secretly := slices.Contains(secretOptions, name); {
			case v.Kind != parse.OptSecret && secretly:
				e := hint(fail(codeInvalidParameter, "option %q takes a secret: its value must not stand in a statement", name), "CREATE SECRET … WITH (backend = 'env') AS 'VARIABLE'; then %s = SECRET name", name)
				return "", at(e, sql, v.ValuePosition)
			case v.Kind == parse.OptSecret && !secretly && !slices.Contains(maybeSecret, name):
				return "", at(fail(codeInvalidParameter, "option %q takes no secret", name), sql, v.ValuePosition)
			case v.Kind != parse.OptSecret:
				x.Options[name] = v.Value
			}
		}
	}
	if err := of.check(o, x); err != nil {
		return "", at(asError(err), sql, st.Name.Position)
	}
	if err := o.done(); err != nil {
		return "", err
	}
	return tag, s.putNamed(sql, "CONNECTION", st.Name, st.OrReplace, st.IfNotExists, "connection", func(c *schema.Catalog, id uint32, old any) {
		next := *x
		if next.ID = id; old != nil {
			next.Comment = old.(*schema.Connection).Comment
		}
		c.Connections[id] = &next
	}, func(c *schema.Catalog) error {
		if x.Type == disperse.ConnectionType {
			if err := oneStore(sql, st.Name, c); err != nil {
				return err
			}
		}
		x.Secrets = map[string]uint32{}
		for _, name := range known {
			if v, ok := st.Options[name]; ok && v.Kind == parse.OptSecret {
				secret := c.Secret(v.Value)
				if secret == nil {
					return at(fail(codeUndefinedObject, "secret %q does not exist", v.Value), sql, v.ValuePosition)
				}
				x.Secrets[name] = secret.ID
			}
		}
		return nil
	})
}

// checkConnection checks that the options of a connection to Kafka go together.
func checkConnection(o *optionReader, x *schema.Connection) error {
	refuse := func(name, format string, args ...any) {
		o.refuse(o.opts[name], codeInvalidParameter, format, args...)
	}
	given := func(name string) bool { _, ok := o.opts[name]; return ok }
	brokers := strings.FieldsFunc(x.Options[ingest.OptBrokers], func(r rune) bool { return r == ',' || r == ' ' })
	if len(brokers) == 0 {
		return hint(fail(codeInvalidParameter, "connection %q needs brokers", x.Name), "WITH (type = 'kafka', brokers = 'host:9092, other:9092')")
	}
	for _, b := range brokers {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
			refuse(ingest.OptBrokers, "broker %q is not written host:port", b)
		}
	}
	if given(ingest.OptTLS) {
		x.Options[ingest.OptTLS] = fmt.Sprint(o.bool(ingest.OptTLS, false))
	}
	registry := strings.FieldsFunc(x.Options[ingest.OptRegistry], func(r rune) bool { return r == ',' || r == ' ' })
	secure := false
	for _, at := range registry {
		u, err := url.Parse(at)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			refuse(ingest.OptRegistry, "schema registry %q is not written http://host:port, or https://host:port", at)
		} else if secure = secure || u.Scheme == "https"; u.Scheme == "http" && given(ingest.OptRegistryPassword) {
			refuse(ingest.OptRegistry, "a password is sent to a schema registry over https only")
		}
	}
	for _, name := range []string{ingest.OptRegistryUsername, ingest.OptRegistryPassword} {
		if given(name) && (len(registry) == 0 || !given(ingest.OptRegistryUsername) || !given(ingest.OptRegistryPassword)) {
			refuse(name, "a login of a schema registry is %s, %s and %s, all of them", ingest.OptRegistry, ingest.OptRegistryUsername, ingest.OptRegistryPassword)
		}
	}
	checkClientTLS(o, x, secure)
	needs := []string{ingest.OptUsername, ingest.OptPassword}
	switch m := strings.ToUpper(x.Options[ingest.OptMechanism]); m {
	case "":
		needs = nil
	case "OAUTHBEARER":
		x.Options[ingest.OptMechanism], needs = m, []string{ingest.OptToken}
	default:
		if x.Options[ingest.OptMechanism] = m; !slices.Contains(ingest.Mechanisms, m) {
			refuse(ingest.OptMechanism, "option %q must be one of %s, not %q", ingest.OptMechanism, strings.Join(ingest.Mechanisms, ", "), m)
		}
	}
	for _, name := range []string{ingest.OptUsername, ingest.OptPassword, ingest.OptToken} {
		switch wanted := slices.Contains(needs, name); {
		case given(name) && !wanted:
			refuse(name, "option %q does not go with %s = '%s'", name, ingest.OptMechanism, x.Options[ingest.OptMechanism])
		case wanted && !given(name):
			refuse(ingest.OptMechanism, "%s = '%s' needs option %q", ingest.OptMechanism, x.Options[ingest.OptMechanism], name)
		}
	}
	return nil
}

// checkPostgresConnection checks that the options of a connection to PostgreSQL go together.
func checkPostgresConnection(o *optionReader, x *schema.Connection) error {
	refuse := func(name, format string, args ...any) {
		o.refuse(o.opts[name], codeInvalidParameter, format, args...)
	}
	given := func(name string) bool { _, ok := o.opts[name]; return ok }
	for _, name := range []string{ingest.OptHost, ingest.OptDatabase, ingest.OptUser} {
		if !given(name) || x.Options[name] == "" && o.opts[name].Kind != parse.OptSecret {
			return hint(fail(codeInvalidParameter, "connection %q needs option %q", x.Name, name), "WITH (type = 'postgres', host = '…', database = '…', user = '…', password = SECRET …)")
		}
	}
	if port, err := strconv.ParseUint(x.Options[ingest.OptPort], 10, 16); given(ingest.OptPort) && (err != nil || port == 0) {
		refuse(ingest.OptPort, "option \"port\" must be between 1 and 65535, not %q", x.Options[ingest.OptPort])
	}
	if mode := x.Options[ingest.OptSSLMode]; given(ingest.OptSSLMode) && !slices.Contains(ingest.SSLModes, mode) {
		refuse(ingest.OptSSLMode, "option \"sslmode\" must be one of %s, not %q", strings.Join(ingest.SSLModes, ", "), mode)
	}
	for _, name := range []string{ingest.OptSSLRootCert, ingest.OptSSLCert, ingest.OptSSLKey} {
		if given(name) && x.Options[ingest.OptSSLMode] == "disable" {
			refuse(name, "option %q does not go with sslmode = 'disable'", name)
		}
		if given(ingest.OptSSLCert) != given(ingest.OptSSLKey) && given(name) && name != ingest.OptSSLRootCert {
			refuse(name, "a client's certificate is given by %s and %s, both", ingest.OptSSLCert, ingest.OptSSLKey)
		}
	}
	return nil
}

// putNamed defines an object that has a name of its kind: put gets its id, and the one that it replaces. check runs before, over the
// same catalog.
func (s *Session) putNamed(sql, kind string, name parse.Name, replace, ifNotExists bool, sequence string, put func(c *schema.Catalog, id uint32, old any), check ...func(c *schema.Catalog) error) error {
	word := strings.ToLower(kind)
	if name.Schema != "" {
		return at(fail(codeDefinition, "a %s has no schema", word), sql, name.Position)
	}
	if ofKind(s.catalog(), kind, name.Name) != nil && ifNotExists {
		s.notice(session.Notice{Code: codeDuplicateObject, Message: fmt.Sprintf("%s %q already exists, skipping", word, name.Name)})
		return nil
	}
	id, err := s.e.log.Sequence(sequence)
	if err != nil {
		return err
	}
	return s.define(func(c *schema.Catalog) error {
		for _, f := range check {
			if err := f(c); err != nil {
				return err
			}
		}
		old := ofKind(c, kind, name.Name)
		if old == nil {
			put(c, uint32(id), nil)
			return nil
		}
		if !replace {
			return at(hint(fail(codeDuplicateObject, "%s %q already exists", word, name.Name), "CREATE OR REPLACE %s %s … redefines it.", kind, name.Name), sql, name.Position)
		}
		ref, _ := schema.RefOf(old)
		put(c, ref.ID, old)
		return nil
	})
}

// renameNamed renames a connection or a secret. What uses it knows it by its id.
func renameNamed(c *schema.Catalog, name, kind, to string) error {
	o := ofKind(c, kind, name)
	if o == nil {
		return fail(codeConflict, "%s %q was dropped or renamed meanwhile", strings.ToLower(kind), name)
	}
	if ofKind(c, kind, to) != nil {
		return fail(codeDuplicateObject, "%s %q already exists", strings.ToLower(kind), to)
	}
	if readers := readersOf(c, o); len(readers) > 0 {
		e := fail(codeDependent, "cannot rename %s because definitions name it", named(o))
		words := make([]string, len(readers))
		for i, r := range readers {
			words[i] = named(r)
		}
		slices.Sort(words)
		e.Detail = "Readers: " + strings.Join(words, ", ") + "."
		return e
	}
	switch o := o.(type) {
	case *schema.Connection:
		next := *o
		next.Name = to
		sql, err := renamedDefinition(o.SQL, to)
		if err != nil {
			return err
		}
		next.SQL = sql
		c.Connections[o.ID] = &next
	case *schema.Secret:
		next := *o
		next.Name = to
		c.Secrets[o.ID] = &next
	}
	return nil
}

// ownerOfNamed is ALTER {CONNECTION | SECRET} … OWNER TO.
func (s *Session) ownerOfNamed(st *parse.Alter) bound {
	kind := string(st.Object)
	return s.definition(func(ctx context.Context) (string, error) {
		if _, err := s.ordinary(ctx); err != nil {
			return "", err
		}
		return "ALTER " + kind, s.rightsStep(func(c *schema.Catalog, notice func(session.Notice)) error {
			o := ofKind(c, kind, st.Name.Name)
			if o == nil && st.IfExists {
				notice(session.Notice{Message: fmt.Sprintf("%s %q does not exist, skipping", strings.ToLower(kind), st.Name.Name)})
				return nil
			}
			if o == nil {
				return notThatKind(nil, "ALTER", kind, st.Name)
			}
			ref, _ := schema.RefOf(o)
			return s.newOwner(c, st.Owner, grantTarget{ref, st.Name.Name})
		})
	})
}

// useConnection checks that a role may make sources of a connection.
func (a *access) useConnection(name string) error {
	c := a.cat.Connection(name)
	if c == nil {
		return nil // which the statement says
	}
	ref, _ := schema.RefOf(c)
	if a.cat.Owns(a.role, ref) || a.cat.Allowed(a.role, ref, schema.Usage) != 0 {
		return nil
	}
	return hint(denied("permission denied for connection %s", name), "GRANT USAGE ON CONNECTION %s TO %s;", name, roleName(a.s, a.role))
}

func usesSecret(c *schema.Connection, s *schema.Secret) bool {
	return slices.Contains(slices.Collect(maps.Values(c.Secrets)), s.ID)
}

// connectionRows are the rows of tilehouse.connections.
func connectionRows(_ *Session, cat *schema.Catalog) ([][]string, error) {
	var out [][]string
	for _, c := range sorted(cat.Connections, func(c *schema.Connection) string { return c.Name }) {
		var readers []string
		for _, r := range readersOf(cat, c) {
			readers = append(readers, objectName(r))
		}
		slices.Sort(readers)
		ref, _ := schema.RefOf(c)
		out = append(out, append(literals(c.Name, c.Type, strings.Join(readers, ", "), cat.RoleName(cat.Owner(ref))), orNull(c.Comment), duck.QuoteLiteral(c.SQL)))
	}
	return out, nil
}

// secretRows are the rows of tilehouse.secrets, which say nothing of where the values are.
func secretRows(_ *Session, cat *schema.Catalog) ([][]string, error) {
	var out [][]string
	for _, x := range sorted(cat.Secrets, func(x *schema.Secret) string { return x.Name }) {
		var readers []string
		for _, r := range readersOf(cat, x) {
			readers = append(readers, objectName(r))
		}
		slices.Sort(readers)
		ref, _ := schema.RefOf(x)
		out = append(out, append(literals(x.Name, string(x.Backend), strings.Join(readers, ", "), cat.RoleName(cat.Owner(ref))), orNull(x.Comment)))
	}
	return out, nil
}

package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/storage/schema"
)

// The options of a connection to PostgreSQL.
const (
	OptHost        = "host"
	OptPort        = "port"
	OptDatabase    = "database"
	OptUser        = "user"
	OptSecret      = "password"
	OptSSLMode     = "sslmode"
	OptSSLRootCert = "sslrootcert" // PEM
	OptSSLCert     = "sslcert"     // PEM
	OptSSLKey      = "sslkey"      // PEM
)

// SSLModes are what OptSSLMode may be, as in libpq.
var SSLModes = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}

// Errors of reading tables of PostgreSQL, beside ErrRefused and ErrForbidden.
var (
	ErrNoServer = errors.New("PostgreSQL does not answer")
	ErrNoTable  = errors.New("the table does not exist")
)

// pgSettings say in which form PostgreSQL writes values.
var pgSettings = map[string]string{"application_name": "tilehouse", "client_encoding": "UTF8", "DateStyle": "ISO, MDY", "IntervalStyle": "postgres", "TimeZone": "UTC",
	"extra_float_digits": "3", "bytea_output": "hex", "statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}

// connectPG connects as a connection says. replication makes it a connection that also takes the commands of replication. Errors: those
// of pgError, *SecretError, bad certificates.
func connectPG(ctx context.Context, cat *schema.Catalog, c *schema.Connection, replication bool) (*pgconn.PgConn, error) {
	cfg, err := pgConfig(cat, c)
	if err != nil {
		return nil, err
	}
	for k, v := range pgSettings {
		cfg.RuntimeParams[k] = v
	}
	if replication {
		cfg.RuntimeParams["replication"] = "database"
	}
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, pgError(err)
	}
	return conn, nil
}

func pgConfig(cat *schema.Catalog, c *schema.Connection) (*pgconn.Config, error) {
	values := map[string]string{}
	for _, o := range []string{OptHost, OptPort, OptDatabase, OptUser, OptSecret, OptSSLMode, OptSSLRootCert, OptSSLCert, OptSSLKey} {
		v, err := Value(cat, c, o)
		if err != nil {
			return nil, err
		}
		values[o] = v
	}
	mode := values[OptSSLMode]
	if mode == "require" && values[OptSSLRootCert] != "" { // as libpq does
		mode = "verify-ca"
	}
	var text strings.Builder
	for _, o := range [][2]string{{"host", values[OptHost]}, {"port", values[OptPort]}, {"dbname", values[OptDatabase]}, {"user", values[OptUser]}, {"sslmode", mode}, {"target_session_attrs", "any"}} {
		if o[1] != "" {
			fmt.Fprintf(&text, "%s='%s' ", o[0], strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(o[1]))
		}
	}
	cfg, err := pgconn.ParseConfig(text.String())
	if err != nil {
		return nil, err
	}
	cfg.Password, cfg.ConnectTimeout = values[OptSecret], dialTimeout
	var configs []*tls.Config
	if cfg.TLSConfig != nil {
		configs = append(configs, cfg.TLSConfig)
	}
	for _, f := range cfg.Fallbacks {
		if f.TLSConfig != nil {
			configs = append(configs, f.TLSConfig)
		}
	}
	for _, t := range configs {
		t.MinVersion = tls.VersionTLS12
		if pem := values[OptSSLRootCert]; pem != "" {
			if t.RootCAs, err = certificates(pem); err != nil {
				return nil, err
			}
		}
		if values[OptSSLCert] != "" {
			pair, err := tls.X509KeyPair([]byte(values[OptSSLCert]), []byte(values[OptSSLKey]))
			if err != nil {
				return nil, fmt.Errorf("%s and %s: %w", OptSSLCert, OptSSLKey, err)
			}
			t.Certificates = []tls.Certificate{pair}
		}
	}
	return cfg, nil
}

// pgError puts one of the package's errors before what a client says.
func pgError(err error) error {
	var of *pgconn.PgError
	var net net.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &of):
		switch of.Code {
		case "28000", "28P01", "28P02":
			return fmt.Errorf("%w: %s", ErrRefused, of.Message)
		case "42501":
			return fmt.Errorf("%w: %s", ErrForbidden, of.Message)
		}
		if of.Hint != "" {
			return fmt.Errorf("%s (%s; PostgreSQL's hint: %s)", of.Message, of.Code, of.Hint)
		}
		return fmt.Errorf("%s (%s)", of.Message, of.Code)
	case untrusted(err):
		return fmt.Errorf("%w: %w", ErrUntrusted, err)
	case errors.As(err, &net), errors.As(err, new(*pgconn.ConnectError)):
		return fmt.Errorf("%w: %w", ErrNoServer, err)
	}
	return err
}

// TableColumn is a column of a table of PostgreSQL.
type TableColumn struct {
	Name      string
	Type      string // as format_type writes it
	NotNull   bool
	Generated bool // computed by PostgreSQL of others
	TypeID    typeID
}

// typeID is a type as replication names it.
type typeID struct {
	oid uint32
	mod int32
}

// Table is what PostgreSQL says of a table, and of itself.
type Table struct {
	OID     uint32
	Kind    string // pg_class.relkind
	Columns []TableColumn
	Key     []string // of the primary key
	// Identity is pg_class.relreplident, and IdentityKey the columns by which replication names an old row.
	Identity    string
	IdentityKey []string
	HasSlot     bool // there is a replication slot of the source's name
	WALLevel    string
	System      string // identifier of the cluster; "" where the login may not ask
	// CanReplicate, CanRead and CanPublish say what the login may do: read the WAL, read the table, and publish it.
	CanReplicate, CanRead, CanPublish bool
}

// Column is the column of a name, nil if there is none.
func (t *Table) Column(name string) *TableColumn {
	if i := slices.IndexFunc(t.Columns, func(c TableColumn) bool { return c.Name == name }); i >= 0 {
		return &t.Columns[i]
	}
	return nil
}

// Publication is what PostgreSQL says of a publication and a table in it.
type Publication struct {
	Exists, HasTable bool
	Whole            bool // all kinds of changes are published, of all rows
	Columns          []string
	ID               uint32 // of the table's place in the publication: another one where it was taken out and added again
}

// DescribeTable asks the database of a connection for the table of a source, and for its publication, if it names one. Errors: ErrNoTable,
// ErrNoServer, ErrRefused, *SecretError.
func DescribeTable(ctx context.Context, cat *schema.Catalog, c *schema.Connection, of *schema.Postgres) (*Table, *Publication, error) {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	conn, err := connectPG(ctx, cat, c, false)
	if err != nil {
		return nil, nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	t, err := describeTable(ctx, conn, of.Schema, of.Table)
	if err != nil {
		return nil, nil, err
	}
	slots, err := ask(ctx, conn, "SELECT 1 FROM pg_replication_slots WHERE slot_name = $1", of.Slot)
	if err != nil {
		return nil, nil, err
	}
	t.HasSlot = len(slots) > 0
	p, err := describePublication(ctx, conn, of.Publish, of.Schema, of.Table)
	return t, p, err
}

// ask runs a query with text parameters; its values are valid for good.
func ask(ctx context.Context, conn *pgconn.PgConn, sql string, args ...string) ([][]string, error) {
	values := make([][]byte, len(args))
	for i, a := range args {
		values[i] = []byte(a)
	}
	res := conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	if res.Err != nil {
		return nil, pgError(res.Err)
	}
	out := make([][]string, len(res.Rows))
	for i, row := range res.Rows {
		for _, v := range row {
			out[i] = append(out[i], string(v))
		}
	}
	return out, nil
}

func describeTable(ctx context.Context, conn *pgconn.PgConn, schemaName, table string) (*Table, error) {
	rows, err := ask(ctx, conn, `SELECT c.oid::bigint, c.relkind, c.relreplident, current_setting('wal_level'),
		(SELECT r.rolreplication OR r.rolsuper FROM pg_roles r WHERE r.rolname = current_user), has_table_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'SELECT'),
		pg_has_role(c.relowner, 'USAGE') AND has_database_privilege(current_database(), 'CREATE'), (SELECT system_identifier FROM pg_control_system())
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')`, schemaName, table)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, ErrNoTable
	}
	r := rows[0]
	t := &Table{Kind: r[1], Identity: r[2], WALLevel: r[3], CanReplicate: r[4] == "t", CanRead: r[5] == "t", CanPublish: r[6] == "t", System: r[7]}
	if _, err := fmt.Sscan(r[0], &t.OID); err != nil {
		return nil, err
	}
	rows, err = ask(ctx, conn, `SELECT attname, format_type(atttypid, atttypmod), attnotnull, attgenerated <> '', atttypid::bigint, atttypmod FROM pg_attribute WHERE attrelid = $1::text::oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum`, r[0])
	if err != nil {
		return nil, err
	}
	for _, c := range rows {
		column := TableColumn{Name: c[0], Type: c[1], NotNull: c[2] == "t", Generated: c[3] == "t"}
		if _, err := fmt.Sscan(c[4]+" "+c[5], &column.TypeID.oid, &column.TypeID.mod); err != nil {
			return nil, err
		}
		t.Columns = append(t.Columns, column)
	}
	rows, err = ask(ctx, conn, `SELECT a.attname, i.indisprimary, i.indisreplident FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY k(num, place) JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num
		WHERE i.indrelid = $1::text::oid AND (i.indisprimary OR i.indisreplident) AND k.place <= i.indnkeyatts ORDER BY k.place`, r[0])
	if err != nil {
		return nil, err
	}
	for _, c := range rows {
		if c[1] == "t" {
			t.Key = append(t.Key, c[0])
		}
		if c[2] == "t" && t.Identity == "i" {
			t.IdentityKey = append(t.IdentityKey, c[0])
		}
	}
	switch t.Identity {
	case "d":
		t.IdentityKey = t.Key
	case "f":
		for _, c := range t.Columns {
			t.IdentityKey = append(t.IdentityKey, c.Name)
		}
	}
	return t, nil
}

func describePublication(ctx context.Context, conn *pgconn.PgConn, name, schemaName, table string) (*Publication, error) {
	p := &Publication{}
	if name == "" {
		return p, nil
	}
	// Columns and row filters came with PostgreSQL 15.
	filters := "'{}'::name[], NULL"
	if strings.Compare(versionOf(conn), "15") >= 0 {
		filters = "t.attnames, t.rowfilter"
	}
	rows, err := ask(ctx, conn, `SELECT p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate, t.tablename IS NOT NULL, array_to_string(x.names, chr(31)), x.filter IS NOT NULL,
		coalesce((SELECT r.oid FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.prpubid = p.oid AND n.nspname = $2 AND c.relname = $3), p.oid)::bigint
		FROM pg_publication p LEFT JOIN pg_publication_tables t ON t.pubname = p.pubname AND t.schemaname = $2 AND t.tablename = $3
		LEFT JOIN LATERAL (SELECT `+filters+`) x(names, filter) ON true WHERE p.pubname = $1`, name, schemaName, table)
	if err != nil || len(rows) == 0 {
		return p, err
	}
	r := rows[0]
	p.Exists, p.HasTable, p.Whole = true, r[1] == "t", r[0] == "t" && r[3] != "t"
	if _, err := fmt.Sscan(r[4], &p.ID); err != nil {
		return nil, err
	}
	if r[2] != "" {
		p.Columns = strings.Split(r[2], "\x1f")
	}
	return p, nil
}

// versionOf is PostgreSQL's major version, with two digits.
func versionOf(conn *pgconn.PgConn) string {
	v, _, _ := strings.Cut(conn.ParameterStatus("server_version"), ".")
	return v[:min(2, len(v))]
}

// Flaw says why a publication does not have what a source of these columns needs, "": it does.
func (p *Publication) Flaw(name string, columns []string) string {
	switch {
	case !p.Exists:
		return fmt.Sprintf("publication %q does not exist", name)
	case !p.HasTable:
		return fmt.Sprintf("publication %q does not have the table", name)
	case !p.Whole:
		return fmt.Sprintf("publication %q leaves out some rows, or one of insert, update, delete and truncate", name)
	}
	for _, c := range columns {
		if len(p.Columns) > 0 && !slices.Contains(p.Columns, c) {
			return fmt.Sprintf("publication %q leaves out column %q", name, c)
		}
	}
	return ""
}

// heldSlot is what PostgreSQL keeps for a source.
type heldSlot struct {
	name string // of the source
	cat  *schema.Catalog
	of   *schema.Postgres
}

const (
	// dropTries and dropWait are how often, and with what wait in between, a slot of a dropped source is tried to be dropped.
	dropTries = 5
	dropWait  = 2 * time.Second
)

// dropSlots drops what PostgreSQL keeps for sources that are gone, in the background. The caller holds in.mu.
func (in *Ingest) dropSlots(ctx context.Context, cat *schema.Catalog) {
	for id, s := range in.slots {
		if cat.Relations[id] == nil {
			delete(in.slots, id)
			in.done.Go(func() { in.dropSlot(ctx, s) })
		}
	}
	for id, r := range cat.Relations {
		if r.Postgres != nil && r.Postgres.Slot != "" {
			in.slots[id] = heldSlot{r.Name, cat, r.Postgres}
		}
	}
}

func (in *Ingest) dropSlot(ctx context.Context, s heldSlot) {
	var err error
	for try := range dropTries {
		if try > 0 {
			select {
			case <-time.After(dropWait):
			case <-ctx.Done():
			}
		}
		if err = s.drop(ctx); err == nil {
			return
		}
	}
	in.cfg.Logger.Warn("a dropped source leaves a replication slot, for which PostgreSQL keeps its log", "source", s.name, "error", err,
		"statement", fmt.Sprintf("SELECT pg_drop_replication_slot('%s')", s.of.Slot))
}

func (s *heldSlot) drop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	conn, err := connectPG(ctx, s.cat, s.cat.Connections[s.of.Connection], true)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := dropSlot(ctx, conn, s.of.Slot); err != nil {
		return err
	}
	if !s.of.OwnPublish {
		return nil
	}
	_, err = conn.Exec(ctx, "DROP PUBLICATION IF EXISTS "+quotePG(s.of.Publish)).ReadAll()
	return pgError(err)
}

// dropSlot drops a slot, which need not be there.
func dropSlot(ctx context.Context, conn *pgconn.PgConn, slot string) error {
	err := pglogrepl.DropReplicationSlot(ctx, conn, slot, pglogrepl.DropReplicationSlotOptions{})
	var of *pgconn.PgError
	if errors.As(err, &of) && of.Code == "42704" {
		return nil
	}
	return pgError(err)
}

// quotePG is a name in SQL.
func quotePG(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

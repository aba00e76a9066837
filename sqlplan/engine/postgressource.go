package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize/ingest"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// postgresConnector is the connector of sources that read tables of PostgreSQL, and postgresType the type of connections to it.
const (
	postgresConnector = "postgres"
	postgresType      = "postgres"
)

const postgresExample = "CREATE SOURCE customers WITH (connector = 'postgres', connection = 'app', table = 'customers', mode = 'cdc')"

// A PostgreSQL source is two relations. The one that the statement names has the table's rows as they are now; the other one, of versions,
// has every state that a row was known in, and every end of one, since when it became known. Statements read the first one; latest values,
// and attributes as of an event, are the second one's.

// createPostgresSource is CREATE SOURCE … WITH (connector = 'postgres', …). PostgreSQL is asked for the table, so that what the source needs and
// PostgreSQL does not have is known from the statement on; slot and publication are made by the reader.
func (s *Session) createPostgresSource(ctx context.Context, st *parse.CreateSource, o *optionReader) error {
	r := &schema.Relation{Name: st.Name.Name, Kind: schema.PostgresSource, SQL: st.Text, PrimaryKey: st.PrimaryKey, EventTime: o.text("event_time", "")}
	r.FutureBound = o.duration("future_bound", defaultFutureBound, 0)
	r.Lateness = o.duration("lateness", 0, 0)
	p := &schema.Postgres{Schema: "public", Table: o.text("table", ""), Mode: strings.ToLower(o.oneOf("mode", schema.ModeCDC, schema.ModeCDC, schema.ModeSnapshot))}
	r.Postgres = p
	name := o.text("connection", "")
	if p.Mode == schema.ModeSnapshot {
		p.RefreshEvery = o.duration("refresh_every", 0, leastRefresh)
	} else {
		p.Slot, p.Publish = o.text("slot", ""), o.text("publication", "")
	}
	if err := o.done(); err != nil {
		return err
	}
	place := st.Name.Position
	switch {
	case name == "":
		return at(hint(fail(codeInvalidParameter, "source %q needs a connection", r.Name), "CREATE CONNECTION app WITH (type = 'postgres', host = '…', database = '…', user = '…', password = SECRET …); then %s", postgresExample), st.Text, place)
	case p.Table == "":
		return at(hint(fail(codeInvalidParameter, "source %q needs a table", r.Name), "WITH (connector = 'postgres', connection = '%s', table = 'schema.name')", name), st.Text, place)
	case st.Format != "":
		return at(fail(codeInvalidParameter, "a source of PostgreSQL has no FORMAT: its columns are those of the table"), st.Text, st.CodingPosition)
	case st.Watermark != nil:
		return at(fail(codeUnsupported, "a source of PostgreSQL has no watermark: its rows change, whatever their event time"), st.Text, st.Watermark.Position)
	}
	if before, after, ok := strings.Cut(p.Table, "."); ok {
		p.Schema, p.Table = before, after
	}
	cat := s.catalog()
	named := st.Options["connection"].ValuePosition
	connection := cat.Connection(name)
	if connection == nil {
		return at(hint(fail(codeUndefinedObject, "connection %q does not exist", name), "CREATE CONNECTION %s WITH (type = 'postgres', host = '…', database = '…', user = '…', password = SECRET …)", name), st.Text, named)
	}
	if connection.Type != postgresType {
		return at(fail(codeWrongObject, "connection %q is one to %s", name, connection.Type), st.Text, named)
	}
	p.Connection = connection.ID
	if p.Slot != "" && !slotName(p.Slot) {
		return at(fail(codeInvalidParameter, "replication slot %q: lower-case letters, digits and _, at most 63", p.Slot), st.Text, st.Options["slot"].ValuePosition)
	}
	table, published, err := ingest.DescribeTable(ctx, cat, connection, p)
	if err != nil {
		return s.postgresSays(err, st, connection, p)
	}
	if err := s.tableColumns(ctx, st, r, table); err != nil {
		return err
	}
	if err := s.tableFits(st, r, table, published); err != nil {
		return err
	}
	if p.Mode == schema.ModeCDC {
		if err := ownNames(r, table); err != nil {
			return err
		}
	}
	if err := s.nameFree(ctx, cat, parse.Name{Name: schema.VersionsName(r.Name)}, st.Text); err != nil {
		return at(asError(err), st.Text, place)
	}
	return s.putPostgres(r)
}

func slotName(name string) bool {
	return len(name) <= 63 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// ownNames gives a source the slot and the publication that it does not name. No two sources have the same ones, wherever they are.
func ownNames(r *schema.Relation, table *ingest.Table) error {
	p := r.Postgres
	p.System = table.System
	random := make([]byte, 6)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	own := "tilehouse_" + hex.EncodeToString(random)
	if p.Slot == "" {
		p.Slot = own
	}
	if p.Publish == "" {
		p.Publish, p.OwnPublish = own, true
	}
	return nil
}

// putPostgres writes a source and the relation of its versions.
func (s *Session) putPostgres(r *schema.Relation) error {
	id, err := s.e.log.Sequence("relation")
	if err != nil {
		return err
	}
	r.Postgres.Versions = uint32(id)
	return s.putRelation(r, func(c *schema.Catalog) error {
		v := schema.NewVersions(r)
		v.ID = uint32(id)
		if c.Lookup(v.Name) != nil {
			return taken(c, v.Name)
		}
		c.Relations[v.ID] = v
		return nil
	})
}

// tableColumns gives a source its columns: those that the statement lists, or all of the table.
func (s *Session) tableColumns(ctx context.Context, st *parse.CreateSource, r *schema.Relation, table *ingest.Table) error {
	place, key := st.Name.Position, st.Name.Position
	for _, c := range st.Columns {
		if c.Default != "" {
			return at(fail(codeUnsupported, "a column of a source cannot have a DEFAULT (column %q)", c.Name), st.Text, c.Position)
		}
		of := table.Column(c.Name)
		if of == nil {
			var names []string
			for _, t := range table.Columns {
				names = append(names, t.Name)
			}
			return at(hint(fail(codeUndefinedColumn, "table %q has no column %q", r.Postgres.Table, c.Name), "Its columns: %s.", strings.Join(names, ", ")), st.Text, c.Position)
		}
		if of.Generated && r.Postgres.Mode == schema.ModeCDC {
			return at(fail(codeUnsupported, "column %q of table %q is generated, which replication does not send", c.Name, r.Postgres.Table), st.Text, c.Position)
		}
		r.Columns = append(r.Columns, schema.Column{Name: c.Name, Type: c.Type, NotNull: c.NotNull, Bare: parse.BareNumeric(c.TypeName)})
		r.Postgres.Types = append(r.Postgres.Types, of.Type)
	}
	if !st.HasColumns {
		for _, c := range table.Columns {
			col, err := tableColumn(c)
			if err == nil && c.Generated && r.Postgres.Mode == schema.ModeCDC {
				err = errors.New("it is generated, which replication does not send")
			}
			if err != nil {
				return at(hint(fail(codeUnsupported, "column %q of table %q cannot be read, of type %s: %s", c.Name, r.Postgres.Table, c.Type, err),
					"List the columns to read, this one as text or not at all: CREATE SOURCE %s (%s) WITH (…)", r.Name, listable(table)), st.Text, place)
			}
			r.Columns = append(r.Columns, col)
			r.Postgres.Types = append(r.Postgres.Types, c.Type)
		}
	}
	if len(r.Columns) == 0 {
		return at(fail(codeDefinition, "table %q has no columns", r.Postgres.Table), st.Text, place)
	}
	if r.PrimaryKey == nil {
		r.PrimaryKey = table.Key
	}
	for _, k := range r.PrimaryKey {
		if r.ColumnIndex(k) < 0 {
			return at(hint(fail(codeUndefinedColumn, "column %q of the primary key is not among the columns of source %q", k, r.Name), "List it, too."), st.Text, key)
		}
	}
	for i := range r.Columns {
		c := &r.Columns[i]
		if strings.HasPrefix(c.Name, "__") {
			return at(hint(fail("42939", "column name %q is reserved", c.Name), "List the columns to read without it."), st.Text, place)
		}
	}
	if r.EventTime == "" {
		return nil
	}
	if of := table.Column(r.EventTime); of != nil && !of.NotNull {
		return at(hint(fail(codeDefinition, "event time %q of source %q may be NULL in table %q", r.EventTime, r.Name, r.Postgres.Table), "In PostgreSQL: ALTER TABLE %s ALTER COLUMN %s SET NOT NULL", r.Postgres.Table, quoteName(r.EventTime)), st.Text, st.Options["event_time"].ValuePosition)
	}
	return s.checkColumns(ctx, st.Text, r, slices.Repeat([]parse.Column{{Position: place}}, len(r.Columns)), st.Options["event_time"])
}

// tableColumn is a column of a table as one of a source.
func tableColumn(c ingest.TableColumn) (schema.Column, error) {
	out := schema.Column{Name: c.Name, NotNull: c.NotNull}
	if strings.HasPrefix(c.Type, "character varying") || strings.HasPrefix(c.Type, "character varying(") {
		out.Type = vector.T(vector.Text)
		if strings.HasSuffix(c.Type, "[]") {
			out.Type = vector.ListOf(out.Type)
		}
		return out, nil
	}
	n, err := writtenType(c.Type)
	if err != nil {
		return out, err
	}
	switch names := n.Names; names[len(names)-1].GetString_().GetSval() {
	case "timestamp", "timestamptz", "time": // fewer digits of a second are values of these, too
		n.Typmods = nil
	case "bpchar":
		return out, errors.New("texts that are padded with spaces are not kept as such")
	}
	out.Bare = parse.BareNumeric(n)
	out.Type, err = parse.TypeOf(n)
	return out, err
}

// writtenType reads a type as format_type writes it.
func writtenType(text string) (*pg_query.TypeName, error) {
	tree, err := pg_query.Parse("SELECT NULL::" + text)
	if err != nil {
		return nil, err
	}
	n := tree.Stmts[0].Stmt.GetSelectStmt().GetTargetList()[0].GetResTarget().GetVal().GetTypeCast().GetTypeName()
	if n == nil {
		return nil, fmt.Errorf("type %s is not known", text)
	}
	return n, nil
}

// listable are the columns of a table that can be read, as a statement lists them.
func listable(table *ingest.Table) string {
	var out []string
	for _, c := range table.Columns {
		if col, err := tableColumn(c); err == nil && !c.Generated && len(out) < maxSpelled {
			out = append(out, quoteName(c.Name)+" "+col.Type.String())
		}
	}
	if len(table.Key) > 0 {
		names := make([]string, len(table.Key))
		for i, k := range table.Key {
			names[i] = quoteName(k)
		}
		out = append(out, "PRIMARY KEY ("+strings.Join(names, ", ")+")")
	}
	return strings.Join(out, ", ")
}

// tableFits checks that a table, PostgreSQL and the login have what a source needs.
func (s *Session) tableFits(st *parse.CreateSource, r *schema.Relation, table *ingest.Table, published *ingest.Publication) error {
	p, named, place := r.Postgres, st.Options["table"].ValuePosition, st.Name.Position
	of := fmt.Sprintf("%s.%s", p.Schema, p.Table)
	if len(r.PrimaryKey) == 0 {
		e := fail(codeDefinition, "table %q has no primary key, and the source declares none: versions of a row are told apart by it", of)
		if p.Mode == schema.ModeSnapshot {
			return at(hint(e, "CREATE SOURCE %s (…, PRIMARY KEY (…)) WITH (…), of columns that are unique", r.Name), st.Text, named)
		}
		return at(hint(e, "In PostgreSQL: ALTER TABLE %s ADD PRIMARY KEY (…). Or mode = 'snapshot' and CREATE SOURCE %s (…, PRIMARY KEY (…)), of columns that are unique", of, r.Name), st.Text, named)
	}
	if err := checkPrimaryKey(st.Text, r, place); err != nil {
		return err
	}
	if !table.CanRead {
		return at(hint(fail("42501", "the login of the connection may not read table %q", of), "In PostgreSQL: GRANT SELECT ON %s TO …", of), st.Text, named)
	}
	if p.Mode == schema.ModeSnapshot {
		return nil
	}
	switch {
	case table.Kind != "r" && table.Kind != "p":
		return at(hint(fail(codeWrongObject, "%q is no table: changes are of tables", of), "WITH (…, mode = 'snapshot', refresh_every = '1 minute') reads it as a whole"), st.Text, named)
	case table.WALLevel != "logical":
		return at(hint(fail("55000", "PostgreSQL's wal_level is %s, and changes of tables are read from its log with logical", table.WALLevel), "In PostgreSQL: ALTER SYSTEM SET wal_level = logical, and a restart. Or mode = 'snapshot'"), st.Text, st.Options["connection"].ValuePosition)
	case !table.CanReplicate:
		return at(hint(fail("42501", "the login of the connection may not read PostgreSQL's log"), "In PostgreSQL: ALTER ROLE … REPLICATION. Or mode = 'snapshot'"), st.Text, st.Options["connection"].ValuePosition)
	}
	for _, k := range r.PrimaryKey {
		if !slices.Contains(table.IdentityKey, k) {
			return at(hint(fail("55000", "the replica identity of table %q lacks column %q of the primary key: replication does not say which row changed", of, k), "In PostgreSQL: ALTER TABLE %s REPLICA IDENTITY DEFAULT", of), st.Text, named)
		}
	}
	if held := heldBy(s.catalog(), p.Slot); p.Slot != "" && (table.HasSlot || held != "") {
		return at(hint(fail(codeDuplicateObject, "replication slot %q is there already", p.Slot), "Name another one, or none. One that nobody reads: SELECT pg_drop_replication_slot('%s') in PostgreSQL", p.Slot), st.Text, st.Options["slot"].ValuePosition)
	}
	var names []string
	for _, c := range r.Columns {
		names = append(names, c.Name)
	}
	switch why := published.Flaw(p.Publish, names); {
	case p.Publish == "" && !table.CanPublish:
		return at(hint(fail("42501", "the login of the connection may not publish table %q, which it does not own", of), "In PostgreSQL, as the owner: CREATE PUBLICATION features FOR TABLE %s; then WITH (…, publication = 'features')", of), st.Text, named)
	case p.Publish != "" && why != "":
		return at(hint(fail(codeUndefinedObject, "%s", why), "In PostgreSQL: CREATE PUBLICATION %s FOR TABLE %s", quoteName(p.Publish), of), st.Text, st.Options["publication"].ValuePosition)
	}
	return nil
}

// heldBy is the source that has a replication slot, "" where none has.
func heldBy(cat *schema.Catalog, slot string) string {
	for _, r := range cat.Relations {
		if r.Postgres != nil && r.Postgres.Slot == slot {
			return r.Name
		}
	}
	return ""
}

// postgresSays is an error of PostgreSQL's of a new source.
func (s *Session) postgresSays(err error, st *parse.CreateSource, c *schema.Connection, p *schema.Postgres) error {
	var secret *ingest.SecretError
	connection, named := st.Options["connection"].ValuePosition, st.Options["table"].ValuePosition
	switch {
	case errors.As(err, &secret), errors.Is(err, ingest.ErrRefused):
		return at(fail("28000", "connection %q: %s", c.Name, err), st.Text, connection)
	case errors.Is(err, ingest.ErrNoTable):
		return at(hint(fail(codeUndefinedTable, "table %q does not exist in schema %q of connection %q", p.Table, p.Schema, c.Name), "table = 'schema.name', as PostgreSQL spells it"), st.Text, named)
	case errors.Is(err, ingest.ErrForbidden):
		return at(fail("42501", "table %q on connection %q: %s", p.Table, c.Name, err), st.Text, named)
	case errors.Is(err, ingest.ErrUntrusted):
		return at(hint(fail("08001", "connection %q: %s", c.Name, err), "sslrootcert is the authority of the server's certificate, sslmode says what is checked"), st.Text, connection)
	case errors.Is(err, ingest.ErrNoServer), errors.Is(err, context.DeadlineExceeded):
		return at(hint(fail("08001", "connection %q: %s", c.Name, err), "host = '%s'", c.Options[ingest.OptHost]), st.Text, connection)
	}
	return at(fail("08001", "connection %q: %s", c.Name, err), st.Text, connection)
}

// refreshPostgres is REFRESH SOURCE of a source of PostgreSQL: its table is read as a whole.
func (s *Session) refreshPostgres(ctx context.Context, sql string, st *parse.Refresh, r *schema.Relation) error {
	err := s.e.ingest.Refresh(ctx, r)
	switch {
	case errors.Is(err, ingest.ErrSuspended):
		return at(hint(fail("55000", "source %q is suspended, or was changed meanwhile", r.Name), "ALTER SOURCE %s RESUME", r.Name), sql, st.Name.Position)
	case err != nil && ctx.Err() == nil:
		return at(fail("08000", "source %q: %s", r.Name, err), sql, st.Name.Position)
	}
	return err
}

// writtenValue appends a value as PostgreSQL writes it. Errors: *codec.Error.
func writtenValue(v *vector.Vector, bare bool, text []byte) error {
	if v.Type.Kind == vector.Decimal {
		_, frac, _ := strings.Cut(string(text), ".")
		if len(strings.TrimRight(frac, "0")) > int(v.Type.Scale) {
			why := "column"
			if bare {
				why = "column without a precision"
			}
			return &codec.Error{Code: "22003", Message: fmt.Sprintf("%s has more digits than the %d of a %s here, %s", text, v.Type.Scale, why, v.Type)}
		}
	}
	return codec.AppendParsed(v, text, codec.Defaults)
}

// renameVersions renames the relation of versions of a source that is renamed, next, and in what reads it.
func renameVersions(c *schema.Catalog, old, next *schema.Relation) error {
	v := c.VersionsOf(old)
	if v == nil {
		return nil
	}
	renamed := *v
	renamed.Name, renamed.SQL = schema.VersionsName(next.Name), next.SQL
	if c.Lookup(renamed.Name) != nil {
		return fail(codeDuplicateObject, "%q already exists", renamed.Name)
	}
	c.Relations[v.ID] = &renamed
	reads := func(f *schema.Feature) bool { return f.Relation == v.ID || slices.Contains(f.Attributes, v.ID) }
	if err := renameInFeatures(c, old.Name, next.Name, false, reads); err != nil { // latest values name the source
		return err
	}
	if err := renameInFeatures(c, v.Name, renamed.Name, false, reads); err != nil {
		return err
	}
	for id, w := range c.Relations {
		if w.View != nil && w.View.Base == v.ID {
			view := *w
			var err error
			if view.SQL, err = renamedReader(w.SQL, v.Name, renamed.Name, false); err != nil {
				return err
			}
			c.Relations[id] = &view
		}
	}
	return nil
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize/ingest"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/streams"
)

// kafkaConnector is the connector of sources that read topics.
const kafkaConnector = "kafka"

const (
	// defaultIdle is how long a partition without messages holds the watermark back unless the source says otherwise, leastIdle the
	// shortest time that it may say; microseconds.
	defaultIdle = 30 * 1_000_000
	leastIdle   = 1_000_000
)

const kafkaExample = "CREATE SOURCE live (id bigint, ts timestamptz, PRIMARY KEY (id), WATERMARK FOR ts AS ts - INTERVAL '10 minutes') WITH (connector = 'kafka', connection = 'bus', topic = 'events') FORMAT PLAIN ENCODE JSON"

// createKafkaSource is CREATE SOURCE … WITH (connector = 'kafka', …). The brokers are asked for the topic and for where it begins, so
// that what the source reads is known from the statement on.
func (s *Session) createKafkaSource(ctx context.Context, st *parse.CreateSource, o *optionReader) error {
	r := &schema.Relation{Name: st.Name.Name, Kind: schema.KafkaSource, SQL: st.Text, PrimaryKey: st.PrimaryKey, EventTime: o.text("event_time", "")}
	if r.EventTime == "" && st.Watermark != nil {
		r.EventTime = st.Watermark.Column
	}
	r.FutureBound = o.duration("future_bound", defaultFutureBound, 0)
	r.Lateness = o.duration("lateness", 0, 0)
	k := &schema.Kafka{Topic: o.text("topic", ""), Archive: o.text("archive", ""), IdleTimeout: o.duration("idle_timeout", defaultIdle, leastIdle)}
	r.Kafka = k
	if session := sessionOf(o); o.has("archive") {
		k.SessionTimeout = session
	} else if o.has("session_timeout") {
		o.refuse(st.Options["session_timeout"], codeInvalidParameter, "option %q is of sources whose reading servers share", "session_timeout")
	}
	name := o.text("connection", "")
	start, err := s.startOf(o, st)
	if err != nil {
		return err
	}
	if err := o.done(); err != nil {
		return err
	}
	place := st.Name.Position
	switch {
	case name == "":
		return at(hint(fail(codeInvalidParameter, "source %q needs a connection", r.Name), "CREATE CONNECTION bus WITH (type = 'kafka', brokers = 'host:9092'); then WITH (connector = 'kafka', connection = 'bus', topic = '…')"), st.Text, place)
	case k.Topic == "":
		return at(hint(fail(codeInvalidParameter, "source %q needs a topic", r.Name), "WITH (connector = 'kafka', connection = '%s', topic = '…')", name), st.Text, place)
	case !st.HasColumns:
		return at(hint(fail(codeDefinition, "a Kafka source declares its columns"), "%s", kafkaExample), st.Text, place)
	case r.EventTime == "":
		return at(hint(fail(codeDefinition, "source %q has no event time", r.Name), "Among its columns: WATERMARK FOR ts AS ts - INTERVAL '10 minutes'; or WITH (…, event_time = 'ts')"), st.Text, place)
	case st.Format == "":
		return at(hint(fail(codeDefinition, "source %q does not say how its messages are read", r.Name), "WITH (…) FORMAT PLAIN ENCODE JSON"), st.Text, place)
	}
	cat := s.catalog()
	connection := cat.Connection(name)
	if connection == nil {
		return at(hint(fail(codeUndefinedObject, "connection %q does not exist", name), "CREATE CONNECTION %s WITH (type = 'kafka', brokers = 'host:9092')", name), st.Text, st.Options["connection"].ValuePosition)
	}
	if connection.Type != "kafka" {
		return at(fail(codeWrongObject, "connection %q is of type %s: a Kafka source is read from one of type kafka", name, connection.Type), st.Text, st.Options["connection"].ValuePosition)
	}
	k.Connection = connection.ID
	if err := s.setCoding(st.Text, r, connection, &st.Coding); err != nil {
		return err
	}
	if r.Watermark, err = watermarkOf(st.Text, r, st.Watermark); err != nil {
		return err
	}
	if r.Watermark == nil { // what a stream is complete through is never the clock
		r.Watermark = &schema.Watermark{}
	}
	for _, c := range st.Columns {
		if c.Default != "" {
			return at(fail(codeUnsupported, "a column of a Kafka source cannot have a DEFAULT (column %q): a field that a message lacks is NULL", c.Name), st.Text, c.Position)
		}
		r.Columns = append(r.Columns, schema.Column{Name: c.Name, Type: c.Type, NotNull: c.NotNull, Bare: parse.BareNumeric(c.TypeName)})
	}
	if err := s.checkColumns(ctx, st.Text, r, st.Columns, st.Options["event_time"]); err != nil {
		return err
	}
	if err := checkPrimaryKey(st.Text, r, place); err != nil {
		return err
	}
	topic, err := ingest.Describe(ctx, cat, connection, k.Topic, start)
	if err != nil {
		return s.brokersSay(err, st, connection, k.Topic)
	}
	k.TopicID, k.Start = topic.ID, topic.Start
	if o.has("archive") {
		if err := s.joinArchive(st, r); err != nil {
			return err
		}
	}
	return s.putRelation(r)
}

// brokersSay is an error of the brokers of a new source.
func (s *Session) brokersSay(err error, st *parse.CreateSource, c *schema.Connection, topic string) error {
	var secret *ingest.SecretError
	connection, named := st.Options["connection"].ValuePosition, st.Options["topic"].ValuePosition
	switch {
	case errors.As(err, &secret):
		return at(fail("28000", "connection %q: %s", c.Name, err), st.Text, connection)
	case errors.Is(err, ingest.ErrNoTopic):
		return at(fail(codeUndefinedObject, "topic %q does not exist on connection %q", topic, c.Name), st.Text, named)
	case errors.Is(err, ingest.ErrRefused):
		return at(fail("28000", "connection %q: %s", c.Name, err), st.Text, connection)
	case errors.Is(err, ingest.ErrForbidden):
		return at(fail("42501", "topic %q on connection %q: %s", topic, c.Name, err), st.Text, named)
	case errors.Is(err, ingest.ErrUntrusted):
		return at(hint(fail("08001", "connection %q: %s", c.Name, err), "tls.ca is the authority of the brokers' certificates, tls.server_name their name, tls.cert and tls.key what clients show"), st.Text, connection)
	case errors.Is(err, ingest.ErrUnreachable), errors.Is(err, context.DeadlineExceeded):
		return at(hint(fail("08001", "connection %q: %s", c.Name, err), "brokers = '%s'", c.Options[ingest.OptBrokers]), st.Text, connection)
	}
	return at(fail(codeInvalidParameter, "topic %q on connection %q: %s", topic, c.Name, err), st.Text, named)
}

// startOf is the option start: earliest, latest, a time, or offsets of partitions.
func (s *Session) startOf(o *optionReader, st *parse.CreateSource) (ingest.Start, error) {
	text := strings.TrimSpace(o.text("start", "earliest"))
	switch strings.ToLower(text) {
	case "earliest":
		return ingest.Start{Kind: ingest.StartEarliest}, nil
	case "latest":
		return ingest.Start{Kind: ingest.StartLatest}, nil
	}
	refuse := func(e *session.Error) error {
		return at(hint(e, "start = 'earliest', 'latest', a time such as '2024-06-01 12:00Z', or the first offsets of partitions: '0:1200, 1:1180'"), st.Text, st.Options["start"].ValuePosition)
	}
	if offsets, ok, err := partitionOffsets(text); ok || err != nil {
		if err != nil {
			return ingest.Start{}, refuse(fail(codeInvalidParameter, "option \"start\": %s", err))
		}
		return ingest.Start{Kind: ingest.StartOffsets, Offsets: offsets}, nil
	}
	t, err := parseTime(text, s.location)
	if err != nil {
		return ingest.Start{}, refuse(asError(err))
	}
	return ingest.Start{Kind: ingest.StartTime, Time: t}, nil
}

// partitionOffsets reads '0:1200, 1:1180'; ok is false for a text of another form.
func partitionOffsets(text string) (out map[int32]int64, ok bool, err error) {
	out = map[int32]int64{}
	for part := range strings.SplitSeq(text, ",") {
		p, o, found := strings.Cut(strings.TrimSpace(part), ":")
		partition, perr := strconv.ParseUint(p, 10, 31)
		offset, oerr := strconv.ParseUint(o, 10, 63)
		if !found || perr != nil || oerr != nil {
			return nil, false, nil
		}
		if _, twice := out[int32(partition)]; twice {
			return nil, true, fmt.Errorf("partition %d is given twice", partition)
		}
		out[int32(partition)] = int64(offset)
	}
	return out, true, nil
}

// suspendSource is ALTER SOURCE … SUSPEND and RESUME of a Kafka or PostgreSQL source.
func (s *Session) suspendSource(r *schema.Relation, suspended bool) error {
	return s.define(func(c *schema.Catalog) error {
		have := c.Relations[r.ID]
		if have == nil {
			return fail(codeConflict, "%s %q was dropped meanwhile", r.Kind, r.Name)
		}
		next := *have
		next.Suspended = suspended
		c.Relations[r.ID] = &next
		return nil
	})
}

// ofRow says of an error of committing a source's rows whether the rows are to blame: an INSERT of them would be refused.
func (e *Engine) ofRow(cat *schema.Catalog, changes []reclog.Change, err error) *ingest.Rejected {
	switch {
	case err == nil, errors.Is(err, streams.ErrFenced), errors.Is(err, context.Canceled), errors.Is(err, reclog.ErrInDoubt), errors.Is(err, reclog.ErrDiskFull), errors.Is(err, reclog.ErrClosed):
		return nil
	}
	out := asError(e.commitError(err, cat, changes))
	if class := out.Code[:min(2, len(out.Code))]; class == "22" || class == "23" || out.Code == codeStateTooLarge {
		return &ingest.Rejected{Code: out.Code, Reason: out.Message}
	}
	return nil
}

// refusals are the rows of a source of which features cannot be computed.
func (e *Engine) refusals(ctx context.Context, cat *schema.Catalog, source uint32, rows *vector.Chunk) (map[int]*ingest.Rejected, error) {
	r := cat.Relations[source]
	if r == nil {
		return nil, nil
	}
	changes := []reclog.Change{{Source: reclog.SourceID(source), Inserts: rows}}
	found, err := e.mat.Refusals(ctx, r, rows, func(err error) bool { return e.ofRow(cat, changes, err) != nil })
	if err != nil {
		return nil, err
	}
	out := map[int]*ingest.Rejected{}
	for row, err := range found {
		out[row] = e.ofRow(cat, changes, err)
	}
	return out, nil
}

// hiddenColumns are the columns of Kafka sources that SELECT * does not give, and which of them a statement names.
type hiddenColumns struct {
	names map[string]bool
	star  bool
}

// hiddenNames are all of them.
var hiddenNames = func() map[string]bool {
	names := map[string]bool{}
	for _, c := range (&schema.Relation{Kind: schema.KafkaSource}).Hidden() {
		names[c.Name] = true
	}
	return names
}()

// note finds the hidden columns that a statement names.
func (h *hiddenColumns) note(n *pg_query.Node) {
	parse.Walk(n, func(m proto.Message) bool {
		if ref, ok := m.(*pg_query.ColumnRef); ok && len(ref.Fields) > 0 {
			last := ref.Fields[len(ref.Fields)-1]
			if last.GetAStar() != nil {
				h.star = true
			} else if name := last.GetString_().GetSval(); hiddenNames[name] {
				if h.names == nil {
					h.names = map[string]bool{}
				}
				h.names[name] = true
			}
		}
		return true
	})
}

// of are a relation's columns for the statement: the declared ones, and the hidden ones that it names. Errors: 0A000.
func (h *hiddenColumns) of(r *schema.Relation) ([]schema.Column, error) {
	hidden := r.Hidden()
	if len(h.names) == 0 || len(hidden) == 0 {
		return r.Columns, nil
	}
	if h.star {
		return nil, hint(fail(codeUnsupported, "hidden columns of source %q cannot be named in a statement that has *", r.Name), "Name the columns: %s.", columnNames(r.Columns))
	}
	out := slices.Clone(r.Columns)
	for _, c := range hidden {
		if h.names[c.Name] {
			out = append(out, c)
		}
	}
	return out, nil
}

// streamColumns are the columns of tilehouse.sources that only Kafka sources have.
var streamColumns = slices.Concat(text("connection", "topic", "state"), times("since"), numbers("lag", "messages", "dead_letters", "failures"), times("last_commit"), text("archive"), numbers("archive_end", "archive_applied"))

// noStream are those columns of other relations.
var noStream = slices.Repeat([]string{"NULL"}, len(streamColumns))

// sourceRow is a row of tilehouse.sources of a Kafka source.
func (s *Session) sourceRow(cat *schema.Catalog, r *schema.Relation) ([]string, error) {
	state, err := streams.Committed(context.Background(), s.e.log, reclog.SourceID(r.ID))
	if err != nil {
		return nil, err
	}
	st := s.e.ingest.Status(r)
	lag, since, last := "NULL", "NULL", "NULL"
	if n, known := lagOf(&st); known {
		lag = fmt.Sprint(n)
	}
	if !st.Since.IsZero() {
		since = timeLiteral(st.Since.UnixMicro())
	}
	if !st.LastCommit.IsZero() {
		last = timeLiteral(st.LastCommit.UnixMicro())
	}
	path := "NULL"
	if p := r.Postgres; p != nil {
		path = duck.QuoteLiteral(p.Schema + "." + p.Table)
		if p.Mode == schema.ModeSnapshot || state.Partitions == nil || state.Partitions[0].Next == 0 { // no place in PostgreSQL's log
			lag = "NULL"
		}
	}
	row := append(literals(r.Name, string(r.Kind), r.EventTime), path, "NULL", fmt.Sprint(state.Live), "NULL", "NULL", "NULL", orNull(st.Reason))
	reads := "NULL"
	if r.Kafka != nil {
		reads = duck.QuoteLiteral(r.Kafka.Topic)
	}
	archived := []string{"NULL", "NULL", "NULL"}
	if k := r.Kafka; k != nil && k.Archive != "" {
		archived = []string{duck.QuoteLiteral(k.Archive), fmt.Sprint(max(st.ArchiveEnd, state.Entry)), fmt.Sprint(state.Entry)}
	}
	return append(row, duck.QuoteLiteral(cat.Connections[r.StreamConnection()].Name), reads, duck.QuoteLiteral(string(st.State)), since, lag,
		fmt.Sprint(state.Good+state.Dead), fmt.Sprint(state.Dead), fmt.Sprint(st.Failures), last, archived[0], archived[1], archived[2], duck.QuoteLiteral(r.SQL)), nil
}

// lagOf is how many messages of all partitions are not read yet; false: not known.
func lagOf(st *ingest.Status) (int64, bool) {
	n, known := int64(0), len(st.Partitions) > 0
	for i := range st.Partitions {
		n += st.Partitions[i].Lag()
		known = known && st.Partitions[i].End >= 0
	}
	return n, known
}

// partitionColumns are the columns of tilehouse.source_partitions.
var partitionColumns = slices.Concat(text("source"), numbers("partition", "next_offset", "end_offset", "lag"), times("newest_event"), flags("idle", "read_here"))

func partitionRows(s *Session, cat *schema.Catalog) ([][]string, error) {
	var out [][]string
	for _, r := range sorted(cat.Relations, func(r *schema.Relation) string { return r.Name }) {
		if r.Kafka == nil {
			continue
		}
		state, err := streams.Committed(context.Background(), s.e.log, reclog.SourceID(r.ID))
		if err != nil {
			return nil, err
		}
		st := s.e.ingest.Status(r)
		for p := range max(len(r.Kafka.Start), len(state.Partitions)) {
			at, end, lag, newest, idle, here := int64(0), "NULL", "NULL", "NULL", "NULL", fmt.Sprint(r.Kafka.Archive == "" && !r.Suspended)
			if p < len(r.Kafka.Start) {
				at = r.Kafka.Start[p]
			}
			if p < len(state.Partitions) {
				at = state.Partitions[p].Next
				if t := state.Partitions[p].Newest; t != streams.NoEvent {
					newest = timeLiteral(t)
				}
			}
			if p < len(st.Partitions) {
				idle = fmt.Sprint(st.Partitions[p].Idle)
				if r.Kafka.Archive != "" {
					here = fmt.Sprint(st.Partitions[p].Mine)
				}
				if e := st.Partitions[p].End; e >= 0 {
					e = max(e, at)
					end, lag = fmt.Sprint(e), fmt.Sprint(e-at)
				}
			}
			out = append(out, []string{duck.QuoteLiteral(r.Name), fmt.Sprint(p), fmt.Sprint(at), end, lag, newest, idle, here})
		}
	}
	return out, nil
}

// deadLetterColumns are the columns of tilehouse.dead_letters: messages of streams that are no rows. Event tables and files refuse such rows
// with the statement that brings them.
var deadLetterColumns = slices.Concat(text("source"), numbers("number", "partition", "message_offset"), times("message_time"), numbers("position"), times("arrived"), text("code", "reason"),
	[]schema.Column{{Name: "key", Type: vector.T(vector.Bytes)}, {Name: "headers", Type: vector.T(vector.JSON)}, {Name: "message", Type: vector.T(vector.Bytes)}})

// heldValues are the views of schema tilehouse that have values of rows, which only roles for all data read.
var heldValues = map[string]bool{"feature_log": true, "dead_letters": true}

// deadLetters puts the dead letters of all sources into a temporary table of the statement, which DuckDB can spill.
func (s *Session) deadLetters(ctx context.Context, cat *schema.Catalog) (string, error) {
	cols := make([]string, len(deadLetterColumns))
	types := make([]vector.Type, len(cols))
	for i, c := range deadLetterColumns {
		cols[i], types[i] = duck.QuoteIdent(c.Name)+" "+c.Type.DuckDB(), c.Type
	}
	table := s.temp("letters")
	if _, err := s.conn.Exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s (%s)", table, strings.Join(cols, ", "))); err != nil {
		return "", err
	}
	a, err := s.conn.Appender("temp", "main", table)
	if err != nil {
		return "", err
	}
	part := vector.NewChunk(types, 0)
	flush := func() error {
		err := a.Append(part)
		part.Reset()
		return err
	}
	position := s.e.log.Position()
	snap := s.e.log.DB().NewSnapshot()
	defer s.e.log.Release(snap)
	for _, r := range sorted(cat.Relations, func(r *schema.Relation) string { return r.Name }) {
		if r.Kafka == nil {
			continue
		}
		err := streams.Letters(snap, reclog.SourceID(r.ID), func(l *streams.Letter) (bool, error) {
			if l.Position > position {
				return false, nil
			}
			appendLetter(part, r.Name, l)
			if part.N == letterRows || len(part.Cols[len(cols)-1].Data) > letterBytes {
				return true, flush()
			}
			return true, nil
		})
		if err != nil {
			return "", errors.Join(err, a.Close())
		}
	}
	if part.N > 0 {
		if err := flush(); err != nil {
			return "", errors.Join(err, a.Close())
		}
	}
	return "temp.main." + table, a.Close()
}

// letterRows and letterBytes are how many dead letters are given to DuckDB at once.
const (
	letterRows  = 2048
	letterBytes = 4 << 20
)

func appendLetter(ch *vector.Chunk, source string, l *streams.Letter) {
	c := ch.Cols
	c[0].AppendString(source)
	for i, x := range []int64{int64(l.Number), int64(l.Partition), l.Offset, l.Time, int64(min(l.Position, math.MaxInt64)), l.Arrived} {
		c[1+i].AppendInt(x)
	}
	c[7].AppendString(l.Code)
	c[8].AppendString(l.Reason)
	for i, b := range [][]byte{l.Key, l.Headers, l.Value} {
		if b == nil {
			c[9+i].AppendNull()
		} else {
			c[9+i].AppendBytes(b)
		}
	}
	ch.N++
}

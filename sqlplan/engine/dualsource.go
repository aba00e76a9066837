package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// autoBoundary is the time_boundary that moves by itself.
const autoBoundary = "auto"

const dualExample = "CREATE SOURCE purchases FROM BATCH lake STREAM live WITH (time_boundary = 'auto', dedupe_key = 'purchase_id')"

// dualDefinition is CREATE SOURCE … FROM BATCH … STREAM … as a transaction of its own: what it tells is known after its commit.
func (s *Session) dualDefinition(ctx context.Context, st *parse.CreateSource) (string, error) {
	if s.tx != nil {
		return "", at(hint(fail(codeInTransaction, "CREATE SOURCE … FROM BATCH … STREAM … cannot run inside a transaction block"), "The statements of one query string are one transaction. Send it by itself."), st.Text, st.Batch.Position)
	}
	s.begin(true).single = true
	tag, err := s.createSource(ctx, st)
	if err != nil {
		s.rollback()
		return "", err
	}
	if s.tx.defs == nil { // IF NOT EXISTS
		return tag, s.commit(ctx)
	}
	batch := s.tx.defs.batch
	if err := s.commit(ctx); err != nil {
		return "", err
	}
	s.noticeDual(s.catalog().Relation(st.Name.Name), batch.Loads())
	return tag, nil
}

// createDualSource is CREATE SOURCE … FROM BATCH … STREAM …: its rows are in the log of record when it shows.
func (s *Session) createDualSource(ctx context.Context, st *parse.CreateSource) error {
	cat := s.catalog()
	o := readOptions(st.Text, "CREATE SOURCE", st.Options)
	r := &schema.Relation{Name: st.Name.Name, Kind: schema.DualSource, SQL: st.Text, Dual: &schema.Dual{}}
	if err := s.timeBoundary(st, o, r.Dual); err != nil {
		return err
	}
	key := o.text("dedupe_key", "")
	o.has("lateness")
	if err := o.done(); err != nil {
		return err
	}
	batch, err := s.dualSide(ctx, cat, st, *st.Batch, "batch", schema.FileSource)
	if err != nil {
		return err
	}
	stream, err := s.dualSide(ctx, cat, st, *st.Stream, "stream", schema.KafkaSource, schema.EventTable)
	if err != nil {
		return err
	}
	if stream.Retention != 0 || stream.KeptFrom != nil {
		return at(hint(fail(codeUnsupported, "table %q has a retention, and a stream side keeps all of its rows", stream.Name), "A table without the option retention."), st.Text, st.Stream.Position)
	}
	r.Dual.Batch, r.Dual.Stream = batch.ID, stream.ID
	r.EventTime, r.Watermark = batch.EventTime, stream.Watermark
	r.Lateness = o.duration("lateness", stream.Lateness, 0)
	if o.err != nil {
		return o.err
	}
	if err := dualColumns(st, r, batch, stream); err != nil {
		return err
	}
	if st.Options["dedupe_key"].Value != "" || o.has("dedupe_key") {
		if err := dedupeKey(st, r, stream, key); err != nil {
			return err
		}
	}
	id, err := s.e.log.Sequence("relation")
	if err != nil {
		return err
	}
	r.ID = uint32(id)
	// The definition is taken once before rows are copied, so that what it refuses costs nothing.
	if err := s.define(func(c *schema.Catalog) error {
		if c.Lookup(r.Name) != nil {
			return taken(c, r.Name)
		}
		if c.Relations[batch.ID] == nil || c.Relations[stream.ID] == nil {
			return fail(codeConflict, "a side of source %q was dropped meanwhile", r.Name)
		}
		c.Relations[r.ID] = r
		return nil
	}); err != nil {
		return err
	}
	if err := s.defining().batch.LoadDual(ctx, s.catalog(), r); err != nil {
		return at(asError(err), st.Text, st.Batch.Position)
	}
	return nil
}

// timeBoundary reads the option of that name.
func (s *Session) timeBoundary(st *parse.CreateSource, o *optionReader, d *schema.Dual) error {
	v, ok := st.Options["time_boundary"]
	if !o.has("time_boundary") || !ok {
		return at(hint(fail(codeInvalidParameter, "source %q needs a time_boundary", st.Name.Name), "WITH (time_boundary = 'auto'), or a time such as '2024-06-01 00:00Z': rows before it are the batch side's"), st.Text, st.Name.Position)
	}
	if d.Auto, d.Fixed = strings.EqualFold(v.Value, autoBoundary), nil; d.Auto {
		return nil
	}
	t, err := parseTime(v.Value, s.location)
	if err != nil {
		return at(hint(fail(asError(err).Code, "option \"time_boundary\": %s", asError(err).Message), "time_boundary = 'auto', or a time such as '2024-06-01 00:00Z'"), st.Text, v.ValuePosition)
	}
	d.Fixed = &t
	return nil
}

// dualSide is a side of a dual source.
func (s *Session) dualSide(ctx context.Context, cat *schema.Catalog, st *parse.CreateSource, n parse.Name, side string, kinds ...schema.RelationKind) (*schema.Relation, error) {
	what := map[string]string{"batch": "a source of files", "stream": "a Kafka source or an event table"}[side]
	wrong := func(is string) error {
		return at(hint(fail(codeWrongObject, "%q is %s, and the %s side of a dual source is %s", n.Name, is, side, what), "%s", dualExample), st.Text, n.Position)
	}
	o := cat.Lookup(n.Name)
	r, ok := o.(*schema.Relation)
	switch {
	case ok && slices.Contains(kinds, r.Kind):
	case ok && r.View != nil:
		base := cat.Relations[r.View.Base]
		return nil, at(hint(fail(codeWrongObject, "%q is an event view, and the %s side of a dual source is %s", n.Name, side, what), "Name %s, and define the event view over the dual source.", base.Name), st.Text, n.Position)
	case ok:
		return nil, wrong(article(string(r.Kind)))
	case o != nil:
		return nil, wrong(article(strings.ToLower(objectKind(o))))
	case s.tableExists(ctx, n.Name):
		return nil, wrong("an ordinary table or view")
	default:
		return nil, at(hint(fail(codeUndefinedTable, "relation %q does not exist", n.Name), "The %s side of a dual source is %s: CREATE it first.", side, what), st.Text, n.Position)
	}
	if r.EventTime == "" {
		return nil, at(hint(fail(codeDefinition, "source %q has no event time, and the time boundary is one", r.Name), "CREATE SOURCE %s WITH (…, event_time = 'ts')", r.Name), st.Text, n.Position)
	}
	return r, nil
}

// article is a kind of object with its article.
func article(kind string) string {
	if strings.ContainsRune("aeiou", rune(kind[0])) {
		return "an " + kind
	}
	return "a " + kind
}

// dualColumns gives a dual source the columns of its sides: both have the same ones, with the same types, in any order.
func dualColumns(st *parse.CreateSource, r, batch, stream *schema.Relation) error {
	lacks := func(side, other *schema.Relation, c schema.Column, place int) error {
		return at(hint(fail(codeUndefinedColumn, "column %q of %q is missing in %q", c.Name, other.Name, side.Name), "Both sides of a dual source have the same columns: declare those that it is to have. Columns of %s: %s.", side.Name, columnNames(side.Columns)), st.Text, place)
	}
	for _, c := range batch.Columns {
		i := stream.ColumnIndex(c.Name)
		if i < 0 {
			return lacks(stream, batch, c, st.Stream.Position)
		}
		if t := stream.Columns[i].Type; !t.Equal(c.Type) {
			return at(hint(fail(codeTypeMismatch, "column %q is %s in %q, and %s in %q", c.Name, c.Type, batch.Name, t, stream.Name), "Declare them alike, such as CREATE SOURCE %s (…, %s %s, …) WITH (…).", batch.Name, quoteName(c.Name), t), st.Text, st.Stream.Position)
		}
		r.Columns = append(r.Columns, schema.Column{Name: c.Name, Type: c.Type, Bare: c.Bare || stream.Columns[i].Bare})
		r.Dual.Places = append(r.Dual.Places, stream.Place(i))
	}
	for _, c := range stream.Columns {
		if batch.ColumnIndex(c.Name) < 0 {
			return lacks(batch, stream, c, st.Batch.Position)
		}
	}
	if batch.EventTime != stream.EventTime {
		return at(hint(fail(codeDefinition, "the event time of %q is column %q, and that of %q is %q", batch.Name, batch.EventTime, stream.Name, stream.EventTime), "Both sides of a dual source have the same event time."), st.Text, st.Stream.Position)
	}
	return nil
}

// dedupeKey reads the option of that name: the primary key of the stream side, so that its own rows are unique.
func dedupeKey(st *parse.CreateSource, r, stream *schema.Relation, text string) error {
	place := st.Options["dedupe_key"].ValuePosition
	for k := range strings.SplitSeq(text, ",") {
		k = strings.TrimSpace(k)
		i := r.ColumnIndex(k)
		switch {
		case i < 0:
			return at(hint(fail(codeUndefinedColumn, "dedupe_key %q is no column of %q", k, r.Name), "Columns: %s.", columnNames(r.Columns)), st.Text, place)
		case slices.Contains(r.Dual.Key, k):
			return at(fail(codeDuplicateColumn, "column %q is twice in dedupe_key", k), st.Text, place)
		}
		if err := keyType(r.Columns[i].Type); err != nil {
			return at(err, st.Text, place)
		}
		r.Dual.Key = append(r.Dual.Key, k)
	}
	if !slices.Equal(slices.Sorted(slices.Values(r.Dual.Key)), slices.Sorted(slices.Values(stream.PrimaryKey))) {
		e := hint(fail("42830", "dedupe_key (%s) is not the primary key of the stream side %q", strings.Join(r.Dual.Key, ", "), stream.Name), "Declare PRIMARY KEY (%s) in %s: repeated rows of the stream are found by it.", strings.Join(r.Dual.Key, ", "), stream.Name)
		if len(stream.PrimaryKey) > 0 {
			e.Detail = fmt.Sprintf("Its primary key is (%s).", strings.Join(stream.PrimaryKey, ", "))
		}
		return at(e, st.Text, place)
	}
	r.PrimaryKey = slices.Clone(r.Dual.Key)
	return nil
}

// noticeLoad tells what a load did to a dual source.
func (s *Session) noticeLoad(l *materialize.Loaded) {
	if !l.Moved && l.Came+l.Went+l.Replaced+l.Returned == 0 {
		return
	}
	text := fmt.Sprintf("source %q: time boundary %s, %s of the batch side came and %d went", l.Name, boundaryText(l.Boundary), counted(l.Came, "row"), l.Went)
	if l.Replaced > 0 {
		text += fmt.Sprintf(", %d of the stream side gave way", l.Replaced)
	}
	if l.Lacked > 0 {
		text += fmt.Sprintf(", the batch side lacks %s of the stream before it", counted(l.Lacked, "row"))
	}
	if l.Returned > 0 {
		text += fmt.Sprintf(", %d of the stream side are there again", l.Returned)
	}
	s.notice(session.Notice{Message: text})
}

// noticeDual tells what a new dual source is.
func (s *Session) noticeDual(r *schema.Relation, loads []materialize.Loaded) {
	for i := range loads {
		loads[i].Returned = 0
		s.noticeLoad(&loads[i])
	}
	if len(r.Dual.Key) == 0 {
		s.notice(session.Notice{Message: fmt.Sprintf("source %q has no dedupe_key: rows of the stream before the time boundary that come after the batch load are dropped", r.Name),
			Hint: "tilehouse.dual_sources counts them. With dedupe_key = '…' they are rows until the batch side has them."})
	}
}

// boundaryText is a boundary in words.
func boundaryText(t *int64) string {
	if t == nil {
		return "none yet"
	}
	return formatTime(*t)
}

// dualSourceColumns are the columns of tilehouse.dual_sources.
var dualSourceColumns = slices.Concat(text("source", "batch", "stream", "mode"), times("time_boundary"), text("dedupe_key"), numbers("set_position"), times("set_at"), numbers("loaded_position"), flags("stale"),
	numbers("repeated", "lacked", "late_dropped"))

func dualSourceRows(s *Session, cat *schema.Catalog) ([][]string, error) {
	var out [][]string
	for _, r := range sorted(cat.Relations, func(r *schema.Relation) string { return r.Name }) {
		if r.Dual == nil {
			continue
		}
		d := r.Dual
		mode := "fixed"
		if d.Auto {
			mode = autoBoundary
		}
		row := literals(r.Name, cat.Relations[d.Batch].Name, cat.Relations[d.Stream].Name, mode)
		boundary, set := "NULL", "NULL"
		if d.Boundary != nil {
			boundary = timeLiteral(*d.Boundary)
		}
		if t := s.e.log.TimeOf(d.SetAt); t != 0 {
			set = timeLiteral(t)
		}
		n, err := s.e.mat.LeftOut(r)
		if err != nil {
			return nil, err
		}
		out = append(out, append(row, boundary, orNull(strings.Join(d.Key, ", ")), fmt.Sprint(d.SetAt), set, fmt.Sprint(d.Loaded), fmt.Sprint(d.Stale(cat.Relations[d.Batch])),
			fmt.Sprint(n.Repeated), fmt.Sprint(n.Lacked), fmt.Sprint(n.Late)))
	}
	return out, nil
}

// wroteTo is what the open block wrote to what a relation's rows are of, nil: nothing. A dual source gets the rows at COMMIT.
func (s *Session) wroteTo(cat *schema.Catalog, r *schema.Relation) *schema.Relation {
	if s.tx == nil || r == nil {
		return nil
	}
	id := r.ID
	if r.View != nil {
		id = r.View.Base
	}
	if b := cat.Relations[id]; b != nil && b.Dual != nil {
		id = b.Dual.Stream
	}
	for _, p := range s.tx.events {
		if p.rel.ID == id {
			return p.rel
		}
	}
	return nil
}

// thenLoad is a change of a source's options, which loads the dual sources whose boundary it moves. In a block, that is done after COMMIT, in
// the background.
func (s *Session) thenLoad(b bound, name string) bound {
	change := b.run
	b.run = func(ctx context.Context, args []*vector.Vector) (session.Result, error) {
		res, err := change(ctx, args)
		r := s.catalog().Relation(name)
		if err != nil || s.tx != nil || r == nil || r.File == nil && r.Dual == nil {
			return res, err
		}
		id := r.ID
		if r.Dual != nil {
			id = r.Dual.Batch
		}
		loads, err := s.e.mat.LoadDuals(ctx, id)
		for i := range loads {
			s.noticeLoad(&loads[i])
		}
		if err != nil {
			res.Close()
			return nil, err
		}
		return res, nil
	}
	return b
}

// setTimeBoundary is ALTER SOURCE … SET (time_boundary = …) of a dual source.
func (s *Session) setTimeBoundary(sql string, st *parse.Alter, all parse.Options, have *schema.Dual) (*schema.Dual, error) {
	d := *have
	v, ok := all["time_boundary"]
	if !ok {
		return nil, at(hint(fail(codeInvalidParameter, "source %q needs a time_boundary", st.Name.Name), "SET (time_boundary = 'auto')"), sql, st.Options["time_boundary"].Position)
	}
	if d.Auto, d.Fixed = strings.EqualFold(v.Value, autoBoundary), nil; !d.Auto {
		t, err := parseTime(v.Value, s.location)
		if err != nil {
			return nil, at(asError(err), sql, v.ValuePosition)
		}
		d.Fixed = &t
	}
	d.Loaded = 0 // the next load looks at all files
	return &d, nil
}

// notSuspended is the error of suspending or resuming what is not read all the time.
func notSuspended(cat *schema.Catalog, o any, verb string) *session.Error {
	if r, ok := o.(*schema.Relation); ok && r.Dual != nil {
		if stream := cat.Relations[r.Dual.Stream]; stream.Kafka != nil {
			return hint(fail(codeUnsupported, "a dual source has what its sides have, and is not suspended by itself"), "ALTER SOURCE %s %s", stream.Name, verb)
		}
		return fail(codeUnsupported, "a dual source has what its sides have, and is not suspended by itself")
	}
	return hint(fail(codeUnsupported, "a source of files cannot be %s", map[string]string{"SUSPEND": "suspended", "RESUME": "resumed"}[verb]), "It is read when REFRESH SOURCE says so.")
}

package engine

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tilehouse/tilehouse/materialize/ingest"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/archive"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// leastSession and mostSession bound after how long a server is missed that shares the reading of a topic: what brokers can be told to allow. Microseconds.
const (
	leastSession = 1_000_000
	mostSession  = 30 * 60 * 1_000_000
)

// sessionOf is the option session_timeout.
func sessionOf(o *optionReader) int64 {
	d := o.duration("session_timeout", ingest.DefaultSession, leastSession)
	if d > mostSession {
		v := o.opts["session_timeout"]
		o.refuse(v, codeInvalidParameter, "option %q must be at most %s, not %s", "session_timeout", durationText(mostSession), v.Value)
	}
	return d
}

// archiveName are the names that archives can have: folders below --archive-root.
var archiveName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// joinArchive makes the archive that a new source names, or joins it: the source then begins where the archive began.
func (s *Session) joinArchive(st *parse.CreateSource, r *schema.Relation) error {
	k, place := r.Kafka, st.Options["archive"].ValuePosition
	if !archiveName.MatchString(k.Archive) {
		return at(hint(fail(codeInvalidParameter, "an archive cannot have the name %q", k.Archive), "It is a folder below --archive-root: letters, digits, _, - and ., at most 128."), st.Text, place)
	}
	for i, c := range r.Columns {
		if !archive.Storable(c.Type) {
			return at(fail(codeUnsupported, "column %q of an archived source cannot be of type %s", c.Name, c.Type), st.Text, st.Columns[i].Position)
		}
		if slices.ContainsFunc(r.Columns[:i], func(o schema.Column) bool { return strings.EqualFold(o.Name, c.Name) }) {
			return at(fail(codeUnsupported, "the names of columns of an archived source must differ in more than capitals: %q", c.Name), st.Text, st.Columns[i].Position)
		}
	}
	doc, made, err := s.e.ingest.MakeArchive(r, archiveFacts(r))
	var differs *archive.Differs
	var broken *ingest.ArchiveError
	switch {
	case errors.Is(err, ingest.ErrNoArchiveRoot):
		return at(hint(fail("55000", "source %q cannot have an archive: %s", r.Name, err), "Start the server with --archive-root DIR, a folder that all servers reach."), st.Text, place)
	case errors.As(err, &differs):
		return at(hint(fail("42P16", "archive %q is of a source with another %s: %s, not %s", k.Archive, differs.Name, shownFact(differs.Archive), shownFact(differs.Server)),
			"Sources of one archive are declared alike. Name another archive, or declare the source as the others."), st.Text, place)
	case errors.As(err, &broken) && broken.Full():
		return at(fail(codeDiskFull, "%s", broken), st.Text, place)
	case errors.As(err, &broken):
		return at(fail(codeIO, "%s", broken), st.Text, place)
	case err != nil:
		return err
	}
	k.ArchiveID = doc.ID
	if !made && !slices.Equal(k.Start, doc.Start) {
		s.notice(session.Notice{Message: fmt.Sprintf("source %q begins where archive %q begins, at offsets %s, and not where the statement says", r.Name, k.Archive, shownOffsets(doc.Start))})
	}
	k.Start = doc.Start
	return nil
}

// shownOffsets are offsets as the option start takes them.
func shownOffsets(start []int64) string {
	out := make([]string, len(start))
	for p, o := range start {
		out[p] = fmt.Sprintf("%d:%d", p, o)
	}
	return strings.Join(out, ", ")
}

// shownFact is a fact as an error shows it.
func shownFact(v string) string {
	const most = 200
	if len(v) > most {
		return duck.QuoteLiteral(strings.ToValidUTF8(v[:most], "")) + "…"
	}
	return duck.QuoteLiteral(v)
}

// archiveFacts is what all sources of an archive agree on: what decides which rows messages are.
func archiveFacts(r *schema.Relation) []archive.Fact {
	columns := make([]string, len(r.Columns))
	for i, c := range r.Columns {
		columns[i] = duck.QuoteIdent(c.Name) + " " + c.Type.String()
		if c.Bare {
			columns[i] += " of numeric"
		}
		if c.NotNull {
			columns[i] += " NOT NULL"
		}
	}
	key := make([]string, len(r.PrimaryKey))
	for i, k := range r.PrimaryKey {
		key[i] = duck.QuoteIdent(k)
	}
	k := r.Kafka
	return []archive.Fact{
		{Name: "topic", Value: k.Topic}, {Name: "id of its topic", Value: k.TopicID}, {Name: "list of columns", Value: strings.Join(columns, ", ")}, {Name: "primary key", Value: strings.Join(key, ", ")},
		{Name: "event time", Value: r.EventTime}, {Name: "FORMAT", Value: k.Format}, {Name: "ENCODE", Value: k.Encode}, {Name: "encoding of keys", Value: k.KeyEncode}, {Name: "schema", Value: k.Schema},
		{Name: "message type", Value: k.Message}, {Name: "unit of times", Value: k.TimeUnit}, {Name: "refusal of unknown fields", Value: fmt.Sprint(k.RefuseUnknown)},
		{Name: "future bound", Value: (time.Duration(r.FutureBound) * time.Microsecond).String()},
	}
}

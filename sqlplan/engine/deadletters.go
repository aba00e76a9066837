package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/materialize/ingest"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/streams"
)

const (
	// maxChosen is how many dead letters the condition of one statement may choose.
	maxChosen = 1 << 20
	// lettersPage is how many numbers of dead letters are held at once where all are meant.
	lettersPage = 1 << 14
	// lettersTold is how often the client is told how far its statement is.
	lettersTold = 2 * time.Second
)

func lettersTag(st *parse.DeadLetters) string {
	if st.Drop {
		return "DROP DEAD LETTERS"
	}
	return "REPLAY DEAD LETTERS"
}

// lettersStage is what a statement does, in tilehouse.jobs.
func lettersStage(st *parse.DeadLetters) string {
	if st.Drop {
		return "dropping dead letters"
	}
	return "replaying dead letters"
}

// deadLettersAgain is REPLAY DEAD LETTERS and DROP DEAD LETTERS. What is done when it is cancelled stays done: by transactions.
func (s *Session) deadLettersAgain(ctx context.Context, sql string, st *parse.DeadLetters) (string, error) {
	r := s.catalog().Relation(st.Source.Name)
	switch {
	case r == nil || r.Kind == schema.EventTable || r.Kind == schema.EventView:
		return "", at(fail(codeUndefinedObject, "source %q does not exist", st.Source.Name), sql, st.Source.Position)
	case r.Kafka == nil:
		return "", at(fail(codeWrongObject, "source %q has no dead letters: it reads no topic", r.Name), sql, st.Source.Position)
	case r.Kafka.Archive != "" && !st.Drop:
		return "", at(hint(fail(codeUnsupported, "dead letters of source %q cannot be tried again: it has an archive, from which every server makes the same rows", r.Name), "Send the messages again, corrected."), sql, st.Source.Position)
	}
	var all ingest.Replayed
	began, told := time.Now(), time.Now()
	job := s.e.mat.Track(ctx, r.Name, lettersStage(st))
	again := func(numbers []uint64) error {
		did, err := s.e.ingest.Replay(ctx, r, numbers, st.Drop, func(did ingest.Replayed) {
			job.Done(all.Good + did.Good + all.Dead + did.Dead + all.Gone + did.Gone)
			if time.Since(told) >= lettersTold {
				told = time.Now()
				n := all.Good + did.Good + all.Dead + did.Dead + all.Gone + did.Gone
				session.Notify(ctx, session.Notice{Severity: "INFO", Code: "00000", Message: fmt.Sprintf("source %q: %s so far, %.0f a second", r.Name, counted(n, "dead letter"), float64(n)/time.Since(began).Seconds())})
			}
		})
		all.Good, all.Dead, all.Gone = all.Good+did.Good, all.Dead+did.Dead, all.Gone+did.Gone
		return err
	}
	err := s.chosenLetters(ctx, sql, st, r, job, again)
	job.End(err)
	switch {
	case errors.Is(err, ingest.ErrSuspended):
		return "", at(hint(fail("55000", "source %q is suspended, or was dropped: nothing of it is written", r.Name), "ALTER SOURCE %s RESUME;", quoteName(r.Name)), sql, st.Source.Position)
	case err != nil:
		return "", err
	case st.Drop:
		s.notice(session.Notice{Message: fmt.Sprintf("source %q: %s dropped", r.Name, counted(all.Gone, "dead letter"))})
	default:
		s.notice(session.Notice{Message: fmt.Sprintf("source %q: %s taken, %d still dead", r.Name, counted(all.Good, "message"), all.Dead)})
	}
	return lettersTag(st), nil
}

// chosenLetters calls again with the numbers of the letters that are meant, ascending.
func (s *Session) chosenLetters(ctx context.Context, sql string, st *parse.DeadLetters, r *schema.Relation, job *materialize.Tracked, again func([]uint64) error) error {
	if st.Where != nil {
		numbers, err := s.lettersWhere(ctx, sql, st, r)
		if err != nil {
			return err
		}
		job.Expect(int64(len(numbers)))
		return again(numbers)
	}
	state, err := streams.Committed(ctx, s.e.log, reclog.SourceID(r.ID))
	if err != nil {
		return err
	}
	job.Expect(state.Kept())
	for after := uint64(0); ; {
		numbers, err := streams.Numbers(s.e.log, reclog.SourceID(r.ID), after, state.NewestLetter(), lettersPage)
		if err != nil || len(numbers) == 0 {
			return err
		}
		if err := again(numbers); err != nil {
			return err
		}
		after = numbers[len(numbers)-1]
	}
}

// lettersWhere are the numbers of the letters for which the condition is true.
func (s *Session) lettersWhere(ctx context.Context, sql string, st *parse.DeadLetters, r *schema.Relation) ([]uint64, error) {
	before := "SELECT number FROM tilehouse.dead_letters WHERE source = " + duck.QuoteLiteral(r.Name) + " AND ("
	text := before + st.WhereText + ") ORDER BY number"
	place := func(err error) error { // an error's place in the statement as it was written
		e := asError(err)
		if n := utf8.RuneCountInString(before); e.Position > n {
			moved := *e
			moved.Position += utf8.RuneCountInString(sql[:st.WherePosition]) - n
			return &moved
		}
		return e
	}
	tree, err := parse.Parse(text)
	if err != nil {
		return nil, place(err)
	}
	b, err := s.bindStatement(ctx, s.catalog(), text, tree, nil)
	if err == nil {
		err = b.denied
	}
	if err != nil {
		return nil, place(err)
	}
	if len(b.params) > 0 {
		return nil, at(fail(codeUnsupported, "%s takes no parameters", lettersTag(st)), sql, st.WherePosition)
	}
	res, err := b.run(ctx, nil)
	if err != nil {
		return nil, place(err)
	}
	defer res.Close()
	var numbers []uint64
	for {
		ch, err := res.Next()
		if err != nil {
			return nil, place(err)
		}
		if ch == nil {
			return slices.Compact(numbers), nil
		}
		if len(numbers)+ch.N > maxChosen {
			return nil, at(hint(fail("54000", "the condition chooses more than %d dead letters", maxChosen), "WHERE number <= … AND (…) takes some at a time."), sql, st.WherePosition)
		}
		for _, n := range ch.Cols[0].I64[:ch.N] {
			numbers = append(numbers, uint64(n))
		}
	}
}

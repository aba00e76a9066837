package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// sequenceReserve is how many values of a sequence are reserved by one synced write, as PostgreSQL does: a crash skips what is
// left of them.
const sequenceReserve = 32

// sequences are the last values of sequences. They belong to no transaction: a value is given once. A state is found by the id
// that the sequence's object names, in the log's store: value and whether it was given.
type sequences struct {
	log *reclog.Log

	mu     sync.Mutex
	states map[uint64]*sequenceState
}

type sequenceState struct {
	last    int64
	called  bool
	reserve int // values that may be given without a write
}

func stateKey(state uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{reclog.KeyNumbers}, state)
}

// state is a sequence's state; s.mu is held.
func (s *sequences) state(r *tables.SequenceRange) (*sequenceState, error) {
	if st := s.states[r.State]; st != nil {
		return st, nil
	}
	st := &sequenceState{last: r.First}
	v, closer, err := s.log.DB().Get(stateKey(r.State))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
	case err != nil:
		return nil, err
	default:
		if len(v) == 9 {
			st.last, st.called = int64(binary.BigEndian.Uint64(v)), v[8] == 1
		}
		if err := closer.Close(); err != nil {
			return nil, err
		}
	}
	s.states[r.State] = st
	return st, nil
}

func (s *sequences) write(state uint64, last int64, called bool) error {
	v := binary.BigEndian.AppendUint64(nil, uint64(last))
	if called {
		v = append(v, 1)
	} else {
		v = append(v, 0)
	}
	return s.log.Write(func(b *pebble.Batch) { _ = b.Set(stateKey(state), v, nil) })
}

// close writes the states as they are, so that a clean start skips nothing.
func (s *sequences) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for id, st := range s.states {
		if st.reserve > 0 {
			errs = append(errs, s.write(id, st.last, st.called))
		}
	}
	s.states = nil
	return errors.Join(errs...)
}

// raise is an error that a statement of DuckDB's carries to the client.
func raise(code, format string, args ...any) error {
	return errors.New("tilehouse " + code + ": " + fmt.Sprintf(format, args...))
}

// after is the value that follows v; ok is false at the end of the range.
func after(r *tables.SequenceRange, v int64) (next int64, ok bool) {
	next = v + r.Increment
	over := r.Increment > 0 && (next < v || next > r.Max) || r.Increment < 0 && (next > v || next < r.Min)
	if !over {
		return next, true
	}
	if !r.Cycle {
		return 0, false
	}
	if r.Increment > 0 {
		return r.Min, true
	}
	return r.Max, true
}

func (s *sequences) next(o *tables.Object) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := o.Seq
	st, err := s.state(r)
	if err != nil {
		return 0, raise(codeInternal, "%s", err)
	}
	v := st.last
	if st.called {
		var ok bool
		if v, ok = after(r, st.last); !ok {
			if r.Increment > 0 {
				return 0, raise("2200H", "nextval: reached maximum value of sequence %q (%d)", o.Name, r.Max)
			}
			return 0, raise("2200H", "nextval: reached minimum value of sequence %q (%d)", o.Name, r.Min)
		}
	}
	if st.reserve == 0 {
		ahead := v
		n := 1
		for ; n < sequenceReserve; n++ {
			w, ok := after(r, ahead)
			if !ok || r.Cycle && (w < ahead) == (r.Increment > 0) {
				break
			}
			ahead = w
		}
		if err := s.write(r.State, ahead, true); err != nil {
			return 0, raise(codeInternal, "%s", err)
		}
		st.reserve = n
	}
	st.reserve--
	st.last, st.called = v, true
	return v, nil
}

func (s *sequences) set(o *tables.Object, v int64, called bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v < o.Seq.Min || v > o.Seq.Max {
		return raise(codeOutOfRange, "setval: value %d is out of bounds for sequence %q (%d..%d)", v, o.Name, o.Seq.Min, o.Seq.Max)
	}
	st, err := s.state(o.Seq)
	if err == nil {
		err = s.write(o.Seq.State, v, called)
	}
	if err != nil {
		return raise(codeInternal, "%s", err)
	}
	st.last, st.called, st.reserve = v, called, 0
	return nil
}

// current is a sequence's last value and whether it was given, as SELECT last_value, is_called FROM a sequence shows them.
func (s *sequences) current(r *tables.SequenceRange) (last int64, called bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.state(r)
	if err != nil {
		return 0, false, err
	}
	return st.last, st.called, nil
}

// The calls of duck.SequenceFunction.
const (
	callNext = iota
	callCurrent
	callLast
	callSet
)

// sequenceUse is what a session did with sequences.
type sequenceUse struct {
	mu     sync.Mutex
	known  map[uint64]*tables.Object // by id, as of the last statement that named it
	may    map[uint64]schema.Rights  // of the role then, by id
	given  map[uint64]int64          // by id: what nextval and setval last gave
	last   uint64                    // the sequence that nextval was last called of; 0: none
	number int64                     // that DuckDB calls the session by
	forget func()
	// drawn are the values that the running statement was given, noted where keep says so: a savepoint that runs it again gives
	// it the same ones, from again.
	keep          bool
	drawn         []int64
	again         []int64
	ids, idsAgain []uint64 // of objects, likewise
}

// sequence answers a call of DuckDB's.
func (s *Session) sequence(call, id, value int64, flag bool) (int64, error) {
	u := &s.seqs
	u.mu.Lock()
	defer u.mu.Unlock()
	o := u.known[uint64(id)]
	if call != callLast && o == nil {
		return 0, raise(codeUndefinedTable, "relation does not exist")
	}
	if of := u.known[map[bool]uint64{true: u.last, false: uint64(id)}[call == callLast]]; of != nil && u.may[of.ID]&mayCall[call] == 0 {
		return 0, raise(codeDenied, "permission denied for sequence %s", of.Name)
	}
	switch call {
	case callNext:
		if len(u.again) > 0 {
			v := u.again[0]
			u.again = u.again[1:]
			u.given[o.ID], u.last = v, o.ID
			return v, nil
		}
		v, err := s.e.sequences.next(o)
		if err == nil {
			u.given[o.ID], u.last = v, o.ID
			if u.keep {
				u.drawn = append(u.drawn, v)
			}
		}
		return v, err
	case callSet:
		if err := s.e.sequences.set(o, value, flag); err != nil {
			return 0, err
		}
		if flag {
			u.given[o.ID] = value
		}
		return value, nil
	case callLast:
		if u.last == 0 {
			return 0, raise("55000", "lastval is not yet defined in this session")
		}
		return u.given[u.last], nil
	}
	v, ok := u.given[o.ID]
	if !ok {
		return 0, raise("55000", "currval of sequence %q is not yet defined in this session", o.Name)
	}
	return v, nil
}

// replayable runs a statement that writes so that a savepoint can run it again: with the values of sequences and the ids of
// objects that it was given. volatile is what else makes it give other rows; "": nothing.
func (s *Session) replayable(sql, volatile string, args []*vector.Vector, run func() (session.Result, error)) (session.Result, error) {
	tx := s.tx
	if tx == nil {
		return run()
	}
	u := &s.seqs
	u.keep, u.drawn, u.ids = true, nil, nil
	r, err := run()
	u.keep = false
	drawn, ids := u.drawn, u.ids
	if err == nil && s.tx == tx && len(drawn)+len(ids) > 0 {
		tx.journal.note(journalEntry{sql: sql, volatile: volatile, run: func(context.Context) (session.Result, error) {
			u.again, u.idsAgain = slices.Clone(drawn), slices.Clone(ids)
			defer func() { u.again, u.idsAgain = nil, nil }()
			return run()
		}}, args)
	}
	return r, err
}

// knowSequence makes a sequence callable by the session's statements.
func (s *Session) knowSequence(o *tables.Object) {
	may := s.sequenceRights(o)
	s.seqs.mu.Lock()
	s.seqs.known[o.ID], s.seqs.may[o.ID] = o, may
	s.seqs.mu.Unlock()
}

// sequenceOptions reads the options of CREATE and ALTER SEQUENCE into a sequence; fresh: what is not given has its default.
func sequenceOptions(sql string, o *tables.Object, options []*pg_query.Node, fresh bool) error {
	r := o.Seq
	given := map[string]*pg_query.DefElem{}
	for _, n := range options {
		e := n.GetDefElem()
		if given[e.Defname] != nil {
			return at(fail("42601", "conflicting or redundant options"), sql, int(e.Location))
		}
		given[e.Defname] = e
	}
	number := func(e *pg_query.DefElem) int64 {
		switch {
		case e.Arg.GetInteger() != nil:
			return int64(e.Arg.GetInteger().Ival)
		case e.Arg.GetFloat() != nil:
			var v int64
			if _, err := fmt.Sscan(e.Arg.GetFloat().Fval, &v); err != nil {
				return math.MaxInt64
			}
			return v
		}
		return 0
	}
	if e := given["as"]; e != nil {
		_, name := typeParts(e.Arg.GetTypeName())
		if name != "int2" && name != "int4" && name != "int8" {
			return fail(codeInvalidParameter, "sequence type must be smallint, integer, or bigint")
		}
		r.Type = formatNames[name]
	}
	if r.Type == "" {
		r.Type = "bigint"
	}
	least, most := int64(math.MinInt64), int64(math.MaxInt64)
	switch r.Type {
	case "smallint":
		least, most = math.MinInt16, math.MaxInt16
	case "integer":
		least, most = math.MinInt32, math.MaxInt32
	}
	if e := given["increment"]; e != nil {
		if r.Increment = number(e); r.Increment == 0 {
			return fail(codeInvalidParameter, "INCREMENT must not be zero")
		}
	}
	if e := given["cycle"]; e != nil {
		r.Cycle = e.Arg.GetBoolean().GetBoolval()
	}
	if e := given["cache"]; e != nil {
		if r.Cache = number(e); r.Cache < 1 {
			return fail(codeInvalidParameter, "CACHE (%d) must be greater than zero", r.Cache)
		}
	}
	bound := func(name string, into *int64, byDefault int64) {
		if e := given[name]; e != nil && e.Arg != nil {
			*into = number(e)
		} else if fresh || e != nil || given["as"] != nil {
			*into = byDefault
		}
	}
	if r.Increment > 0 {
		bound("minvalue", &r.Min, 1)
		bound("maxvalue", &r.Max, most)
	} else {
		bound("minvalue", &r.Min, least)
		bound("maxvalue", &r.Max, -1)
	}
	switch {
	case r.Max > most || r.Max < least:
		return fail(codeInvalidParameter, "MAXVALUE (%d) is out of range for sequence data type %s", r.Max, r.Type)
	case r.Min > most || r.Min < least:
		return fail(codeInvalidParameter, "MINVALUE (%d) is out of range for sequence data type %s", r.Min, r.Type)
	case r.Min >= r.Max:
		return fail(codeInvalidParameter, "MINVALUE (%d) must be less than MAXVALUE (%d)", r.Min, r.Max)
	}
	if e := given["start"]; e != nil {
		r.Start = number(e)
	} else if fresh {
		if r.Start = r.Min; r.Increment < 0 {
			r.Start = r.Max
		}
	}
	switch {
	case r.Start < r.Min:
		return fail(codeInvalidParameter, "START value (%d) cannot be less than MINVALUE (%d)", r.Start, r.Min)
	case r.Start > r.Max:
		return fail(codeInvalidParameter, "START value (%d) cannot be greater than MAXVALUE (%d)", r.Start, r.Max)
	}
	if e := given["restart"]; e != nil || fresh {
		r.First = r.Start
		if e != nil && e.Arg != nil {
			r.First = number(e)
		}
		if r.First < r.Min {
			return fail(codeInvalidParameter, "RESTART value (%d) cannot be less than MINVALUE (%d)", r.First, r.Min)
		}
		if r.First > r.Max {
			return fail(codeInvalidParameter, "RESTART value (%d) cannot be greater than MAXVALUE (%d)", r.First, r.Max)
		}
		r.State = 0 // given anew by freshState
	}
	return nil
}

// freshState gives a sequence whose options asked for it a state of its own.
func (s *Session) freshState(o *tables.Object) error {
	if o.Seq.State != 0 {
		return nil
	}
	id, err := s.newObjectID()
	o.Seq.State = id
	return err
}

// sequenceNamed finds the sequence that text names as regclass does.
func (s *Session) sequenceNamed(cat *tables.Catalog, text string) (*tables.Object, *session.Error) {
	space, name := splitName(text)
	o := s.find(cat, space, name)
	switch {
	case o == nil:
		return nil, fail(codeUndefinedTable, "relation %q does not exist", strings.ReplaceAll(text, `"`, ""))
	case o.Kind != tables.Sequence:
		return nil, fail(codeWrongObject, "%q is not a sequence", o.Name)
	}
	return o, nil
}

// splitName reads a name as regclass does: schema.name, with double quotes where letters are not to be folded.
func splitName(text string) (schema, name string) {
	var parts []string
	var b strings.Builder
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"' && quoted && i+1 < len(text) && text[i+1] == '"':
			b.WriteByte(c)
			i++
		case c == '"':
			quoted = !quoted
		case c == '.' && !quoted:
			parts = append(parts, b.String())
			b.Reset()
		case quoted:
			b.WriteByte(c)
		default:
			b.WriteString(strings.ToLower(string(c)))
		}
	}
	parts = append(parts, b.String())
	if len(parts) > 1 {
		schema = parts[len(parts)-2]
	}
	return schema, parts[len(parts)-1]
}

// sequenceCall is a call of a sequence's function as an expression; argument is what names the sequence.
func (b *binder) sequenceCall(call int, args []*pg_query.Node) (string, error) {
	cat, err := b.s.ordinary(b.ctx)
	if err != nil {
		return "", err
	}
	value, flag := "0::bigint", "true"
	if call == callSet {
		value = "($2)::bigint"
		if len(args) == 3 {
			flag = "($3)::boolean"
		}
	}
	form := func(id string) string {
		fn := fmt.Sprintf("__tilehouse_sequence((%d)::bigint, %d::bigint, %s::bigint, %s, %s)", b.s.seqs.number, call, id, value, flag)
		if call == callSet { // it is strict, and a row of NULL sets nothing
			return fmt.Sprintf("CASE WHEN %s IS NOT NULL AND %s IS NOT NULL THEN %s END", value, flag, fn)
		}
		return fn
	}
	if call == callLast {
		return form("0"), nil
	}
	arg := uncast(args[0])
	for f := arg.GetFuncCall(); f != nil && len(f.Args) == 1 && f.Funcname[len(f.Funcname)-1].GetString_().GetSval() == "regclassin"; f = arg.GetFuncCall() {
		arg = uncast(f.Args[0]) // 's'::regclass, as the catalog's analysis writes it
	}
	if f := arg.GetFuncCall(); f != nil && f.Funcname[len(f.Funcname)-1].GetString_().GetSval() == "pg_get_serial_sequence" && len(f.Args) == 2 {
		table, _, ok1 := constantText(f.Args[0])
		column, _, ok2 := constantText(f.Args[1])
		if !ok1 || !ok2 {
			return "", fail(codeUnsupported, "the arguments of pg_get_serial_sequence must be literals here")
		}
		o, err := b.serialSequence(table, column)
		if err != nil {
			return "", err
		}
		if o == nil {
			return "NULL::bigint", nil
		}
		b.s.knowSequence(o)
		return form(fmt.Sprint(o.ID)), nil
	}
	text, null, ok := constantText(arg)
	switch {
	case ok && null:
		return "NULL::bigint", nil
	case !ok: // whichever it is is found when the row is there
		cases := "CASE regexp_replace(($1)::text, '^public\\.', '')"
		some := false
		for _, o := range cat.Sorted(func(o *tables.Object) bool { return o.Kind == tables.Sequence }) {
			b.s.knowSequence(o)
			cases += fmt.Sprintf(" WHEN '%s' THEN %d", strings.ReplaceAll(qualifiedName(o), "'", "''"), o.ID)
			some = true
		}
		if !some {
			return "", fail(codeUndefinedTable, "there is no sequence")
		}
		return form("(" + cases + " ELSE -1 END)"), nil
	}
	o, e := b.s.sequenceNamed(cat, text)
	if e != nil {
		if place := nodeLocation(arg); place > 0 && e.Code == codeUndefinedTable {
			at(e, b.sql, place)
		}
		return "", e
	}
	b.s.knowSequence(o)
	return form(fmt.Sprint(o.ID)), nil
}

// serialSequence is the sequence of a serial or identity column, or nil.
func (b *binder) serialSequence(table, column string) (*tables.Object, error) {
	cat, err := b.s.ordinary(b.ctx)
	if err != nil {
		return nil, err
	}
	space, name := splitName(table)
	t := b.s.find(cat, space, name)
	if t == nil {
		return nil, fail(codeUndefinedTable, "relation %q does not exist", table)
	}
	c := t.Column(column)
	if c == nil {
		return nil, fail(codeUndefinedColumn, "column %q of relation %q does not exist", column, name)
	}
	for _, o := range cat.Sorted(func(o *tables.Object) bool { return o.Kind == tables.Sequence }) {
		if o.OwnedBy == t.ID && o.OwnedByColumn == column {
			return o, nil
		}
	}
	return nil, nil
}

// sequenceFunctions are PostgreSQL's functions of sequences, with the numbers of arguments that they take.
var sequenceFunctions = map[string]struct {
	call int
	args []int
}{
	"nextval": {callNext, []int{1}}, "currval": {callCurrent, []int{1}}, "lastval": {callLast, []int{0}}, "setval": {callSet, []int{2, 3}},
}

// sequenceFunction is the expression of a call of one of sequenceFunctions; ok is false for other functions.
func (b *binder) sequenceFunction(name string, args []*pg_query.Node) (body string, ok bool, err error) {
	f, known := sequenceFunctions[name]
	switch {
	case name == "pg_get_serial_sequence" && len(args) == 2:
		table, _, ok1 := constantText(args[0])
		column, _, ok2 := constantText(args[1])
		if !ok1 || !ok2 {
			return "", false, nil
		}
		o, err := b.serialSequence(table, column)
		if err != nil {
			return "", true, err
		}
		if o == nil {
			return "NULL::text", true, nil
		}
		return "'" + strings.ReplaceAll(quoteName(o.Schema)+"."+quoteName(o.Name), "'", "''") + "'", true, nil
	case !known || !slices.Contains(f.args, len(args)):
		return "", false, nil
	}
	body, err = b.sequenceCall(f.call, args)
	return body, true, err
}

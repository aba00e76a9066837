package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/tables"
)

// tableRules are the constraints of a table whose rows are checked in memory.
type tableRules struct {
	table      *tables.Object
	document   string       // the table's
	definition xxh3.Uint128 // of the table and its keys
	keys       []smallKey
	checks     []*tables.Constraint
	broken     string // DuckDB's SQL over a row: the number of the check that it breaks, NULL for none; "": there are no checks
	references []smallReference
	referred   []int // columns that references to the table name; nil: there are none
}

// smallKey is a key over plain columns.
type smallKey struct {
	uniqueKey
	at     []int
	search string // DuckDB's: whether a row has a key
}

// smallReference is a reference to another table.
type smallReference struct {
	constraint *tables.Constraint
	parent     *tables.Object
	at         []int
	search     string
}

// ruledTables are the rules that a session has read.
type ruledTables struct {
	tabs  *tables.Catalog
	known map[uint64]*tableRules // nil: none that are checked in memory
}

// rulesOf are the rules of a table, nil where some of them are checked by SQL only.
func (s *Session) rulesOf(ctx context.Context, o *tables.Object) (*tableRules, error) {
	if s.ruled.tabs != s.tabs {
		s.ruled = ruledTables{s.tabs, map[uint64]*tableRules{}}
	}
	if r, ok := s.ruled.known[o.ID]; ok {
		return r, nil
	}
	r, err := s.readRules(ctx, o)
	if err != nil {
		return nil, err
	}
	s.ruled.known[o.ID] = r
	return r, nil
}

func (s *Session) readRules(ctx context.Context, o *tables.Object) (*tableRules, error) {
	r := &tableRules{table: o, document: string(o.Encode())}
	h := xxh3.New()
	_, _ = h.WriteString(r.document)
	keys, err := s.uniqueKeys(ctx, o)
	if err != nil {
		return nil, err
	}
	for i := range keys {
		k := smallKey{uniqueKey: keys[i]}
		x := s.tabs.ByID[k.id]
		_, _ = h.Write(x.Encode())
		if k.where != "" || k.nullsEqual {
			return nil, nil
		}
		for _, c := range x.Of.Keys {
			at := o.ColumnIndex(c.Column)
			if at < 0 || !plainKey(&o.Columns[at]) {
				return nil, nil
			}
			k.at = append(k.at, at)
		}
		k.search = searchRow(o, k.at, nil)
		r.keys = append(r.keys, k)
	}
	r.definition = h.Sum128()
	var whens []string
	for i := range o.Constraints {
		k := &o.Constraints[i]
		switch k.Kind {
		case tables.Check:
			r.checks = append(r.checks, k)
		case tables.ForeignKey:
			parent := s.tabs.ByID[k.References]
			if k.Deferred || k.MatchFull || parent == nil || parent.ID == o.ID {
				return nil, nil
			}
			f := smallReference{constraint: k, parent: parent}
			var there []int
			for n, name := range k.Columns {
				f.at = append(f.at, o.ColumnIndex(name))
				there = append(there, parent.ColumnIndex(k.ReferencesColumns[n]))
			}
			types := make([]string, len(f.at))
			for n, at := range f.at {
				if there := &parent.Columns[there[n]]; !plainKey(&o.Columns[at]) || !plainKey(there) || (there.Type.Kind == vector.Text) != (o.Columns[at].Type.Kind == vector.Text) {
					return nil, nil
				}
				types[n] = duckColumnType(&o.Columns[at])
			}
			f.search = searchRow(parent, there, types)
			r.references = append(r.references, f)
		}
	}
	slices.SortFunc(r.checks, func(a, b *tables.Constraint) int { return strings.Compare(a.Name, b.Name) })
	for n, k := range r.checks {
		expr, err := s.checkExpr(ctx, o, k)
		if err != nil {
			return nil, err
		}
		whens = append(whens, fmt.Sprintf("WHEN NOT (%s) THEN %d", expr, n))
	}
	if len(whens) > 0 {
		r.broken = "CASE " + strings.Join(whens, " ") + " END"
	}
	for _, f := range s.tabs.Referrers(o.ID) {
		for _, name := range f.Constraint.ReferencesColumns {
			r.referred = append(r.referred, o.ColumnIndex(name))
		}
	}
	return r, nil
}

// plainKey reports whether values of a column are equal for DuckDB where their encodings as keys are.
func plainKey(c *tables.Column) bool {
	switch c.Type.Kind {
	case vector.Bool, vector.Int16, vector.Int32, vector.Int64, vector.Float32, vector.Float64, vector.Decimal, vector.Bytes, vector.UUID, vector.Date, vector.Timestamp, vector.TimestampTZ:
		return c.Type.Shown == 0
	case vector.Text:
		return c.Base == "text" || c.Base == "varchar" || c.Base == "bpchar"
	}
	return false
}

// searchRow is DuckDB's statement that looks for a row by values of columns. types are the values'; nil: the columns'.
func searchRow(o *tables.Object, at []int, types []string) string {
	conds := make([]string, len(at))
	for i, c := range at {
		value := fmt.Sprintf("$%d", i+1)
		if types != nil {
			value += "::" + types[i]
		}
		conds[i] = fmt.Sprintf("%s = %s", duck.QuoteIdent(o.Columns[c].Name), value)
	}
	return fmt.Sprintf("SELECT 1 FROM %s WHERE %s LIMIT 1", duckName(o), strings.Join(conds, " AND "))
}

// touches reports whether keys of the table, or what other tables refer to, have one of some columns.
func (r *tableRules) touches(columns []int) bool {
	for _, c := range columns {
		if slices.Contains(r.referred, c) || slices.ContainsFunc(r.keys, func(k smallKey) bool { return slices.Contains(k.at, c) }) {
			return true
		}
	}
	return false
}

// nested reports whether columns have lists or maps, which are not passed to DuckDB one by one.
func (r *tableRules) nested(columns []int) bool {
	return slices.ContainsFunc(columns, func(c int) bool { return r.table.Columns[c].Type.Buffer() == vector.BufNested })
}

// keyGiven reports whether columns hold a key.
func (r *tableRules) keyGiven(names []string) bool {
	return slices.ContainsFunc(r.keys, func(k smallKey) bool {
		return !slices.ContainsFunc(k.at, func(c int) bool { return !slices.Contains(names, r.table.Columns[c].Name) })
	})
}

// picked are some of a row's columns.
func picked(cols []*vector.Vector, at []int) []*vector.Vector {
	out := make([]*vector.Vector, len(at))
	for i, c := range at {
		out[i] = cols[c]
	}
	return out
}

// values are a row's columns as arguments of a statement.
func values(cols []*vector.Vector, row int) []*vector.Vector {
	out := make([]*vector.Vector, len(cols))
	for i, c := range cols {
		out[i] = vector.New(c.Type, 1)
		out[i].AppendFrom(c, row)
	}
	return out
}

// finds reports whether a search of the session finds a row.
func (s *Session) finds(ctx context.Context, search string, args []*vector.Vector) (bool, error) {
	rows, err := s.conn.Query(ctx, search, args...)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	found := false
	for {
		ch, err := rows.Next()
		if err != nil || ch == nil {
			return found, err
		}
		found = found || ch.N > 0
	}
}

// fewBatch is changes of few rows that one transaction writes.
type fewBatch struct {
	s     *Session // whose transaction it is
	rules *tableRules
	rows  *vector.Chunk       // to be inserted
	keys  map[string]struct{} // of them: the number of the key, and the key
}

// check checks the rows of a change as PostgreSQL does, row by row. broken is what the change itself did wrong; err is an error of
// the transaction. taken are the keys that the rows take.
func (b *fewBatch) check(ctx context.Context, j *fewJob) (taken []string, broken, err error) {
	if j.w.kind == 'd' {
		return nil, nil, nil
	}
	c := &rowCheck{s: j.s, table: j.w.table}
	cols := j.rows.Cols
	for row := range j.rows.N {
		for i := range c.table.Columns {
			col := &c.table.Columns[i]
			if col.NotNull && cols[i].IsNull(row) && (j.w.kind == 'i' || slices.Contains(j.p.set, i)) {
				return nil, c.nullValue(col, c.rowDetail(cols, row)), nil
			}
		}
		if j.broken != nil && !j.broken.IsNull(row) {
			return nil, c.checkFailed(j.p.rules.checks[j.broken.I64[row]], c.rowDetail(cols, row)), nil
		}
		if j.w.kind != 'i' {
			continue
		}
		for n := range b.rules.keys {
			k := &b.rules.keys[n]
			key, ok := appendRowKey([]byte{byte(n)}, cols, k.at, row)
			if !ok {
				continue
			}
			_, found := b.keys[string(key)]
			found = found || slices.Contains(taken, string(key))
			if !found {
				if found, err = b.has(ctx, n, key[1:], cols, row); err != nil {
					return nil, nil, err
				}
			}
			if found {
				return nil, c.taken(&k.uniqueKey, picked(cols, k.at), row), nil
			}
			taken = append(taken, string(key))
		}
	}
	for n := range b.rules.references {
		f := &b.rules.references[n]
		if j.w.kind == 'u' && !slices.ContainsFunc(f.at, func(c int) bool { return slices.Contains(j.p.set, c) }) {
			continue
		}
		refers := picked(cols, f.at)
		for row := range j.rows.N {
			if slices.ContainsFunc(refers, func(v *vector.Vector) bool { return v.IsNull(row) }) {
				continue
			}
			found, err := b.s.finds(ctx, f.search, values(refers, row))
			if err != nil {
				return nil, nil, err
			}
			if !found {
				return nil, c.absent(f.constraint, f.parent, refers, row), nil
			}
		}
	}
	return taken, nil, nil
}

// has reports whether a row of the table has a key.
func (b *fewBatch) has(ctx context.Context, number int, key []byte, cols []*vector.Vector, row int) (bool, error) {
	f, err := b.filter(ctx, number)
	if err != nil || f != nil && !f.may(key) {
		return false, err
	}
	k := &b.rules.keys[number]
	return b.s.finds(ctx, k.search, values(picked(cols, k.at), row))
}

// note keeps keys that the batch takes.
func (b *fewBatch) note(taken []string) {
	for _, key := range taken {
		if b.keys == nil {
			b.keys = map[string]struct{}{}
		}
		b.keys[key] = struct{}{}
		k := &b.rules.keys[key[0]]
		f := b.s.e.keys.of(k.id, b.rules.definition)
		if f.layers != nil && !b.s.e.keys.add(f, []byte(key[1:])) {
			b.s.e.keys.forget(k.id)
		}
	}
}

package materialize

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// The columns that a table of attribute versions has beside the relation's and the row id: the positions at which a row came and
// went, NULL while it is there.
const (
	addedColumn   = "__added"
	removedColumn = "__removed"
)

// attributes keeps every version of the rows of event tables and files that events are joined to, as temporary tables of a
// connection, so that an event is evaluated at any position with what was in force at it. It is for one goroutine at a time.
type attributes struct {
	conn *duck.Conn
	log  *reclog.Log
	at   map[uint32]uint64          // event table → position up to which its versions are there
	has  map[uint32]map[uint32]bool // file source → files whose rows are there
	cols map[uint32][]vector.Type   // event table → of the columns of the table that holds its versions
}

func newAttributes(conn *duck.Conn, log *reclog.Log) *attributes {
	return &attributes{conn: conn, log: log, at: map[uint32]uint64{}, has: map[uint32]map[uint32]bool{}, cols: map[uint32][]vector.Type{}}
}

func attributesTable(relation uint32) string { return fmt.Sprintf("attributes_%d", relation) }

// of are the base rows of the relations that g's events are joined to, live at a position: one for each of its joins.
func (a *attributes) of(ctx context.Context, c *schema.Catalog, g *schema.Group, position uint64) ([]string, error) {
	out := make([]string, len(g.Joins))
	for i, j := range g.Joins {
		b, err := baseOf(c, j.Relation)
		if err != nil {
			return nil, err
		}
		if out[i], err = a.live(ctx, b, position); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// live is the rows of a relation that is no view, with their ids, at a position.
func (a *attributes) live(ctx context.Context, b *schema.Relation, position uint64) (string, error) {
	table := "temp.main." + attributesTable(b.ID)
	if b.Logged() {
		if err := a.bring(ctx, b, position); err != nil {
			return "", err
		}
		p := min(position, math.MaxInt64)
		return fmt.Sprintf("(SELECT * FROM %s WHERE %s <= %d AND (%s IS NULL OR %[4]s > %[3]d))", table, addedColumn, p, removedColumn), nil
	}
	files, ids := live(b.File, position)
	if len(ids) == 0 {
		return noRowsSQL(b), nil
	}
	if a.has[b.ID] == nil {
		if err := a.create(ctx, b); err != nil {
			return "", err
		}
		a.has[b.ID] = map[uint32]bool{}
	}
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = fmt.Sprint(id)
		if a.has[b.ID][id] {
			continue
		}
		if err := unchanged(files[i : i+1]); err != nil {
			return "", err
		}
		names := columnList(b)
		if _, err := a.conn.Exec(ctx, fmt.Sprintf("INSERT INTO %s (%s, %s) SELECT %[2]s, (%[4]d::BIGINT << %[5]d) + %[3]s FROM %[6]s",
			table, names, rowIDColumn, id, fileRowBits, filesSQL(b, files[i:i+1], ""))); err != nil {
			return "", err
		}
		a.has[b.ID][id] = true
	}
	return fmt.Sprintf("(SELECT * FROM %s WHERE %s >> %d IN (%s))", table, rowIDColumn, fileRowBits, strings.Join(list, ", ")), nil
}

func columnList(b *schema.Relation) string {
	stored := b.Stored()
	names := make([]string, len(stored))
	for i, c := range stored {
		names[i] = duck.QuoteIdent(c.Name)
	}
	return strings.Join(names, ", ")
}

func (a *attributes) create(ctx context.Context, b *schema.Relation) error {
	stored := b.Stored()
	cols := make([]string, len(stored))
	for i, c := range stored {
		cols[i] = duck.QuoteIdent(c.Name) + " " + c.Type.DuckDB()
	}
	_, err := a.conn.Exec(ctx, fmt.Sprintf("CREATE OR REPLACE TEMP TABLE %s (%s, %s BIGINT, %s BIGINT, %s BIGINT)",
		attributesTable(b.ID), strings.Join(cols, ", "), rowIDColumn, addedColumn, removedColumn))
	return err
}

// bring adds what the log has of an event table up to a position, or up to its newest.
func (a *attributes) bring(ctx context.Context, b *schema.Relation, position uint64) (err error) {
	position = min(position, a.log.Position())
	at, loaded := a.at[b.ID]
	if loaded && !sameTypes(a.cols[b.ID], b.Stored()) { // one was added, or widened; statements of before still read by theirs
		at, loaded = 0, false
	}
	if loaded && at >= position {
		return nil
	}
	if !loaded {
		if err := a.create(ctx, b); err != nil {
			return err
		}
		a.cols[b.ID] = columnTypes(b)
	}
	defer func() {
		if err != nil { // some of it may be there: it is loaded anew
			delete(a.at, b.ID)
		}
	}()
	err = a.log.Scan(ctx, reclog.SourceID(b.ID), at, position, RowSchema(b), func(pos uint64, deleted []uint64, first uint64, ins *vector.Chunk) error {
		return a.change(ctx, b, pos, deleted, first, ins)
	})
	if err == nil {
		a.at[b.ID] = position
	}
	return err
}

// change notes rows that came and went at a position.
func (a *attributes) change(ctx context.Context, b *schema.Relation, position uint64, deleted []uint64, first uint64, ins *vector.Chunk) error {
	table := attributesTable(b.ID)
	for part := range slices.Chunk(deleted, deleteBatch) {
		ids := make([]string, len(part))
		for i, id := range part {
			ids[i] = fmt.Sprint(id)
		}
		if _, err := a.conn.Exec(ctx, fmt.Sprintf("UPDATE temp.main.%s SET %s = %d WHERE %s IN (%s)", table, removedColumn, position, rowIDColumn, strings.Join(ids, ", "))); err != nil {
			return err
		}
	}
	if ins == nil || ins.N == 0 {
		return nil
	}
	ins, err := fit(b, ins)
	if err != nil {
		return err
	}
	wide := &vector.Chunk{N: ins.N, Cols: slices.Clone(ins.Cols)}
	ids, added, removed := vector.New(vector.T(vector.Int64), ins.N), vector.New(vector.T(vector.Int64), ins.N), vector.New(vector.T(vector.Int64), ins.N)
	for i := range ins.N {
		ids.AppendInt(int64(first) + int64(i))
		added.AppendInt(int64(position))
		removed.AppendNull()
	}
	wide.Cols = append(wide.Cols, ids, added, removed)
	return appendRows(a.conn, "temp", table, wide)
}

// changed is the base rows of an event table that came or went at positions after < p ≤ upTo; what came and went in between too.
func (a *attributes) changed(b *schema.Relation, after, upTo uint64) string {
	in := func(column string) string { return fmt.Sprintf("%s > %d AND %[1]s <= %[3]d", column, after, upTo) }
	return fmt.Sprintf("(SELECT * FROM temp.main.%s WHERE %s OR %s)", attributesTable(b.ID), in(addedColumn), in(removedColumn))
}

// forget lets go of a relation's versions.
func (a *attributes) forget(ctx context.Context, relation uint32) error {
	_, table := a.at[relation]
	if !table && a.has[relation] == nil {
		return nil
	}
	delete(a.at, relation)
	delete(a.has, relation)
	_, err := a.conn.Exec(ctx, "DROP TABLE IF EXISTS temp.main."+attributesTable(relation))
	return err
}

// joinSQL is rows of g's relation with the columns of its first n joins; attrs are the base rows of each join's relation. few
// says that the rows are few, so that attributes of other keys are left out first.
//
// DuckDB's ASOF join takes any of several rows of equal keys and times, so one of them is chosen before.
func joinSQL(c *schema.Catalog, g *schema.Group, sql string, attrs []string, n int, few bool) string {
	for i := range g.Joins[:n] {
		j := &g.Joins[i]
		r := c.Relations[j.Relation]
		b := base(c, r)
		var cols, keys, order, on []string
		declared := r.Stored()
		declared = declared[:len(declared)-len(r.Hidden())]
		for _, col := range declared {
			cols = append(cols, fmt.Sprintf("%s AS %s", duck.QuoteIdent(col.Name), duck.QuoteIdent(schema.JoinColumn(i, col.Name))))
		}
		for k, col := range j.Columns {
			keys = append(keys, duck.QuoteIdent(col))
			on = append(on, fmt.Sprintf("(%s) = %s", j.Keys[k].SQL, duck.QuoteIdent(schema.JoinColumn(i, col))))
		}
		time := duck.QuoteIdent(r.Inside(r.EventTime))
		for k := range b.PrimaryKey {
			order = append(order, fmt.Sprintf("%s%d DESC NULLS LAST", pkColumn, k))
		}
		if len(order) == 0 || !b.Logged() { // a source only says that its keys are unique
			for _, col := range declared { // dropped ones, too: what was in force stays
				name := duck.QuoteIdent(col.Name)
				// A sort gives back −0.0 as 0.0 where it sorts by the column itself.
				order = append(order, name+" IS NOT NULL DESC", "["+name+"] DESC", name+"::VARCHAR DESC")
			}
		}
		where := []string{"isfinite(" + time + ")"}
		for _, k := range keys {
			where = append(where, k+" IS NOT NULL")
		}
		if few {
			where = append(where, fmt.Sprintf("%s IN (SELECT %s FROM %s)", keys[0], j.Keys[0].SQL, sql))
		}
		op := ">="
		if j.Strict {
			op = ">"
		}
		kind := "LEFT"
		if j.Inner {
			kind = "INNER"
		}
		right := fmt.Sprintf("(SELECT %s FROM (SELECT *, row_number() OVER (PARTITION BY %s, %s ORDER BY %s) AS __rank FROM %s WHERE %s) WHERE __rank = 1)",
			strings.Join(cols, ", "), strings.Join(keys, ", "), time, strings.Join(order, ", "), rowsSQL(c, r, attrs[i]), strings.Join(where, " AND "))
		sql = fmt.Sprintf("(SELECT * FROM %s ASOF %s JOIN %s ON %s AND %s %s %s)", sql, kind, right, strings.Join(on, " AND "),
			timeOf(c, g), op, duck.QuoteIdent(schema.JoinColumn(i, r.Inside(r.EventTime))))
		if b.VersionsOf != 0 && r.ColumnIndex(schema.VersionDeleted) >= 0 {
			sql = withoutEnded(sql, i, declared, j.Inner)
		}
	}
	return sql
}

// WidenedSQL is the rows of a group's relation at a position with the elements of lists and the columns of attributes, for a
// connection; done lets go of what it made there.
func (m *Manager) WidenedSQL(ctx context.Context, conn *duck.Conn, c *schema.Catalog, g *schema.Group, position uint64) (sql string, done func(), err error) {
	b, err := baseOf(c, g.Relation)
	if err != nil {
		return "", nil, err
	}
	from := baseRows{}
	if from.sql, _, err = m.baseSQL(ctx, b, position); err != nil {
		return "", nil, err
	}
	a := newAttributes(conn, m.cfg.Log)
	done = func() {
		for _, j := range g.Joins {
			if b, err := baseOf(c, j.Relation); err == nil {
				_ = a.forget(context.WithoutCancel(ctx), b.ID) // a table that stays goes with the connection
			}
		}
	}
	if from.attributes, err = a.of(ctx, c, g, position); err != nil {
		done()
		return "", nil, err
	}
	return widenedSQL(c, g, from), done, nil
}

// withoutEnded is rows joined to versions (the i-th join) as if the versions that say that a row ended were not: an event has no attributes
// from then on.
func withoutEnded(sql string, i int, columns []schema.Column, inner bool) string {
	ended := duck.QuoteIdent(schema.JoinColumn(i, schema.VersionDeleted))
	if inner {
		return fmt.Sprintf("(SELECT * FROM %s WHERE NOT %s)", sql, ended)
	}
	cols := make([]string, len(columns))
	for k, c := range columns {
		name := duck.QuoteIdent(schema.JoinColumn(i, c.Name))
		cols[k] = fmt.Sprintf("CASE WHEN %s THEN NULL ELSE %s END AS %[2]s", ended, name)
	}
	return fmt.Sprintf("(SELECT * REPLACE (%s) FROM %s)", strings.Join(cols, ", "), sql)
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
	"github.com/tilehouse/tilehouse/storage/featurelog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// featureLogColumns are the columns of tilehouse.feature_log.
var featureLogColumns = slices.Concat(text("view"), times("logged", "read_time"), numbers("position"), times("committed"), text("bound", "columns"))

// maxLogShown is how many records tilehouse.feature_log shows: the newest of each view.
const maxLogShown = 100_000

// logShown is how many records are given to DuckDB at once.
const logShown = 2048

// featureLog puts the newest records of all views into a temporary table of the statement.
func (s *Session) featureLog(ctx context.Context, cat *schema.Catalog) (table string, err error) {
	if err := s.e.features.Flush(ctx); err != nil {
		return "", err
	}
	cols := make([]string, len(featureLogColumns))
	types := make([]vector.Type, len(cols))
	for i, c := range featureLogColumns {
		cols[i], types[i] = duck.QuoteIdent(c.Name)+" "+c.Type.DuckDB(), c.Type
	}
	table = s.temp("log")
	if _, err := s.conn.Exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s (%s)", table, strings.Join(cols, ", "))); err != nil {
		return "", err
	}
	a, err := s.conn.Appender("temp", "main", table)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	part := vector.NewChunk(types, logShown)
	var position uint64
	var committed int64 // when position was; 0: not known
	for _, v := range sorted(cat.FeatureViews, func(v *schema.FeatureView) string { return v.Name }) {
		n := 0
		if err := s.e.features.Scan(ctx, v.ID, math.MinInt64, true, func(r featurelog.Record) (bool, error) {
			if r.Position != position || committed == 0 {
				position, committed = r.Position, s.e.log.TimeOf(r.Position)
			}
			c := part.Cols
			c[0].AppendString(v.Name)
			c[1].AppendInt(r.At)
			c[2].AppendInt(r.Instant)
			c[3].AppendInt(int64(r.Position))
			if committed == 0 {
				c[4].AppendNull()
			} else {
				c[4].AppendInt(committed)
			}
			c[5].AppendString(s.rowText(&r, 0, r.Bound))
			c[6].AppendString(s.rowText(&r, r.Bound, len(r.Columns)))
			if part.N++; part.N == logShown {
				if err := a.Append(part); err != nil {
					return false, err
				}
				part.Reset()
			}
			n++
			return n < maxLogShown, nil
		}); err != nil {
			return "", err
		}
	}
	if part.N > 0 {
		err = a.Append(part)
	}
	return "temp.main." + table, err
}

package materialize

import (
	"context"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// Refusals finds among new rows of a relation those of which features cannot be computed, without a commit: by row, with the error of one of its features. of says whether an error
// is one of rows. Rows that an error does not let tell apart are not among them: a commit has the last word. Errors: those that are not of rows.
func (m *Manager) Refusals(ctx context.Context, r *schema.Relation, rows *vector.Chunk, of func(error) bool) (map[int]error, error) {
	out := map[int]error{}
	position := m.cfg.Log.Position()
	for _, g := range *m.live.Load() {
		cat := m.catalogOf(g)
		if b, err := baseOf(cat, g.Schema.Relation); err != nil || b.ID != r.ID || g.Tiles == nil {
			continue
		}
		var find func(from, to int) error
		find = func(from, to int) error {
			part := rows
			if to-from < rows.N {
				part = vector.NewChunk(rows.Types(), to-from)
				part.AppendRange(rows, from, to)
			}
			_, err := m.eval.rows(ctx, cat, g.Schema, part, consecutive(1, part.N), position)
			switch {
			case err == nil:
				return nil
			case !of(err):
				return err
			case to-from == 1:
				if out[from] == nil {
					out[from] = err
				}
				return nil
			}
			half := (from + to) / 2
			if err := find(from, half); err != nil {
				return err
			}
			return find(half, to)
		}
		if err := find(0, rows.N); err != nil {
			return nil, err
		}
	}
	return out, nil
}

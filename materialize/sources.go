package materialize

import (
	"context"
	"errors"
	"slices"

	"github.com/tilehouse/tilehouse/storage/reclog"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// RelationSQL is a relation of ours in DuckDB at a position, with its hidden row id; the projection is brought up first.
func (m *Manager) RelationSQL(ctx context.Context, cat *schema.Catalog, r *schema.Relation, position uint64) (string, error) {
	rows, _, err := m.baseSQL(ctx, base(cat, r), position)
	if err != nil {
		return "", err
	}
	return rowsSQL(cat, r, rows), nil
}

// baseSQL is the rows of a relation that is no view, with row ids; fileIDs maps their high bits for files.
func (m *Manager) baseSQL(ctx context.Context, b *schema.Relation, position uint64) (sql string, fileIDs []uint32, err error) {
	if b.Logged() {
		if err := m.proj.bring(ctx, b, position); err != nil {
			return "", nil, err
		}
		return ProjectionTable(b.ID), nil, nil
	}
	files, ids := live(b.File, position)
	if len(files) == 0 {
		return noRowsSQL(b), []uint32{}, nil
	}
	if err := unchanged(files); err != nil {
		return "", nil, err
	}
	return filesSQL(b, files, ""), ids, nil
}

// Discover reads the columns of a new file source from its first file, unless they were declared.
func (m *Manager) Discover(ctx context.Context, r *schema.Relation) error {
	files, err := m.cfg.Roots.List(ctx, r.File.Path)
	if err != nil {
		return err
	}
	declared := len(r.Columns) > 0
	switch {
	case declared && (len(files) == 0 || r.File.Format == "csv"):
		return nil
	case len(files) == 0:
		return m.cfg.Roots.noFiles(ctx, r.File.Path)
	}
	conn, err := m.cfg.DB.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	if declared {
		return noteStored(ctx, conn, r, files[0].Path)
	}
	r.Columns, err = Columns(ctx, conn, files[0].Path, r.File)
	return err
}

// Refreshed reports what a refresh of a source found.
type Refreshed struct {
	Files, Added, Removed int
	Rows                  int64    // of all live files
	Duals                 []Loaded // dual sources of which the source is a side
}

// RefreshSource compares a file source with its files. What changed becomes one new position, and shows in one catalog version
// together with the groups over the source as of that position. An error leaves no trace.
func (m *Manager) RefreshSource(ctx context.Context, id uint32) (Refreshed, error) {
	m.build.Lock()
	defer m.build.Unlock()
	rep, err := m.refreshSource(ctx, id)
	if err == nil {
		rep.Duals, err = m.loadDuals(ctx, id)
	}
	if r := m.cfg.Catalog.Current().Relations[id]; r != nil && ctx.Err() == nil {
		m.schedule.ended(r, m.cfg.Clock(), err)
	}
	return rep, err
}

func (m *Manager) refreshSource(ctx context.Context, id uint32) (Refreshed, error) {
	cat := m.cfg.Catalog.Current()
	r := cat.Relations[id]
	if r == nil || r.File == nil {
		return Refreshed{}, errors.New("the source was dropped")
	}
	listed, err := m.cfg.Roots.List(ctx, r.File.Path)
	if err != nil {
		return Refreshed{}, err
	}
	added, removed := compare(r.File, listed)
	next := *r
	file := *r.File
	file.Files = slices.Clone(r.File.Files)
	next.File = &file
	if len(added)+len(removed) == 0 {
		return summary(&file, 0, 0), nil
	}
	if err := m.admit(ctx, r, added); err != nil {
		return Refreshed{}, err
	}
	if err := m.newFiles(r.ID, &file, added); err != nil {
		return Refreshed{}, err
	}
	for i := range file.Files {
		if slices.Contains(removed, file.Files[i].ID) {
			file.Files[i].Removed = pending
		}
	}
	if err := m.refresh(ctx, cat, &next, len(removed) == 0); err != nil {
		return Refreshed{}, err
	}
	return summary(&file, len(added), len(removed)), nil
}

// FirstFiles gives a source that is not in the catalog yet the files that there are, as of a position of their own.
func (m *Manager) FirstFiles(ctx context.Context, r *schema.Relation) (Refreshed, error) {
	listed, err := m.cfg.Roots.List(ctx, r.File.Path)
	if err != nil {
		return Refreshed{}, err
	}
	added, _ := compare(r.File, listed)
	if err := m.admit(ctx, r, added); err != nil {
		return Refreshed{}, err
	}
	if len(added) == 0 {
		return Refreshed{}, nil
	}
	c, err := m.cfg.Log.Commit(ctx, &reclog.Txn{})
	if err != nil {
		return Refreshed{}, err
	}
	if err := m.newFiles(r.ID, r.File, added); err != nil {
		return Refreshed{}, err
	}
	settlePositions(r.File, c.Position)
	return summary(r.File, len(added), 0), nil
}

func summary(f *schema.File, added, removed int) Refreshed {
	out := Refreshed{Added: added, Removed: removed}
	for _, v := range f.Files {
		if v.Removed == 0 {
			out.Files++
			out.Rows += v.Rows
		}
	}
	return out
}

// admit checks the columns of new files and counts their rows.
func (m *Manager) admit(ctx context.Context, r *schema.Relation, added []schema.FileVersion) error {
	conn, err := m.cfg.DB.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	for i := range added {
		a := &added[i]
		if err := checkColumns(ctx, conn, r, a.Path); err != nil {
			return err
		}
		rows, err := conn.Query(ctx, "SELECT count(*) FROM "+filesSQL(r, []schema.FileVersion{*a}, ""))
		if err != nil {
			return err
		}
		ch, err := rows.Next()
		if err == nil && ch != nil {
			a.Rows = ch.Cols[0].I64[0]
		}
		rows.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// newFiles adds contents to a source's files, at a position that is pending. One that an unpublished build has read keeps its id.
func (m *Manager) newFiles(source uint32, file *schema.File, added []schema.FileVersion) error {
	for _, a := range added {
		if a.ID = m.checkpoints.fileID(source, &a); a.ID == 0 || slices.ContainsFunc(file.Files, func(f schema.FileVersion) bool { return f.ID == a.ID }) {
			n, err := m.cfg.Log.Sequence("file")
			if err != nil {
				return err
			}
			a.ID = uint32(n)
		}
		a.Added = pending
		file.Files = append(file.Files, a)
	}
	return nil
}

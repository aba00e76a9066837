package runs

import (
	"errors"
	"fmt"

	"github.com/tilehouse/tilehouse/storage/event"
)

// Kind is what a segment holds.
type Kind string

// The kinds.
const (
	KindRows Kind = "rows" // event rows
	KindDays Kind = "days" // encoded partial states, an entry per key and day
)

// Segment is one immutable set of sorted rows: a rows file and a key file. It is plain data that the caller keeps in its
// catalog.
type Segment struct {
	ID   string `json:"id"` // unique among all segments of a directory, also removed ones; part of the file names
	Kind Kind   `json:"kind"`
	// Span holds the times of all rows. For days it is aligned to days, and is what the segment speaks for: a key without
	// an entry for a day of the span, in any segment, has no rows on that day.
	Span     event.Interval `json:"span"`
	Position uint64         `json:"position"` // of the log of record, up to which the segment's rows are
	Rows     int64          `json:"rows"`
	Keys     int64          `json:"keys"`
	Days     *DayCounts     `json:"days,omitempty"` // of the rows
	Parts    []Part         `json:"parts"`          // by partition
	RowFile  File           `json:"row_file"`
	KeyFile  File           `json:"key_file"`
}

// Part is where a partition lies in a segment's files: half-open ranges of batches.
type Part struct {
	RowFrom int `json:"row_from"`
	RowTo   int `json:"row_to"`
	KeyFrom int `json:"key_from"`
	KeyTo   int `json:"key_to"`
}

// File names a file of the store's directory and says what it must hold.
type File struct {
	Name    string `json:"name"`
	Bytes   int64  `json:"bytes"`      // of the file
	Content int64  `json:"content"`    // bytes of its Arrow content; the checksums of its pages follow
	Sum     uint64 `json:"sum,string"` // xxh3 of those checksums
}

// Bytes is the size of the segment's files.
func (s *Segment) Bytes() int64 { return s.RowFile.Bytes + s.KeyFile.Bytes }

// Manifest is the runs of one group. It is plain data; a change makes a new one.
type Manifest struct {
	Layout     event.Layout `json:"layout"`
	Partials   int          `json:"partials"`   // states of an entry of a days segment
	Partitions int          `json:"partitions"` // fixed for the life of the group
	Position   uint64       `json:"position"`   // up to which the rows are complete
	Segments   []Segment    `json:"segments"`   // later ones overlay earlier ones
}

// Replace is the manifest with the segments old, which it has, taken out and s put where the last of them was. With no
// old ones s is appended. The position grows to that of s.
func (m Manifest) Replace(old []string, s Segment) (Manifest, error) {
	gone := make(map[string]bool, len(old))
	for _, id := range old {
		gone[id] = true
	}
	var out []Segment
	left := len(gone)
	for _, have := range m.Segments {
		if have.ID == s.ID {
			return m, fmt.Errorf("runs: segment %s is in the manifest already", s.ID)
		}
		if !gone[have.ID] {
			out = append(out, have)
			continue
		}
		if left--; left == 0 {
			out = append(out, s)
		}
	}
	if left > 0 {
		return m, errors.New("runs: a segment to replace is not in the manifest")
	}
	if len(old) == 0 {
		out = append(out, s)
	}
	m.Segments, m.Position = out, max(m.Position, s.Position)
	return m, nil
}

// daysLayout is the layout of the rows of a days segment: ts is the day's start, a column a partial.
func daysLayout(keys event.Layout, partials int) event.Layout {
	l := event.Layout{Keys: keys.Keys}
	for range partials {
		l.Columns = append(l.Columns, stateType)
	}
	return l
}

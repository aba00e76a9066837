package materialize

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/tilehouse/tilehouse/storage/runs"
)

// maxTombstones bounds the dead row versions that a group's runs hide. Beyond it the runs are compacted without them.
const maxTombstones = 65_536

// document is a group's manifest as the catalog keeps it: the runs, and which of the row versions in them went, when.
//
// The runs hold every row version of positions Floor to Position. A read at p in between hides what came after p or went up
// to p, and folds rows, because the daily partials are those of Position.
type document struct {
	runs.Manifest
	Floor uint64 `json:"floor"`
	// Dead is the row versions of an event table that went: by ascending id, the difference to the one before and the
	// position at which it went, as unsigned varints.
	Dead []byte `json:"dead,omitempty"`
}

func encodeDocument(man *runs.Manifest, floor uint64, dead map[uint64]uint64) (json.RawMessage, error) {
	d := document{Manifest: *man, Floor: floor}
	last := uint64(0)
	for _, id := range slices.Sorted(maps.Keys(dead)) {
		d.Dead = binary.AppendUvarint(binary.AppendUvarint(d.Dead, id-last), dead[id])
		last = id
	}
	return json.Marshal(&d)
}

func decodeDocument(b json.RawMessage) (man *runs.Manifest, floor uint64, dead map[uint64]uint64, err error) {
	var d document
	if err := json.Unmarshal(b, &d); err != nil {
		return nil, 0, nil, err
	}
	dead = map[uint64]uint64{}
	id := uint64(0)
	for rest := d.Dead; len(rest) > 0; {
		diff, n := binary.Uvarint(rest)
		if n <= 0 {
			return nil, 0, nil, fmt.Errorf("bad tombstones")
		}
		pos, k := binary.Uvarint(rest[n:])
		if k <= 0 {
			return nil, 0, nil, fmt.Errorf("bad tombstones")
		}
		id += diff
		dead[id], rest = pos, rest[n+k:]
	}
	return &d.Manifest, d.Floor, dead, nil
}

// segmentsOf are the segments that a group's document names, none where it cannot be read.
func segmentsOf(b json.RawMessage) []runs.Segment {
	if len(b) == 0 {
		return nil
	}
	man, _, _, err := decodeDocument(b)
	if err != nil {
		return nil
	}
	return man.Segments
}

package catalog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// ErrCorrupt is wrapped by errors about keys and values that this package cannot have written.
var ErrCorrupt = errors.New("catalog: corrupt record")

// MaxDocBytes is the most bytes of a document.
const MaxDocBytes = 16 << 20

const (
	keySpace = 'c' // reclog.KeyCatalog
	docSpace = 'd'
)

var versionKey = []byte{keySpace, 'v'}

// Doc is a document.
type Doc struct {
	Kind string // such as "table"; without NUL bytes, not empty
	ID   string // any bytes
	JSON []byte
}

// Store reads and writes documents. It keeps no state of its own and is safe for concurrent use.
type Store struct{ db *pebble.DB }

// New is the store in db.
func New(db *pebble.DB) *Store { return &Store{db} }

// Load is the newest version, 0 before the first change, and all its documents, ordered by kind and id.
func (s *Store) Load() (version uint64, docs []Doc, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keySpace}, UpperBound: []byte{keySpace + 1}})
	if err != nil {
		return 0, nil, err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		k := it.Key()
		v, err := it.ValueAndErr()
		if err != nil {
			return 0, nil, err
		}
		switch {
		case bytes.Equal(k, versionKey):
			var n int
			if version, n = binary.Uvarint(v); n <= 0 {
				return 0, nil, fmt.Errorf("%w: version", ErrCorrupt)
			}
		case len(k) > 1 && k[1] == docSpace:
			kind, id, ok := strings.Cut(string(k[2:]), "\x00")
			if !ok {
				return 0, nil, fmt.Errorf("%w: key %q", ErrCorrupt, k)
			}
			docs = append(docs, Doc{Kind: kind, ID: id, JSON: bytes.Clone(v)})
		default:
			return 0, nil, fmt.Errorf("%w: key %q", ErrCorrupt, k)
		}
	}
	return version, docs, it.Error()
}

// Put adds to b that version has the document, in place of one of its kind and id. version must be greater than the newest
// committed one; all of a batch's changes name the same.
func (s *Store) Put(b *pebble.Batch, version uint64, d Doc) error {
	key, err := docKey(d.Kind, d.ID)
	if err != nil {
		return err
	}
	if len(d.JSON) > MaxDocBytes || !json.Valid(d.JSON) {
		return fmt.Errorf("catalog: %s %q: %d bytes that are no JSON document, or too many", d.Kind, d.ID, len(d.JSON))
	}
	if err := b.Set(key, d.JSON, nil); err != nil {
		return err
	}
	return setVersion(b, version)
}

// Delete adds to b that version lacks the document; it need not exist.
func (s *Store) Delete(b *pebble.Batch, version uint64, kind, id string) error {
	key, err := docKey(kind, id)
	if err != nil {
		return err
	}
	if err := b.Delete(key, nil); err != nil {
		return err
	}
	return setVersion(b, version)
}

func setVersion(b *pebble.Batch, version uint64) error {
	return b.Set(versionKey, binary.AppendUvarint(nil, version), nil)
}

func docKey(kind, id string) ([]byte, error) {
	if kind == "" || strings.IndexByte(kind, 0) >= 0 {
		return nil, fmt.Errorf("catalog: bad kind %q", kind)
	}
	return append([]byte{keySpace, docSpace}, kind+"\x00"+id...), nil
}

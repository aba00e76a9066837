package tiles

import (
	"bytes"
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// ascendKeys is for how many keys an ascending reader is worth its making.
const ascendKeys = 16

// ascending reads the records and nodes of keys that ascend: from one to the next, rather than each from the top of the database. It sees what
// was there when it was made.
type ascending struct {
	db *pebble.DB
	it [2]*pebble.Iterator // of records, and of nodes
}

func newAscending(db *pebble.DB, prefix uint32) (*ascending, error) {
	a := &ascending{db: db}
	for i, kind := range []byte{kindRecord, kindNode} {
		lo, hi := kindBounds(prefix, kind)
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
		if err != nil {
			return nil, errors.Join(err, a.close())
		}
		a.it[i] = it
	}
	return a, nil
}

func (a *ascending) close() error {
	var errs []error
	for _, it := range a.it {
		if it != nil {
			errs = append(errs, it.Close())
		}
	}
	return errors.Join(errs...)
}

// Get implements Getter. The value is valid until the next Get.
func (a *ascending) Get(key []byte) ([]byte, io.Closer, error) {
	var it *pebble.Iterator
	switch key[keyHead-1] {
	case kindRecord:
		it = a.it[0]
	case kindNode:
		it = a.it[1]
	default:
		return a.db.Get(key)
	}
	if !it.SeekGE(key) || !bytes.Equal(it.Key(), key) {
		if err := it.Error(); err != nil {
			return nil, nil, err
		}
		return nil, nil, pebble.ErrNotFound
	}
	v, err := it.ValueAndErr()
	return v, io.NopCloser(nil), err
}

package cassandra

import (
	"context"
	"errors"
	"fmt"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"golang.org/x/sync/errgroup"
)

// readInFlight is how many partitions one lookup asks for at once.
const readInFlight = 32

// ErrNoDefinitions says that nothing was published yet.
var ErrNoDefinitions = errors.New("no definitions were published to the keyspace yet")

// Published is which definitions gateways read by.
type Published struct {
	Store   string
	Epoch   int64
	Version uint64
	parts   int
}

// Group is the number of a group in the keyspace.
func (p Published) Group(prefix uint32) int64 { return p.Epoch<<32 | int64(prefix) }

// Newest is the definitions that are read by now. Errors: ErrNoDefinitions, the driver's.
func (s *Store) Newest(ctx context.Context) (Published, error) {
	var p Published
	var version int64
	err := s.session.Query("SELECT store, epoch, version, parts FROM published WHERE id = 1").ScanContext(ctx, &p.Store, &p.Epoch, &version, &p.parts)
	if errors.Is(err, gocql.ErrNotFound) {
		return Published{}, ErrNoDefinitions
	}
	p.Version = uint64(version)
	return p, classify(err)
}

// Definitions is what was published. Errors: that it was forgotten meanwhile; the driver's.
func (s *Store) Definitions(ctx context.Context, p Published) ([]byte, error) {
	var out, part []byte
	n := 0
	it := s.session.Query("SELECT body FROM definitions WHERE epoch = ? AND version = ?", p.Epoch, int64(p.Version)).IterContext(ctx)
	for it.Scan(&part) {
		out = append(out, part...)
		n++
	}
	if err := it.Close(); err != nil {
		return nil, classify(err)
	}
	if n != p.parts {
		return nil, fmt.Errorf("definitions %d of epoch %d have %d parts, not %d", p.Version, p.Epoch, n, p.parts)
	}
	return out, nil
}

// Progress is up to which position of the log values are, and when that was; 0 where nothing was said yet.
func (s *Store) Progress(ctx context.Context) (position uint64, at time.Time, err error) {
	var p int64
	err = s.session.Query("SELECT position, at FROM progress WHERE id = 1").ScanContext(ctx, &p, &at)
	if errors.Is(err, gocql.ErrNotFound) {
		return 0, time.Time{}, nil
	}
	return uint64(p), at, classify(err)
}

// Values are values of one partition, as of one round. They are for one goroutine.
type Values struct {
	Meta   []byte            // of the group, as of the round
	Parts  map[string][]byte // by part: nil for one that is not there
	Rows   int               // read so far
	there  bool              // the partition exists
	round  int64
	group  int64
	key    []byte
	ofMeta bool // Meta was read
}

// Asked is a read of one partition: the record, whose part is empty, and parts.
type Asked struct {
	Group int64
	Key   []byte
	Parts [][]byte
}

const cqlParts = "SELECT part, value, round, meta FROM tiles WHERE grp = ? AND key = ? AND part IN ?"

// Read reads partitions, readInFlight at a time. Errors: ErrTorn where one is being written, the driver's.
func (s *Store) Read(ctx context.Context, asked []Asked) ([]*Values, error) {
	out := make([]*Values, len(asked))
	one := func(ctx context.Context, i int) error {
		a := &asked[i]
		out[i] = &Values{group: a.Group, key: a.Key, Parts: make(map[string][]byte, len(a.Parts)+1)}
		return s.more(ctx, out[i], append([][]byte{{}}, a.Parts...))
	}
	if len(asked) == 1 {
		return out, one(ctx, 0)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readInFlight)
	for i := range asked {
		g.Go(func() error { return one(ctx, i) })
	}
	return out, g.Wait()
}

// More reads further parts. Errors: ErrTorn where the partition has changed since it was read first; the driver's.
func (s *Store) More(ctx context.Context, v *Values, parts ...[]byte) error {
	return s.more(ctx, v, parts)
}

func (s *Store) more(ctx context.Context, v *Values, parts [][]byte) error {
	first := !v.there && v.round == 0
	for _, p := range parts {
		v.Parts[string(p)] = nil
	}
	it := s.session.Query(cqlParts, v.group, v.key, parts).IterContext(ctx)
	var part, value, meta []byte
	var round int64
	n := 0
	for ; it.Scan(&part, &value, &round, &meta); part, value, meta = nil, nil, nil {
		n++
		switch {
		case round == busyRound || !first && round != v.round:
			_ = it.Close() // the rest does not matter
			return ErrTorn
		case first:
			v.round, v.Meta, v.ofMeta, v.there = round, meta, true, true
			first = false
		}
		if len(value) > 0 {
			v.Parts[string(part)] = value
		}
	}
	if err := it.Close(); err != nil {
		return classify(err)
	}
	v.Rows += n
	if n == 0 && v.there { // nothing says of which round that is
		return ErrTorn
	}
	return nil
}

// GroupMeta is what is retained of the group of a partition: as of its round, or as of now where there is no partition.
func (s *Store) GroupMeta(ctx context.Context, v *Values) ([]byte, error) {
	if !v.ofMeta {
		err := s.session.Query("SELECT meta FROM groups WHERE grp = ?", v.group).ScanContext(ctx, &v.Meta)
		if err != nil && !errors.Is(err, gocql.ErrNotFound) {
			return nil, classify(err)
		}
		v.ofMeta = true
	}
	return v.Meta, nil
}

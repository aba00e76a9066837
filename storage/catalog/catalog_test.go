package catalog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/tilehouse/tilehouse/storage/reclog"
)

func TestKeySpaceIsOurs(t *testing.T) {
	if keySpace != reclog.KeyCatalog {
		t.Fatalf("key space %q, the log gives %q", keySpace, reclog.KeyCatalog)
	}
}

// Random changes through the log of record, some failing, with reopens: Load equals a map.
func TestRandomChanges(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	fs := vfs.NewMem()
	open := func() *reclog.Log {
		l, err := reclog.Open("db", reclog.Options{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := open()
	defer func() { _ = l.Close() }()
	want, version := map[[2]string]string{}, uint64(0)
	ids := []string{"", "a", "\x00", "a\x00b", "\xff"}
	for step := range 200 {
		s := New(l.DB())
		next := map[[2]string]string{}
		for k, v := range want {
			next[k] = v
		}
		fail := r.IntN(4) == 0
		c, err := l.Commit(t.Context(), &reclog.Txn{Extra: func(b *pebble.Batch, pos uint64) error {
			for range 1 + r.IntN(3) {
				k := [2]string{[]string{"table", "feature"}[r.IntN(2)], ids[r.IntN(len(ids))]}
				var err error
				if r.IntN(3) == 0 {
					delete(next, k)
					err = s.Delete(b, pos, k[0], k[1])
				} else {
					next[k] = fmt.Sprintf(`{"step":%d}`, step)
					err = s.Put(b, pos, Doc{k[0], k[1], []byte(next[k])})
				}
				if err != nil {
					return err
				}
			}
			if fail {
				return s.Put(b, pos, Doc{"table", "x", []byte("{")})
			}
			return nil
		}})
		if fail != (err != nil) {
			t.Fatalf("step %d: %v", step, err)
		}
		if !fail {
			want, version = next, c.Position
		}
		if r.IntN(10) == 0 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = open()
		}
		got, docs, err := New(l.DB()).Load()
		if err != nil || got != version || len(docs) != len(want) {
			t.Fatalf("step %d: version %d of %d, %d documents of %d, %v", step, got, version, len(docs), len(want), err)
		}
		for _, d := range docs {
			if want[[2]string{d.Kind, d.ID}] != string(d.JSON) {
				t.Fatalf("step %d: %s %q is %s", step, d.Kind, d.ID, d.JSON)
			}
		}
		if !slices.IsSortedFunc(docs, func(a, b Doc) int {
			return strings.Compare(a.Kind+"\x00"+a.ID, b.Kind+"\x00"+b.ID)
		}) {
			t.Fatalf("step %d: not in order", step)
		}
	}
}

func TestBadKind(t *testing.T) {
	for _, kind := range []string{"", "a\x00b"} {
		if _, err := docKey(kind, "x"); err == nil {
			t.Errorf("kind %q is taken", kind)
		}
	}
}

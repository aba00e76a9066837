package pgfunc

import (
	"crypto/rand"
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// Random is the generator of random() of one session: PostgreSQL 15's, so that setseed gives the values that it gives there.
type Random struct {
	mu     sync.Mutex
	s0, s1 uint64
}

var (
	generators    sync.Map // of *Random by name
	lastGenerator atomic.Uint64
)

// NewRandom makes a generator with a seed of its own, and the name by which functions call it until FreeRandom.
func NewRandom() (name string, r *Random) {
	name, r = strconv.FormatUint(lastGenerator.Add(1), 10), &Random{}
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	r.s0, r.s1 = binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])|1
	generators.Store(name, r)
	return name, r
}

// FreeRandom forgets a generator.
func FreeRandom(name string) { generators.Delete(name) }

// Seed is setseed(seed). Errors: 22023 outside of −1 to 1.
func (r *Random) Seed(seed float64) error {
	if !(seed >= -1 && seed <= 1) {
		return bad("22023", "setseed parameter %s is out of allowed range [-1,1]", strconv.FormatFloat(seed, 'g', 6, 64))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	x := uint64(int64(float64(1<<52-1) * seed))
	split := func() uint64 { // splitmix64
		x += 0x9e3779b97f4a7c15
		v := x
		v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
		v = (v ^ v>>27) * 0x94d049bb133111eb
		return v ^ v>>31
	}
	r.s0 = split()
	r.s1 = split()
	return nil
}

// next is a value from 0 to below 1: the upper 52 bits of xoroshiro128**.
func (r *Random) next() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	s0, x := r.s0, r.s1^r.s0
	v := bits.RotateLeft64(s0*5, 7) * 9
	r.s0, r.s1 = bits.RotateLeft64(s0, 24)^x^x<<16, bits.RotateLeft64(x, 37)
	return math.Ldexp(float64(v>>12), -52)
}

func init() {
	generator := func(name string) (*Random, error) {
		if r, ok := generators.Load(name); ok {
			return r.(*Random), nil
		}
		return nil, bad("XX000", "the session's generator of random values is gone")
	}
	ours("__random(text)", "float8", func(a args, out *vector.Vector) error {
		r, err := generator(a.s(0))
		if err == nil {
			out.AppendFloat(r.next())
		}
		return err
	}, volatile)
	ours("__setseed(text,float8)", "text", func(a args, out *vector.Vector) error {
		r, err := generator(a.s(0))
		if err == nil {
			err = r.Seed(a.f(1))
		}
		return putText(out, "", err)
	}, volatile)
	sql("setseed(float8)\tsetseed($1)") // in statements that have no generator
}

// Package seeds gives random tests their source.
package seeds

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// Rand is a seeded source; the seed is printed, and TILEHOUSE_SEED sets it.
func Rand(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("TILEHOUSE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("TILEHOUSE_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

package duck

import (
	"errors"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// naiveDivision is a·10^shift / b in rationals, rounded half away from zero; ok is false beyond 38 digits.
func naiveDivision(a, b *big.Int, shift int) (q *big.Int, ok bool) {
	x := new(big.Rat).SetFrac(new(big.Int).Mul(a, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(shift)), nil)), b)
	half := big.NewRat(1, 2)
	if x.Sign() < 0 {
		half.Neg(half)
	}
	x.Add(x, half)
	q = new(big.Int).Quo(x.Num(), x.Denom()) // toward zero
	return q, len(strings.TrimPrefix(q.String(), "-")) <= 38
}

func TestDivideDecimals(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	number := func() *big.Int {
		switch r.IntN(8) {
		case 0:
			return big.NewInt([]int64{0, 1, -1, 2, 5, -5, 10, 99}[r.IntN(8)])
		case 1: // next to the word's ends
			return new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), uint(62+r.IntN(4))), big.NewInt(r.Int64N(5)-2))
		case 2:
			return new(big.Int).Sub(new(big.Int).Exp(big.NewInt(10), big.NewInt(38), nil), big.NewInt(1+r.Int64N(3)))
		}
		digits := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(1+r.IntN(37))), nil)
		n := new(big.Int).Mod(new(big.Int).Mul(big.NewInt(r.Int64()), new(big.Int).Mul(big.NewInt(r.Int64()), big.NewInt(r.Int64()))), digits)
		if r.IntN(2) == 0 {
			n.Neg(n)
		}
		return n
	}
	small := 0
	for range 300_000 {
		a, b, shift := number(), number(), r.IntN(42)
		got, err := divideDecimals(int128(a), int128(b), shift)
		if b.Sign() == 0 {
			if !errors.As(err, new(*Error)) || SQLState(err) != "22012" {
				t.Fatalf("%d/0: %v", a, err)
			}
			continue
		}
		want, ok := naiveDivision(a, b, shift)
		if ok != (err == nil) || ok && got.BigInt().Cmp(want) != 0 {
			t.Fatalf("%d·10^%d / %d = %d, %v; want %d, %v", a, shift, b, got.BigInt(), err, want, ok)
		}
		if ok {
			small++
		}
	}
	if small < 50_000 {
		t.Errorf("only %d quotients fit", small)
	}
}

func int128(x *big.Int) vector.Int128 {
	low := new(big.Int).And(x, new(big.Int).SetUint64(^uint64(0)))
	return vector.Int128FromParts(new(big.Int).Rsh(x, 64).Int64(), low.Uint64())
}

// Divisions in a statement tell what they divide, also where the statement is wrong for another reason; constants and rows are
// divided alike.
func TestDivisionInEngine(t *testing.T) {
	db, err := Open("", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	c, err := db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	types, err := c.DivisionTypes(t.Context(), "SELECT __division_types('x', '0', x, 2), __division_types('x', '7', sum(i), d), no_such(x) FROM (SELECT 1.5::DECIMAL(9,2) AS x, 2::BIGINT AS i, 1e0 AS d) GROUP BY ALL", "x")
	if err != nil {
		t.Fatal(err)
	}
	if got := types[0]; !got.Left.Equal(vector.DecimalOf(9, 2)) || got.Right.Kind != vector.Int32 {
		t.Errorf("types %v", types)
	}
	if got := types[7]; got.Left.Kind != vector.Int64 || got.Right.Kind != vector.Float64 {
		t.Errorf("types %v", types)
	}
	for sql, want := range map[string]string{
		"SELECT __divide_16(1.00::DECIMAL(9,2), 3)::VARCHAR":                                                                       "0.3333333333333333",
		"SELECT __divide_20(x, y)::VARCHAR FROM (SELECT -2::DECIMAL(38,0) AS x, 0.3::DECIMAL(4,3) AS y)":                           "-6.66666666666666666667",
		"SELECT string_agg(__divide_16(x, 2.0)::VARCHAR, ' ' ORDER BY x) FROM (SELECT unnest([1.5, NULL, -3])::DECIMAL(4,1) AS x)": "-1.5000000000000000 0.7500000000000000",
		"SELECT coalesce(__divide_16(NULL, 2.0)::VARCHAR, 'none')":                                                                 "none",
	} {
		rows, err := c.Query(t.Context(), sql)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		ch, err := rows.Next()
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if got := string(ch.Cols[0].Bytes(0)); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
		rows.Close()
	}
	for sql, state := range map[string]string{
		"SELECT __divide_16(1.0, 0)": "22012", "SELECT __divide_16(1.0, x) FROM (SELECT unnest([1, 0]) AS x)": "22012",
		"SELECT __divide_16(99999999999999999999999999999999999999::DECIMAL(38,0), 0.001)": "22003",
	} {
		_, err := c.Exec(t.Context(), sql)
		if SQLState(err) != state {
			t.Errorf("%s: %v (%s)", sql, err, SQLState(err))
		}
	}
}

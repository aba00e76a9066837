package codec

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/tests/postgres"
)

// timeSeeds are texts that mutations of dates and times start from.
var timeSeeds = []string{
	"2024-01-01 00:00:00.000001+00", "1969-12-31 23:59:59+00", "2024-02-29", "0001-01-01", "2024-06-01T12:34:56.789Z", "23:59:59.5", "04:05 PM", "24:00:00",
	"January 8, 1999", "08-Jan-1999", "Jan-08-99 BC", "1/8/1999", "20240101T040506.789-07", "20240101 123456", "990108", "2024.123 12:00", "y2001m02d04 h04mm05s06.7",
	"J2451187", "j2451187.5", "Mon Jan 8 04:05:06 1999 PST", "2024-07-01 00:00 America/New_York", "2024-07-01 00:00:00 PST8", "2024-07-01 00:00 MSK", "2012-07-01 00:00 MSK",
	"epoch", "infinity", "-infinity", "+infinity", "inf", "today 12:34", "allballs", "0044-03-15 BC", "4714-11-24 00:00:00 BC", "294246-12-31 23:59:59.999999", "5874897-12-31",
	"2024-01-01 00:00:00 PST DST", "T040506", "040506.5", "04:05:06.5 +05:30", "2024-01-01 04:05:06-08:00:01", "12-25-2020 AD", "99-1-1", "2024-W01", "at 10:00 on 2024-01-01",
}

// farDayOfYear is a day of a year beyond all dates.
var farDayOfYear = regexp.MustCompile(`[0-9]{7,}[^0-9][0-9]{3}\b`)

// mutated damages a text as files are damaged, and otherwise.
func mutated(r *rand.Rand) string {
	b := []byte(timeSeeds[r.IntN(len(timeSeeds))])
	const bytes = "\t\n,;|\"\\x0123456789-/.:+ TtZzyamdhjs_"
	for n := r.IntN(4); n > 0; n-- {
		i := r.IntN(len(b) + 1)
		c := bytes[r.IntN(len(bytes))]
		switch r.IntN(6) {
		case 0:
			b = b[:i]
		case 1:
			b = b[i:]
		case 2:
			b = append(b[:i:i], append([]byte{c}, b[i:]...)...)
		case 3:
			if i < len(b) {
				b = append(b[:i:i], b[i+1:]...)
			}
		case 4:
			other := timeSeeds[r.IntN(len(timeSeeds))]
			b = append(append(b[:i:i], ' '), other[r.IntN(len(other)):]...)
		default:
			if i < len(b) {
				b = append([]byte{}, b...)
				b[i] = c
			}
		}
	}
	return string(b)
}

// Damaged dates and times are read, or refused with its SQLSTATE and words, as PostgreSQL does. TILEHOUSE_SEED repeats a run.
func TestDamagedTimesEqualPostgreSQL(t *testing.T) {
	ctx := context.Background()
	pg, err := pgx.Connect(ctx, postgres.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close(ctx)
	if _, err := pg.Exec(ctx, `CREATE FUNCTION pg_temp.said(t text, s text, OUT v text, OUT code text, OUT says text) LANGUAGE plpgsql AS
		$$ BEGIN EXECUTE format('SELECT %L::%s', s, t) INTO v; EXCEPTION WHEN OTHERS THEN code := SQLSTATE; says := SQLERRM; END $$`); err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	if s := os.Getenv("TILEHOUSE_SEED"); s != "" {
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("TILEHOUSE_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	rounds, perRound := 12, 500
	if os.Getenv("TILEHOUSE_SOAK") != "" {
		rounds = 200
	}
	types := []vector.Type{vector.T(vector.Date), vector.T(vector.Time), vector.T(vector.Timestamp), vector.T(vector.TimestampTZ)}
	for range rounds {
		set := &Settings{}
		for _, kv := range [][2]string{{"TimeZone", []string{"UTC", "Europe/Amsterdam", "America/St_Johns"}[r.IntN(3)]}, {"DateStyle", "ISO, " + []string{"MDY", "DMY", "YMD"}[r.IntN(3)]}} {
			set.Set(kv[0], kv[1])
			if _, err := pg.Exec(ctx, fmt.Sprintf("SET %s = '%s'", kv[0], kv[1])); err != nil {
				t.Fatal(err)
			}
		}
		var kinds, texts []string
		var of []vector.Type
		for range perRound {
			typ, in := types[r.IntN(len(types))], mutated(r)
			of, kinds, texts = append(of, typ), append(kinds, typ.String()), append(texts, in)
		}
		rows, err := pg.Query(ctx, `SELECT x.v, x.code, x.says FROM unnest($1::text[], $2::text[]) WITH ORDINALITY u(t, s, n), LATERAL pg_temp.said(t, s) x ORDER BY n`, kinds, texts)
		if err != nil {
			t.Fatal(err)
		}
		type answer struct{ V, Code, Says *string }
		answers, err := pgx.CollectRows(rows, pgx.RowToStructByPos[answer])
		var pe *pgconn.PgError
		if errors.As(err, &pe) {
			t.Fatalf("%+v", pe)
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range answers {
			theirs := "refused"
			if a.V != nil {
				theirs = *a.V
			} else if a.Code != nil {
				theirs = *a.Code + " " + *a.Says
			}
			v, err := ParseText(of[i], texts[i], set)
			ours := ""
			var ce *Error
			if errors.As(err, &ce) {
				ours = ce.Code + " " + ce.Message
			} else {
				ours = string(AppendText(nil, v, 0, set))
			}
			if strings.HasPrefix(theirs, "2942") && strings.HasPrefix(ours, "22008 timestamp out of range") {
				continue // timestamps end thirty years before PostgreSQL's
			}
			if a.V != nil && farDayOfYear.MatchString(texts[i]) && strings.Contains(ours, " out of range: ") {
				continue // PostgreSQL's day number wraps around
			}
			if ours != theirs {
				t.Errorf("%s %q (%+v): PostgreSQL %q, ours %q", of[i], texts[i], set, theirs, ours)
			}
		}
	}
}

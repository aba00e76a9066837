package codec

import (
	"testing"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// The texts are PostgreSQL 15's.
func TestDateStyle(t *testing.T) {
	for _, c := range []struct{ style, zone, date, stamp, zoned, early string }{
		{"SQL, MDY", "America/New_York", "07/04/2024", "07/04/2024 12:34:56.5", "07/04/2024 08:34:56.5 EDT", "03/15/0044 00:00:00 BC"},
		{"SQL, DMY", "America/New_York", "04/07/2024", "04/07/2024 12:34:56.5", "04/07/2024 08:34:56.5 EDT", "15/03/0044 00:00:00 BC"},
		{"SQL, YMD", "<-05:30>+05:30", "07/04/2024", "07/04/2024 12:34:56.5", "07/04/2024 07:04:56.5 -05:30", "03/15/0044 00:00:00 BC"},
		{"German, DMY", "America/New_York", "04.07.2024", "04.07.2024 12:34:56.5", "04.07.2024 08:34:56.5 EDT", "15.03.0044 00:00:00 BC"},
		{"Postgres, MDY", "Asia/Kolkata", "07-04-2024", "Thu Jul 04 12:34:56.5 2024", "Thu Jul 04 18:04:56.5 2024 IST", "Fri Mar 15 00:00:00 0044 BC"},
		{"Postgres, DMY", "America/Sao_Paulo", "04-07-2024", "Thu 04 Jul 12:34:56.5 2024", "Thu 04 Jul 09:34:56.5 2024 -03", "Fri 15 Mar 00:00:00 0044 BC"},
		{"ISO, DMY", "America/New_York", "2024-07-04", "2024-07-04 12:34:56.5", "2024-07-04 08:34:56.5-04", "0044-03-15 00:00:00 BC"},
	} {
		s := &Settings{}
		s.Set("DateStyle", c.style)
		s.Set("TimeZone", c.zone)
		for _, x := range []struct {
			kind     vector.Kind
			in, want string
		}{{vector.Date, "2024-07-04", c.date}, {vector.Timestamp, "2024-07-04 12:34:56.5", c.stamp}, {vector.TimestampTZ, "2024-07-04 12:34:56.5+00", c.zoned}, {vector.Timestamp, "0044-03-15 00:00:00 BC", c.early}} {
			v, err := ParseText(vector.T(x.kind), x.in, s)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(AppendText(nil, v, 0, s)); got != x.want {
				t.Errorf("%s, %s: %q, PostgreSQL says %q", c.style, x.in, got, x.want)
			}
		}
	}
}

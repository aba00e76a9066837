package disperse

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/time/rate"

	"github.com/tilehouse/tilehouse/materialize/ingest"
	"github.com/tilehouse/tilehouse/storage/cassandra"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// ConnectionType is the type of connections to Cassandra.
const ConnectionType = "cassandra"

// The options of such a connection, beside those of TLS, which are named as those of Kafka are.
const (
	OptHosts       = "hosts"
	OptKeyspace    = "keyspace"
	OptReplication = "replication"
	OptDatacenter  = "datacenter"
	OptUsername    = "username"
	OptPassword    = "password"
	OptTakeOver    = "take_over"
	OptRows        = "rows_per_second"
	OptBytes       = "bytes_per_second"
)

// options are a connection's.
type options struct {
	cassandra.Options
	TakeOver    bool
	rows, bytes int64 // a second; 0: any number
}

// OptionsOf are a connection's options, with the values of secrets. Errors: of secrets that cannot be read, of files of certificates.
func OptionsOf(cat *schema.Catalog, c *schema.Connection) (*options, error) {
	o := &options{Options: cassandra.Options{Writes: true}}
	var err error
	get := func(name string) string {
		v, e := ingest.Value(cat, c, name)
		err = errors.Join(err, e)
		return v
	}
	o.Hosts = strings.FieldsFunc(get(OptHosts), func(r rune) bool { return r == ',' || r == ' ' })
	o.Keyspace, o.Replication, o.Datacenter = get(OptKeyspace), get(OptReplication), get(OptDatacenter)
	o.Username, o.Password = get(OptUsername), get(OptPassword)
	o.TakeOver = get(OptTakeOver) == "true"
	o.rows, _ = strconv.ParseInt(get(OptRows), 10, 64) // which CREATE CONNECTION checked
	o.bytes, _ = strconv.ParseInt(get(OptBytes), 10, 64)
	if err == nil && get(ingest.OptTLS) == "true" {
		var t *tls.Config
		if t, err = ingest.TLSOf(cat, c); err == nil {
			o.TLS = t
		}
	}
	if err != nil {
		return nil, fmt.Errorf("connection %q: %w", c.Name, err)
	}
	return o, nil
}

// pace holds sending back to a rate.
type pace struct{ rows, bytes *rate.Limiter }

// burst is how much of a second's worth may go at once.
const burst = 0.1

func limiter(perSecond int64) *rate.Limiter {
	if perSecond == 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(float64(perSecond)*burst)))
}

func (o *options) pace() *pace { return &pace{limiter(o.rows), limiter(o.bytes)} }

// wait waits until so many rows and bytes may go.
func (p *pace) wait(ctx context.Context, rows, bytes int64) error {
	for _, w := range []struct {
		l *rate.Limiter
		n int64
	}{{p.rows, rows}, {p.bytes, bytes}} {
		for n := w.n; n > 0 && w.l.Limit() != rate.Inf; {
			step := min(n, int64(w.l.Burst()))
			if err := w.l.WaitN(ctx, int(step)); err != nil {
				return err
			}
			n -= step
		}
	}
	return nil
}

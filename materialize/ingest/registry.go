package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/tilehouse/tilehouse/storage/schema"
)

// The options of a connection that say where its schema registry is.
const (
	OptRegistry         = "schema.registry"
	OptRegistryUsername = "schema.registry.username"
	OptRegistryPassword = "schema.registry.password"
)

const (
	// registryTimeout is how long a schema registry may take to answer.
	registryTimeout = 5 * time.Second
	// registryReferences is how many schemas a schema may be made of.
	registryReferences = 256
	// registryBytes is how long they may be together.
	registryBytes = 4 << 20
	// unknownFor is how long an id that the registry does not know is not asked for again, and unknownMost how many such ids are remembered.
	unknownFor  = 10 * time.Second
	unknownMost = 1024
)

// Schema is a schema of a registry.
type Schema struct {
	Kind       string            // "AVRO", "PROTOBUF" or "JSON"
	Text       string            //
	References []SchemaReference // what it is made of, each after those that it is made of itself
}

// SchemaReference is a schema by the name under which others know it.
type SchemaReference struct{ Name, Text string }

// Registry asks a schema registry. It is used by one goroutine, and remembers the ids that there are not, not the schemas.
type Registry struct {
	client  *sr.Client
	clock   func() time.Time
	unknown map[int]time.Time
}

// NewRegistry is the registry of a connection, nil where it has none. Errors: *SecretError, bad certificates.
func NewRegistry(cat *schema.Catalog, c *schema.Connection, clock func() time.Time) (*Registry, error) {
	at := c.Options[OptRegistry]
	if at == "" {
		return nil, nil
	}
	values := map[string]string{}
	for _, o := range []string{OptRegistryUsername, OptRegistryPassword, OptCA} {
		v, err := Value(cat, c, o)
		if err != nil {
			return nil, err
		}
		values[o] = v
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	if ca := values[OptCA]; ca != "" {
		pool, err := certificates(ca)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	}
	opts := []sr.ClientOpt{sr.URLs(strings.FieldsFunc(at, func(r rune) bool { return r == ',' || r == ' ' })...), sr.UserAgent("tilehouse"),
		sr.HTTPClient(&http.Client{Timeout: registryTimeout, Transport: transport})}
	if values[OptRegistryUsername] != "" {
		opts = append(opts, sr.BasicAuth(values[OptRegistryUsername], values[OptRegistryPassword]))
	}
	client, err := sr.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	return &Registry{client: client, clock: clock, unknown: map[int]time.Time{}}, nil
}

// ByID is the schema of an id. Errors: *Rejected where there is none, and where it is made of too much; others say that the registry
// cannot be asked now.
func (r *Registry) ByID(id int) (*Schema, error) {
	none := &Rejected{"42704", fmt.Sprintf("the schema registry has no schema of id %d", id)}
	if until, ok := r.unknown[id]; ok && r.clock().Before(until) {
		return nil, none
	}
	ctx, cancel := context.WithTimeout(context.Background(), registryTimeout)
	defer cancel()
	s, err := r.client.SchemaByID(ctx, id)
	if isMissing(err) {
		if len(r.unknown) >= unknownMost {
			clear(r.unknown)
		}
		r.unknown[id] = r.clock().Add(unknownFor)
		return nil, none
	}
	if err != nil {
		return nil, registryError(err)
	}
	out := &Schema{Kind: s.Type.String(), Text: s.Schema}
	w := walk{r: r, ctx: ctx, out: out, seen: map[string]bool{}, bytes: len(s.Schema)}
	return out, w.references(s.References)
}

// walk collects what a schema is made of.
type walk struct {
	r     *Registry
	ctx   context.Context
	out   *Schema
	seen  map[string]bool // by name
	bytes int
}

func (w *walk) references(of []sr.SchemaReference) error {
	for _, ref := range of {
		if w.seen[ref.Name] {
			continue
		}
		w.seen[ref.Name] = true
		if len(w.seen) > registryReferences {
			return &Rejected{"54000", fmt.Sprintf("its schema is made of more than %d others", registryReferences)}
		}
		s, err := w.r.client.SchemaByVersion(w.ctx, ref.Subject, ref.Version)
		if isMissing(err) {
			return &Rejected{"42704", fmt.Sprintf("the schema registry lacks version %d of subject %q, which the message's schema is made of", ref.Version, ref.Subject)}
		}
		if err != nil {
			return registryError(err)
		}
		if w.bytes += len(s.Schema.Schema); w.bytes > registryBytes {
			return &Rejected{"54000", fmt.Sprintf("its schema is longer than %d bytes", registryBytes)}
		}
		if err := w.references(s.References); err != nil {
			return err
		}
		w.out.References = append(w.out.References, SchemaReference{Name: ref.Name, Text: s.Schema.Schema})
	}
	return nil
}

func isMissing(err error) bool {
	var e *sr.ResponseError
	return errors.As(err, &e) && e.StatusCode == http.StatusNotFound
}

// registryError is an error of asking, without the registry's address.
func registryError(err error) error {
	var e *sr.ResponseError
	switch {
	case errors.As(err, &e) && (e.StatusCode == http.StatusUnauthorized || e.StatusCode == http.StatusForbidden):
		return fmt.Errorf("the schema registry refuses the login (HTTP status %d)", e.StatusCode)
	case errors.As(err, &e):
		return fmt.Errorf("the schema registry answers with HTTP status %d", e.StatusCode)
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("the schema registry does not answer in time")
	}
	return fmt.Errorf("the schema registry does not answer: %w", err)
}

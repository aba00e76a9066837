package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/materialize/disperse"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/cassandra"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// A gateway is an engine without data: it answers lookups from the values that a server keeps in Cassandra, by the definitions that the
// server published there, with the same code. What it has beside them, in a directory of its own that goes with it, is
// DuckDB's scratch, for expressions of feature views. Everything that needs rows, history or the log is refused.

const (
	// followEvery is how often a gateway asks for newer definitions.
	followEvery = 200 * time.Millisecond
	// followTimeout is how long it may wait for an answer.
	followTimeout = 10 * time.Second
)

// gateway is what an engine knows of the keyspace that it reads.
type gateway struct {
	store   *cassandra.Store
	options cassandra.Options
	distant *materialize.Distant
	dir     string // of scratch
	stop    context.CancelFunc
	done    sync.WaitGroup

	mu        sync.Mutex
	published cassandra.Published // that is current
	read      time.Time           // when it was last found to be the newest
	err       error               // of the last try; nil: none
	since     time.Time           // when err came or went
}

// OpenGateway opens a gateway to a keyspace. It waits until definitions were published there, or ctx ends. Errors: the keyspace or the
// login are wrong, no node answers; definitions of a version that this one does not know.
func OpenGateway(ctx context.Context, cfg Config, o cassandra.Options) (_ *Engine, err error) {
	store, err := cassandra.Open(ctx, o, false)
	if err != nil {
		return nil, fmt.Errorf("keyspace %s: %w", o.Keyspace, err)
	}
	g := &gateway{store: store, options: o, distant: materialize.NewDistant(store)}
	first, err := g.first(ctx, cfg.Log)
	if err != nil {
		store.Close()
		return nil, fmt.Errorf("keyspace %s: %w", o.Keyspace, err)
	}
	if g.dir, err = os.MkdirTemp("", "tilehouse-gateway-"); err != nil {
		store.Close()
		return nil, err
	}
	cfg.Dir, cfg.FS = filepath.Join(g.dir, "scratch"), vfs.NewMem()
	if err := os.MkdirAll(filepath.Join(cfg.Dir, "spill", "duckdb"), 0o700); err != nil {
		store.Close()
		return nil, errors.Join(err, os.RemoveAll(g.dir))
	}
	cfg.FileRoots, cfg.ExportRoot, cfg.gateway = nil, "", g
	e, err := Open(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, g.close())
	}
	e.catalog.Adopt(first)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	g.stop = stop
	g.done.Go(func() { g.follow(background, e) })
	return e, nil
}

func (g *gateway) close() error {
	if g.stop != nil {
		g.stop()
	}
	g.done.Wait()
	g.store.Close()
	return os.RemoveAll(g.dir)
}

// first waits for the first definitions.
func (g *gateway) first(ctx context.Context, log interface{ Info(string, ...any) }) (*schema.Catalog, error) {
	told := false
	for {
		cat, err := g.newer(ctx)
		if err == nil {
			return cat, nil
		}
		if !errors.Is(err, cassandra.ErrNoDefinitions) {
			return nil, err
		}
		if !told && log != nil {
			told = true
			log.Info("waiting for a server to publish definitions", "keyspace", g.options.Keyspace)
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(followEvery):
		}
	}
}

// newer is the catalog that was published last, known to the manager; nil where it is current already.
func (g *gateway) newer(ctx context.Context) (*schema.Catalog, error) {
	ctx, cancel := context.WithTimeout(ctx, followTimeout)
	defer cancel()
	p, err := g.store.Newest(ctx)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	same := p == g.published
	g.mu.Unlock()
	if same {
		return nil, nil
	}
	body, err := g.store.Definitions(ctx, p)
	if err != nil {
		return nil, err
	}
	cat, err := schema.ParsePublished(body)
	if err != nil {
		return nil, err
	}
	g.distant.Know(cat, p)
	g.mu.Lock()
	g.published = p
	g.mu.Unlock()
	return cat, nil
}

// follow makes newer definitions current until ctx ends.
func (g *gateway) follow(ctx context.Context, e *Engine) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		cat, err := g.newer(ctx)
		if ctx.Err() != nil {
			return
		}
		if cat != nil {
			e.catalog.Adopt(cat)
		}
		g.mu.Lock()
		if now := e.cfg.Clock(); err == nil {
			g.read = now
		}
		if (err == nil) != (g.err == nil) {
			g.since = e.cfg.Clock()
			e.cfg.Log.Info("following definitions", "keyspace", g.options.Keyspace, "error", err)
		}
		g.err = err
		g.mu.Unlock()
	}
}

// storeRow is the row of tilehouse.online_store of a gateway.
func (g *gateway) storeRow(s *Session) ([][]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), followTimeout)
	defer cancel()
	position, at, progressed := g.store.Progress(ctx)
	g.mu.Lock()
	p, err, since := g.published, g.err, g.since
	g.mu.Unlock()
	state, reason, sinceText, lag, positionText := "reading", "", "NULL", "NULL", "NULL"
	if err == nil {
		err = progressed
	}
	if err != nil {
		state, reason = "waiting", storeReason(err, nil)
	}
	if !since.IsZero() {
		sinceText = timeLiteral(since.UnixMicro())
	}
	if position > 0 {
		positionText, lag = fmt.Sprint(position), intervalLiteral(max(0, s.e.cfg.Clock().Sub(at)))
	}
	row := append([]string{"NULL"}, literals(g.options.Keyspace, state)...)
	row = append(row, orNull(reason), sinceText, fmt.Sprint(p.Epoch), fmt.Sprint(p.Version), "NULL", positionText, "NULL", lag)
	return [][]string{append(row, slices.Repeat([]string{"NULL"}, 9)...)}, nil
}

// storeReason says in words why values are not sent or read.
func storeReason(err error, c *schema.Connection) string {
	switch {
	case errors.Is(err, cassandra.ErrNoKeyspace):
		if c != nil && c.Options[disperse.OptReplication] == "" {
			return fmt.Sprintf("keyspace %q does not exist, and the connection has no replication to make it with", c.Options[disperse.OptKeyspace])
		}
		return err.Error()
	case errors.Is(err, cassandra.ErrOwned):
		return "the keyspace belongs to another data directory; take_over = true makes it this one's"
	case errors.Is(err, cassandra.ErrLost):
		return "another server has begun to write to the keyspace"
	}
	return err.Error()
}

// onGateway refuses what a gateway does not do.
func onGateway(format string, args ...any) *session.Error {
	return hint(fail(codeUnsupported, "a gateway answers lookups of features only: "+format, args...), "Ask the server that keeps the data.")
}

// gatewayViews are the views of schema tilehouse that a gateway has.
var gatewayViews = []string{"features", "feature_columns", "feature_views", "entities", "partials", "online_store", "settings"}

// refuseOnGateway refuses statements that a gateway has no answer to.
func (e *Engine) refuseOnGateway(cat *schema.Catalog, text string, st parse.Statement) error {
	if e.gateway == nil || st == nil {
		return nil
	}
	switch st := st.(type) {
	case *parse.Show:
		if slices.Contains(gatewayViews, st.What) {
			return nil
		}
		return onGateway("it does not know %s", st.What)
	case *parse.SQL:
		if command, _ := writes(st); command != "" {
			return onGateway("it does not run %s", command)
		}
		switch n := st.Node.GetNode().(type) {
		case *pg_query.Node_SelectStmt:
		case *pg_query.Node_DeclareCursorStmt, *pg_query.Node_PrepareStmt, *pg_query.Node_ExecuteStmt, *pg_query.Node_DeallocateStmt:
		default:
			_ = n
			return onGateway("it does not run %s", firstWords(text))
		}
		for _, t := range st.Clauses.SystemTime {
			return at(onGateway("it has the newest values, not those of a position before"), text, t.Position)
		}
		for _, a := range st.Clauses.Asof {
			return at(onGateway("it has no rows to join"), text, a.Position)
		}
		for _, w := range st.Clauses.Windows {
			return at(onGateway("it has no rows to aggregate"), text, w.Position)
		}
		return e.refuseRelations(cat, text, st.Node)
	}
	return onGateway("it does not run %s", firstWords(text))
}

// refuseRelations refuses a statement that reads relations' rows.
func (e *Engine) refuseRelations(cat *schema.Catalog, text string, n *pg_query.Node) error {
	var refused error
	parse.Walk(n, func(m proto.Message) bool {
		rv, ok := m.(*pg_query.RangeVar)
		if !ok || refused != nil {
			return refused == nil
		}
		name := strings.ToLower(rv.Relname)
		switch {
		case rv.Schemaname == "tilehouse" && !slices.Contains(gatewayViews, name):
			refused = at(onGateway("it does not know tilehouse.%s", name), text, int(rv.Location))
		case (rv.Schemaname == "" || rv.Schemaname == publicSchema) && cat.Relation(rv.Relname) != nil:
			refused = at(onGateway("it has no rows of %q", rv.Relname), text, int(rv.Location))
		}
		return refused == nil
	})
	return refused
}

// servedHere refuses reads of a group that a gateway cannot answer as the server would.
func (e *Engine) servedHere(g *schema.Group, asOf *uint64) error {
	if e.gateway == nil {
		return nil
	}
	if asOf != nil {
		return onGateway("it has the newest values, not those of a position before")
	}
	if !g.Online {
		return onGateway("the feature is not served online")
	}
	return nil
}

// expect tells a gateway's source which keys are read from i on, and where their windows end.
func (l *lookup) expect(ctx context.Context, src *materialize.Source, g *groupRead, i int, when int64) error {
	keys := make([][]byte, 0, materialize.ExpectKeys)
	for k := i; k < min(l.keys.N, i+materialize.ExpectKeys); k++ {
		keys = append(keys, l.enc.Bytes(k))
	}
	var cuts []int64
	for o := range g.outputs {
		if iv := g.outputs[o].window.Interval(when, false); iv.Lo < iv.Hi {
			cuts = append(cuts, iv.Hi-1)
			if iv.Lo > event.Forever {
				cuts = append(cuts, iv.Lo)
			}
		}
	}
	return src.Expect(ctx, keys, cuts)
}

// elsewhere says of an error of a lookup that Cassandra's are its reason.
func elsewhere(err error) error {
	if errors.Is(err, cassandra.ErrTorn) {
		return hint(fail("55000", "the values of a key are being replaced in the online store"), "Read again.")
	}
	if cassandra.Unreachable(err) {
		return hint(fail("08006", "the online store does not answer: %s", err), "tilehouse.online_store says since when.")
	}
	return err
}

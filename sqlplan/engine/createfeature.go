package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/tilehouse/tilehouse/functions"
	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/materialize"
	"github.com/tilehouse/tilehouse/sqlplan/parse"
	"github.com/tilehouse/tilehouse/sqlplan/session"
	"github.com/tilehouse/tilehouse/storage/event"
	"github.com/tilehouse/tilehouse/storage/schema"
)

// eventTimeName is the reserved name of the cut's column in an entity.
const eventTimeName = "ts"

func (s *Session) createFeature(ctx context.Context, st *parse.CreateFeature) (string, error) {
	const tag = "CREATE FEATURE"
	if err := s.makeVersionsSince(ctx, st); err != nil {
		return "", err
	}
	cat := s.catalog()
	old := cat.Feature(st.Name.Name)
	if err := s.nameFree(ctx, cat, st.Name, st.Text); err != nil && (old == nil || !st.OrReplace && !st.IfNotExists) {
		return "", err
	}
	if old != nil && st.IfNotExists {
		s.notice(session.Notice{Code: codeDuplicateObject, Message: fmt.Sprintf("feature %q already exists, skipping", st.Name.Name)})
		return tag, nil
	}
	f, bound, err := s.bindFeature(ctx, cat, st, old, s.location)
	if err != nil {
		return "", err
	}
	if opts, changed := inUTC(st.Options, s.location); changed {
		if f.SQL, err = parse.WithOptions(f.SQL, opts); err != nil {
			return "", err
		}
		f.Options["start"] = opts["start"].Value
	}
	if old != nil {
		if old.Fingerprint == f.Fingerprint {
			return tag, nil
		}
		f.ID = old.ID
		next := cat.Clone() // before anything is built
		next.Features[f.ID] = f
		if err := next.CheckViews(); err != nil {
			return "", at(asError(err), st.Text, st.Name.Position)
		}
	}
	if st.NoData {
		if f.ID == 0 {
			id, err := s.e.log.Sequence("feature")
			if err != nil {
				return "", err
			}
			f.ID = uint32(id)
		}
		return tag, s.define(func(c *schema.Catalog) error { return bound.put(c, f) })
	}
	return tag, s.materialize(ctx, f, bound, false)
}

// putFeature adds f to a catalog being changed, giving it an id if it has none.
func putFeature(c *schema.Catalog, f *schema.Feature) error {
	if c.Entities[f.Entity] == nil || c.Relations[f.Relation] == nil || slices.ContainsFunc(f.Attributes, func(id uint32) bool { return c.Relations[id] == nil }) {
		return hint(fail(codeConflict, "an object that feature %q reads was dropped meanwhile", f.Name), "Run the statement again.")
	}
	if other := c.Lookup(f.Name); other != nil {
		if o, ok := other.(*schema.Feature); !ok || o.ID != f.ID {
			return taken(c, f.Name)
		}
	}
	if err := outputNames(c, c.Entities[f.Entity], f, f.SQL, -1); err != nil {
		return err
	}
	c.Features[f.ID] = f.WithComments(c.Features[f.ID])
	return nil
}

// put is putFeature of a feature that was bound as b.
func (b *boundAggregates) put(c *schema.Catalog, f *schema.Feature) error {
	if err := b.fits(c); err != nil {
		return err
	}
	return putFeature(c, f)
}

// inUTC is options in which a start that was read in a session's zone says the time in UTC: a definition is read again by sessions in
// other zones. changed: it says another time than it would there.
func inUTC(opts parse.Options, zone *time.Location) (out parse.Options, changed bool) {
	v, ok := opts["start"]
	if !ok {
		return opts, false
	}
	at, err := parseTime(v.Value, zone)
	utc, _ := parseTime(v.Value, time.UTC)
	if err != nil || at == utc { // what is wrong with it, binding says
		return opts, false
	}
	out = maps.Clone(opts)
	v.Value, v.Kind = formatTime(at), parse.OptString
	out["start"] = v
	return out, true
}

// bindFeature checks a definition and makes the feature of it. Its group is chosen when it is materialized. old is what it
// replaces, nil: nothing. zone is that of a start without one.
func (s *Session) bindFeature(ctx context.Context, cat *schema.Catalog, st *parse.CreateFeature, old *schema.Feature, zone *time.Location) (*schema.Feature, *boundAggregates, error) {
	sql := st.Text
	of, latest, versions := "CREATE FEATURE", st.Body.Latest, false
	if latest {
		var err error
		if st, err = latestBody(cat, st); err == nil {
			st, versions, err = versionsBody(cat, st)
		}
		if err != nil {
			return nil, nil, err
		}
		of = "CREATE FEATURE of a latest value"
	}
	o := readOptions(sql, of, st.Options)
	w := schema.Window{Delay: o.duration("delay", 0, 0), Start: event.Forever}
	if latest {
		o.text("valid_from", "")
		if o.has("initial_valid_from") && !versions {
			initialValidFrom(o, st.Body.Source.GetRelname())
		}
	} else if o.has("hop") {
		w.Hop = o.duration("hop", 0, 1)
	}
	if v, ok := st.Options["start"]; o.has("start") && ok {
		t, err := parseTime(v.Value, zone)
		if err != nil {
			return nil, nil, at(asError(err), sql, v.ValuePosition)
		}
		w.Start = t
	}
	online := o.bool("online", true)
	lateness := o.duration("lateness", 0, 0)
	target := o.duration("target_lag", 0, 0)
	limit := functions.Options{}
	if v, ok := st.Options["max_state"]; !latest && o.has("max_state") && ok {
		n, err := parseSize(v.Value)
		if err != nil {
			return nil, nil, at(asError(err), sql, v.ValuePosition)
		}
		limit.MaxState = n
	}
	if err := o.done(); err != nil {
		return nil, nil, err
	}
	bound, err := s.bindAggregates(ctx, cat, sql, &st.Body, limit, zone)
	if err != nil {
		return nil, nil, err
	}
	if latest {
		if err := validFrom(st, bound.relation); err != nil {
			return nil, nil, err
		}
	}
	ent, err := s.featureEntity(cat, st, bound)
	if err != nil {
		return nil, nil, err
	}
	f := &schema.Feature{Name: st.Name.Name, Entity: ent.ID, Relation: bound.relation.ID, SQL: st.Text, Online: online, Lateness: lateness, TargetLag: target, Options: map[string]string{}}
	for name, v := range st.Options {
		f.Options[name] = v.Value
	}
	for _, j := range bound.from.Joins {
		f.Attributes = append(f.Attributes, j.Relation)
	}
	kept, err := namedBefore(cat, old)
	if err != nil {
		return nil, nil, err
	}
	for _, out := range bound.outputs {
		for _, win := range st.Windows {
			ow := w
			ow.Length, ow.Lifetime, ow.Following = win.Micros, win.Lifetime, win.Following
			if win.Following {
				if w.Delay != 0 || w.Hop != 0 {
					return nil, nil, at(fail(codeDefinition, "a label (WINDOW … FOLLOWING) takes neither delay nor hop"), sql, win.Position)
				}
				f.Online = false
			}
			if err := s.retainedWindow(cat, bound.relation, ow); err != nil {
				return nil, nil, at(err, sql, win.Position)
			}
			name := f.Name
			if len(bound.outputs) > 1 {
				name += "_" + out.name
			}
			if len(st.Windows) > 1 {
				name += "_" + win.Spelling
			}
			if before := kept[outputKey{out.name, win.Spelling, win.Following}]; before != "" {
				name = before
			}
			f.Outputs = append(f.Outputs, schema.Output{Name: name, Type: out.typ, Partial: bound.partials[out.partial].Fingerprint, Window: ow})
		}
	}
	if err := outputNames(cat, ent, f, sql, st.Name.Position); err != nil {
		return nil, nil, err
	}
	f.Fingerprint = featureFingerprint(f)
	bound.fits = alteredSince(cat, featureReads(f))
	return f, bound, nil
}

// outputKey is what a column of a feature is: an output over a window.
type outputKey struct {
	alias, window string
	following     bool
}

// namedBefore are the columns of a feature that is defined anew: what an output over a window was called, it goes on to be called, also where
// a further window or output would give it a suffix.
func namedBefore(cat *schema.Catalog, f *schema.Feature) (map[outputKey]string, error) {
	if f == nil {
		return nil, nil
	}
	parsed, err := parse.Parse(f.SQL)
	if err != nil {
		return nil, err
	}
	st := parsed.(*parse.CreateFeature)
	if st.Body.Latest {
		if st, err = latestBody(cat, st); err != nil {
			return nil, err
		}
	}
	out, i := map[outputKey]string{}, 0
	for _, t := range st.Body.Targets {
		if t.Call == nil {
			continue
		}
		for _, w := range st.Windows {
			if i < len(f.Outputs) {
				out[outputKey{t.Name, w.Spelling, w.Following}] = f.Outputs[i].Name
			}
			i++
		}
	}
	return out, nil
}

func outputNames(cat *schema.Catalog, ent *schema.Entity, f *schema.Feature, sql string, offset int) error {
	taken := map[string]string{eventTimeName: "the reserved event time"}
	for _, k := range ent.Keys {
		taken[k.Name] = "a key of the entity"
	}
	for _, g := range cat.FeaturesOf(ent.ID) {
		if g.Name == f.Name {
			continue
		}
		for _, out := range g.Outputs {
			taken[out.Name] = "feature " + g.Name
		}
	}
	for _, out := range f.Outputs {
		if by, ok := taken[out.Name]; ok {
			return at(hint(fail(codeDuplicateColumn, "column %q of feature %q already exists in entity %q: %s", out.Name, f.Name, ent.Name, by), "Give the output another alias, or the feature another name."), sql, offset)
		}
		taken[out.Name] = "another output"
	}
	return nil
}

func featureFingerprint(f *schema.Feature) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d|%t|", f.Entity, f.Online)
	if f.Lateness > 0 {
		fmt.Fprintf(h, "lateness %d|", f.Lateness)
	}
	if f.TargetLag > 0 {
		fmt.Fprintf(h, "target lag %d|", f.TargetLag)
	}
	for _, o := range f.Outputs {
		fmt.Fprintf(h, "%s=%s%+v|", o.Name, o.Partial, o.Window)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// featureEntity is the entity that a feature names, or the one whose keys are its GROUP BY; bound's keys are put in the
// entity's order and cast to its types.
func (s *Session) featureEntity(cat *schema.Catalog, st *parse.CreateFeature, bound *boundAggregates) (*schema.Entity, error) {
	var ent *schema.Entity
	if st.Entity != nil {
		if ent = cat.Entity(st.Entity.Name); ent == nil {
			return nil, at(noEntity(st.Entity.Name), st.Text, st.Entity.Position)
		}
	} else {
		var fits []string
		for _, e := range cat.Entities {
			if len(e.Keys) == len(bound.keyNames) && !slices.ContainsFunc(e.Keys, func(k schema.Column) bool { return !slices.Contains(bound.keyNames, k.Name) }) {
				ent = e
				fits = append(fits, e.Name)
			}
		}
		switch {
		case len(fits) == 0:
			return nil, at(hint(fail(codeUndefinedObject, "no entity has the keys (%s)", strings.Join(bound.keyNames, ", ")), "%s", entityHint(bound)), st.Text, st.Name.Position)
		case len(fits) > 1:
			slices.Sort(fits)
			return nil, at(hint(fail(codeDefinition, "several entities have the keys (%s): %s", strings.Join(bound.keyNames, ", "), strings.Join(fits, ", ")), "Name one: CREATE FEATURE %s ON %s …", st.Name.Name, fits[0]), st.Text, st.Name.Position)
		}
	}
	keys := make([]schema.Expr, len(ent.Keys))
	for i, k := range ent.Keys {
		j := slices.Index(bound.keyNames, k.Name)
		if j < 0 && len(bound.keys) == 1 && len(ent.Keys) == 1 {
			j = 0 // one key on both sides: the name may differ, as sender_id for customer_id
			s.notice(session.Notice{Message: fmt.Sprintf("feature %q: %s stands for key %q of entity %q", st.Name.Name, bound.keyNames[0], k.Name, ent.Name)})
		}
		if j < 0 {
			return nil, at(hint(fail(codeDefinition, "feature %q lacks key %q of entity %q", st.Name.Name, k.Name, ent.Name), "Add %s to the SELECT list and to GROUP BY.", k.Name), st.Text, st.Name.Position)
		}
		keys[i] = bound.keys[j]
		if keys[i].Type.Equal(k.Type) {
			continue
		}
		if !widens(keys[i].Type, k.Type) {
			return nil, at(hint(fail(codeTypeMismatch, "key %q of entity %q is %s, but feature %q groups by %s", k.Name, ent.Name, k.Type, st.Name.Name, keys[i].Type), "Cast it: CAST(%s AS %s).", bound.keyNames[j], k.Type), st.Text, st.Name.Position)
		}
		keys[i] = schema.Expr{SQL: fmt.Sprintf("CAST(%s AS %s)", keys[i].SQL, k.Type.DuckDB()), Type: k.Type, Column: -1}
	}
	if len(bound.keys) != len(keys) {
		return nil, at(hint(fail(codeDefinition, "feature %q groups by more than the keys of entity %q", st.Name.Name, ent.Name), "Keys of %s: %s.", ent.Name, columnNames(ent.Keys)), st.Text, st.Name.Position)
	}
	bound.keys = keys
	bound.refingerprint()
	return ent, nil
}

// widens reports whether every value of from is the same value of to.
func widens(from, to vector.Type) bool {
	rank := map[vector.Kind]int{vector.Int16: 1, vector.Int32: 2, vector.Int64: 3}
	return rank[from.Kind] > 0 && rank[to.Kind] > rank[from.Kind]
}

func entityHint(b *boundAggregates) string {
	cols := make([]string, len(b.keys))
	for i, k := range b.keys {
		cols[i] = b.keyNames[i] + " " + k.Type.String()
	}
	return fmt.Sprintf("CREATE ENTITY name (%s);", strings.Join(cols, ", "))
}

func columnNames(cols []schema.Column) string {
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}

// refingerprint makes the partials' fingerprints anew after the keys changed.
func (b *boundAggregates) refingerprint() {
	for i := range b.partials {
		b.partials[i].Fingerprint = b.fingerprint(b.partials[i].SQL, b.limit)
	}
}

// materialize finds or builds the group that holds f's partials, and defines f with it.
func (s *Session) materialize(ctx context.Context, f *schema.Feature, bound *boundAggregates, again bool) error {
	if err := s.refuseMixed(true); err != nil {
		return err
	}
	newest := func() (*schema.Catalog, error) {
		err := s.rebase()
		return s.catalog(), err
	}
	built, err := s.defining().batch.Build(ctx, newest, materialize.Request{
		Feature: f, Keys: bound.keys, From: bound.from, Fingerprints: bound.fingerprints(),
		Group: bound.group,
		Put:   bound.put,
		Again: again,
		Notice: func(text string) {
			session.Notify(ctx, session.Notice{Severity: "INFO", Code: "00000", Message: text})
		},
	})
	if e := asError(err); e != nil && strings.HasPrefix(e.Code, "22") { // a row that an expression cannot be computed of
		e.Message = fmt.Sprintf("feature %q: %s", f.Name, e.Message)
		return e
	}
	if err != nil {
		return err
	}
	if err := s.define(built.Put); err != nil {
		return err
	}
	cat := s.catalog()
	if made := cat.Feature(f.Name); made != nil {
		s.noticeRejected(cat, cat.Groups[made.Group], fmt.Sprintf("feature %q", f.Name), nil)
	}
	return nil
}

// rejectedShown bounds the files that a notice of rejected rows names.
const rejectedShown = 5

// noticeRejected tells of the rows that are no events, because they have no key or no event time. wanted chooses files by id,
// nil: all.
func (s *Session) noticeRejected(cat *schema.Catalog, g *schema.Group, who string, wanted func(file uint32) bool) {
	if g == nil {
		return
	}
	files := materialize.RejectedRows(cat, g, wanted)
	if len(files) == 0 {
		return
	}
	var total int64
	var names []string
	folder := path.Dir(files[0].Path) + "/" // that all of them are in
	for _, f := range files {
		for !strings.HasPrefix(f.Path, folder) {
			folder = strings.TrimSuffix(path.Dir(strings.TrimSuffix(folder, "/")), "/") + "/"
		}
	}
	for i, f := range files {
		total += f.Rows
		if i < rejectedShown {
			names = append(names, fmt.Sprintf("%s: %d", strings.TrimPrefix(f.Path, folder), f.Rows))
		}
	}
	if more := len(files) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more files", more))
	}
	r := cat.Relations[g.Relation]
	keys := make([]string, len(g.Keys))
	for i, k := range g.Keys {
		keys[i] = k.SQL
	}
	are := "rows are"
	if total == 1 {
		are = "row is"
	}
	s.notice(session.Notice{Code: codeNotNull, Message: fmt.Sprintf("%s: %d %s left out of %q, because %s or %q is NULL or infinite",
		who, total, are, r.Name, strings.Join(keys, ", "), r.EventTime), Detail: strings.Join(names, "; ") + ".",
		Hint: "Filter them in an event view if they are no events."})
}

func (b *boundAggregates) fingerprints() []string {
	out := make([]string, len(b.partials))
	for i, p := range b.partials {
		out[i] = p.Fingerprint
	}
	return out
}

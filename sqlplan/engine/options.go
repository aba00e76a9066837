package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tilehouse/tilehouse/sqlplan/parse"
)

// optionReader takes options out of WITH (…) and refuses what is left.
type optionReader struct {
	sql  string
	of   string // the statement's kind, for messages
	opts parse.Options
	seen map[string]bool
	err  error
}

func readOptions(sql, of string, opts parse.Options) *optionReader {
	return &optionReader{sql: sql, of: of, opts: opts, seen: map[string]bool{}}
}

func (o *optionReader) refuse(opt parse.Option, code, format string, args ...any) {
	if o.err == nil {
		o.err = at(fail(code, format, args...), o.sql, opt.ValuePosition)
	}
}

// text is an option's value, or otherwise if it is not given.
func (o *optionReader) text(name, otherwise string) string {
	o.seen[name] = true
	if v, ok := o.opts[name]; ok {
		return v.Value
	}
	return otherwise
}

func (o *optionReader) has(name string) bool { o.seen[name] = true; _, ok := o.opts[name]; return ok }

// duration is an option's value in microseconds; least is the smallest value accepted.
func (o *optionReader) duration(name string, otherwise, least int64) int64 {
	o.seen[name] = true
	v, ok := o.opts[name]
	if !ok {
		return otherwise
	}
	d, err := parse.ParseDuration(v.Value)
	if err != nil {
		e := asError(err)
		o.refuse(v, e.Code, "option %q: %s", name, e.Message)
		return otherwise
	}
	if d < least {
		if least == 0 {
			o.refuse(v, codeInvalidParameter, "option %q must not be negative, and is %s", name, v.Value)
		} else {
			o.refuse(v, codeInvalidParameter, "option %q must be at least %s, not %s", name, durationText(least), v.Value)
		}
	}
	return d
}

func (o *optionReader) bool(name string, otherwise bool) bool {
	o.seen[name] = true
	v, ok := o.opts[name]
	if !ok {
		return otherwise
	}
	b, err := checkSwitch(v.Value)
	if err != nil {
		o.refuse(v, codeInvalidParameter, "option %q requires a Boolean value, not %q", name, v.Value)
	}
	return b == "on"
}

// oneOf is an option's value, which must be one of the words.
func (o *optionReader) oneOf(name, otherwise string, words ...string) string {
	v := strings.ToLower(o.text(name, otherwise))
	if v != otherwise && !slices.Contains(words, v) {
		o.refuse(o.opts[name], codeInvalidParameter, "option %q must be one of %s, not %q", name, strings.Join(words, ", "), v)
	}
	return v
}

// done refuses the options that nothing asked for.
func (o *optionReader) done() error {
	if o.err != nil {
		return o.err
	}
	for _, name := range slices.Sorted(maps.Keys(o.opts)) {
		if !o.seen[name] {
			known := "It takes no options."
			if len(o.seen) > 0 {
				known = "Options: " + strings.Join(slices.Sorted(maps.Keys(o.seen)), ", ") + "."
			}
			if meant := nearest(name, slices.Sorted(maps.Keys(o.seen))); meant != "" {
				known = fmt.Sprintf("Did you mean %q? %s", meant, known)
			}
			return at(hint(fail(codeInvalidParameter, "unknown option %q of %s", name, o.of), "%s", known), o.sql, o.opts[name].Position)
		}
	}
	return nil
}

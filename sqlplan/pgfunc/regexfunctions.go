package pgfunc

import (
	"strings"
	"unicode/utf8"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/storage/duck"
)

func init() {
	for _, op := range []string{"~", "~*", "!~", "!~*"} {
		for _, t := range []string{"text", "name", "bpchar"} {
			ours(t+" "+op+" text", "bool", func(a args, out *vector.Vector) error {
				ok, err := matches(a.call, a.s(0), a.s(1), regexFlags{insensitive: strings.HasSuffix(op, "*")})
				return putBool(out, ok != (op[0] == '!'), err)
			})
		}
	}
	ours("__similar(text,text,text)", "bool", func(a args, out *vector.Vector) error {
		p, err := similarPattern(a.s(1), a.s(2))
		if err != nil {
			return err
		}
		ok, err := matches(a.call, a.s(0), p, regexFlags{})
		return putBool(out, ok, err)
	})
	ours("__like(text,text,text)", "bool", func(a args, out *vector.Vector) error {
		ok, err := like(a.call, a.s(0), a.s(1), a.s(2))
		return putBool(out, ok, err)
	})
	ours("__ilike(text,text,text)", "bool", func(a args, out *vector.Vector) error {
		ok, err := like(a.call, strings.ToLower(a.s(0)), strings.ToLower(a.s(1)), strings.ToLower(a.s(2)))
		return putBool(out, ok, err)
	})
	for _, withFlags := range []bool{false, true} {
		suffix := map[bool]string{false: "(text,text)", true: "(text,text,text)"}[withFlags]
		flagsOf := func(a args, k int, global bool, fn string) (regexFlags, error) {
			if !withFlags {
				return regexFlags{}, nil
			}
			return parseFlags(a.s(k), global, fn)
		}
		ours("regexp_like"+suffix, "bool", func(a args, out *vector.Vector) error {
			f, err := flagsOf(a, 2, false, "regexp_like()")
			if err != nil {
				return err
			}
			ok, err := matches(a.call, a.s(0), a.s(1), f)
			return putBool(out, ok, err)
		})
		ours("regexp_match"+suffix, "_text", func(a args, out *vector.Vector) error {
			f, err := flagsOf(a, 2, false, "regexp_match()")
			if err != nil {
				return withHint(err, "Use the regexp_matches function instead.")
			}
			re, err := compileReading(true, a.s(1), f)
			if err != nil {
				return err
			}
			m := re.find(a.call, a.s(0))
			if m == nil {
				out.AppendNull()
				return nil
			}
			groups(a.call, out.Child[0], a.s(0), m)
			out.CloseNested()
			return nil
		})
		ours("regexp_matches"+suffix, "__text", func(a args, out *vector.Vector) error {
			f, err := flagsOf(a, 2, true, "regexp_matches()")
			if err != nil {
				return err
			}
			re, err := compileReading(true, a.s(1), f)
			if err != nil {
				return err
			}
			for m := range re.all(a.call, a.s(0), 0) {
				groups(a.call, out.Child[0].Child[0], a.s(0), m)
				out.Child[0].CloseNested()
				if !f.global {
					break
				}
			}
			out.CloseNested()
			return nil
		})
		for _, fn := range []string{"regexp_split_to_array", "regexp_split_to_table"} {
			ours(fn+suffix, "_text", func(a args, out *vector.Vector) error {
				f, err := flagsOf(a, 2, false, fn+"()")
				if err != nil {
					return err
				}
				err = split(a.call, a.s(0), a.s(1), f, func(s string) {
					a.call.Work(workPerElement + len(s))
					out.Child[0].AppendString(s)
				})
				out.CloseNested()
				return err
			})
		}
	}
	ours("regexp_replace(text,text,text)", "text", func(a args, out *vector.Vector) error {
		s, err := regexpReplace(a.call, a.s(0), a.s(1), a.s(2), regexFlags{}, 1, 0)
		return putText(out, s, err)
	})
	ours("regexp_replace(text,text,text,text)", "text", func(a args, out *vector.Vector) error {
		if fl := a.s(3); fl != "" && fl[0] >= '0' && fl[0] <= '9' {
			return withHint(bad("22023", `invalid regular expression option: "%s"`, fl[:1]), "If you meant to use regexp_replace() with a start parameter, cast the fourth argument to integer explicitly.")
		}
		f, err := parseFlags(a.s(3), true, "regexp_replace()")
		if err != nil {
			return err
		}
		s, err := regexpReplace(a.call, a.s(0), a.s(1), a.s(2), f, 1, 0)
		return putText(out, s, err)
	})
	position := func(name string, v, low int64) error {
		if v < low {
			return bad("22023", `invalid value for parameter "%s": %d`, name, v)
		}
		return nil
	}
	for _, sig := range []string{"regexp_replace(text,text,text,int4)", "regexp_replace(text,text,text,int4,int4)", "regexp_replace(text,text,text,int4,int4,text)"} {
		ours(sig, "text", func(a args, out *vector.Vector) error {
			var f regexFlags
			var err error
			n := int64(1)
			if len(a.v) > 5 {
				if f, err = parseFlags(a.s(5), true, "regexp_replace()"); err != nil {
					return err
				}
			}
			if err := position("start", a.n(3), 1); err != nil {
				return err
			}
			if len(a.v) > 4 {
				if err := position("n", a.n(4), 0); err != nil {
					return err
				}
				n = a.n(4)
			}
			if n == 0 {
				f.global = true
			}
			s, err := regexpReplace(a.call, a.s(0), a.s(1), a.s(2), f, a.n(3), n)
			return putText(out, s, err)
		})
	}
	for k, sig := range []string{"regexp_count(text,text)", "regexp_count(text,text,int4)", "regexp_count(text,text,int4,text)"} {
		ours(sig, "int4", func(a args, out *vector.Vector) error {
			var f regexFlags
			var err error
			start := int64(1)
			if k > 0 {
				if start = a.n(2); start < 1 {
					return position("start", start, 1)
				}
			}
			if k > 1 {
				if f, err = parseFlags(a.s(3), false, "regexp_count()"); err != nil {
					return err
				}
			}
			re, err := compile(a.s(1), f)
			if err != nil {
				return err
			}
			from := byteOffset(a.s(0), start-1)
			n := 0
			if from >= 0 {
				for range re.all(a.call, a.s(0), from) {
					n++
				}
			}
			out.AppendInt(int64(n))
			return nil
		})
	}
	types := []string{"text", "text", "int4", "int4", "int4", "text", "int4"}
	for n := 2; n <= 7; n++ {
		ours("regexp_instr("+strings.Join(types[:n], ",")+")", "int4", func(a args, out *vector.Vector) error {
			start, nth, end, group := int64(1), int64(1), int64(0), int64(0)
			var f regexFlags
			var err error
			for i, p := range []*int64{&start, &nth, &end} {
				if len(a.v) > i+2 {
					*p = a.n(i + 2)
				}
			}
			if len(a.v) > 5 {
				if f, err = parseFlags(a.s(5), false, "regexp_instr()"); err != nil {
					return err
				}
			}
			if len(a.v) > 6 {
				group = a.n(6)
			}
			for i, c := range []struct {
				name   string
				v, low int64
			}{{"start", start, 1}, {"n", nth, 1}, {"endoption", end, 0}, {"subexpr", group, 0}} {
				if err := position(c.name, c.v, c.low); err != nil {
					return err
				}
				_ = i
			}
			if end > 1 {
				return bad("22023", `invalid value for parameter "endoption": %d`, end)
			}
			re, err := compileReading(group > 0, a.s(1), f)
			if err != nil {
				return err
			}
			m := nthMatch(a.call, re, a.s(0), start, nth)
			at := 0
			if m != nil && int(group)*2+1 < len(m) && m[2*group] >= 0 {
				at = utf8.RuneCountInString(a.s(0)[:m[2*group+end]]) + 1
			}
			out.AppendInt(int64(at))
			return nil
		})
	}
	types = []string{"text", "text", "int4", "int4", "text", "int4"}
	for n := 2; n <= 6; n++ {
		ours("regexp_substr("+strings.Join(types[:n], ",")+")", "text", func(a args, out *vector.Vector) error {
			start, nth, group := int64(1), int64(1), int64(0)
			var f regexFlags
			var err error
			for i, p := range []*int64{&start, &nth} {
				if len(a.v) > i+2 {
					*p = a.n(i + 2)
				}
			}
			if len(a.v) > 4 {
				if f, err = parseFlags(a.s(4), false, "regexp_substr()"); err != nil {
					return err
				}
			}
			if len(a.v) > 5 {
				group = a.n(5)
			}
			if err := position("start", start, 1); err != nil {
				return err
			}
			if err := position("n", nth, 1); err != nil {
				return err
			}
			if err := position("subexpr", group, 0); err != nil {
				return err
			}
			re, err := compileReading(group > 0, a.s(1), f)
			if err != nil {
				return err
			}
			m := nthMatch(a.call, re, a.s(0), start, nth)
			if m == nil || int(group)*2+1 >= len(m) || m[2*group] < 0 {
				out.AppendNull()
				return nil
			}
			out.AppendString(a.s(0)[m[2*group]:m[2*group+1]])
			return nil
		})
	}
	ours("substring(text,text,text)", "text", func(a args, out *vector.Vector) error {
		s, ok, err := similarSubstring(a.call, a.s(0), a.s(1), a.s(2))
		if err == nil && !ok {
			out.AppendNull()
			return nil
		}
		return putText(out, s, err)
	})
	ours("substring(text,text)", "text", func(a args, out *vector.Vector) error {
		re, err := compileReading(true, a.s(1), regexFlags{})
		if err != nil {
			return err
		}
		m := re.find(a.call, a.s(0))
		k := 0
		if len(m) > 2 {
			k = 2
		}
		if m == nil || m[k] < 0 {
			out.AppendNull()
			return nil
		}
		out.AppendString(a.s(0)[m[k]:m[k+1]])
		return nil
	})
}

func nthMatch(c *duck.Call, re *regex, s string, start, nth int64) []int {
	from := byteOffset(s, start-1)
	if from < 0 {
		return nil
	}
	for m := range re.all(c, s, from) {
		if nth--; nth == 0 {
			return m
		}
	}
	return nil
}

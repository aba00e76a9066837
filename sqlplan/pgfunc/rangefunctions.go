package pgfunc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
	"github.com/tilehouse/tilehouse/sqlplan/codec"
)

// rangeNamed is the range type of the name of one of its two types.
func rangeNamed(name string) (*codec.RangeType, error) {
	if i := infoByName[name]; i != nil {
		if r, _ := codec.RangeOf(i.oid); r != nil {
			return r, nil
		}
	}
	return nil, fmt.Errorf("no range type %q", name)
}

// ranged lists functions and operators of ranges: expressions over the texts of their arguments, and behind them the name of the
// range's type.
func ranged(lines string) {
	n := len(list)
	sql(lines)
	for _, f := range list[n:] {
		f.Ranged = true
	}
}

func init() {
	for _, op := range []string{"&&", "<<", ">>", "&<", "&>", "-|-", "@>", "<@"} {
		for _, x := range []string{"anyrange", "anymultirange"} {
			for _, y := range []string{"anyrange", "anymultirange"} {
				ranged(x + " " + op + " " + y + "\t__range_test('" + op + "', $3, $1, $2)")
			}
		}
	}
	for _, x := range []string{"anyrange", "anymultirange"} {
		for _, op := range []string{"+", "*", "-"} {
			ranged(x + " " + op + " " + x + "\t__range_pair('" + op + "', $3, $1, $2)")
		}
		ranged(strings.ReplaceAll(`
			R @> anyelement	__range_holds($3, $1, $2)
			anyelement <@ R	__range_holds($3, $2, $1)
			lower(R)	__range_part('lower', $2, $1)
			upper(R)	__range_part('upper', $2, $1)
			isempty(R)	__range_is('empty', $2, $1)
			lower_inc(R)	__range_is('lower_inc', $2, $1)
			upper_inc(R)	__range_is('upper_inc', $2, $1)
			lower_inf(R)	__range_is('lower_inf', $2, $1)
			upper_inf(R)	__range_is('upper_inf', $2, $1)
		`, "R", x))
	}
	ranged(`
		range_merge(anyrange,anyrange)	__range_pair('merge', $3, $1, $2)
		range_merge(anymultirange)	__range_hull($2, $1)
		multirange(anyrange)	__range_multi($2, CAST(ARRAY[$1] AS text[]))
	`)
	for _, r := range codec.RangeTypes {
		elem := infoNamed(r.Elem)
		ranged(fmt.Sprintf(`
			%[1]s(%[2]s,%[2]s)	__range_make('%[1]s', $1, $2, '[)')
			%[1]s(%[2]s,%[2]s,text)	__range_make('%[1]s', $1, $2, $3)
			%[3]s()	CAST('{}' AS text)
			%[3]s(%[1]s)	__range_multi('%[1]s', CAST(ARRAY[$1] AS text[]))
		`, r.Name, elem, r.MultiName))
		sql(fmt.Sprintf(`
			%[3]s(_%[1]s)	__range_multi('%[1]s', $1)
			cast(%[1]s as %[3]s)	CAST(__range_multi('%[1]s', CAST(ARRAY[$1] AS text[])) AS text)
		`, r.Name, elem, r.MultiName))
	}
	ours("__range_test(text,text,text,text)", "bool", func(a args, out *vector.Vector) error {
		t, err := rangeNamed(a.s(1))
		if err != nil {
			return err
		}
		ok, err := rangeTest(a.s(0), t, rangesOf(a.call, t, a.s(2)), rangesOf(a.call, t, a.s(3)))
		out.AppendBool(ok)
		return err
	})
	ours("__range_holds(text,text,text)", "bool", func(a args, out *vector.Vector) error {
		t, err := rangeNamed(a.s(0))
		if err != nil {
			return err
		}
		s := a.s(2)
		x, err := newBound(t, &s, true, true, codec.Defaults)
		if err != nil {
			return err
		}
		out.AppendBool(slices.ContainsFunc(rangesOf(a.call, t, a.s(1)), func(v rangeValue) bool { return v.holds(t, x) }))
		return nil
	})
	ours("__range_pair(text,text,text,text)", "text", func(a args, out *vector.Vector) error {
		t, err := rangeNamed(a.s(1))
		if err != nil {
			return err
		}
		s, err := rangePair(a.s(0), t, rangesOf(a.call, t, a.s(2)), rangesOf(a.call, t, a.s(3)), strings.HasPrefix(a.s(2), "{"))
		return putText(out, s, err)
	})
	ours("__range_hull(text,text)", "text", func(a args, out *vector.Vector) error {
		t, err := rangeNamed(a.s(0))
		if err != nil {
			return err
		}
		l := rangesOf(a.call, t, a.s(1))
		if len(l) == 0 {
			out.AppendString("empty")
			return nil
		}
		l[0].hi = l[len(l)-1].hi
		out.AppendString(l[0].text(t))
		return nil
	})
	ours("__range_part(text,text,text)", "text", func(a args, out *vector.Vector) error {
		t, err := rangeNamed(a.s(1))
		if err != nil {
			return err
		}
		l := rangesOf(a.call, t, a.s(2))
		if len(l) == 0 {
			out.AppendNull()
			return nil
		}
		b := l[0].lo
		if a.s(0) == "upper" {
			b = l[len(l)-1].hi
		}
		if b.inf {
			out.AppendNull()
			return nil
		}
		out.AppendString(b.value(t))
		return nil
	})
	ours("__range_is(text,text,text)", "bool", func(a args, out *vector.Vector) error {
		t, err := rangeNamed(a.s(1))
		if err != nil {
			return err
		}
		l := rangesOf(a.call, t, a.s(2))
		if a.s(0) == "empty" || len(l) == 0 {
			out.AppendBool(len(l) == 0 && a.s(0) == "empty")
			return nil
		}
		b := l[0].lo
		if strings.HasPrefix(a.s(0), "upper") {
			b = l[len(l)-1].hi
		}
		out.AppendBool(strings.HasSuffix(a.s(0), "_inf") && b.inf || strings.HasSuffix(a.s(0), "_inc") && b.inc)
		return nil
	})
	ours("__range_make(text,text,text,text)", "text", func(a args, out *vector.Vector) error {
		t, err := rangeNamed(a.s(0))
		if err != nil {
			return err
		}
		if a.null(3) {
			return bad("22000", "range constructor flags argument must not be null")
		}
		flags := a.s(3)
		if !slices.Contains([]string{"[]", "[)", "(]", "()"}, flags) {
			return withHint(bad("42601", "invalid range bound flags"), `Valid values are "[]", "[)", "(]", and "()".`)
		}
		ends := [2]*string{}
		for i := range ends {
			if !a.null(1 + i) {
				s := a.s(1 + i)
				ends[i] = &s
			}
		}
		v, err := rangeOfText(t, codec.Range{Lower: ends[0], Upper: ends[1], LowerInc: flags[0] == '[', UpperInc: flags[1] == ']'}, codec.Defaults)
		return putText(out, v.text(t), err)
	}, nulls)
	ours("__range_multi(text,_text)", "text", func(a args, out *vector.Vector) error {
		t, err := rangeNamed(a.s(0))
		if err != nil {
			return err
		}
		var l []rangeValue
		for _, s := range a.texts(1) {
			if s == nil {
				return bad("22004", "multirange values cannot contain null members")
			}
			l = append(l, rangesOf(a.call, t, *s)...)
		}
		out.AppendString(multiText(t, merged(t, l)))
		return nil
	})
	ours("__range_agg(text,_text)", "text", func(a args, out *vector.Vector) error {
		t, err := rangeNamed(a.s(0))
		if err != nil {
			return err
		}
		var l []rangeValue
		for _, s := range a.texts(1) {
			if s != nil {
				l = append(l, rangesOf(a.call, t, *s)...)
			}
		}
		out.AppendString(multiText(t, merged(t, l)))
		return nil
	})
	ours("__range_common(text,_text)", "text", func(a args, out *vector.Vector) error {
		t, err := rangeNamed(a.s(0))
		if err != nil {
			return err
		}
		var have *string
		for _, s := range a.texts(1) {
			switch {
			case s == nil:
			case have == nil:
				have = s
			default:
				both, err := rangePair("*", t, rangesOf(a.call, t, *have), rangesOf(a.call, t, *s), strings.HasPrefix(*s, "{"))
				if err != nil {
					return err
				}
				have = &both
			}
		}
		if have == nil {
			out.AppendNull()
			return nil
		}
		out.AppendString(*have)
		return nil
	})
	ours("__range_list(text,text)", "_text", func(a args, out *vector.Vector) error {
		t, err := rangeNamed(a.s(0))
		if err != nil {
			return err
		}
		for _, v := range rangesOf(a.call, t, a.s(1)) {
			out.Child[0].AppendString(v.text(t))
		}
		out.CloseNested()
		return nil
	})
	ours("__range_key(text,text)", "bytea", func(a args, out *vector.Vector) error {
		t, err := rangeNamed(a.s(0))
		if err != nil {
			return err
		}
		out.AppendBytes(rangeKey(a.call, t, a.s(1)))
		return nil
	})
	ours("__range_keys(text,_text)", "_bytea", func(a args, out *vector.Vector) error {
		t, err := rangeNamed(a.s(0))
		if err != nil {
			return err
		}
		for _, s := range a.texts(1) {
			if s == nil {
				out.Child[0].AppendNull()
			} else {
				out.Child[0].AppendBytes(rangeKey(a.call, t, *s))
			}
		}
		out.CloseNested()
		return nil
	})
	// What a column stores of a text: In of its type.
	ours("__canonical(text,_text)", "_text", func(a args, out *vector.Vector) error {
		f := strings.SplitN(a.s(0), " ", 2)
		oid, _ := strconv.ParseUint(f[0], 10, 32)
		for _, s := range a.texts(1) {
			if s == nil {
				out.Child[0].AppendNull()
				continue
			}
			v, err := inCall(a.call, uint32(oid), -1, *s, settingsOf([]byte(f[1])))
			if err != nil {
				return err
			}
			out.Child[0].AppendFrom(v, 0)
		}
		out.CloseNested()
		return nil
	})
}

// infoNamed is the name of a type by its object id, at the time when the list is filled.
func infoNamed(oid uint32) string {
	for i := range typeList {
		if typeList[i].oid == oid {
			return typeList[i].name
		}
	}
	return ""
}

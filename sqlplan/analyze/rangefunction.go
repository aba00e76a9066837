package analyze

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/tilehouse/tilehouse/sqlplan/pgfunc"
)

// rangeFunction analyzes functions in FROM, which become a subquery that unnests lists of their rows.
func (a *analyzer) rangeFunction(n *pg_query.Node, rf *pg_query.RangeFunction, sc *scope) ([]shown, error) {
	alias := ""
	if rf.Alias != nil {
		alias = rf.Alias.Aliasname
	}
	var cols []column
	var lists []*pg_query.Node
	set := false
	for i, fn := range rf.Functions {
		items := fn.GetList().GetItems()
		if len(items) == 0 {
			continue
		}
		name := figureName(items[0])
		if i == 0 && alias == "" {
			alias = name
		}
		single := name
		if rf.Alias != nil && len(rf.Functions) == 1 {
			single = alias
		}
		defs := rf.Coldeflist
		if len(items) > 1 && items[1].GetList() != nil {
			defs = items[1].GetList().GetItems()
		}
		c, l, isSet, ok, err := a.functionRows(items[0], single, defs, sc)
		if err != nil {
			return nil, err
		}
		if !ok {
			a.untyped = true
			if alias == "" {
				alias = name
			}
			sc.rels = append(sc.rels, &relation{alias: alias, opaque: true})
			return nil, nil
		}
		cols, lists, set = append(cols, c...), append(lists, l...), set || isSet
	}
	if rf.Ordinality {
		cols = append(cols, column{name: "ordinality", t: oidInt8, mod: -1})
	}
	named, err := rename(cols, rf.Alias, false)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	sub := &pg_query.SelectStmt{LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg_query.SetOperation_SETOP_NONE}
	var series *pg_query.Node // the values of the only list, where they need not be collected
	if set && len(named) == 1 {
		var from *pg_query.Node
		if from, series = seriesRows(lists[0]); from != nil {
			sub.FromClause = []*pg_query.Node{from}
		}
	}
	for i := range named {
		named[i].sql = unique(named[i].name, seen)
		var out *pg_query.Node
		switch {
		case series != nil:
			out = castTo(series, shortName(named[i].t))
		case i < len(lists) && set:
			out = call("unnest", lists[i])
		case i < len(lists):
			out = lists[i]
		case !set:
			out = castTo(str("1"), "int8")
		default:
			longest := call("len", copyOf(lists[0]))
			for _, l := range lists[1:] {
				longest = call("greatest", longest, call("len", copyOf(l)))
			}
			out = call("unnest", call("generate_series", castTo(str("1"), "int8"), longest))
		}
		t := pg_query.MakeResTargetNodeWithVal(out, 0)
		t.GetResTarget().Name = named[i].sql
		sub.TargetList = append(sub.TargetList, t)
	}
	n.Node = &pg_query.Node_RangeSubselect{RangeSubselect: &pg_query.RangeSubselect{Lateral: len(sc.rels) > 0,
		Subquery: &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: sub}}, Alias: &pg_query.Alias{Aliasname: alias}}}
	return a.addRelation(&relation{alias: alias, cols: named, scalar: len(named) == 1}, sc, -1)
}

// functionRows are the columns that a function in FROM has, and for each the list of its values, or the value of the only row.
func (a *analyzer) functionRows(n *pg_query.Node, single string, defs []*pg_query.Node, sc *scope) (cols []column, lists []*pg_query.Node, set, ok bool, err error) {
	f := n.GetFuncCall()
	if f == nil {
		v, err := a.expr(n, sc)
		if err != nil || v.t == 0 {
			return nil, nil, false, false, err
		}
		if v, err = a.settled(v); err != nil {
			return nil, nil, false, false, err
		}
		return []column{{name: single, t: v.t, mod: v.mod, dec: v.dec, prec: v.prec, scale: v.scale}}, []*pg_query.Node{v.n}, false, true, nil
	}
	name, known := functionName(f.Funcname)
	at := f.Location
	if !known || len(procs[name]) == 0 || !pgfunc.Named(name) && a.env.Expands != nil && a.env.Expands(name, f.Args) || a.env.Own != nil && a.env.Own(name) || len(defs) > 0 && !recordFunction(name) {
		for i, arg := range f.Args {
			v, err := a.expr(arg, sc)
			if err != nil {
				return nil, nil, false, false, err
			}
			if v.lit == nil && !v.null {
				putArg(f, i, v.n)
			}
		}
		return nil, nil, false, false, nil
	}
	if name == "unnest" && len(f.Args) > 1 { // several arrays side by side
		for _, arg := range f.Args {
			v, err := a.expr(arg, sc)
			if err != nil {
				return nil, nil, false, false, err
			}
			if !isArray(v.t) {
				return nil, nil, false, false, a.functionMissing(name, typesOf([]value{v}), false, at)
			}
			v = a.flat(v)
			cols = append(cols, column{name: "unnest", t: elemOf(v.t), mod: -1})
			lists = append(lists, v.n)
		}
		return cols, lists, true, true, nil
	}
	var vs []value
	names := make([]string, len(f.Args))
	for i, arg := range f.Args {
		if na := arg.GetNamedArgExpr(); na != nil {
			names[i], arg = na.Name, na.Arg
		}
		v, err := a.expr(arg, sc)
		if err != nil {
			return nil, nil, false, false, err
		}
		vs = append(vs, v)
	}
	if anyUntyped(vs) {
		a.leaveCall(n, f, vs)
		return nil, nil, false, false, nil
	}
	found, _ := findFunction(name, typesOf(vs), names, f.FuncVariadic)
	if len(found) != 1 {
		return nil, nil, false, false, a.functionMissing(name, typesOf(vs), len(found) > 1, at)
	}
	p := found[0].proc
	if p.kind == 'a' {
		return nil, nil, false, false, fail("42803", at, "aggregate functions are not allowed in functions in FROM")
	}
	if p.kind == 'w' {
		return nil, nil, false, false, fail("42P20", at, "window functions are not allowed in functions in FROM")
	}
	concrete, result, solved := solve(found[0].args, typesOf(vs), p.result)
	if !solved {
		return nil, nil, false, false, a.functionMissing(name, typesOf(vs), false, at)
	}
	for i := range vs {
		if vs[i], err = a.coerce(vs[i], concrete[i], -1, implicit); err != nil {
			return nil, nil, false, false, err
		}
	}
	if found[0].order != nil {
		byPosition := make([]value, len(found[0].order))
		for i, o := range found[0].order {
			if byPosition[i] = a.defaultArg(p, i); o >= 0 {
				byPosition[i] = vs[o]
			}
		}
		vs = byPosition
	}
	if result == oidRecord {
		if recordFunction(name) {
			return a.recordRows(name, vs, defs, at)
		}
		sig := signature(p)
		for i, m := range p.modes {
			if m != 'o' && m != 't' {
				continue
			}
			fn := pgfunc.Find(sig + "#" + p.names[i])
			if fn == nil {
				return nil, nil, false, false, fail("0A000", at, "function %s is not supported", name)
			}
			copies := make([]value, len(vs))
			for j := range vs {
				copies[j] = vs[j]
				copies[j].n = copyOf(vs[j].n)
			}
			l, err := a.emit(fn, copies)
			if err != nil {
				return nil, nil, false, false, err
			}
			cols = append(cols, column{name: p.names[i], t: p.all[i], mod: -1})
			lists = append(lists, l)
		}
		return cols, lists, p.set, true, nil
	}
	if !p.set {
		if v, ok, err := a.special(p, vs, result, at); ok || err != nil {
			return []column{{name: single, t: v.t, mod: v.mod, dec: v.dec, prec: v.prec, scale: v.scale}}, []*pg_query.Node{v.n}, false, true, err
		}
		v, err := a.scalar(p, found[0], vs, concrete, result, at)
		if err != nil {
			return nil, nil, false, false, err
		}
		return []column{{name: single, t: v.t, mod: v.mod, dec: v.dec, prec: v.prec, scale: v.scale}}, []*pg_query.Node{v.n}, false, true, nil
	}
	v, err := a.list(p, vs, found[0], result, at)
	if err != nil {
		return nil, nil, false, false, err
	}
	if p.modes != "" { // one OUT parameter names the column
		for i, m := range p.modes {
			if m == 'o' && i < len(p.names) {
				single = p.names[i]
			}
		}
	}
	return []column{{name: single, t: v.t, mod: v.mod}}, []*pg_query.Node{v.n}, true, true, nil
}

func recordFunction(name string) bool {
	switch name {
	case "json_to_record", "jsonb_to_record", "json_to_recordset", "jsonb_to_recordset":
		return true
	}
	return false
}

// recordRows are the rows that a list of column definitions makes of json.
func (a *analyzer) recordRows(name string, vs []value, defs []*pg_query.Node, at int32) (cols []column, lists []*pg_query.Node, set, ok bool, err error) {
	if len(defs) == 0 {
		return nil, nil, false, false, fail("42601", at, "a column definition list is required for functions returning \"record\"")
	}
	set = name == "json_to_recordset" || name == "jsonb_to_recordset"
	for _, d := range defs {
		def := d.GetColumnDef()
		t, mod, known, err := a.typeOf(def.TypeName)
		if err != nil {
			return nil, nil, false, false, err
		}
		if !known || isArray(t) {
			return nil, nil, false, false, fail("0A000", at, "a column of type %s is not supported here", typeName(t))
		}
		doc := castTo(copyOf(vs[0].n), "text")
		fieldName := castTo(str(def.Colname), "text")
		if set {
			if mod >= 0 {
				return nil, nil, false, false, fail("0A000", at, "a column of type %s with a modifier is not supported here", typeName(t))
			}
			l := typed(call("__json_fields", doc, fieldName), oidTextArray, at)
			v, err := a.convertArrayText(l, t)
			if err != nil {
				return nil, nil, false, false, err
			}
			cols, lists = append(cols, column{name: def.Colname, t: t, mod: -1}), append(lists, v)
			continue
		}
		v := typed(call("__json_field_text", doc, fieldName), oidText, at)
		if t == oidJSON || t == oidJSONB {
			v = typed(call("__json_field", doc, fieldName), oidText, at)
		}
		if v, err = a.coerce(v, t, mod, explicit); err != nil {
			return nil, nil, false, false, err
		}
		cols = append(cols, column{name: def.Colname, t: t, mod: mod, dec: v.dec, prec: v.prec, scale: v.scale})
		lists = append(lists, v.n)
	}
	return cols, lists, set, true, nil
}

// convertArrayText makes an array of texts one of values that they mean.
func (a *analyzer) convertArrayText(v value, elem OID) (*pg_query.Node, error) {
	if isString(elem) {
		return v.n, nil
	}
	text := typed(call("__text_array_out", v.n), oidText, v.at)
	fn := pgfunc.CastFunction(oidText, arrayOf(elem))
	if fn == nil {
		return nil, fail("0A000", v.at, "a column of type %s is not supported here", typeName(elem))
	}
	return a.emit(fn, []value{text})
}

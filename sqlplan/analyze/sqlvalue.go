package analyze

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"
)

func (a *analyzer) sqlValue(n *pg_query.Node, f *pg_query.SQLValueFunction) (value, error) {
	at := f.Location
	name := func(s string) value { return typed(castTo(str(s), "text"), oidName, at) }
	switch f.Op {
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_DATE:
		return a.named("current_date", at)
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP, pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP_N:
		return typed(call("now"), oidTimestampTZ, at), nil
	case pg_query.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP, pg_query.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP_N:
		return a.convert(typed(call("now"), oidTimestampTZ, at), oidTimestamp, explicit)
	case pg_query.SQLValueFunctionOp_SVFOP_LOCALTIME, pg_query.SQLValueFunctionOp_SVFOP_LOCALTIME_N:
		return a.convert(typed(call("now"), oidTimestampTZ, at), oidTime, explicit)
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_USER, pg_query.SQLValueFunctionOp_SVFOP_CURRENT_ROLE, pg_query.SQLValueFunctionOp_SVFOP_USER:
		return name(a.env.Role), nil
	case pg_query.SQLValueFunctionOp_SVFOP_SESSION_USER:
		return name(a.env.SessionRole), nil
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_SCHEMA:
		return name("public"), nil
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_CATALOG:
		return name(a.env.Database), nil
	}
	a.untyped = true
	return untypedValue(n), nil
}

func (a *analyzer) named(name string, at int32) (value, error) {
	switch name {
	case "current_date":
		v, err := a.convert(typed(call("now"), oidTimestampTZ, at), oidDate, explicit)
		return v, err
	}
	return value{}, fail("42883", at, "function %s() does not exist", name)
}

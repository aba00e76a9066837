package parse

import (
	"reflect"
	"sync"
	"unicode/utf8"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"github.com/pganalyze/pg_query_go/v6/parser"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Walk calls visit for every message below and including m, parents first; where visit returns false the children are
// left out. The messages are pg_query's structs (*pg_query.ColumnRef, …), each also once as the *pg_query.Node around it.
func Walk(m proto.Message, visit func(proto.Message) bool) {
	if m != nil && m.ProtoReflect().IsValid() {
		walk(m, visit)
	}
}

func walk(m proto.Message, visit func(proto.Message) bool) {
	if visit(m) {
		Children(m, func(child proto.Message) bool {
			walk(child, visit)
			return true
		})
	}
}

// Children calls visit for the messages right below m, which is one of pg_query's structs and not nil, in the order of its fields, until
// visit returns false. Statements are walked some dozen times, which takes protoreflect five times as long.
func Children(m proto.Message, visit func(proto.Message) bool) {
	v := reflect.ValueOf(m).Elem()
	for _, f := range fieldsOf(v.Type()) {
		x := v.Field(f.index)
		switch {
		case f.list:
			for i := range x.Len() {
				if i >= x.Len() { // visit took some away
					break
				}
				if e := x.Index(i); !e.IsNil() && !visit(e.Interface().(proto.Message)) {
					return
				}
			}
			continue
		case x.IsNil():
			continue
		case f.oneof: // an interface of a pointer to a struct with one field
			x = x.Elem().Elem().Field(0)
			if x.Kind() != reflect.Pointer || x.IsNil() {
				continue
			}
		}
		if !visit(x.Interface().(proto.Message)) {
			return
		}
	}
}

// field is a field of a message's struct that holds messages.
type field struct {
	index       int
	list, oneof bool
}

var (
	fieldsByType sync.Map // []field by reflect.Type
	messageType  = reflect.TypeFor[proto.Message]()
)

func fieldsOf(t reflect.Type) []field {
	if f, ok := fieldsByType.Load(t); ok {
		return f.([]field)
	}
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		switch {
		case !f.IsExported():
		case f.Type.Kind() == reflect.Interface:
			out = append(out, field{index: i, oneof: true})
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Implements(messageType):
			out = append(out, field{index: i, list: true})
		case f.Type.Implements(messageType):
			out = append(out, field{index: i})
		}
	}
	fieldsByType.Store(t, out)
	return out
}

// isLocation reports whether a field is an offset into the text.
func isLocation(fd protoreflect.FieldDescriptor) bool {
	return fd.Kind() == protoreflect.Int32Kind && (fd.Name() == "location" || fd.Name() == "arg_location")
}

// firstLocation is the least offset of the nodes below the given ones, or -1. An offset of 0 counts as none: no clause of
// ours begins a text.
func firstLocation(nodes ...proto.Message) int {
	first := -1
	for _, n := range nodes {
		Walk(n, func(m proto.Message) bool {
			r := m.ProtoReflect()
			if fd := r.Descriptor().Fields().ByName("location"); fd != nil && isLocation(fd) {
				if at := int(r.Get(fd).Int()); at > 0 && (first < 0 || at < first) {
					first = at
				}
			}
			return true
		})
	}
	return first
}

// shift adds by to every location below m; strip (by == strip) clears them.
func shift(m proto.Message, by int) {
	Walk(m, func(m proto.Message) bool {
		r := m.ProtoReflect()
		r.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			if isLocation(fd) && v.Int() > 0 {
				r.Set(fd, protoreflect.ValueOfInt32(int32(v.Int())+int32(by)))
			}
			return true
		})
		return true
	})
}

// strip clears every location below m.
func strip(m proto.Message) {
	Walk(m, func(m proto.Message) bool {
		r := m.ProtoReflect()
		r.Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
			if isLocation(fd) {
				r.Clear(fd)
			}
			return true
		})
		return true
	})
}

// pgParse is PostgreSQL's parser. Its errors are faults at byte offsets of text: the text may be a blanked one, in which
// characters count differently from the user's.
func pgParse(text string) (*pg_query.ParseResult, error) {
	r, err := pg_query.Parse(text)
	if pe, ok := err.(*parser.Error); ok {
		code := convert("", pe).(*Error).Code
		return nil, &fault{code: code, message: pe.Message, offset: byteOffset(text, pe.Cursorpos)}
	}
	return r, err
}

// byteOffset is the offset of the 1-based character pos of s, -1 for pos < 1.
func byteOffset(s string, pos int) int {
	if pos < 1 {
		return -1
	}
	i := 0
	for ; pos > 1 && i < len(s); pos-- {
		_, n := utf8.DecodeRuneInString(s[i:])
		i += n
	}
	return i
}

// parseOne parses text, which holds one statement or none (nil).
func parseOne(text string) (*pg_query.Node, error) {
	r, err := pgParse(text)
	if err != nil {
		return nil, err
	}
	switch len(r.Stmts) {
	case 0:
		return nil, nil
	case 1:
		return r.Stmts[0].Stmt, nil
	}
	return nil, &Error{Code: codeSyntax, Message: "cannot insert multiple commands into a prepared statement"}
}

const selectPrefix = "SELECT "

// parseExpr parses src[from:to] as one scalar expression; its locations are offsets into src.
func parseExpr(src string, from, to int) (*pg_query.Node, error) {
	n, err := parseOne(selectPrefix + src[from:to])
	if f, ok := err.(*fault); ok {
		if f.offset >= 0 {
			f.offset = min(max(f.offset-len(selectPrefix), 0)+from, to)
		}
		return nil, f
	}
	if err != nil {
		return nil, err
	}
	s := n.GetSelectStmt()
	if s == nil || len(s.TargetList) != 1 || s.TargetList[0].GetResTarget().GetName() != "" || len(s.FromClause) > 0 ||
		s.WhereClause != nil || s.Op != pg_query.SetOperation_SETOP_NONE || s.IntoClause != nil || len(s.SortClause) > 0 ||
		s.LimitCount != nil || s.LimitOffset != nil || len(s.GroupClause) > 0 || s.HavingClause != nil || len(s.WindowClause) > 0 ||
		len(s.LockingClause) > 0 || len(s.DistinctClause) > 0 {
		return nil, faultAt(from, codeSyntax, "", "a scalar expression is expected")
	}
	v := s.TargetList[0].GetResTarget().Val
	shift(v, from-len(selectPrefix))
	return v, nil
}

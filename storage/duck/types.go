package duck

import (
	"fmt"

	m "github.com/duckdb/duckdb-go-bindings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// column says how vectors of one DuckDB type become vectors of typ. It holds no C object. It has scratch, and so belongs to
// one result.
type column struct {
	typ    vector.Type
	id     m.Type
	phys   m.Type           // Decimal, Enum: the integer that holds the value
	size   int              // Array: elements of each value
	labels [][]byte         // Enum
	names  []string         // Struct, Union: of the fields
	child  []*column        // List, Array: element; Map: key, value; Struct, Union: fields
	mask   []uint64         // scratch: validity of the values being appended
	valid  []uint64         // the words that the column's vector shows as its Valid, kept across Reset
	fields []*vector.Vector // Struct, Union: scratch, a vector for each field
	tags   *vector.Vector   // Union: scratch
	room   *room            // bounds what is appended; nil: nothing does
}

// simpleTypes are the types that have no parameters.
var simpleTypes = map[m.Type]vector.Kind{
	m.TypeBoolean: vector.Bool, m.TypeTinyInt: vector.Int16, m.TypeUTinyInt: vector.Int16, m.TypeSmallInt: vector.Int16,
	m.TypeUSmallInt: vector.Int32, m.TypeInteger: vector.Int32, m.TypeUInteger: vector.Int64, m.TypeBigInt: vector.Int64,
	m.TypeIntegerLiteral: vector.Int64, m.TypeFloat: vector.Float32, m.TypeDouble: vector.Float64, m.TypeStringLiteral: vector.Text,
	m.TypeBlob: vector.Bytes, m.TypeGeometry: vector.Bytes, m.TypeBit: vector.Text, m.TypeTimeTZ: vector.Text, m.TypeUUID: vector.UUID,
	m.TypeDate: vector.Date, m.TypeTime: vector.Time, m.TypeTimeNS: vector.Time, m.TypeTimestamp: vector.Timestamp,
	m.TypeTimestampS: vector.Timestamp, m.TypeTimestampMS: vector.Timestamp, m.TypeTimestampNS: vector.Timestamp,
	m.TypeTimestampTZ: vector.TimestampTZ, m.TypeInterval: vector.Interval, m.TypeSQLNull: vector.Null,
	m.TypeInvalid: vector.Invalid, m.TypeAny: vector.Invalid,
}

// columnOf reads a DuckDB type. Errors: 0A000.
func columnOf(l m.LogicalType) (*column, error) {
	c := &column{id: m.GetTypeId(l)}
	if k, ok := simpleTypes[c.id]; ok {
		c.typ = vector.T(k)
		return c, nil
	}
	switch c.id {
	case m.TypeVarchar:
		c.typ = vector.T(vector.Text)
		if m.LogicalTypeGetAlias(l) == "JSON" {
			c.typ = vector.T(vector.JSON)
		}
	case m.TypeHugeInt, m.TypeUHugeInt, m.TypeUBigInt, m.TypeBigNum:
		c.typ = vector.DecimalOf(38, 0)
	case m.TypeDecimal:
		c.typ, c.phys = vector.DecimalOf(m.DecimalWidth(l), m.DecimalScale(l)), m.DecimalInternalType(l)
	case m.TypeEnum:
		c.typ, c.phys = vector.T(vector.Text), m.EnumInternalType(l)
		c.labels = make([][]byte, m.EnumDictionarySize(l))
		for i := range c.labels {
			c.labels[i] = []byte(m.EnumDictionaryValue(l, m.IdxT(i)))
		}
	case m.TypeList:
		return c, c.list(m.ListTypeChildType(l))
	case m.TypeArray:
		c.size = int(m.ArrayTypeArraySize(l))
		return c, c.list(m.ArrayTypeChildType(l))
	case m.TypeMap:
		for _, t := range []m.LogicalType{m.MapTypeKeyType(l), m.MapTypeValueType(l)} {
			if err := c.add(t); err != nil {
				return nil, err
			}
		}
		if c.typ = vector.MapOf(c.child[0].typ, c.child[1].typ); c.child[0].typ.Buffer() == vector.BufNested {
			// vector.Map orders its keys, and nested keys have no order: such a map is an array of [key, value] as JSON.
			c.typ = vector.T(vector.JSON)
			c.newFields()
		}
	case m.TypeStruct:
		c.typ = vector.T(vector.JSON)
		for i := range m.StructTypeChildCount(l) {
			c.names = append(c.names, m.StructTypeChildName(l, i))
			if err := c.add(m.StructTypeChildType(l, i)); err != nil {
				return nil, err
			}
		}
		c.newFields()
	case m.TypeUnion:
		c.typ, c.tags = vector.T(vector.JSON), vector.New(vector.T(vector.Int16), 0)
		for i := range m.UnionTypeMemberCount(l) {
			c.names = append(c.names, m.UnionTypeMemberName(l, i))
			if err := c.add(m.UnionTypeMemberType(l, i)); err != nil {
				return nil, err
			}
		}
		c.newFields()
	case m.TypeVariant:
		return nil, &Error{SQLState: "0A000", Message: "values of type variant cannot be returned", Hint: "Cast the value to json or text."}
	default:
		return nil, &Error{SQLState: "0A000", Message: fmt.Sprintf("values of the engine's type %d cannot be returned", c.id)}
	}
	return c, nil
}

// add makes the child column of type l, which it frees.
func (c *column) add(l m.LogicalType) error {
	defer m.DestroyLogicalType(&l)
	child, err := columnOf(l)
	c.child = append(c.child, child)
	return err
}

func (c *column) list(elem m.LogicalType) error {
	if err := c.add(elem); err != nil {
		return err
	}
	c.typ = vector.ListOf(c.child[0].typ)
	return nil
}

func (c *column) newFields() {
	for _, f := range c.child {
		c.fields = append(c.fields, vector.New(f.typ, 0))
	}
}

// logicalTypes are DuckDB's types of kinds that have no parameters.
var logicalTypes = map[vector.Kind]m.Type{
	vector.Bool: m.TypeBoolean, vector.Int16: m.TypeSmallInt, vector.Int32: m.TypeInteger, vector.Int64: m.TypeBigInt,
	vector.Float32: m.TypeFloat, vector.Float64: m.TypeDouble, vector.Text: m.TypeVarchar, vector.JSON: m.TypeVarchar,
	vector.Bytes: m.TypeBlob, vector.UUID: m.TypeUUID, vector.Date: m.TypeDate, vector.Time: m.TypeTime,
	vector.Timestamp: m.TypeTimestamp, vector.TimestampTZ: m.TypeTimestampTZ, vector.Interval: m.TypeInterval, vector.Null: m.TypeSQLNull,
}

// logicalType is DuckDB's type of t, to be destroyed by the caller. JSON is VARCHAR, which DuckDB casts where JSON is asked for.
func logicalType(t vector.Type) (m.LogicalType, error) {
	switch t.Kind {
	case vector.Decimal:
		p, s := decimalWidth(t)
		return m.CreateDecimalType(p, s), nil
	case vector.List, vector.Map:
		elems := make([]m.LogicalType, 0, 2)
		defer func() {
			for i := range elems {
				m.DestroyLogicalType(&elems[i])
			}
		}()
		for _, e := range t.Elem {
			l, err := logicalType(e)
			if err != nil {
				return l, err
			}
			elems = append(elems, l)
		}
		if t.Kind == vector.List {
			return m.CreateListType(elems[0]), nil
		}
		return m.CreateMapType(elems[0], elems[1]), nil
	}
	id, ok := logicalTypes[t.Kind]
	if !ok {
		return m.LogicalType{}, &Error{SQLState: "XX000", Message: fmt.Sprintf("a value of type %s cannot be passed to the engine", t)}
	}
	return m.CreateLogicalType(id), nil
}

// decimalWidth is the precision and scale of t; a numeric without precision is as wide as can be.
func decimalWidth(t vector.Type) (precision, scale uint8) {
	if t.Precision == 0 {
		return 38, t.Scale
	}
	return t.Precision, t.Scale
}

package protocol

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// message reads a line of a script:
//
//	Q sql                                   P name [oids] sql
//	B portal statement pf=1,0 rf=1 v=… …    D S|P name        E portal limit     C S|P name     H     S     F
//	d text                                  dx hex            c                  f reason       raw hex
//
// A name of "" is written -. Values are texts with \n, \t and \\; v=null is NULL, v=\x… bytes.
func message(line string) (pgproto3.FrontendMessage, error) {
	verb, rest, _ := strings.Cut(line, " ")
	words := strings.Fields(rest)
	name := func(i int) string {
		if i >= len(words) || words[i] == "-" {
			return ""
		}
		return words[i]
	}
	switch verb {
	case "Q":
		return &pgproto3.Query{String: unescape(rest)}, nil
	case "P":
		m := &pgproto3.Parse{Name: name(0)}
		open, close := strings.IndexByte(rest, '['), strings.IndexByte(rest, ']')
		for _, o := range strings.FieldsFunc(rest[open+1:close], func(r rune) bool { return r == ',' }) {
			n, err := strconv.ParseUint(o, 10, 32)
			if err != nil {
				return nil, err
			}
			m.ParameterOIDs = append(m.ParameterOIDs, uint32(n))
		}
		m.Query = unescape(strings.TrimSpace(rest[close+1:]))
		return m, nil
	case "B":
		m := &pgproto3.Bind{DestinationPortal: name(0), PreparedStatement: name(1)}
		for _, w := range words[2:] {
			key, v, _ := strings.Cut(w, "=")
			switch key {
			case "pf", "rf":
				var codes []int16
				for _, c := range strings.Split(v, ",") {
					n, err := strconv.ParseInt(c, 10, 16)
					if err != nil {
						return nil, err
					}
					codes = append(codes, int16(n))
				}
				if key == "pf" {
					m.ParameterFormatCodes = codes
				} else {
					m.ResultFormatCodes = codes
				}
			case "v":
				switch {
				case v == "null":
					m.Parameters = append(m.Parameters, nil)
				case strings.HasPrefix(v, `\x`):
					b, err := hex.DecodeString(v[2:])
					if err != nil {
						return nil, err
					}
					m.Parameters = append(m.Parameters, b)
				default:
					m.Parameters = append(m.Parameters, []byte(unescape(v)))
				}
			}
		}
		return m, nil
	case "D", "C":
		if verb == "C" {
			return &pgproto3.Close{ObjectType: words[0][0], Name: name(1)}, nil
		}
		return &pgproto3.Describe{ObjectType: words[0][0], Name: name(1)}, nil
	case "E":
		n, err := strconv.ParseUint(words[1], 10, 32)
		return &pgproto3.Execute{Portal: name(0), MaxRows: uint32(n)}, err
	case "H":
		return &pgproto3.Flush{}, nil
	case "S":
		return &pgproto3.Sync{}, nil
	case "F":
		return &pgproto3.FunctionCall{Function: 1, ArgFormatCodes: []uint16{0}, Arguments: [][]byte{[]byte("1")}}, nil
	case "d":
		return &pgproto3.CopyData{Data: []byte(unescape(rest))}, nil
	case "dx":
		b, err := hex.DecodeString(strings.ReplaceAll(rest, " ", ""))
		return &pgproto3.CopyData{Data: b}, err
	case "c":
		return &pgproto3.CopyDone{}, nil
	case "f":
		return &pgproto3.CopyFail{Message: rest}, nil
	}
	return nil, fmt.Errorf("no message %q", line)
}

var escapes = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\\`, `\`)

func unescape(s string) string { return escapes.Replace(s) }

// ends is how many ReadyForQuery a message brings.
func ends(m pgproto3.FrontendMessage) int {
	switch m.(type) {
	case *pgproto3.Query, *pgproto3.Sync, *pgproto3.FunctionCall:
		return 1
	}
	return 0
}

// show writes a message of the server so that those of two servers can be compared. What only names the server is left out.
func show(m pgproto3.BackendMessage) string {
	switch m := m.(type) {
	case *pgproto3.RowDescription:
		var b strings.Builder
		b.WriteString("RowDescription")
		for _, f := range m.Fields {
			fmt.Fprintf(&b, " %s:%d", f.Name, f.DataTypeOID)
			if f.TypeModifier != -1 {
				fmt.Fprintf(&b, "(%d)", f.TypeModifier)
			}
			fmt.Fprintf(&b, "/%d/%d", f.DataTypeSize, f.Format)
		}
		return b.String()
	case *pgproto3.DataRow:
		var b strings.Builder
		b.WriteString("DataRow")
		for _, v := range m.Values {
			b.WriteString(" " + value(v))
		}
		return b.String()
	case *pgproto3.ParameterDescription:
		return fmt.Sprintf("ParameterDescription %v", m.ParameterOIDs)
	case *pgproto3.CommandComplete:
		return "CommandComplete " + string(m.CommandTag)
	case *pgproto3.ReadyForQuery:
		return "ReadyForQuery " + string(m.TxStatus)
	case *pgproto3.ErrorResponse:
		return fmt.Sprintf("ErrorResponse %s %s %q at %d where %q", m.Severity, m.Code, m.Message, m.Position, m.Where)
	case *pgproto3.NoticeResponse:
		return fmt.Sprintf("NoticeResponse %s %s %q", m.Severity, m.Code, m.Message)
	case *pgproto3.ParameterStatus:
		return fmt.Sprintf("ParameterStatus %s=%s", m.Name, m.Value)
	case *pgproto3.NotificationResponse:
		return fmt.Sprintf("NotificationResponse %s %q", m.Channel, m.Payload)
	case *pgproto3.CopyInResponse:
		return fmt.Sprintf("CopyInResponse %d %v", m.OverallFormat, m.ColumnFormatCodes)
	case *pgproto3.CopyOutResponse:
		return fmt.Sprintf("CopyOutResponse %d %v", m.OverallFormat, m.ColumnFormatCodes)
	case *pgproto3.CopyData:
		return "CopyData " + value(m.Data)
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3.")
}

// value is a text as it is, and other bytes in hexadecimal.
func value(v []byte) string {
	if v == nil {
		return "null"
	}
	for _, c := range v {
		if c < ' ' && c != '\n' && c != '\t' || c > '~' {
			return `\x` + hex.EncodeToString(v)
		}
	}
	return strconv.Quote(string(v))
}

package codec

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
)

// Object ids of further types whose values are kept as PostgreSQL's text of them.
const (
	oidMacaddr, oidMacaddr8, oidXID8 = 829, 774, 5069
)

// ParseMacaddr is a MAC address of 6 or 8 bytes as PostgreSQL writes it. Errors: 22P02.
func ParseMacaddr(s string, size int) (string, error) {
	name := "macaddr"
	if size == 8 {
		name = "macaddr8"
	}
	bad := &Error{Code: "22P02", Message: "invalid input syntax for type " + name + ": " + quoted([]byte(s))}
	t := strings.Trim(s, spaces)
	digits := strings.Map(func(r rune) rune {
		if r == ':' || r == '-' || r == '.' {
			return -1
		}
		return r
	}, t)
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != 6 && len(b) != 8 || len(b) == 8 && size == 6 {
		return "", bad
	}
	if groups := strings.FieldsFunc(t, func(r rune) bool { return r == ':' || r == '-' || r == '.' }); len(groups) > 1 {
		mark := strings.Trim(t, "0123456789abcdefABCDEF")[0]
		if strings.Count(t, string(mark)) != len(groups)-1 {
			return "", bad // other marks, or an empty group
		}
		width := len(groups[0])
		for _, g := range groups {
			if len(g)%2 != 0 || size == 6 && len(g) != width {
				return "", bad
			}
		}
		if size == 6 && !(width == 2 && mark != '.' || width == 6 && mark != '.' || width == 4 && mark != ':') {
			return "", bad
		}
	} else if len(t) != len(digits) {
		return "", bad
	}
	if size == 8 && len(b) == 6 {
		b = []byte{b[0], b[1], b[2], 0xff, 0xfe, b[3], b[4], b[5]}
	}
	return macaddrText(b), nil
}

func macaddrText(b []byte) string {
	var out strings.Builder
	for i := range b {
		if i > 0 {
			out.WriteByte(':')
		}
		out.WriteString(hex.EncodeToString(b[i : i+1]))
	}
	return out.String()
}

// ParseTID is the place of a row as PostgreSQL writes it. Errors: 22P02.
func ParseTID(s string) (string, error) {
	bad := &Error{Code: "22P02", Message: "invalid input syntax for type tid: " + quoted([]byte(s))}
	block, offset, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(s, "("), ")"), ",")
	if !ok || !strings.HasPrefix(s, "(") || !strings.HasSuffix(s, ")") {
		return "", bad
	}
	b, err := strconv.ParseUint(block, 10, 32)
	if err != nil {
		return "", bad
	}
	o, err := strconv.ParseUint(offset, 10, 16)
	if err != nil {
		return "", bad
	}
	return tidText(uint32(b), uint16(o)), nil
}

func tidText(block uint32, offset uint16) string {
	return "(" + strconv.FormatUint(uint64(block), 10) + "," + strconv.FormatUint(uint64(offset), 10) + ")"
}

// appendHardwareBinary is the binary form of a MAC address, a row's place or a transaction's number; ok is false for other types.
func appendHardwareBinary(dst, text []byte, oid uint32) (out []byte, ok bool, err error) {
	switch oid {
	case oidMacaddr, oidMacaddr8:
		b, err := hex.DecodeString(strings.ReplaceAll(string(text), ":", ""))
		return append(dst, b...), true, err
	case oidTID:
		block, offset, _ := strings.Cut(strings.Trim(string(text), "()"), ",")
		b, err := strconv.ParseUint(block, 10, 32)
		if err != nil {
			return dst, true, badSyntaxOf("tid", text)
		}
		o, err := strconv.ParseUint(offset, 10, 16)
		if err != nil {
			return dst, true, badSyntaxOf("tid", text)
		}
		return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(dst, uint32(b)), uint16(o)), true, nil
	case oidXID8:
		n, err := strconv.ParseUint(string(text), 10, 64)
		if err != nil {
			return dst, true, badSyntaxOf("xid8", text)
		}
		return binary.BigEndian.AppendUint64(dst, n), true, nil
	}
	return dst, false, nil
}

// hardwareOfBinary is the text of such a value, from its binary form.
func hardwareOfBinary(b []byte, oid uint32) (text string, ok bool, err error) {
	size := map[uint32]int{oidMacaddr: 6, oidMacaddr8: 8, oidTID: 6, oidXID8: 8}[oid]
	switch {
	case size == 0:
		return "", false, nil
	case oid == oidMacaddr8 && len(b) == 6: // which PostgreSQL takes, too
		b = []byte{b[0], b[1], b[2], 0xff, 0xfe, b[3], b[4], b[5]}
	case len(b) < size:
		return "", true, &Error{Code: "08P01", Message: "insufficient data left in message"}
	case len(b) > size:
		return "", true, &Error{Code: "22P03", Message: "incorrect binary data format"}
	}
	switch oid {
	case oidTID:
		return tidText(binary.BigEndian.Uint32(b), binary.BigEndian.Uint16(b[4:])), true, nil
	case oidXID8:
		return strconv.FormatUint(binary.BigEndian.Uint64(b), 10), true, nil
	}
	return macaddrText(b), true, nil
}

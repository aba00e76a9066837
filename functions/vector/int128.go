package vector

import "github.com/apache/arrow-go/v18/arrow/decimal128"

// Int128FromParts is the integer high·2⁶⁴ + low.
func Int128FromParts(high int64, low uint64) Int128 { return decimal128.New(high, low) }

// Int128FromInt64 widens x.
func Int128FromInt64(x int64) Int128 { return decimal128.FromI64(x) }

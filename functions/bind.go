package functions

import (
	"fmt"
	"strings"

	"github.com/tilehouse/tilehouse/functions/vector"
)

// SQLSTATEs of BindError.
const (
	codeUndefinedFunction = "42883"
	codeAmbiguous         = "42725"
	codeUnsupported       = "0A000"
	codeParameter         = "22023"
)

func noSuchFunction(name string, args []vector.Type, hint string) *BindError {
	types := make([]string, len(args))
	for i, t := range args {
		types[i] = t.String()
	}
	if hint == "" {
		hint = "Cast the argument to a type that " + name + " takes."
	}
	return &BindError{codeUndefinedFunction, fmt.Sprintf("function %s(%s) does not exist", name, strings.Join(types, ", ")), hint}
}

// checkArgs is the common part of binding: the number of arguments, and types that no aggregate but count takes.
func checkArgs(name string, args []vector.Type, n int) error {
	if len(args) != n {
		return noSuchFunction(name, args, fmt.Sprintf("%s takes %d arguments.", name, n))
	}
	for _, t := range args {
		switch {
		case t.Kind == vector.Null:
			return &BindError{codeAmbiguous, fmt.Sprintf("function %s(unknown) is not unique", name), "Cast NULL to a type: NULL::bigint."}
		case t.Kind == vector.Invalid:
			return noSuchFunction(name, args, "")
		case t.Kind == vector.Decimal && (t.Precision == 0 || t.Precision > 38 || t.Scale > t.Precision):
			return &BindError{codeUnsupported, fmt.Sprintf("%s of numeric without precision and scale", name), "Cast the argument, for instance x::numeric(18,2)."}
		}
	}
	return nil
}

// checkKey refuses types whose values an exact multiset cannot tell apart by their bytes as SQL's equality does.
func checkKey(name string, args []vector.Type, t vector.Type) error {
	switch {
	case t.Kind == vector.JSON:
		return noSuchFunction(name, args, "json has no equality: cast the argument to text.")
	case t.Kind == vector.Interval, t.Buffer() == vector.BufNested:
		return &BindError{codeUnsupported, fmt.Sprintf("%s of %s is not supported", name, t), "Cast the argument to text."}
	}
	return nil
}

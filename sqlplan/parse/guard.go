package parse

import "fmt"

// guard is the last line of defence at the exported functions: a panic below them, in PostgreSQL's parser or here, fails
// the one statement.
func guard(err *error) {
	if r := recover(); r != nil {
		*err = &Error{Code: codeInternal, Message: fmt.Sprintf("the parser failed: %v", r)}
	}
}

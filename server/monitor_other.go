//go:build !linux

package server

import (
	"net"
	"syscall"
)

// hungUp finds nothing here: without POLLRDHUP, a client that hung up is noticed when its socket is next read or written.
func hungUp(net.Conn) bool { return false }

// isTemporary reports whether accept may succeed again later.
func isTemporary(err error) bool {
	return isErrno(err, syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED)
}

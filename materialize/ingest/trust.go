package ingest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
)

// ErrUntrusted says that TLS does not come about: one side does not accept the other's certificate, or does not speak TLS.
var ErrUntrusted = errors.New("TLS fails")

// untrusted reports whether an error of connecting is one of TLS.
func untrusted(err error) bool {
	var ended *net.OpError
	return errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(x509.UnknownAuthorityError)) || errors.As(err, new(x509.HostnameError)) ||
		errors.As(err, new(x509.CertificateInvalidError)) || errors.As(err, new(tls.RecordHeaderError)) ||
		errors.As(err, &ended) && ended.Op == "remote error" // an alert of the other side
}

package server

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
)

// endpointHash is the tls-server-end-point channel binding of a certificate (RFC 5929): its hash by the hash function of its
// signature, SHA-256 for the older ones.
func endpointHash(der []byte) []byte {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	switch cert.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		h := sha512.Sum384(der)
		return h[:]
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		h := sha512.Sum512(der)
		return h[:]
	case x509.PureEd25519:
		// RFC 5929 defines no hash for a signature that has none, so binding is not offered.
		return nil
	}
	h := sha256.Sum256(der)
	return h[:]
}

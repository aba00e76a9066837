package server

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
)

// scramIterations is PostgreSQL's number of PBKDF2 rounds.
const scramIterations = 4096

// ScramVerifier is the text that PostgreSQL stores for a password, "SCRAM-SHA-256$4096:salt$stored key:server key" with the
// parts in base64, under a random salt of 16 bytes. Errors: none but of the system's random numbers.
func ScramVerifier(password string) (string, error) {
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	client, err := scram.SHA256.NewClient("", password, "")
	if err != nil {
		// PostgreSQL takes a password that SASLprep refuses as it is; so do its clients.
		if client, err = scram.SHA256.NewClientUnprepped("", password, ""); err != nil {
			return "", err
		}
	}
	sc, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: scramIterations})
	if err != nil {
		return "", err
	}
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", scramIterations, b64(salt), b64(sc.StoredKey), b64(sc.ServerKey)), nil
}

// parseVerifier reads what ScramVerifier makes.
func parseVerifier(v string) (scram.StoredCredentials, error) {
	bad := errors.New("server: malformed SCRAM verifier")
	rest, ok := strings.CutPrefix(v, "SCRAM-SHA-256$")
	if !ok {
		return scram.StoredCredentials{}, bad
	}
	factors, keys, ok1 := strings.Cut(rest, "$")
	iters, salt, ok2 := strings.Cut(factors, ":")
	stored, server, ok3 := strings.Cut(keys, ":")
	n, err := strconv.Atoi(iters)
	if !ok1 || !ok2 || !ok3 || err != nil || n < 1 {
		return scram.StoredCredentials{}, bad
	}
	var part [3][]byte
	for i, p := range []string{salt, stored, server} {
		if part[i], err = base64.StdEncoding.DecodeString(p); err != nil {
			return scram.StoredCredentials{}, bad
		}
	}
	if len(part[1]) != sha256.Size || len(part[2]) != sha256.Size {
		return scram.StoredCredentials{}, bad
	}
	return scram.StoredCredentials{KeyFactors: scram.KeyFactors{Salt: string(part[0]), Iters: n}, StoredKey: part[1], ServerKey: part[2]}, nil
}

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

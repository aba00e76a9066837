// Package scram makes and reads the texts that PostgreSQL keeps in place of passwords: SCRAM-SHA-256 verifiers, from which a
// password can be checked and not be had.
//
//	SCRAM-SHA-256$4096:salt$stored key:server key        the parts after the number in base64
//
// It speaks no protocol: the exchange with a client is the gateway's.
package scram

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
)

// Iterations is PostgreSQL's number of PBKDF2 rounds.
const Iterations = 4096

// ErrMalformed says that a text is no verifier.
var ErrMalformed = errors.New("scram: malformed SCRAM verifier")

// Verifier is the verifier of a password under a random salt of 16 bytes. Errors: none but of the system's random numbers.
func Verifier(password string) (string, error) {
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
	sc, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: Iterations})
	if err != nil {
		return "", err
	}
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", Iterations, b64(salt), b64(sc.StoredKey), b64(sc.ServerKey)), nil
}

// Parse reads a verifier. Errors: ErrMalformed.
func Parse(v string) (scram.StoredCredentials, error) {
	rest, ok := strings.CutPrefix(v, "SCRAM-SHA-256$")
	if !ok {
		return scram.StoredCredentials{}, ErrMalformed
	}
	factors, keys, ok1 := strings.Cut(rest, "$")
	iters, salt, ok2 := strings.Cut(factors, ":")
	stored, server, ok3 := strings.Cut(keys, ":")
	n, err := strconv.Atoi(iters)
	if !ok1 || !ok2 || !ok3 || err != nil || n < 1 {
		return scram.StoredCredentials{}, ErrMalformed
	}
	var part [3][]byte
	for i, p := range []string{salt, stored, server} {
		if part[i], err = base64.StdEncoding.DecodeString(p); err != nil {
			return scram.StoredCredentials{}, ErrMalformed
		}
	}
	if len(part[1]) != sha256.Size || len(part[2]) != sha256.Size {
		return scram.StoredCredentials{}, ErrMalformed
	}
	return scram.StoredCredentials{KeyFactors: scram.KeyFactors{Salt: string(part[0]), Iters: n}, StoredKey: part[1], ServerKey: part[2]}, nil
}

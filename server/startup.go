package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/xdg-go/scram"

	verifiers "github.com/tilehouse/tilehouse/sqlplan/scram"
)

// Request codes in place of a protocol version.
const (
	codeCancel = 80877102
	codeSSL    = 80877103
	codeGSSENC = 80877104
)

// prefixed is a connection of which some bytes have been read already.
type prefixed struct {
	net.Conn
	pre []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.pre) > 0 {
		n := copy(b, p.pre)
		p.pre = p.pre[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// startup negotiates encryption, reads the startup message, authenticates, opens the session and greets. errClosed means that
// there is nothing to serve (a cancel request, a refusal already told); other errors are to be told.
func (c *conn) startup(ctx context.Context) error {
	c.raw.SetDeadline(time.Now().Add(c.srv.cfg.StartupTimeout))
	msg, err := c.negotiate()
	if err != nil {
		return err
	}
	params := msg.Parameters
	user, database := params["user"], params["database"]
	if user == "" {
		return &Error{Code: "28000", Message: "no PostgreSQL user name specified in startup packet"}
	}
	if database == "" {
		database = user
	}
	c.database = database
	if c.srv.cfg.RequireTLS && c.tls == nil && !isUnix(c.srv.cfg.Listen) {
		return &Error{Code: "28000", Message: "this server takes encrypted connections only"}
	}
	if c.srv.draining.Load() {
		return &Error{Code: "57P03", Message: "the database system is shutting down"}
	}
	if c.srv.full() {
		return tooMany
	}
	login, err := c.authenticate(ctx, user)
	if err != nil {
		return err
	}
	if err := c.srv.admit(c, user, login); err != nil {
		return err
	}
	c.put(&pgproto3.AuthenticationOk{})
	delete(params, "user")
	delete(params, "database")
	info := ConnectInfo{User: user, Database: database, Params: params, Remote: c.raw.RemoteAddr().String(), PID: c.pid,
		Cancel: c.cancelRunning, Terminate: c.terminate, Wake: c.wake, MovePortal: c.movePortal}
	// The socket's deadline does not reach into the engine, so the context carries it there.
	cctx, cancel := context.WithTimeout(ctx, c.srv.cfg.StartupTimeout)
	defer cancel()
	if c.session, err = c.srv.engine.Connect(cctx, info); err != nil {
		return err
	}
	c.refresh()
	settings := c.session.ReportedSettings(true)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		c.put(&pgproto3.ParameterStatus{Name: name, Value: c.shown(settings[name])})
	}
	c.put(&pgproto3.BackendKeyData{ProcessID: c.pid, SecretKey: binary.BigEndian.AppendUint32(nil, c.key)})
	c.notices()
	c.ready(c.session.TxStatus())
	if err := c.flush(); err != nil {
		return err
	}
	c.raw.SetDeadline(time.Time{})
	c.in.limit = c.srv.cfg.MaxMessage
	return nil
}

// negotiate answers requests for encryption until a startup message comes.
func (c *conn) negotiate() (*pgproto3.StartupMessage, error) {
	var key [4]byte
	if _, err := rand.Read(key[:]); err != nil {
		return nil, err
	}
	c.key = binary.BigEndian.Uint32(key[:])
	sslAsked, gssAsked := false, false
	for first := true; ; first = false {
		var head [4]byte
		if _, err := io.ReadFull(c.sock, head[:]); err != nil {
			return nil, errClosed
		}
		if first && head[0] == 0x16 && c.srv.tls != nil {
			// A TLS record instead of a request: direct encryption, which must name the protocol.
			if err := c.startTLS(&prefixed{Conn: c.raw, pre: head[:]}, true); err != nil {
				return nil, err
			}
			continue
		}
		n := int(binary.BigEndian.Uint32(head[:]))
		if n < 8 || n > maxStartupMessage {
			return nil, protocolError("invalid length of startup packet")
		}
		body := make([]byte, n-4)
		if _, err := io.ReadFull(c.sock, body); err != nil {
			return nil, errClosed
		}
		switch code := binary.BigEndian.Uint32(body); code {
		case codeCancel:
			if len(body) >= 8 {
				c.srv.cancelRequest(binary.BigEndian.Uint32(body[4:]), body[8:])
			}
			return nil, errClosed
		case codeSSL:
			if sslAsked || c.tls != nil {
				return nil, protocolError("received a second request for encryption")
			}
			sslAsked = true
			if c.srv.tls == nil {
				if _, err := c.sock.Write([]byte{'N'}); err != nil {
					return nil, errClosed
				}
				continue
			}
			if _, err := c.sock.Write([]byte{'S'}); err != nil {
				return nil, errClosed
			}
			// Nothing was read beyond the request, so what a man in the middle put before the handshake becomes part of it and
			// breaks it.
			if err := c.startTLS(c.raw, false); err != nil {
				return nil, err
			}
		case codeGSSENC:
			if gssAsked {
				return nil, protocolError("received a second request for encryption")
			}
			gssAsked = true
			if _, err := c.sock.Write([]byte{'N'}); err != nil {
				return nil, errClosed
			}
		default:
			return c.startupMessage(body, code)
		}
	}
}

func (c *conn) startTLS(nc net.Conn, direct bool) error {
	tc := tls.Server(nc, c.srv.tls)
	if err := tc.Handshake(); err != nil {
		c.srv.log.Debug("TLS handshake failed", "remote", c.raw.RemoteAddr(), "error", err)
		return errClosed
	}
	if direct && tc.ConnectionState().NegotiatedProtocol != "postgresql" {
		c.srv.log.Debug("direct TLS without ALPN", "remote", c.raw.RemoteAddr())
		return errClosed
	}
	c.tls = tc
	c.use(tc)
	return nil
}

func (c *conn) startupMessage(body []byte, version uint32) (*pgproto3.StartupMessage, error) {
	if version>>16 != 3 {
		return nil, &Error{Code: "0A000", Message: "unsupported frontend protocol: the server supports 3.0"}
	}
	// The library knows the versions there are today; the parameters are laid out the same in all of 3.x.
	msg := &pgproto3.StartupMessage{}
	binary.BigEndian.PutUint32(body, pgproto3.ProtocolVersion30)
	if err := msg.Decode(body); err != nil {
		if len(body) == 5 && body[4] == 0 {
			msg.Parameters = map[string]string{}
		} else {
			return nil, protocolError("invalid startup packet layout")
		}
	}
	var unknown []string
	for name := range msg.Parameters {
		if strings.HasPrefix(name, "_pq_.") {
			unknown = append(unknown, name)
			delete(msg.Parameters, name)
		}
	}
	if version > pgproto3.ProtocolVersion30 || len(unknown) > 0 {
		slices.Sort(unknown)
		c.put(&pgproto3.NegotiateProtocolVersion{NewestMinorProtocol: pgproto3.ProtocolVersion30, UnrecognizedOptions: unknown})
	}
	for name, value := range msg.Parameters {
		if strings.ContainsRune(name+value, 0xFFFD) {
			return nil, &Error{Code: "22021", Message: "startup parameters must be UTF-8"}
		}
	}
	return msg, nil
}

func passwordFailed(user string) *Error {
	return &Error{Code: "28P01", Message: `password authentication failed for user "` + user + `"`}
}

// authenticate finds out whether the client is the role that it says: by its certificate, or by SCRAM-SHA-256.
func (c *conn) authenticate(ctx context.Context, user string) (Login, error) {
	actx, cancel := context.WithTimeout(ctx, c.srv.cfg.StartupTimeout)
	defer cancel()
	login, err := c.srv.engine.Login(actx, user)
	if err != nil {
		return login, err
	}
	if name, shown := c.certificateName(); shown {
		if name != user || !login.Exists {
			return login, &Error{Code: "28000", Message: `certificate authentication failed for user "` + user + `"`}
		}
		return login, nil
	}
	if c.srv.cfg.AllowTrust && login.Verifier == "" {
		if !login.Exists {
			return login, &Error{Code: "28000", Message: `role "` + user + `" does not exist`}
		}
		return login, nil
	}
	from := address(c.raw.RemoteAddr())
	if !c.srv.failures.wait(actx, from) {
		return login, &Error{Code: "53300", Message: "too many logins of this address wait after failures"}
	}
	if err := c.scram(user, login); err != nil {
		if err != errClosed {
			c.srv.failures.note(from)
			c.srv.metrics.failures.Inc()
		}
		return login, err
	}
	return login, nil
}

// certificateName is the common name of the certificate that the client showed, which an authority of ours has signed.
func (c *conn) certificateName() (name string, shown bool) {
	if c.tls == nil {
		return "", false
	}
	chains := c.tls.ConnectionState().VerifiedChains
	if len(chains) == 0 {
		return "", false
	}
	return chains[0][0].Subject.CommonName, true
}

// scram runs SCRAM-SHA-256. A role that does not exist, has no password or one that is no longer valid goes through the same
// exchange and fails at its end.
func (c *conn) scram(user string, login Login) error {
	fake := login.Verifier == ""
	cred := scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(login.Salt), Iters: verifiers.Iterations},
		StoredKey:  make([]byte, sha256.Size), ServerKey: make([]byte, sha256.Size),
	}
	if fake {
		// Random keys: no proof fits them.
		if _, err := rand.Read(cred.StoredKey); err != nil {
			return err
		}
	} else if parsed, err := verifiers.Parse(login.Verifier); err != nil {
		c.srv.log.Error("role has no usable SCRAM verifier", "role", user)
		return passwordFailed(user)
	} else {
		cred = parsed
	}
	sv, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return cred, nil })
	if err != nil {
		return err
	}
	mechanisms := []string{"SCRAM-SHA-256"}
	conv := sv.NewConversation()
	bind := c.tls != nil && c.srv.binder != nil
	if bind {
		conv = sv.NewConversationWithChannelBinding(scram.ChannelBinding{Type: scram.ChannelBindingTLSServerEndpoint, Data: c.srv.binder})
		mechanisms = []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"}
	}
	c.put(&pgproto3.AuthenticationSASL{AuthMechanisms: mechanisms})
	body, err := c.password()
	if err != nil {
		return err
	}
	var initial pgproto3.SASLInitialResponse
	if err := initial.Decode(body); err != nil {
		return protocolError("malformed SASL response")
	}
	plus := initial.AuthMechanism == "SCRAM-SHA-256-PLUS"
	if !slices.Contains(mechanisms, initial.AuthMechanism) {
		return protocolError("client selected an invalid SASL authentication mechanism")
	}
	if plus != strings.HasPrefix(string(initial.Data), "p=") {
		return protocolError("malformed SCRAM message: channel binding does not fit the mechanism")
	}
	if header := strings.SplitN(string(initial.Data), ",", 3); len(header) == 3 && header[1] != "" {
		return &Error{Code: "0A000", Message: "client uses authorization identity, but it is not supported"}
	}
	challenge, err := conv.Step(string(initial.Data))
	if err != nil {
		return protocolError("malformed SCRAM message")
	}
	c.put(&pgproto3.AuthenticationSASLContinue{Data: []byte(challenge)})
	if body, err = c.password(); err != nil {
		return err
	}
	final, err := conv.Step(string(body))
	if err != nil || !conv.Valid() || fake || login.Expired {
		return passwordFailed(user)
	}
	c.put(&pgproto3.AuthenticationSASLFinal{Data: []byte(final)})
	return nil
}

// password flushes and reads a password message.
func (c *conn) password() ([]byte, error) {
	if err := c.flush(); err != nil {
		return nil, err
	}
	typ, body, err := c.in.next()
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			return nil, e
		}
		return nil, errClosed
	}
	if typ != 'p' {
		return nil, protocolError("expected a password response, got message type %q", typ)
	}
	return slices.Clone(body), nil
}

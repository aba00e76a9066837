// Package postgres starts a real PostgreSQL 15 for tests that compare with it.
//
// Start runs one in a directory of its own, on a free loopback port, with fsync off; it ends with the test that started it, so
// the tests of a package that share one should be subtests. It needs no privileges, and gives up those of root.
package postgres

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// binDirs are where PostgreSQL 15's server programs are looked for.
var binDirs = []string{"/usr/lib/postgresql/15/bin", "/usr/pgsql-15/bin", "/opt/homebrew/opt/postgresql@15/bin", "/usr/local/opt/postgresql@15/bin"}

// Bin is the path of one of PostgreSQL 15's programs. It skips the test where the server is not installed.
func Bin(t testing.TB, program string) string {
	t.Helper()
	for _, dir := range binDirs {
		if _, err := os.Stat(filepath.Join(dir, "postgres")); err == nil {
			return filepath.Join(dir, program)
		}
	}
	t.Skip("PostgreSQL 15 server is not installed")
	return ""
}

// Start runs a server until the test ends and returns its connection string: user postgres, database postgres, no password,
// time zone UTC, UTF-8, locale C. It skips the test where PostgreSQL 15 is not installed.
func Start(t testing.TB) (dsn string) {
	t.Helper()
	return StartServer(t, Options{}).DSN
}

// Options says how a server is started.
type Options struct {
	Logical bool     // wal_level = logical: its tables can be replicated
	Args    []string // further arguments of the server: "-c", "name=value"
	// Files are written to the data directory before the server starts, whose they then are: a key, pg_hba.conf.
	Files map[string]string
}

// Server is a running server, which can be ended and started again on the same port and data.
type Server struct {
	DSN string

	t       testing.TB
	dir     string
	port    int
	command func(program string, args ...string) *exec.Cmd
	args    []string
	cmd     *exec.Cmd
	log     *bytes.Buffer
	ended   chan struct{}
}

// StartServer is Start of a server with options.
func StartServer(t testing.TB, o Options) *Server {
	t.Helper()
	initdb := Bin(t, "initdb")
	dir, err := os.MkdirTemp("", "tilehouse-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	// PostgreSQL refuses to run as root, so then it runs as the owner that its package made.
	attr := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			if u, err = user.Lookup("nobody"); err != nil {
				t.Fatal(err)
			}
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	data := filepath.Join(dir, "data")
	command := func(program string, args ...string) *exec.Cmd {
		cmd := exec.Command(program, args...)
		cmd.Dir, cmd.SysProcAttr = dir, attr
		cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "HOME=" + dir}
		return cmd
	}
	if out, err := command(initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	for name, text := range o.Files {
		file := filepath.Join(data, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if c := attr.Credential; c != nil {
			if err := os.Chown(file, int(c.Uid), int(c.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	s := &Server{DSN: fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port), t: t, dir: dir, port: port, command: command}
	s.args = []string{"-D", data, "-p", strconv.Itoa(port), "-k", dir, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
		"-c", "timezone=UTC", "-c", "shared_buffers=16MB", "-c", "max_connections=60"}
	if o.Logical {
		s.args = append(s.args, "-c", "wal_level=logical", "-c", "max_replication_slots=20", "-c", "max_wal_senders=20")
	}
	s.args = append(s.args, o.Args...)
	s.Again()
	t.Cleanup(func() { s.Stop() })
	return s
}

// Again starts a server that was ended.
func (s *Server) Again() {
	s.t.Helper()
	s.log, s.ended = &bytes.Buffer{}, make(chan struct{})
	s.cmd = s.command(Bin(s.t, "postgres"), s.args...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cmd, ended := s.cmd, s.ended
	go func() {
		cmd.Wait()
		close(ended)
	}()
	ready := Bin(s.t, "pg_isready")
	for deadline := time.Now().Add(20 * time.Second); ; {
		if exec.Command(ready, "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(s.port)).Run() == nil {
			return
		}
		select {
		case <-s.ended:
			s.t.Fatalf("postgres ended:\n%s", s.log.String())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.t.Fatal("postgres does not answer")
		}
	}
}

// Stop ends the server as a fast shutdown does.
func (s *Server) Stop() {
	s.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		s.Kill()
	}
}

// Kill ends the server, its first process by SIGKILL; the others end with it.
func (s *Server) Kill() {
	s.cmd.Process.Kill()
	<-s.ended
}

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
	initdb, server := Bin(t, "initdb"), Bin(t, "postgres")
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
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	var log bytes.Buffer
	cmd := command(server, "-D", data, "-p", strconv.Itoa(port), "-k", dir, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
		"-c", "timezone=UTC", "-c", "shared_buffers=16MB", "-c", "max_connections=60")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGINT) // fast shutdown
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
	})
	ready := Bin(t, "pg_isready")
	for deadline := time.Now().Add(20 * time.Second); ; {
		if exec.Command(ready, "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(port)).Run() == nil {
			break
		}
		select {
		case <-ended:
			t.Fatalf("postgres ended:\n%s", log.String())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("postgres does not answer")
		}
	}
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
}

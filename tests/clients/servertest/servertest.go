// Package servertest runs the built server binary for tests, as a user does: a process of its own, reached over a loopback
// socket, ended by SIGTERM or by SIGKILL.
//
//	test ── Start ──► tilehouse serve --data DIR --listen 127.0.0.1:0
//	     ◄── "tilehouse is ready on 127.0.0.1:PORT (…)" ──┘
//
// The binary is built once a test process, by Binary, and removed by Main. A server that a test left running ends with the test.
package servertest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// readyTimeout is how long a server may take to say that it is ready. The bound that a test wants is the test's to check.
const readyTimeout = 60 * time.Second

var build struct {
	once sync.Once
	dir  string
	err  error
}

// Main runs a package's tests and removes the binary. Use it in TestMain: os.Exit(servertest.Main(m)).
func Main(m *testing.M) int {
	code := m.Run()
	if build.dir != "" {
		os.RemoveAll(build.dir)
	}
	return code
}

// Binary is the path of the server, built from this module.
func Binary(t testing.TB) string {
	t.Helper()
	build.once.Do(func() {
		if build.dir, build.err = os.MkdirTemp("", "tilehouse-binary-"); build.err != nil {
			return
		}
		_, file, _, _ := runtime.Caller(0)
		cmd := exec.Command("go", "build", "-o", filepath.Join(build.dir, "tilehouse"), "./cmd/tilehouse")
		cmd.Dir = filepath.Join(filepath.Dir(file), "..", "..", "..")
		if out, err := cmd.CombinedOutput(); err != nil {
			build.err = fmt.Errorf("go build ./cmd/tilehouse: %w\n%s", err, out)
		}
	})
	if build.err != nil {
		t.Fatal(build.err)
	}
	return filepath.Join(build.dir, "tilehouse")
}

// Server is a running, or ended, server process.
type Server struct {
	// Host and Port are where it listens.
	Host, Port string
	// Line is what it said when it was ready.
	Line string
	// Ready is the time from the start of the process to that line.
	Ready time.Duration

	cmd    *exec.Cmd
	stderr safeBuffer
	ended  chan struct{}
}

// Options says how to start a server. Zero values: no arguments beyond --data and --listen 127.0.0.1:0.
type Options struct {
	Args    []string // after "serve --data DIR --listen 127.0.0.1:0"; a later flag wins
	Env     []string // added to an environment without TILEHOUSE_ variables
	Bare    bool     // Args are all arguments of serve
	Gateway bool     // it is tilehouse gateway, with Args and --listen 127.0.0.1:0
}

// Command is a run of the binary with these arguments and an environment of no TILEHOUSE_ variables but env's.
func Command(t testing.TB, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(Binary(t), args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TILEHOUSE_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

var readyLine = regexp.MustCompile(`^tilehouse is ready on (\S+) \(.*\)$`)

// Start starts a server on dir and waits until it is ready. It ends with the test.
func Start(t testing.TB, dir string, o Options) *Server {
	t.Helper()
	s, err := Launch(t, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Launch is Start that returns why the server did not get ready, with what it wrote.
func Launch(t testing.TB, dir string, o Options) (*Server, error) {
	t.Helper()
	args := o.Args
	if !o.Bare {
		args = append([]string{"--data", dir, "--listen", "127.0.0.1:0"}, o.Args...)
	}
	command := "serve"
	if o.Gateway {
		command, args = "gateway", append([]string{"--listen", "127.0.0.1:0"}, o.Args...)
	}
	s := &Server{cmd: Command(t, o.Env, append([]string{command}, args...)...), ended: make(chan struct{})}
	said := newLines()
	s.cmd.Stdout, s.cmd.Stderr = said, &s.stderr
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.ended)
	}()
	t.Cleanup(s.Kill)
	select {
	case s.Line = <-said.first:
		s.Ready = time.Since(began)
	case <-s.ended:
		return nil, fmt.Errorf("the server ended with code %d:\n%s", s.cmd.ProcessState.ExitCode(), s.stderr.String())
	case <-time.After(readyTimeout):
		s.Kill()
		return nil, fmt.Errorf("the server was not ready after %v:\n%s", readyTimeout, s.stderr.String())
	}
	m := readyLine.FindStringSubmatch(s.Line)
	if m == nil {
		s.Kill()
		return nil, fmt.Errorf("the server said %q, which is no line of being ready", s.Line)
	}
	var err error
	s.Host, s.Port, err = net.SplitHostPort(m[1])
	return s, err
}

// DSN is a connection string; settings are added, such as "sslmode=require".
func (s *Server) DSN(settings ...string) string {
	return fmt.Sprintf("host=%s port=%s user=tilehouse dbname=tilehouse %s", s.Host, s.Port, strings.Join(settings, " "))
}

// Kill ends the process with SIGKILL, as a crash does, and waits for its end.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // the process may have ended
	<-s.ended
}

// Terminate ends the process with SIGTERM. It returns the exit code and how long that took; after limit it kills, code −1.
func (s *Server) Terminate(limit time.Duration) (code int, took time.Duration) {
	began := time.Now()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(limit):
		s.Kill()
	}
	return s.cmd.ProcessState.ExitCode(), time.Since(began)
}

// Ended reports whether the process has ended by itself or was ended.
func (s *Server) Ended() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// PeakMemory is the most memory that the process had resident so far, in bytes, as Linux keeps it; the test is skipped elsewhere.
func (s *Server) PeakMemory(t testing.TB) int64 {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("peak memory is read from Linux's /proc")
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var kib int64
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatalf("VmHWM in %q: %v", status, err)
	}
	return kib << 10
}

// Log is what the server wrote to standard error so far.
func (s *Server) Log() string { return s.stderr.String() }

// safeBuffer is a buffer that a process writes and a test reads.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// lines hands on the first line written to it.
type lines struct {
	first chan string
	got   []byte
	done  bool
}

func newLines() *lines { return &lines{first: make(chan string, 1)} }

func (l *lines) Write(p []byte) (int, error) {
	if !l.done {
		l.got = append(l.got, p...)
		if i := bytes.IndexByte(l.got, '\n'); i >= 0 {
			l.first <- string(l.got[:i])
			l.done, l.got = true, nil
		}
	}
	return len(p), nil
}

// PID is the server's process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

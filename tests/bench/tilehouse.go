package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// How long a server may take to be ready, and to end.
const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
)

// tilehouse is a running server.
type tilehouse struct {
	cmd        *exec.Cmd
	addr       string
	data       string // its data directory
	log        *safeBuffer
	ended      chan struct{} // closed when the process has ended; err says how
	err        error
	endProfile context.CancelFunc
	profiled   chan struct{}
}

// safeBuffer is a buffer that a process writes while others read.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// freshData is a new name of a data directory.
func (e *environment) freshData() string {
	e.servers++
	return filepath.Join(e.dir, "server-"+strconv.Itoa(e.servers))
}

// startTilehouse starts the server on a data directory and a free port, with further flags of serve.
func (e *environment) startTilehouse(ctx context.Context, data string, flags ...string) (*tilehouse, error) {
	args := append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--file-root", e.dir, "--threads", strconv.Itoa(e.threads), "--log-level", "warn"}, flags...)
	debugAddr := ""
	if e.profile != "" {
		var err error
		if debugAddr, err = freeAddress(); err != nil {
			return nil, err
		}
		args = append(args, "--debug-listen", debugAddr)
	}
	s := &tilehouse{cmd: exec.Command(e.binary, args...), data: data, log: &safeBuffer{}, ended: make(chan struct{}), endProfile: func() {}}
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if rest, ok := strings.CutPrefix(lines.Text(), "tilehouse is ready on "); ok {
				addr, _, _ := strings.Cut(rest, " ")
				ready <- addr
			}
		}
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	select {
	case s.addr = <-ready:
	case <-s.ended:
		return nil, fmt.Errorf("tilehouse ended: %w\n%s", s.err, s.log)
	case <-time.After(startTimeout):
		return nil, errors.Join(errors.New("tilehouse is not ready"), s.stop())
	}
	if e.profile != "" {
		s.startProfile(ctx, debugAddr, filepath.Join(e.profile, filepath.Base(data)+"-"+strconv.Itoa(s.cmd.Process.Pid)+".pprof"))
	}
	return s, nil
}

// startProfile collects CPU profiles until the server is about to stop. Go's handler ends a profile only after the seconds
// asked for; one that the client gives up is lost. So each file holds five seconds, and the last piece is not kept.
func (s *tilehouse) startProfile(ctx context.Context, addr, file string) {
	ctx, s.endProfile = context.WithCancel(ctx)
	s.profiled = make(chan struct{})
	go func() {
		defer close(s.profiled)
		for n := 1; ctx.Err() == nil; n++ {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/debug/pprof/profile?seconds=5", nil)
			if err != nil {
				return
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				return
			}
			body, err := io.ReadAll(res.Body)
			if err = errors.Join(err, res.Body.Close()); err != nil || os.WriteFile(fmt.Sprintf("%s.%d", file, n), body, 0o644) != nil {
				return
			}
		}
	}()
}

// stop ends the server and waits.
func (s *tilehouse) stop() error {
	s.endProfile()
	if s.profiled != nil {
		<-s.profiled
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // fails only where it has ended
	select {
	case <-s.ended:
	case <-time.After(stopTimeout):
		_ = s.cmd.Process.Kill()
		<-s.ended
		return fmt.Errorf("tilehouse did not end within %s\n%s", stopTimeout, s.log)
	}
	if s.err != nil {
		return fmt.Errorf("tilehouse: %w\n%s", s.err, s.log)
	}
	return nil
}

func (s *tilehouse) peak() string { return mebibytes(peakMemory(s.cmd.Process.Pid)) }

func (s *tilehouse) cpu() float64 { return cpuSeconds(s.cmd.Process.Pid) }

// connect opens a connection, over which plain statements run by the simple protocol.
func (s *tilehouse) connect(ctx context.Context) (*session, error) {
	host, port, _ := net.SplitHostPort(s.addr)
	return pgx.Connect(ctx, fmt.Sprintf("host=%s port=%s user=tilehouse database=tilehouse sslmode=disable", host, port))
}

// target is how pgbench reaches the server.
func (s *tilehouse) target() pgbenchTarget {
	host, port, _ := net.SplitHostPort(s.addr)
	return pgbenchTarget{host: host, port: port, user: "tilehouse", database: "tilehouse"}
}

// execute runs statements, each on its own.
func execute(ctx context.Context, conn *session, statements ...string) error {
	for _, q := range statements {
		if err := conn.PgConn().Exec(ctx, q).Close(); err != nil {
			return fmt.Errorf("%w in\n%.500s", err, q)
		}
	}
	return nil
}

// query returns a statement's rows as text, \N for NULL, as a DuckDB run does.
func query(ctx context.Context, conn *session, statement string) (out [][]string, err error) {
	results := conn.PgConn().Exec(ctx, statement)
	for results.NextResult() {
		r := results.ResultReader()
		for r.NextRow() {
			line := make([]string, len(r.Values()))
			for i, v := range r.Values() {
				if line[i] = string(v); v == nil {
					line[i] = `\N`
				}
			}
			out = append(out, line)
		}
	}
	if err := results.Close(); err != nil {
		return nil, fmt.Errorf("%w in\n%.500s", err, statement)
	}
	return out, nil
}

// freeAddress is a loopback address with a port that was free a moment ago.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// directoryBytes is the size of the files below a directory. A file that vanishes meanwhile counts nothing.
func directoryBytes(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// session is a connection to either server.
type session = pgx.Conn

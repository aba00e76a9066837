package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgresDirs are where PostgreSQL 15's programs are looked for.
var postgresDirs = []string{"/usr/lib/postgresql/15/bin", "/usr/pgsql-15/bin", "/opt/homebrew/opt/postgresql@15/bin", "/usr/local/opt/postgresql@15/bin"}

// postgresProgram is the path of one of PostgreSQL 15's programs.
func postgresProgram(name string) (string, error) {
	for _, dir := range postgresDirs {
		if p := filepath.Join(dir, name); exists(p) {
			return p, nil
		}
	}
	return "", fmt.Errorf("no %s of PostgreSQL 15: install it, for example apt-get install postgresql-15", name)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// postgres is a running PostgreSQL. Unlike the one of the tests it is durable: default settings, fsync included.
type postgres struct {
	cmd   *exec.Cmd
	port  string
	log   *safeBuffer
	ended chan struct{}
}

// startPostgres makes a cluster below the environment's directory and starts it on a free loopback port, with further settings.
func (e *environment) startPostgres(ctx context.Context, settings ...string) (*postgres, error) {
	initdb, err := postgresProgram("initdb")
	if err != nil {
		return nil, err
	}
	server := filepath.Join(filepath.Dir(initdb), "postgres")
	dir := e.freshData()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	attr := &syscall.SysProcAttr{}
	if os.Getuid() == 0 { // which PostgreSQL refuses, so it runs as the owner that its package made
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			return nil, err
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	command := func(program string, args ...string) *exec.Cmd {
		cmd := exec.Command(program, args...)
		cmd.Dir, cmd.SysProcAttr = dir, attr
		cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "HOME=" + dir}
		return cmd
	}
	data := filepath.Join(dir, "data")
	if out, err := command(initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	args := []string{"-D", data, "-p", port, "-k", dir, "-c", "listen_addresses=127.0.0.1", "-c", "timezone=UTC"}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	p := &postgres{cmd: command(server, args...), port: port, log: &safeBuffer{}, ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.ended)
	}()
	for deadline := time.Now().Add(startTimeout); ; {
		conn, err := p.connect(ctx)
		if err == nil {
			return p, conn.Close(ctx)
		}
		select {
		case <-p.ended:
			return nil, fmt.Errorf("postgres ended:\n%s", p.log)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return nil, errors.Join(err, p.stop())
		}
	}
}

// stop ends the server by a fast shutdown.
func (p *postgres) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGINT) // fails only where it has ended
	select {
	case <-p.ended:
		return nil
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("postgres did not end within %s", stopTimeout)
	}
}

func (p *postgres) connect(ctx context.Context) (*session, error) {
	return pgx.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%s user=postgres database=postgres sslmode=disable", p.port))
}

func (p *postgres) target() pgbenchTarget {
	return pgbenchTarget{host: "127.0.0.1", port: p.port, user: "postgres", database: "postgres"}
}

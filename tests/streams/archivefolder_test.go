package streams

import (
	"context"
	"errors"
	"fmt"
	"os"
	command "os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/tests/harness"
)

const archiveDiskSize = 4 << 20

// archiveDisk mounts a small file system of memory for archives until the test ends.
func archiveDisk(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root on Linux")
	}
	dir := t.TempDir()
	if out, err := command.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", archiveDiskSize), "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("tmpfs cannot be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := command.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// remount makes a file system readable only, or writable again.
func remount(t *testing.T, dir, how string) {
	t.Helper()
	if out, err := command.Command("mount", "-o", "remount,"+how, dir).CombinedOutput(); err != nil {
		t.Fatalf("remount: %v: %s", err, out)
	}
}

// fillDisk writes a file until no byte is left.
func fillDisk(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for step := 1 << 16; step > 0; {
		if _, err := f.Write(make([]byte, step)); errors.Is(err, syscall.ENOSPC) {
			step /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// sharedTopic is a topic with an archive, and how many messages were sent, to its partitions in turn.
type sharedTopic struct {
	t          *testing.T
	client     *kgo.Client
	brokers    string
	root       string
	partitions int
	sent       int
}

func (s *sharedTopic) send(messages int) {
	s.t.Helper()
	for range messages {
		produce(s.t, s.client, "events", int32(s.sent%s.partitions), fmt.Sprintf(`{"id": %d, "k": "a", "v": %[1]d, "ts": "%s"}`, s.sent, now()))
		s.sent++
	}
}

// start starts a server, which joins where dir is "".
func (s *sharedTopic) start(dir string) (*harness.Server, *pgx.Conn) {
	s.t.Helper()
	server, conn := member(s.t, s.brokers, s.root, dir)
	if dir == "" {
		join(s.t, conn, s.brokers, "BEGIN", archivedSource, "CREATE ENTITY e (k text)", "CREATE FEATURE f ON e AS SELECT k, count(*) AS n, sum(v) AS total FROM s GROUP BY k WINDOW 1 HOUR", "COMMIT")
	}
	return server, conn
}

// all waits until servers have every message once, and run.
func (s *sharedTopic) all(conns ...*pgx.Conn) {
	s.t.Helper()
	for _, conn := range conns {
		eventually(s.t, conn, "SELECT f_n || ' ' || f_total FROM e WHERE k = 'a'", fmt.Sprint(s.sent, s.sent*(s.sent-1)/2))
		same(s.t, "rows", texts(s.t, conn, "SELECT count(*) || ' ' || count(DISTINCT id) FROM s"), []string{fmt.Sprint(s.sent, s.sent)})
		eventually(s.t, conn, "SELECT state || ' ' || coalesce(last_error, '') || (archive_end = archive_applied) || dead_letters FROM tilehouse.sources", "running true0")
	}
}

// paused waits until servers say why they do not read, and looks whether they are read from.
func (s *sharedTopic) paused(why string, counted int, conns ...*pgx.Conn) {
	s.t.Helper()
	for _, conn := range conns {
		eventually(s.t, conn, "SELECT state || ': ' || last_error FROM tilehouse.sources", `paused: archive "payments": `+why)
		same(s.t, "what is read meanwhile", texts(s.t, conn, "SELECT f_n::text FROM e WHERE k = 'a'"), []string{fmt.Sprint(counted)})
	}
}

// archived looks whether the archive has every offset once.
func (s *sharedTopic) archived() {
	s.t.Helper()
	var want []string
	for p := range s.partitions {
		n := (s.sent - p + s.partitions - 1) / s.partitions
		want = append(want, fmt.Sprintf("%d %d %d 0 %d", p, n, n, n-1))
	}
	slices.Sort(want)
	got := (&group{t: s.t, root: s.root}).archived()
	same(s.t, "offsets of the archive", got, want)
}

// TestArchiveDisk fills the disk that an archive is on, and takes the right to write it away: servers say so, are read from, and go on by themselves with nothing lost and nothing
// twice, also one that was started meanwhile, and one that joins then.
func TestArchiveDisk(t *testing.T) {
	bus, client := cluster(t, 4, "events")
	s := &sharedTopic{t: t, client: client, brokers: bus.ListenAddrs()[0], root: archiveDisk(t), partitions: 4}
	_, a := s.start("")
	second, b := s.start("")
	const here = "SELECT count(*)::text FROM tilehouse.source_partitions WHERE read_here"
	eventually(t, a, here, "2")
	eventually(t, b, here, "2")
	s.send(20)
	s.all(a, b)
	for _, c := range []struct {
		why        string
		take, give func()
	}{
		{"its disk is full", func() { fillDisk(t, filepath.Join(s.root, "filler")) }, func() { _ = os.Remove(filepath.Join(s.root, "filler")) }},
		{"its folder is on a file system that is mounted read-only", func() { remount(t, s.root, "ro") }, func() { remount(t, s.root, "rw") }},
	} {
		before := s.sent
		c.take()
		s.send(20)
		s.paused(c.why, before, a, b)
		second.Stop()
		second, b = s.start(second.Dir)
		s.paused(c.why, before, b)
		s.send(20)
		_, third := member(t, s.brokers, s.root, "")
		join(t, third, s.brokers)
		sql := archivedSource
		if before == 20 {
			sql = `CREATE SOURCE other (id bigint, ts timestamptz) WITH (connector = 'kafka', connection = 'bus', topic = 'events', archive = 'other', event_time = 'ts') FORMAT PLAIN ENCODE JSON`
			if e := refusal(t, third, sql); e.Code != "53100" || e.Message != `archive "other": its disk is full` {
				t.Errorf("an archive on a full disk: %s %s", e.Code, e.Message)
			}
		} else if e := refusal(t, third, sql); e.Code != "58030" || e.Message != `archive "payments": `+c.why {
			t.Errorf("an archive that cannot be written: %s %s", e.Code, e.Message)
		}
		c.give()
		s.send(20)
		s.all(a, b)
		s.archived()
	}
	_, last := s.start("")
	s.send(20)
	s.all(a, b, last)
	s.archived()
}

// TestArchiveFolder starts servers whose folder of archives is not there, is none, or is another one.
func TestArchiveFolder(t *testing.T) {
	bus, client := cluster(t, 2, "events")
	s := &sharedTopic{t: t, client: client, brokers: bus.ListenAddrs()[0], root: filepath.Join(t.TempDir(), "archives"), partitions: 2}
	_, none := member(t, s.brokers, s.root, "")
	join(t, none, s.brokers)
	if e := refusal(t, none, archivedSource); e.Code != "58030" || e.Message != `archive "payments": the folder that it is in is not there` {
		t.Errorf("an archive below no folder: %s %s", e.Code, e.Message)
	}
	if err := os.WriteFile(s.root, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if e := refusal(t, none, archivedSource); e.Code != "58030" || e.Message != `archive "payments": not a directory` {
		t.Errorf("an archive below a file: %s %s", e.Code, e.Message)
	}
	if err := os.Remove(s.root); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.root, 0o700); err != nil {
		t.Fatal(err)
	}
	server, conn := s.start("")
	s.send(10)
	s.all(conn)
	server.Stop()
	away := s.root + "-away"
	if err := os.Rename(s.root, away); err != nil {
		t.Fatal(err)
	}
	server, conn = s.start(server.Dir)
	s.send(10)
	s.paused("it is not in its folder, or the folder is not there", 10, conn)
	// An archive that another server makes there meanwhile is not this one.
	if err := os.Mkdir(s.root, 0o700); err != nil {
		t.Fatal(err)
	}
	_, other := s.start("")
	s.all(other)
	s.paused("it was made anew", 10, conn)
	if err := os.Rename(s.root, away+"-other"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, s.root); err != nil {
		t.Fatal(err)
	}
	drop(t, other, "DROP FEATURE f", "DROP ENTITY e", "DROP SOURCE s")
	s.all(conn)
	s.archived()
	server.Stop()
}

func drop(t *testing.T, conn *pgx.Conn, sql ...string) {
	t.Helper()
	for _, q := range sql {
		exec(t, conn, q)
	}
}

// TestSharedTopicGrows adds partitions to a topic whose reading servers share: they read them from their start, each some, and so has a server that joins then.
func TestSharedTopicGrows(t *testing.T) {
	bus, client := cluster(t, 2, "events")
	s := &sharedTopic{t: t, client: client, brokers: bus.ListenAddrs()[0], root: t.TempDir(), partitions: 2}
	_, a := s.start("")
	second, b := s.start("")
	s.send(20)
	s.all(a, b)
	if _, err := kadm.NewClient(client).UpdatePartitions(context.Background(), 7, "events"); err != nil {
		t.Fatal(err)
	}
	other, err := kgo.NewClient(kgo.SeedBrokers(s.brokers), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for i := range 50 { // to those that were added only
		produce(t, other, "events", int32(2+i%5), fmt.Sprintf(`{"id": %d, "k": "a", "v": %[1]d, "ts": "%s"}`, s.sent, now()))
		s.sent++
	}
	s.all(a, b)
	for _, conn := range []*pgx.Conn{a, b} {
		eventually(t, conn, "SELECT (count(*) IN (3, 4))::text FROM tilehouse.source_partitions WHERE read_here", "true")
		eventually(t, conn, "SELECT string_agg(partition || ':' || next_offset, ' ' ORDER BY partition) FROM tilehouse.source_partitions", "0:10 1:10 2:10 3:10 4:10 5:10 6:10")
	}
	_, c := s.start("")
	s.all(c)
	second.Stop()
	for i := range 50 {
		produce(t, other, "events", int32(2+i%5), fmt.Sprintf(`{"id": %d, "k": "a", "v": %[1]d, "ts": "%s"}`, s.sent, now()))
		s.sent++
	}
	_, b = s.start(second.Dir)
	s.all(a, b, c)
	same(t, "offsets of the archive", (&group{t: t, root: s.root}).archived(), []string{"0 10 10 0 9", "1 10 10 0 9", "2 20 20 0 19", "3 20 20 0 19", "4 20 20 0 19", "5 20 20 0 19", "6 20 20 0 19"})
}

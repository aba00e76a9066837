// Package jars fetches the jars of servers that tests start: once, by Maven, into the user's cache directory (TILEHOUSE_CACHE says
// another), below a name that follows from what they are.
package jars

import (
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// fetchTimeout is how long the first download of a server's jars may take.
const fetchTimeout = 10 * time.Minute

// Fetch is the directory of the jars that a pom names, of a server of that name. It needs Java and, the first time, Maven. The error says what
// is missing.
func Fetch(name string, pom []byte) (string, error) {
	if _, err := exec.LookPath("java"); err != nil {
		return "", fmt.Errorf("no Java, which %s runs on: apt-get install default-jre-headless", name)
	}
	cache := os.Getenv("TILEHOUSE_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no cache directory for the jars of %s: %w", name, err)
		}
		cache = filepath.Join(user, "tilehouse")
	}
	dir := filepath.Join(cache, fmt.Sprintf("%s-%08x", name, crc32.ChecksumIEEE(pom)))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if _, err := exec.LookPath("mvn"); err != nil {
		return "", fmt.Errorf("no Maven, which fetches the jars of %s: apt-get install maven", name)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("the jars of %s: %w", name, err)
	}
	tmp, err := os.MkdirTemp(cache, "fetching-")
	if err != nil {
		return "", fmt.Errorf("the jars of %s: %w", name, err)
	}
	defer os.RemoveAll(tmp)
	file := filepath.Join(tmp, "pom.xml")
	if err := os.WriteFile(file, pom, 0o644); err != nil {
		return "", err
	}
	cmd := exec.Command("mvn", "-q", "-B", "-f", file, "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+filepath.Join(tmp, "jars"))
	stop := time.AfterFunc(fetchTimeout, func() { _ = cmd.Process.Kill() })
	out, err := cmd.CombinedOutput()
	stop.Stop()
	if err != nil {
		return "", fmt.Errorf("the jars of %s, which Maven could not fetch: %w\n%s", name, err, out[max(0, len(out)-3000):])
	}
	// All of them at once, under their name; another test may have been faster.
	if err := os.Rename(filepath.Join(tmp, "jars"), dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return "", fmt.Errorf("the jars of %s: %w", name, err)
		}
	}
	return dir, nil
}

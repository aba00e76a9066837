package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// peakMemory is a process's greatest resident memory so far, in bytes; 0 where the system does not say.
func peakMemory(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// cpuSeconds is the processor time that a process has used so far, of all its threads; 0 where the system does not say. It
// hardly changes with the load of the machine, as the time on the clock does.
func cpuSeconds(pid int) float64 { return cpuFields(pid, 2) }

// cpuFields is the sum of so many fields of a process's processor time: user and system, and of children that ended the same.
func cpuFields(pid, n int) (seconds float64) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The second field, the program's name, may hold anything, and ends with the last parenthesis. User and system time are
	// the fields 14 and 15, in hundredths of a second: USER_HZ, which is fixed for programs.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 11+n {
		return 0
	}
	for _, f := range fields[11 : 11+n] {
		ticks, _ := strconv.ParseFloat(f, 64)
		seconds += ticks / 100
	}
	return seconds
}

// resetPeak starts a process's peak anew, where the system can.
func resetPeak(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0o200)
}

// mebibytes prints bytes.
func mebibytes(n int64) string {
	if n == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

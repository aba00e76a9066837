// Package sandbox tries to get out: it runs probes that read files and settings, run SQL that nobody checked, load code, write logs,
// and take all memory or time, as a role that may only read and as a superuser, over the wire. Each must be refused, or end in
// its time and memory, with the server answering others all the while.
package sandbox

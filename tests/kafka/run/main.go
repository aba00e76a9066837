// Command run runs a command beside a Kafka broker of its own: {} in the command's arguments stands for the broker's host:port. Both have ended
// when it ends, and the broker's data are gone.
//
//	go run ./tests/kafka/run bin/tilehouse demo --brokers {}
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/tilehouse/tilehouse/tests/kafka"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 0 {
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("usage: run COMMAND ARGUMENT…, of which {} is the broker's host:port")
	}
	// A signal of the terminal goes to the command as well; this one lives on to end the broker.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fmt.Println("Kafka's jars come from Maven's repository the first time, some 50 MB; then the broker takes some seconds to start.")
	jars, err := kafka.Jars()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tilehouse-kafka-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	broker, err := kafka.Open(dir, jars, kafka.Options{})
	if err != nil {
		return err
	}
	defer broker.Kill()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	fmt.Printf("Kafka is ready on %s.\n", broker.Addr)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "{}", broker.Addr)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended by the terminal's
		return <-done
	}
}

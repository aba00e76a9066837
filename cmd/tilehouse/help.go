package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/peterbourgon/ff/v3/ffcli"

	"github.com/tilehouse/tilehouse/sql/reference"
)

func helpCommand() *ffcli.Command {
	return &ffcli.Command{
		Name: "help", ShortUsage: "tilehouse help [STATEMENT | AGGREGATE]", ShortHelp: "Explain a statement or an aggregate; without one, list them.",
		Exec: func(_ context.Context, args []string) error { return help(os.Stdout, strings.Join(args, " ")) },
	}
}

// help prints the page of a topic, in any case, or the list of topics where it is "".
func help(out io.Writer, topic string) error {
	if topic == "" {
		_, err := io.WriteString(out, reference.Topics())
		return err
	}
	page, ok, err := reference.Lookup(topic)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("there is no page about %q; tilehouse help lists them", topic)
	}
	_, err = io.WriteString(out, page)
	return err
}

package main

import "github.com/peterbourgon/ff/v3/ffcli"

func demoCommand() *ffcli.Command { return &ffcli.Command{Name: "demo"} }

// The one program inside the pods of the node tests: what a training pod runs, what it talks to, and the sandbox's pause.
// Static, so that an image is this file alone.
//
//	probe pause                      waits for a signal and reaps orphans: the sandbox container, and an idle workload
//	probe serve PORT...              answers "ok" to anything that connects
//	probe tcp HOST:PORT TIMEOUT      exit 0 when something answers there, 1 when not
//	probe dns NAME TIMEOUT           exit 0 when the name resolves through the pod's resolver
//	probe until SECONDS VERB ARGS…   repeats a tcp or dns probe until it *fails* and prints the milliseconds that took
//	probe first HOST:PORT            at once, before anything else: can the very first packet get out?
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return pause()
	}
	switch verb, rest := args[0], args[1:]; {
	case verb == "pause":
		return pause()
	case verb == "serve" && len(rest) > 0:
		return serve(rest)
	case verb == "tcp" && len(rest) == 2, verb == "dns" && len(rest) == 2:
		return probe(verb, rest)
	case verb == "first" && len(rest) == 1:
		err := probe("tcp", []string{rest[0], "2s"})
		fmt.Println(map[bool]string{true: "open", false: "blocked"}[err == nil])
		return pause()
	case verb == "until" && len(rest) == 4:
		return until(rest)
	}
	return fmt.Errorf("usage: probe pause | serve PORT... | tcp HOST:PORT TIMEOUT | dns NAME TIMEOUT | first HOST:PORT | until SECONDS tcp|dns TARGET TIMEOUT")
}

// pause ends on SIGTERM and SIGINT, and reaps what the container's other processes leave behind.
func pause() error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return nil
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
	return nil
}

func serve(ports []string) error {
	for _, port := range ports {
		listener, err := net.Listen("tcp", ":"+port)
		if err != nil {
			return err
		}
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
				_, _ = conn.Write([]byte("ok"))
				_ = conn.Close()
			}
		}()
	}
	return pause()
}

func probe(verb string, args []string) error {
	timeout, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if verb == "dns" {
		_, err := net.DefaultResolver.LookupHost(ctx, args[0])
		return err
	}
	// A connection is not enough: an answer shows that packets come back, too.
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", args[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	_, err = conn.Read(make([]byte, 2))
	return err
}

func until(args []string) error {
	seconds, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	start := time.Now()
	for time.Since(start) < time.Duration(seconds)*time.Second {
		if probe(args[1], args[2:]) != nil {
			fmt.Println(time.Since(start).Milliseconds())
			return nil
		}
	}
	return fmt.Errorf("still open after %d s", seconds)
}

// A server of `echo` with Apache Thrift's Go library, for `python -m benchmarks servers`.
//
// The line protocol is that of benchmarks/echo_server.py: print the port, then the CPU seconds used so far for each
// line of input; end with the input. `bench` is generated from bench.thrift when this is built.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"idlc.example/benchmarks/peers/bench"
)

type handler struct{}

func (handler) Echo(_ context.Context, value *bench.Small) (*bench.Small, error) {
	return value, nil
}

func (handler) EchoIdempotent(_ context.Context, value *bench.Small) (*bench.Small, error) {
	return value, nil
}

// factories returns those of a framing: "framed" or "header".
func factories(framing string) (thrift.TTransportFactory, thrift.TProtocolFactory) {
	switch framing {
	case "framed":
		return thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), nil),
			thrift.NewTBinaryProtocolFactoryConf(nil)
	case "header":
		return thrift.NewTHeaderTransportFactoryConf(thrift.NewTTransportFactory(), nil),
			thrift.NewTHeaderProtocolFactoryConf(nil)
	}
	log.Fatalf("unknown framing %q (known: framed, header)", framing)
	return nil, nil
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func main() {
	if len(os.Args) != 2 {
		log.Fatalf("usage: %s framed|header", os.Args[0])
	}
	transports, protocols := factories(os.Args[1])
	socket, err := thrift.NewTServerSocket("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	if err := socket.Listen(); err != nil {
		log.Fatal(err)
	}
	server := thrift.NewTSimpleServer4(bench.NewEchoProcessor(handler{}), socket, transports, protocols)
	go func() { log.Fatal("the server ended: ", server.Serve()) }()

	fmt.Println(socket.Addr().(*net.TCPAddr).Port)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(cpuSeconds())
	}
}

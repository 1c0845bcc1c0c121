// A server of `echo` with Apache Thrift's C++ library, for `python -m benchmarks servers`.
//
// The line protocol is that of benchmarks/echo_server.py: print the port, then the CPU seconds used so far for each
// line of input; end with the input. `Echo.h` is generated from bench.thrift when this is built.
#include <cstdlib>
#include <ctime>
#include <exception>
#include <functional>
#include <future>
#include <iostream>
#include <memory>
#include <string>
#include <thread>

#include <thrift/TOutput.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/server/TNonblockingServer.h>
#include <thrift/transport/TNonblockingServerSocket.h>

#include "Echo.h"

using apache::thrift::protocol::TBinaryProtocolFactory;
using apache::thrift::server::TNonblockingServer;
using apache::thrift::server::TServerEventHandler;
using apache::thrift::transport::TNonblockingServerSocket;

namespace {

class Handler : public EchoIf {
 public:
  void echo(Small& result, const Small& value) override { result = value; }
  void echo_idempotent(Small& result, const Small& value) override { result = value; }
};

// Tells when the server listens.
class Listening : public TServerEventHandler {
 public:
  void preServe() override { listening.set_value(); }

  std::promise<void> listening;
};

double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

void serve(TNonblockingServer& server) {
  try {
    server.serve();
    std::cerr << "the server ended" << std::endl;
  } catch (const std::exception& error) {
    std::cerr << "the server failed: " << error.what() << std::endl;
  }
  std::_Exit(EXIT_FAILURE);
}

}  // namespace

int main() {
  // The library reports each start of a server; what fails is reported by `serve`.
  apache::thrift::GlobalOutput.setOutputFunction([](const char*) {});
  auto socket = std::make_shared<TNonblockingServerSocket>("127.0.0.1", 0);
  auto listening = std::make_shared<Listening>();
  // Without a thread manager, handlers run in the one I/O thread. Frames are the only framing of this server.
  TNonblockingServer server(std::make_shared<EchoProcessor>(std::make_shared<Handler>()),
                            std::make_shared<TBinaryProtocolFactory>(), socket);
  server.setNumIOThreads(1);
  server.setServerEventHandler(listening);
  std::thread(serve, std::ref(server)).detach();
  listening->listening.get_future().wait();

  std::cout << server.getListenPort() << std::endl;
  std::cout.precision(9);
  std::cout << std::fixed;
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << cpu_seconds() << std::endl;
  }
  std::_Exit(EXIT_SUCCESS);
}

"""A process that serves `echo` with one of the libraries.

    python -m benchmarks.echo_server KIND FOLDER

Prints its port, then the CPU seconds that it has used for each line of input. Ends at the end of its input. Servers in
other languages (`native_peers.py`) do the same.
"""

from __future__ import annotations

import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.stubs import ApacheEchoArgs, ApacheEchoResult, ours, theirs


class Echo:
    """The handler of most servers."""

    def echo(self, value: Any) -> Any:
        return value

    def echo_idempotent(self, value: Any) -> Any:
        return value


class AsyncEcho:
    """The handler as a coroutine."""

    async def echo(self, value: Any) -> Any:
        return value

    async def echo_idempotent(self, value: Any) -> Any:
        return value


def serve_ours(folder: Path) -> int:
    from idlrt import Server

    return Server(ours(folder).echo(Echo())).start().port


def serve_ours_on_workers(folder: Path) -> int:
    from idlrt import Server

    return Server(ours(folder).echo(Echo()), workers=4).start().port


def serve_ours_async(folder: Path) -> int:
    """Return the port of the selector server with an `async` handler."""
    from idlrt import Server

    return Server(ours(folder).echo(AsyncEcho())).start().port


def serve_ours_measured(folder: Path) -> int:
    """Return the port of a server that measures its calls."""
    from idlrt import Server

    return Server(ours(folder).echo(Echo()), metrics=True).start().port


def serve_ours_async_measured(folder: Path) -> int:
    from idlrt import Server

    return Server(ours(folder).echo(AsyncEcho()), metrics=True).start().port


def serve_ours_on_asyncio(folder: Path) -> int:
    import asyncio

    from idlrt import AsyncServer

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def start() -> int:
        return (await AsyncServer(ours(folder).echo(AsyncEcho())).start()).port

    return asyncio.run_coroutine_threadsafe(start(), loop).result()


def serve_bare(folder: Path) -> int:
    """Baseline of the system calls alone: a selector that returns the received bytes unread."""
    import selectors
    import socket

    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    selector = selectors.DefaultSelector()
    selector.register(listening, selectors.EVENT_READ)

    def run() -> None:
        while True:
            for key, _ in selector.select():
                if key.fileobj is listening:
                    raw, _ = listening.accept()
                    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    selector.register(raw, selectors.EVENT_READ)
                    continue
                connected: socket.socket = key.fileobj  # type: ignore[assignment]
                data = connected.recv(65536)
                if data:
                    connected.sendall(data)
                else:
                    selector.unregister(connected)
                    connected.close()

    threading.Thread(target=run, daemon=True).start()
    port: int = listening.getsockname()[1]
    return port


def serve_grpcio(folder: Path) -> int:
    """With bytes for messages: what protobuf would cost is left out."""
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
    server = grpc.server(ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Echo", {"echo": handler}),))
    port: int = server.add_insecure_port("127.0.0.1:0")
    server.start()
    KEPT.append(server)
    return port


def serve_grpc_aio(folder: Path) -> int:
    import asyncio

    import grpc.aio

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def echo(request: bytes, context: Any) -> bytes:
        return request

    async def start() -> int:
        server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(echo)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Echo", {"echo": handler}),))
        port: int = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        KEPT.append(server)
        return port

    return asyncio.run_coroutine_threadsafe(start(), loop).result()


KEPT: list[Any] = []


def serve_thriftpy2(folder: Path) -> int:
    from thriftpy2.protocol import TCyBinaryProtocolFactory
    from thriftpy2.server import TThreadedServer
    from thriftpy2.thrift import TProcessor
    from thriftpy2.transport import TCyFramedTransportFactory, TServerSocket

    class Listening(TServerSocket):
        def listen(self) -> None:
            if self.sock is None:
                super().listen()

    listening = Listening("127.0.0.1", 0, client_timeout=60_000)
    listening.listen()
    server = TThreadedServer(
        TProcessor(theirs().Echo, Echo()),
        listening,
        itrans_factory=TCyFramedTransportFactory(),
        iprot_factory=TCyBinaryProtocolFactory(),
        daemon=True,
    )
    threading.Thread(target=server.serve, daemon=True).start()
    assert listening.sock is not None
    port: int = listening.sock.getsockname()[1]
    return port


def apache_processor() -> Any:
    from thrift.Thrift import TMessageType, TProcessor

    class Processor(TProcessor):
        """As Apache's compiler writes it."""

        def process(self, iprot: Any, oprot: Any) -> None:
            name, _, number = iprot.readMessageBegin()
            arguments = ApacheEchoArgs()
            arguments.read(iprot)
            iprot.readMessageEnd()
            result = ApacheEchoResult(success=handler.echo(arguments.value))
            oprot.writeMessageBegin(name, TMessageType.REPLY, number)
            result.write(oprot)
            oprot.writeMessageEnd()
            oprot.trans.flush()

    handler = Echo()
    return Processor()


def apache_listening() -> Any:
    from thrift.transport.TSocket import TServerSocket

    class Listening(TServerSocket):
        def listen(self) -> None:
            if self.handle is None:
                super().listen()

    listening = Listening("127.0.0.1", 0)
    listening.listen()
    return listening


def serve_apache(folder: Path) -> int:
    from thrift.protocol.TBinaryProtocol import TBinaryProtocolAcceleratedFactory
    from thrift.server.TServer import TThreadedServer
    from thrift.transport.TTransport import TFramedTransportFactory

    listening = apache_listening()
    server = TThreadedServer(
        apache_processor(),
        listening,
        TFramedTransportFactory(),
        TBinaryProtocolAcceleratedFactory(fallback=False),
        daemon=True,
    )
    threading.Thread(target=server.serve, daemon=True).start()
    port: int = listening.handle.getsockname()[1]
    return port


def serve_apache_nonblocking(folder: Path) -> int:
    from thrift.protocol.TBinaryProtocol import TBinaryProtocolAcceleratedFactory
    from thrift.server.TNonblockingServer import TNonblockingServer

    listening = apache_listening()
    server = TNonblockingServer(
        apache_processor(), listening, TBinaryProtocolAcceleratedFactory(fallback=False), threads=1
    )
    threading.Thread(target=server.serve, daemon=True).start()
    port: int = listening.handle.getsockname()[1]
    return port


SERVERS = {
    "idlrt": serve_ours,
    "idlrt workers": serve_ours_on_workers,
    "idlrt async": serve_ours_async,
    "idlrt asyncio": serve_ours_on_asyncio,
    "idlrt measured": serve_ours_measured,
    "idlrt async measured": serve_ours_async_measured,
    "bare selector": serve_bare,
    "thriftpy2": serve_thriftpy2,
    "apache": serve_apache,
    "apache nonblocking": serve_apache_nonblocking,
    "grpcio": serve_grpcio,
    "grpc.aio": serve_grpc_aio,
}


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(SERVERS[sys.argv[1]](Path(sys.argv[2])), flush=True)
    for _line in sys.stdin:
        print(time.process_time(), flush=True)

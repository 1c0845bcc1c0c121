"""A process that serves `echo` with one of the libraries.

    python -m benchmarks.echo_server KIND FOLDER

Prints its port; then, for each line that it is sent, the CPU seconds that it has used. Ends with its input.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.stubs import ApacheEchoArgs, ApacheEchoResult, ours, theirs


class Echo:
    """The handler, of all of them."""

    def echo(self, text: str) -> str:
        return text


def serve_ours(folder: Path) -> int:
    from idlrt import Server

    return Server(ours(folder).echo(Echo())).start().port


def serve_thriftpy2(folder: Path) -> int:
    from thriftpy2.protocol import TCyBinaryProtocolFactory
    from thriftpy2.server import TThreadedServer
    from thriftpy2.thrift import TProcessor
    from thriftpy2.transport import TCyFramedTransportFactory, TServerSocket

    class Listening(TServerSocket):  # type: ignore[misc]
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
    port: int = listening.sock.getsockname()[1]
    return port


def serve_apache(folder: Path) -> int:
    from thrift.protocol.TBinaryProtocol import TBinaryProtocolAcceleratedFactory
    from thrift.server.TServer import TThreadedServer
    from thrift.Thrift import TMessageType, TProcessor
    from thrift.transport.TSocket import TServerSocket
    from thrift.transport.TTransport import TFramedTransportFactory

    class Listening(TServerSocket):  # type: ignore[misc]
        def listen(self) -> None:
            if self.handle is None:
                super().listen()

    class Processor(TProcessor):  # type: ignore[misc]
        """As Apache's compiler writes it."""

        def process(self, iprot: Any, oprot: Any) -> None:
            name, _, number = iprot.readMessageBegin()
            arguments = ApacheEchoArgs()
            arguments.read(iprot)
            iprot.readMessageEnd()
            result = ApacheEchoResult(success=handler.echo(arguments.text))
            oprot.writeMessageBegin(name, TMessageType.REPLY, number)
            result.write(oprot)
            oprot.writeMessageEnd()
            oprot.trans.flush()

    handler = Echo()
    listening = Listening("127.0.0.1", 0)
    listening.listen()
    server = TThreadedServer(
        Processor(),
        listening,
        TFramedTransportFactory(),
        TBinaryProtocolAcceleratedFactory(fallback=False),
        daemon=True,
    )
    threading.Thread(target=server.serve, daemon=True).start()
    port: int = listening.handle.getsockname()[1]
    return port


SERVERS = {"idlrt": serve_ours, "thriftpy2": serve_thriftpy2, "apache": serve_apache}


if __name__ == "__main__":
    print(SERVERS[sys.argv[1]](Path(sys.argv[2])), flush=True)
    for _ in sys.stdin:
        print(time.process_time(), flush=True)

"""A process that calls `echo` with one of the libraries.

    python -m benchmarks.echo_client KIND FOLDER PORT CONNECTIONS

Reads numbers of calls, one a line; makes the calls, and prints the CPU seconds that they took.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.stubs import ApacheEchoArgs, ApacheEchoResult, apache, ours, small, theirs
from benchmarks.workers import Threads

Run = Callable[[int], None]
# Seconds for a call: a machine that is busy is no reason to fail.
TIMEOUT = 60.0


def call_ours(folder: Path, port: int, connections: int) -> Run:
    client = ours(folder).EchoClient.connect(f"127.0.0.1:{port}", max_connections=connections, timeout=TIMEOUT)
    value = small(ours(folder).Small)

    def calls(count: int) -> None:
        for _ in range(count):
            client.echo(value)

    return _in_threads([calls] * connections)


def call_asyncio(folder: Path, port: int, connections: int) -> Run:
    """Use one connection with as many concurrent calls as connections are requested."""
    runner = asyncio.Runner()
    client = ours(folder).AsyncEchoClient.connect(f"127.0.0.1:{port}", timeout=TIMEOUT)
    value = small(ours(folder).Small)

    async def calls(count: int) -> None:
        for _ in range(count):
            await client.echo(value)

    async def all_at_once(count: int) -> None:
        await asyncio.gather(*[calls(count // connections) for _ in range(connections)])

    return lambda count: runner.run(all_at_once(count))


def call_thriftpy2(folder: Path, port: int, connections: int) -> Run:
    from thriftpy2.protocol import TCyBinaryProtocolFactory
    from thriftpy2.rpc import make_client
    from thriftpy2.transport import TCyFramedTransportFactory

    def connect() -> Run:
        client = make_client(
            theirs().Echo,
            "127.0.0.1",
            port,
            proto_factory=TCyBinaryProtocolFactory(),
            trans_factory=TCyFramedTransportFactory(),
            timeout=int(TIMEOUT * 1000),
        )

        value = small(theirs().Small)

        def calls(count: int) -> None:
            for _ in range(count):
                client.echo(value)

        return calls

    return _in_threads([connect() for _ in range(connections)])


def call_apache(folder: Path, port: int, connections: int) -> Run:
    from thrift.protocol.TBinaryProtocol import TBinaryProtocolAccelerated
    from thrift.Thrift import TMessageType
    from thrift.transport.TSocket import TSocket
    from thrift.transport.TTransport import TFramedTransport

    def connect() -> Run:
        transport = TFramedTransport(TSocket("127.0.0.1", port))
        transport.open()
        protocol: Any = TBinaryProtocolAccelerated(transport, fallback=False)
        value = small(apache["Small"])

        def calls(count: int) -> None:
            """As Apache's compiler writes it."""
            for number in range(count):
                protocol.writeMessageBegin("echo", TMessageType.CALL, number)
                ApacheEchoArgs(value=value).write(protocol)
                protocol.writeMessageEnd()
                transport.flush()
                protocol.readMessageBegin()
                result = ApacheEchoResult()
                result.read(protocol)
                protocol.readMessageEnd()
                assert result.success.id == value.id

        return calls

    return _in_threads([connect() for _ in range(connections)])


def _in_threads(runs: list[Run]) -> Run:
    if len(runs) == 1:
        return runs[0]

    def run(count: int) -> None:
        Threads(*[partial(each, count // len(runs)) for each in runs]).join()

    return run


CLIENTS = {"idlrt": call_ours, "idlrt asyncio": call_asyncio, "thriftpy2": call_thriftpy2, "apache": call_apache}


if __name__ == "__main__":
    run = CLIENTS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.process_time()
        run(int(line))
        print(time.process_time() - start, flush=True)

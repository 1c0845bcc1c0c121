"""A process that runs one version of this project: encodes, decodes, serves or calls, and reports its CPU seconds.

    python -P worker.py TREE STUBS CPU ROLE [PORT]

TREE is the root of the version, STUBS a folder with stubs that its compiler has generated, CPU what to run on, -1 for
any. Prints the backend of its codecs, and its port if it serves. After that it answers each line with CPU seconds, and
ends with its input:

    codec                        `binary encode small 1000`: of 1000 rounds
    server, async-server         any line: of the process so far
    client, async-client         `1000`: of 1000 calls over one connection

It runs with old versions, too. So it imports nothing of `benchmarks`, and may use only what all of them offer.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

Answer = Callable[[str], float]
# Seconds for a call: a machine that is busy is no reason to fail.
TIMEOUT = 60.0


def small(cls: Any, number: int = 0) -> Any:
    return cls(
        id=1_234_567 + number,
        name="Ada Lovelace",
        is_active=True,
        score=0.75,
        tags=["mathematics", "poetry", "engine"],
        counts={"logins": 42, "posts": 7},
    )


class Echo:
    def echo(self, value: Any) -> Any:
        return value

    def echo_idempotent(self, value: Any) -> Any:
        return value


class AsyncEcho:
    async def echo(self, value: Any) -> Any:
        return value

    async def echo_idempotent(self, value: Any) -> Any:
        return value


def codec(stubs: Any) -> Answer:
    from idlrt.wire import BinaryProtocol, CompactProtocol  # trees of earlier versions have these names only

    protocols: dict[str, Any] = {"binary": BinaryProtocol, "compact": CompactProtocol}

    @cache
    def function(protocol: str, action: str, what: str) -> Callable[[], object]:
        value = small(stubs.Small)
        if what == "list":
            value = stubs.Many(items=[small(stubs.Small, number) for number in range(100)])
        made = protocols[protocol]().struct(type(value))
        if action == "encode":
            return partial(made.encode, value)
        return partial(made.decode_whole, made.encode(value))

    def answer(line: str) -> float:
        protocol, action, what, count = line.split()
        run = function(protocol, action, what)
        rounds = range(int(count))
        start = time.process_time()
        for _ in rounds:
            run()
        return time.process_time() - start

    return answer


def server(handler: Any) -> int:
    from idlrt import Server

    return Server(handler).start().port


def client(stubs: Any, port: str) -> Answer:
    echo = stubs.EchoClient.connect(f"127.0.0.1:{port}", max_connections=1, timeout=TIMEOUT).echo
    value = small(stubs.Small)

    def answer(line: str) -> float:
        calls = range(int(line))
        start = time.process_time()
        for _ in calls:
            echo(value)
        return time.process_time() - start

    return answer


def async_client(stubs: Any, port: str) -> Answer:
    runner = asyncio.Runner()
    echo = stubs.AsyncEchoClient.connect(f"127.0.0.1:{port}", timeout=TIMEOUT).echo
    value = small(stubs.Small)

    async def calls(count: int) -> float:
        start = time.process_time()
        for _ in range(count):
            await echo(value)
        return time.process_time() - start

    return lambda line: runner.run(calls(int(line)))


def main(tree: str, folder: str, cpu: int, role: str, *more: str) -> None:
    sys.path.insert(0, folder)
    import bench_stubs as stubs

    import idlrt
    from idlrt.wire import backend  # trees of earlier versions have this name only

    if not Path(idlrt.__file__).is_relative_to(tree):
        sys.exit(f"idlrt is that of {idlrt.__file__}, not of {tree}")
    if cpu >= 0:
        os.sched_setaffinity(0, {cpu})  # before there are other threads: they inherit it
    port = 0
    if role == "server":
        port = server(stubs.echo(Echo()))
    elif role == "async-server":
        port = server(stubs.echo(AsyncEcho()))
    if port:
        answer: Answer = lambda line: time.process_time()  # noqa: E731
    elif role == "codec":
        answer = codec(stubs)
    else:
        answer = {"client": client, "async-client": async_client}[role](stubs, *more)
    print(backend, port, flush=True)
    for line in sys.stdin:
        print(answer(line), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:])

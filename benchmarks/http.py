"""HTTP servers: the CPU time that a request of `POST /echo`, with a JSON object of about 120 bytes, costs the server.

Each server is a separate process with one library, and all get the same requests from the same load generator.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.http_server import stubs
from benchmarks.servers import Load, pipelined
from benchmarks.size import FULL
from benchmarks.table import Table, middle, progress, unit
from benchmarks.workers import Process, running

__all__ = ["ROWS", "Row", "run"]

CONNECTIONS: Final = 16
USER: Final = {
    "id": 1234567,
    "name": "Augusta Ada Lovelace",
    "email": "ada@example.com",
    "is_active": True,
    "score": 0.75,
    "tags": ["admin", "staff"],
}
# Enough for every request of a connection to have another head than the ones before.
_HEADS: Final = 1009


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A server that is measured.

    Attributes:
        kind: of `benchmarks.http_server`.
        packages: modules that it needs.
        has_new_heads: whether each request has another head, as with a trace id.
        target: upper bound of the ratio of `idlrt` to it.
    """

    kind: str
    packages: Sequence[str] = ()
    has_new_heads: bool = False
    target: float | None = None


ROWS: Final[Mapping[str, Row]] = {
    "idlrt": Row(kind="idlrt"),
    "idlrt, new heads": Row(kind="idlrt", has_new_heads=True),
    "idlrt async": Row(kind="idlrt async"),
    "idlrt asyncio": Row(kind="idlrt asyncio"),
    "fastapi uvicorn": Row(kind="fastapi uvicorn", packages=("fastapi", "uvicorn"), target=0.25),
    "fastapi uvicorn, new heads": Row(
        kind="fastapi uvicorn", packages=("fastapi", "uvicorn"), has_new_heads=True, target=0.25
    ),
    "starlette granian": Row(kind="starlette granian", packages=("starlette", "granian"), target=1.0),
    "aiohttp": Row(kind="aiohttp", packages=("aiohttp",), target=1.0),
    "connectrpc uvicorn": Row(
        kind="connectrpc uvicorn", packages=("connectrpc", "uvicorn", "google.protobuf"), target=1.0
    ),
}

NOTE: Final = """CPU time per request of the server's processes alone: the best of {rounds} rounds of {calls} requests,
and the median in brackets. Ratios are ours / theirs, of the best, with the target where there is one; ours is `idlrt`,
or `idlrt, new heads` for rows with new heads. {connections} connections that are kept alive, with 1 request in flight
on each: `POST /echo` with a JSON object of {size} bytes, which is decoded to an object and encoded again.

- `idlrt` is `Server` with a plain handler, `idlrt async` the same with an `async` handler, `idlrt asyncio` is
  `AsyncServer`. All check types, and the memory of what they decode. With *new heads* each request has another
  `x-request-id`, so that no head of an earlier request is found again.
- `fastapi uvicorn` has a pydantic model; uvicorn runs with uvloop and httptools.
- `starlette granian` and `aiohttp` decode and encode JSON, and check nothing.
- `connectrpc uvicorn` has protobuf messages of google's library, with JSON."""


def run(
    folder: Path, *, rounds: int = FULL.server_rounds, calls: int = FULL.server_calls, rows: Mapping[str, Row] = ROWS
) -> Table:
    """Measure all servers.

    Args:
        folder: for our stubs.
        rounds: timed rounds for each server.
        calls: requests of one round.
        rows: the servers.

    Raises:
        RuntimeError: a server failed or answered wrongly.
    """
    stubs(folder)  # compiled here, so that the processes only import
    body = json.dumps(USER, separators=(",", ":")).encode()
    times: dict[str, list[float]] = {}
    missing: list[str] = []
    for name, row in rows.items():
        absent = [each for each in row.packages if importlib.util.find_spec(each.partition(".")[0]) is None]
        if absent:
            missing.append(f"`{name}`: not measured: {', '.join(absent)} not found; `pip install --group bench`")
            progress(missing[-1])
            continue
        progress(f"http, {CONNECTIONS} connections: {name}")
        command = [sys.executable, "-m", "benchmarks.http_server", row.kind, str(folder)]
        with running(command) as server, contextlib.ExitStack() as stack:
            load = _load(int(server.first), body, row, stack)
            times[name] = _measure(server, load, rounds, calls)
    note = NOTE.format(rounds=rounds, calls=calls, connections=CONNECTIONS, size=len(body))
    table = Table("HTTP servers", ["", "ours / theirs", "CPU time per request"], "\n- ".join([note, *missing]))
    for name, found in times.items():
        row = rows[name]
        base = times.get("idlrt, new heads" if row.has_new_heads else "idlrt")
        ratio = ""
        if base is not None and row.packages:
            ratio = f"{min(base) / min(found):.2f}" + (f" (target {row.target:g})" if row.target else "")
        table.add(name, ratio, f"{unit(min(found))} ({unit(middle(found))})")
    return table


def _load(port: int, body: bytes, row: Row, stack: contextlib.ExitStack) -> Load:
    def check(answer: bytes) -> None:
        if json.loads(answer[answer.index(b"{") : answer.rindex(b"}") + 1]) != USER:
            raise RuntimeError(f"wrong answer: {answer!r}")

    heads = [f"x-request-id: {number:08}\r\n" for number in range(_HEADS)] if row.has_new_heads else [""]
    first, *others = [_request(each.encode(), body) for each in heads]
    return pipelined(port, first, CONNECTIONS, 1, stack, check, receive=_receive, others=others)


def _request(lines: bytes, body: bytes) -> bytes:
    head = b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\nUser-Agent: benchmarks\r\n"
    return b"%bContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b" % (head, lines, len(body), body)


def _receive(raw: socket.socket) -> bytes:
    """Return one response, which has a length or is chunked."""
    data = b""
    while True:
        more = raw.recv(65536)
        if not more:
            raise RuntimeError(f"the server closed the connection after {data!r}")
        data += more
        head, blank, body = data.partition(b"\r\n\r\n")
        if not blank:
            continue
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if b"content-length" in lines:
            if len(body) >= int(lines[b"content-length"]):
                return data
        elif body.endswith(b"0\r\n\r\n"):
            return data


def _measure(server: Process, load: Load, rounds: int, calls: int) -> list[float]:
    load(calls // 4)
    times: list[float] = []
    for _ in range(rounds):
        before = server.ask("cpu")
        made = load(calls)
        times.append((server.ask("cpu") - before) / made)
    return times

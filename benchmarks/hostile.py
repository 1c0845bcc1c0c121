"""Cost of hostile messages for a server: peak memory and CPU time. `python -m benchmarks.hostile`, on Linux.

Each input is sent to a separate server process, which reports its figures after its response.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from idlrt import codegen as rpc
from idlrt.core import bind
from idlrt.server import Server

_EMPTY_STRUCTS: Final = 16_000_000
_KEYS: Final = 87_000
_TABLE: Final = 1 << 17  # hash table size of a dict of the crafted keys


class _Empty(rpc.Struct, kw_only=True):
    """Takes one byte on the wire."""


class _Hostile(Protocol):
    def take(self, items: list[_Empty], keys: dict[int, bool]) -> None: ...


_TAKE: Final = rpc.method(
    _Hostile.take,
    rpc.optional(1, "items", rpc.list_of(rpc.struct(_Empty))),
    rpc.optional(2, "keys", rpc.map_of(rpc.I64, rpc.BOOL)),
    result=rpc.VOID,
)
_SERVICE: Final = rpc.service("Hostile", _TAKE)


class _Handler:
    def take(self, items: object, keys: object) -> None:
        time.sleep(0.2)  # so that other calls wait behind it


def _call(body: bytes) -> bytes:
    return b"\x80\x01\0\x01\0\0\0\x04take" + struct.pack(">i", 1) + body


def _bomb(count: int) -> bytes:
    packed = zlib.compress(_call(struct.pack(">BhBI", 15, 1, 12, count) + bytes(count + 1)), 9)
    frame = struct.pack(">HHiH", 0x0FFF, 0, 1, 1) + b"\0\x01\x01\0" + packed
    return struct.pack(">I", len(frame)) + frame


def _crafted() -> Iterator[int]:
    """Return numbers that fill adjacent slots of a hash table, followed by numbers that probe all of these slots."""
    chain = [0]
    while len(chain) < 50_000:
        chain.append((5 * chain[-1] + 1) % _TABLE)
    yield from chain
    taken = set(chain[:49_000])
    for high in range(1, 4096):
        for start in chain:
            slot = key = perturb = start + _TABLE * high
            slot %= _TABLE
            while perturb and slot in taken:
                perturb >>= 5
                slot = (5 * slot + perturb + 1) % _TABLE
            if slot in taken:
                yield key


def _keys() -> bytes:
    pairs = b"".join(struct.pack(">qB", key, 1) for key, _ in zip(_crafted(), range(_KEYS), strict=False))
    message = _call(struct.pack(">BhBBI", 13, 2, 10, 2, _KEYS) + pairs + b"\0")
    return struct.pack(">I", len(message)) + message


_CASES: Final[dict[str, tuple[Callable[[], bytes], int]]] = {
    f"{_EMPTY_STRUCTS} empty structs, zlib": (lambda: _bomb(_EMPTY_STRUCTS), 1),
    "20 frames of 950000 empty structs, zlib": (lambda: _bomb(950_000) * 20, 20),
    f"{_KEYS} crafted keys": (_keys, 1),
}


def _peak() -> int:
    """Return the peak memory of this process in KiB. (`getrusage` includes the peak of the parent.)"""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def _serve() -> None:
    """Serve until standard input ends, then print the peak (KiB) and the CPU seconds since the start."""
    handlers: Any = bind(_SERVICE, _Handler())
    with Server(handlers, "127.0.0.1:0", workers=2).start() as server:
        peak, begun = _peak(), time.process_time()
        print(server.port, flush=True)
        sys.stdin.read()
        print(_peak() - peak, time.process_time() - begun, flush=True)


def _measure(data: bytes, answers: int) -> tuple[float, float]:
    """MiB by which the peak of a server grew, and its CPU seconds."""
    command = [sys.executable, "-m", "benchmarks.hostile", "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with socket.create_connection(("127.0.0.1", int(process.stdout.readline()))) as client:
            client.sendall(data)
            stream = client.makefile("rb")
            for _ in range(answers):
                (size,) = struct.unpack(">I", stream.read(4))
                stream.read(size)
        process.stdin.close()
        peak, seconds = process.stdout.readline().split()
    return int(peak) / 1024, float(seconds)


def main() -> None:
    """Print a table."""
    print(f"{'input':<42} {'bytes':>8} {'peak':>10} {'CPU':>8}")
    for name, (make, answers) in _CASES.items():
        data = make()
        peak, seconds = _measure(data, answers)
        print(f"{name:<42} {len(data):>8} {peak:>+6.0f} MiB {seconds:>6.2f} s")


if __name__ == "__main__":
    _serve() if sys.argv[1:] == ["serve"] else main()

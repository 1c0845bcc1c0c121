"""Memory: what 100,000 decoded structs take. Every library is in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.stubs import ours
from benchmarks.table import Table, progress

__all__ = ["run"]

COUNT = 100_000
ROUNDS = 3
KINDS = ("idlrt", "idlrt pure", "MessagePack", "thriftpy2", "Apache")

NOTE = f"""A list of {COUNT:,} structs of about 105 bytes, no two alike, decoded in one piece. `kept` is by how much the
resident memory of the process has grown when only the values are left, `peak` by how much it grew at most; the
least of {ROUNDS} processes each. `MessagePack` is msgspec's, decoding the same data to the same `msgspec.Struct`s.
Target: `idlrt` takes no more than that."""


def run(folder: Path) -> Table:
    """Measure everything.

    Args:
        folder: for the stubs and the data.
    """
    _write(folder)
    table = Table("Memory", ["", "kept / MessagePack", "kept, bytes a struct", "peak, bytes a struct"], NOTE)
    found: dict[str, list[tuple[int, int]]] = {kind: [] for kind in KINDS}
    for number in range(ROUNDS):
        progress(f"memory, round {number + 1}")
        for kind in KINDS:
            found[kind].append(_measure(kind, folder))
    reference = min(kept for kept, _ in found["MessagePack"])
    for kind in KINDS:
        kept, peak = min(each[0] for each in found[kind]), min(each[1] for each in found[kind])
        table.add(kind, f"{kept / reference:.2f}", f"{kept / COUNT:.0f}", f"{peak / COUNT:.0f}")
    return table


def _write(folder: Path) -> None:
    import msgspec

    from idlrt.wire import BinaryProtocol

    stubs = ours(folder)
    items = [
        stubs.Small(
            id=10**12 + number,
            name=f"Ada Lovelace {number}",
            is_active=number % 2 == 0,
            score=number / 7,
            tags=[f"mathematics {number % 1000}", "poetry", f"engine {number}"],
            counts={"logins": number, "posts": number * 3},
        )
        for number in range(COUNT)
    ]
    value = stubs.Many(items=items)
    (folder / "values.binary").write_bytes(BinaryProtocol().struct(stubs.Many).encode(value))
    (folder / "values.msgpack").write_bytes(msgspec.msgpack.encode(value))


def _measure(kind: str, folder: Path) -> tuple[int, int]:
    command = [sys.executable, "-m", "benchmarks.memory", kind, str(folder)]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    kept, peak = done.stdout.split()
    return int(kept), int(peak)


# In the process that is measured.


def _decoder(kind: str, folder: Path) -> Callable[[bytes], Any]:
    if kind == "MessagePack":
        import msgspec

        return msgspec.msgpack.Decoder(ours(folder).Many).decode
    if kind == "thriftpy2":
        from thriftpy2.protocol import TCyBinaryProtocol
        from thriftpy2.transport.memory import TCyMemoryBuffer

        from benchmarks.stubs import theirs

        def decode_thriftpy2(data: bytes) -> Any:
            made = theirs().Many()
            TCyBinaryProtocol(TCyMemoryBuffer(data)).read_struct(made)
            return made

        return decode_thriftpy2
    if kind == "Apache":
        from thrift.protocol.TBinaryProtocol import TBinaryProtocolAccelerated
        from thrift.transport.TTransport import TMemoryBuffer

        from benchmarks.stubs import apache

        def decode_apache(data: bytes) -> Any:
            made = apache["Many"]()
            made.read(TBinaryProtocolAccelerated(TMemoryBuffer(data), fallback=False))
            return made

        return decode_apache
    from idlrt.wire import BinaryProtocol

    backend = "pure" if kind.endswith("pure") else None
    decode: Callable[[bytes], Any] = BinaryProtocol(backend=backend).struct(ours(folder).Many).decode_whole
    return decode


def _resident() -> tuple[int, int]:
    """Bytes that this process has in memory, and had at most."""
    found = {}
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "VmHWM"):
            found[name] = int(value.split()[0]) * 1024
    return found["VmRSS"], found["VmHWM"]


def main(kind: str, folder: Path) -> None:
    """Decode, and print the two numbers."""
    import gc

    decode = _decoder(kind, folder)
    data = (folder / ("values.msgpack" if kind == "MessagePack" else "values.binary")).read_bytes()
    gc.collect()
    before, _ = _resident()
    value = decode(data)
    size = len(data)
    del data
    gc.collect()
    kept, peak = _resident()
    assert len(value.items) == COUNT
    # The bytes were there before, and are not any more.
    print(kept - (before - size), peak - before)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

"""Memory that decoded structs take. Each library runs in its own process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.size import FULL, Size
from benchmarks.stubs import ours
from benchmarks.table import Table, progress
from benchmarks.workers import python, run_process

__all__ = ["run"]

KINDS = ("idlrt", "idlrt pure", "MessagePack", "thriftpy2", "Apache")

NOTE = """A list of {structs:,} structs of about 105 bytes, no two alike, decoded in one piece. `kept` is by how much
the resident memory of the process has grown when only the values are left, `peak` by how much it grew at most; the
least of {rounds} processes each. `MessagePack` is msgspec's, decoding the same data to the same `msgspec.Struct`s.
Target: `idlrt` takes no more than that."""


def run(folder: Path, size: Size = FULL) -> Table:
    """Measure all libraries.

    Args:
        folder: for the stubs and the data.
        size: how much to measure.
    """
    count = size.memory_structs
    _write(folder, count)
    note = NOTE.format(structs=count, rounds=size.memory_rounds)
    table = Table("Memory", ["", "kept / MessagePack", "kept, bytes a struct", "peak, bytes a struct"], note)
    found: dict[str, list[tuple[int, int]]] = {kind: [] for kind in KINDS}
    for number in range(size.memory_rounds):
        progress(f"memory, round {number + 1}")
        for kind in KINDS:
            found[kind].append(_measure(kind, folder, count))
    reference = min(kept for kept, _ in found["MessagePack"])
    for kind in KINDS:
        kept, peak = min(each[0] for each in found[kind]), min(each[1] for each in found[kind])
        table.add(kind, f"{kept / reference:.2f}", f"{kept / count:.0f}", f"{peak / count:.0f}")
    return table


def _write(folder: Path, count: int) -> None:
    import msgspec

    from idlrt.serialization import BinarySerialization

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
        for number in range(count)
    ]
    value = stubs.Many(items=items)
    (folder / "values.binary").write_bytes(BinarySerialization().struct(stubs.Many).encode(value))
    (folder / "values.msgpack").write_bytes(msgspec.msgpack.encode(value))


def _measure(kind: str, folder: Path, count: int) -> tuple[int, int]:
    written, _ = run_process(python("benchmarks.memory", kind, str(folder), str(count)))
    kept, peak = written.split()
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
    from idlrt.serialization import BinarySerialization

    protocol = BinarySerialization(backend="pure") if kind.endswith("pure") else BinarySerialization()
    decode: Callable[[bytes], Any] = protocol.struct(ours(folder).Many).decode_whole
    return decode


def _resident() -> tuple[int, int]:
    """Bytes that this process has in memory, and had at most."""
    found = {}
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "VmHWM"):
            found[name] = int(value.split()[0]) * 1024
    return found["VmRSS"], found["VmHWM"]


def main(kind: str, folder: Path, count: int) -> None:
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
    assert len(value.items) == count
    # The bytes were there before, and are not any more.
    print(kept - (before - size), peak - before)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))

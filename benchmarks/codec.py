"""The codec: values to bytes and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from thrift.protocol.TBinaryProtocol import TBinaryProtocol, TBinaryProtocolAccelerated
from thrift.transport.TTransport import TMemoryBuffer
from thriftpy2.protocol import TCyBinaryProtocol
from thriftpy2.protocol.binary import TBinaryProtocol as Thriftpy2Binary
from thriftpy2.transport.memory import TCyMemoryBuffer
from thriftpy2.transport.memory import TMemoryBuffer as Thriftpy2Buffer

from benchmarks.stubs import apache, ours, theirs
from benchmarks.table import Table, measure, middle, progress, unit
from idlrt.wire import BinaryProtocol

__all__ = ["run"]

OURS, CYTHON, PURE = "idlrt", "thriftpy2 C", "thriftpy2 pure"
APACHE_C, APACHE = "Apache C", "Apache pure"

NOTE = f"""CPU time per value; each cell is the best of its rounds, and the median in brackets. `{OURS}` is pure Python.
The first two columns are ours divided by theirs, of the best: the targets are at most 1.5 and at most 0.2.
`thriftpy2 C` keeps its buffer and protocol from value to value, which is the fastest that it can do."""


def run(folder: Path, *, rounds: int = 60) -> Table:
    """Measure everything.

    Args:
        folder: for the stubs.
    """
    head = ["codec", f"{OURS} / {CYTHON}", f"{OURS} / {PURE}", OURS, CYTHON, PURE, APACHE_C, APACHE]
    table = Table("Codec", head, NOTE)
    for title, name, make in _cases():
        for action, candidates in (("encode", _encoders), ("decode", _decoders)):
            progress(f"{action} {title}")
            times = measure(candidates(ours(folder), name, make), rounds=rounds)
            best = {each: min(values) for each, values in times.items()}
            cells = [f"{unit(best[each])} ({unit(middle(times[each]))})" for each in head[3:]]
            ratios = [f"{best[OURS] / best[CYTHON]:.2f}", f"{best[OURS] / best[PURE]:.2f}"]
            table.add(f"{action} {title}", *ratios, *cells)
    return table


Classes = Callable[[str], Any]


def _cases() -> list[tuple[str, str, Callable[[Classes], Any]]]:
    def small(cls: Classes, number: int = 0) -> Any:
        return cls("Small")(
            id=1_234_567 + number,
            name="Ada Lovelace",
            is_active=True,
            score=0.75,
            tags=["mathematics", "poetry", "engine"],
            counts={"logins": 42, "posts": 7},
        )

    def many(cls: Classes) -> Any:
        return cls("Many")(items=[small(cls, number) for number in range(100)])

    def numbers(cls: Classes) -> Any:
        return cls("Numbers")(
            integers=list(range(10**9, 10**9 + 100)),
            reals=[number / 3 for number in range(100)],
            pairs={number: number / 7 for number in range(50)},
        )

    return [("small struct", "Small", small), ("list of 100", "Many", many), ("numbers", "Numbers", numbers)]


def _encoders(stubs: Any, name: str, make: Callable[[Classes], Any]) -> dict[str, Callable[[], object]]:
    value = make(lambda each: getattr(stubs, each))
    encode = BinaryProtocol().struct(getattr(stubs, name)).encode
    their_value = make(lambda each: getattr(theirs(), each))
    apache_value = make(apache.__getitem__)
    buffer = TCyMemoryBuffer()
    write_struct = TCyBinaryProtocol(buffer).write_struct

    def cython() -> bytes:
        write_struct(their_value)
        data: bytes = buffer.getvalue()
        buffer.clean()
        return data

    def pure() -> bytes:
        buffer = Thriftpy2Buffer()
        Thriftpy2Binary(buffer).write_struct(their_value)
        return bytes(buffer.getvalue())

    def apache_c() -> bytes:
        buffer = TMemoryBuffer()
        apache_value.write(TBinaryProtocolAccelerated(buffer, fallback=False))
        return bytes(buffer.getvalue())

    def apache_pure() -> bytes:
        buffer = TMemoryBuffer()
        apache_value.write(TBinaryProtocol(buffer))
        return bytes(buffer.getvalue())

    found = {
        OURS: lambda: encode(value),
        CYTHON: cython,
        PURE: pure,
        APACHE_C: apache_c,
        APACHE: apache_pure,
    }
    assert {each() for each in found.values()} == {encode(value)}
    return found


def _decoders(stubs: Any, name: str, make: Callable[[Classes], Any]) -> dict[str, Callable[[], object]]:
    value = make(lambda each: getattr(stubs, each))
    codec = BinaryProtocol().struct(getattr(stubs, name))
    data = codec.encode(value)
    decode = codec.decode
    their_class, apache_class = getattr(theirs(), name), apache[name]
    buffer = TCyMemoryBuffer()
    read_struct = TCyBinaryProtocol(buffer).read_struct

    def cython() -> Any:
        buffer.setvalue(data)
        made = their_class()
        read_struct(made)
        return made

    def pure() -> Any:
        made = their_class()
        Thriftpy2Binary(Thriftpy2Buffer(data)).read_struct(made)
        return made

    def apache_c() -> Any:
        made = apache_class()
        made.read(TBinaryProtocolAccelerated(TMemoryBuffer(data), fallback=False))
        return made

    def apache_pure() -> Any:
        made = apache_class()
        made.read(TBinaryProtocol(TMemoryBuffer(data)))
        return made

    assert decode(data)[0] == value
    assert cython() == pure() == make(lambda each: getattr(theirs(), each))
    assert apache_c() == apache_pure() == make(apache.__getitem__)
    return {OURS: lambda: decode(data), CYTHON: cython, PURE: pure, APACHE_C: apache_c, APACHE: apache_pure}

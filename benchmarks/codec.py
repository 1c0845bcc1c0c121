"""The codecs: values to bytes and back, in each wire protocol."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from thrift.protocol.TBinaryProtocol import TBinaryProtocolAccelerated
from thrift.protocol.TCompactProtocol import TCompactProtocolAccelerated
from thrift.protocol.TJSONProtocol import TJSONProtocol
from thrift.transport.TTransport import TMemoryBuffer
from thriftpy2.protocol import TCyBinaryProtocol
from thriftpy2.protocol.binary import TBinaryProtocol as Thriftpy2Binary
from thriftpy2.protocol.compact import TCompactProtocol as Thriftpy2Compact
from thriftpy2.transport.memory import TCyMemoryBuffer
from thriftpy2.transport.memory import TMemoryBuffer as Thriftpy2Buffer

from benchmarks.size import FULL, Size
from benchmarks.stubs import apache, ours, theirs
from benchmarks.table import Table, measure, middle, progress, unit
from idlrt.serialization import BinarySerialization, CompactSerialization, JsonSerialization, backend

__all__ = ["run"]

OURS, PURE = "idlrt", "idlrt pure"
THRIFTPY2, THRIFTPY2_PURE, APACHE = "thriftpy2", "thriftpy2 pure", "Apache"
MSGPACK = "MessagePack"

Make = Callable[[Callable[[str], Any]], Any]
Candidates = dict[str, Callable[[], object]]

NOTE = """CPU time per value. A ratio says how many times as long as `idlrt` the other takes: of the best of all rounds,
and of their medians in brackets. Times are the best, and the median in brackets. `idlrt` is its codec object
(`idlrt.codec`); this one is the {backend} one. {more}"""

BINARY_NOTE = """The peers are their C code: `thriftpy2` keeps its buffer and protocol from value to value, which is
the fastest that it can do; `Apache` is `TBinaryProtocolAccelerated`; `MessagePack` is msgspec's own, of the same
`msgspec.Struct`s. Targets: 8 and 5 (encode and decode) for thriftpy2, 4 and 3 for Apache, 1 for MessagePack."""
PURE_NOTE = "The codecs without a C compiler, and thriftpy2's in pure Python."
COMPACT_NOTE = "`thriftpy2` has this protocol in Python only; `Apache` is `TCompactProtocolAccelerated`."
JSON_NOTE = "`Apache` has this protocol in Python only; thriftpy2's writes whole messages only, and is left out."


def run(folder: Path, size: Size = FULL) -> list[Table]:
    """Measure all protocols.

    Args:
        folder: for the stubs.
        size: how much to measure.
    """
    stubs = ours(folder)
    return [
        _table("Codec, binary", (THRIFTPY2, APACHE, MSGPACK), OURS, BINARY_NOTE, partial(_binary, stubs), size, 1),
        _table("Codec, binary, without C", (THRIFTPY2_PURE,), PURE, PURE_NOTE, partial(_pure, stubs), size, 4),
        _table("Codec, compact", (THRIFTPY2, APACHE), OURS, COMPACT_NOTE, partial(_compact, stubs), size, 2),
        _table("Codec, JSON", (APACHE,), OURS, JSON_NOTE, partial(_json, stubs), size, 4),
    ]


def _table(
    title: str,
    peers: tuple[str, ...],
    mine: str,
    note: str,
    candidates: Callable[[str, Make], tuple[Candidates, Candidates]],
    size: Size,
    divisor: int,
) -> Table:
    head = ["", *[f"{peer} / {mine}" for peer in peers], mine, *peers]
    table = Table(title, head, NOTE.format(backend=backend if mine == OURS else "pure", more=note))
    for what, name, make in _cases():
        for action, found in zip(("encode", "decode"), candidates(name, make), strict=True):
            progress(f"{title}: {action} {what}")
            times = measure(found, rounds=size.codec_rounds // divisor, seconds_per_round=size.codec_seconds)
            ratios = [_ratio(times[peer], times[mine]) for peer in peers]
            table.add(f"{action} {what}", *ratios, *[_cell(times[each]) for each in (mine, *peers)])
    return table


def _ratio(theirs: list[float], mine: list[float]) -> str:
    return f"{min(theirs) / min(mine):.1f} ({middle(theirs) / middle(mine):.1f})"


def _cell(times: list[float]) -> str:
    return f"{unit(min(times))} ({unit(middle(times))})"


def _cases() -> list[tuple[str, str, Make]]:
    def small(cls: Callable[[str], Any], number: int = 0) -> Any:
        return cls("Small")(
            id=1_234_567 + number,
            name="Ada Lovelace",
            is_active=True,
            score=0.75,
            tags=["mathematics", "poetry", "engine"],
            counts={"logins": 42, "posts": 7},
        )

    def many(cls: Callable[[str], Any]) -> Any:
        return cls("Many")(items=[small(cls, number) for number in range(100)])

    def numbers(cls: Callable[[str], Any]) -> Any:
        return cls("Numbers")(
            integers=list(range(10**9, 10**9 + 100)),
            reals=[number / 3 for number in range(100)],
            pairs={number: number / 7 for number in range(50)},
        )

    return [("small struct", "Small", small), ("list of 100", "Many", many), ("numbers", "Numbers", numbers)]


# Each gives what encodes and what decodes; all that encode give the same bytes, and all values are equal.


def _binary(stubs: Any, name: str, make: Make) -> tuple[Candidates, Candidates]:
    value = make(partial(getattr, stubs))
    codec = BinarySerialization().struct(type(value))
    data = codec.encode(value)
    writing, reading = TCyMemoryBuffer(), TCyMemoryBuffer()
    write_struct = TCyBinaryProtocol(writing).write_struct
    read_struct = TCyBinaryProtocol(reading).read_struct
    their_value = make(partial(getattr, theirs()))
    their_class = type(their_value)

    def encode() -> bytes:
        write_struct(their_value)
        encoded: bytes = writing.getvalue()
        writing.clean()
        return encoded

    def decode() -> Any:
        reading.setvalue(data)
        made = their_class()
        read_struct(made)
        return made

    apache_encode, apache_decode = _apache(partial(TBinaryProtocolAccelerated, fallback=False), make, data)
    packed = msgspec.msgpack.encode(value)
    packing, unpacking = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(type(value))
    encoders: Candidates = {OURS: partial(codec.encode, value), THRIFTPY2: encode, APACHE: apache_encode}
    decoders: Candidates = {OURS: partial(codec.decode_whole, data), THRIFTPY2: decode, APACHE: apache_decode}
    _check(encoders, decoders, value, data)
    encoders[MSGPACK], decoders[MSGPACK] = partial(packing.encode, value), partial(unpacking.decode, packed)
    assert decoders[MSGPACK]() == value
    return encoders, decoders


def _pure(stubs: Any, name: str, make: Make) -> tuple[Candidates, Candidates]:
    value = make(partial(getattr, stubs))
    codec = BinarySerialization(backend="pure").struct(type(value))
    return _plain(PURE, THRIFTPY2_PURE, codec, value, Thriftpy2Binary, make)


def _compact(stubs: Any, name: str, make: Make) -> tuple[Candidates, Candidates]:
    value = make(partial(getattr, stubs))
    codec = CompactSerialization().struct(type(value))
    encoders, decoders = _plain(OURS, THRIFTPY2, codec, value, Thriftpy2Compact, make)
    data = codec.encode(value)
    encoders[APACHE], decoders[APACHE] = _apache(partial(TCompactProtocolAccelerated, fallback=False), make, data)
    _check(encoders, decoders, value, data)
    return encoders, decoders


def _json(stubs: Any, name: str, make: Make) -> tuple[Candidates, Candidates]:
    value = make(partial(getattr, stubs))
    codec = JsonSerialization().struct(type(value))
    data = codec.encode(value)
    apache_encode, apache_decode = _apache(TJSONProtocol, make, data)
    encoders: Candidates = {OURS: partial(codec.encode, value), APACHE: apache_encode}
    decoders: Candidates = {OURS: partial(codec.decode_whole, data), APACHE: apache_decode}
    _check(encoders, decoders, value, data)
    return encoders, decoders


def _plain(mine: str, peer: str, codec: Any, value: Any, protocol: Any, make: Make) -> tuple[Candidates, Candidates]:
    """Our codec, and thriftpy2's protocol in Python."""
    data = codec.encode(value)
    their_value = make(partial(getattr, theirs()))
    their_class = type(their_value)

    def encode() -> bytes:
        buffer = Thriftpy2Buffer()
        protocol(buffer).write_struct(their_value)
        return bytes(buffer.getvalue())

    def decode() -> Any:
        made = their_class()
        protocol(Thriftpy2Buffer(data)).read_struct(made)
        return made

    encoders: Candidates = {mine: partial(codec.encode, value), peer: encode}
    decoders: Candidates = {mine: partial(codec.decode_whole, data), peer: decode}
    _check(encoders, decoders, value, data)
    return encoders, decoders


def _apache(protocol: Any, make: Make, data: bytes) -> tuple[Callable[[], bytes], Callable[[], Any]]:
    value = make(apache.__getitem__)
    cls = type(value)

    def encode() -> bytes:
        buffer = TMemoryBuffer()
        value.write(protocol(buffer))
        return bytes(buffer.getvalue())

    def decode() -> Any:
        made = cls()
        made.read(protocol(TMemoryBuffer(data)))
        return made

    assert decode() == value
    return encode, decode


def _check(encoders: Candidates, decoders: Candidates, value: Any, data: bytes) -> None:
    for name, encode in encoders.items():
        assert encode() == data, f"{name} writes other bytes"
    for name, decode in decoders.items():
        found = decode()
        assert {each: getattr(found, each) for each in type(value).__struct_fields__ if each != "items"} == {
            each: getattr(value, each) for each in type(value).__struct_fields__ if each != "items"
        }, f"{name} reads another value"

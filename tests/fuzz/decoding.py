"""Properties of decoding bytes as a value of a class, in one protocol, with both backends.

Reading gives a value or a `RemoteProtocolError` with the same text from both, and nothing else. A value that was
read can be written, both write the same bytes, and what is read from those is the value. Skipping it and scanning
it end where reading does, no matter how the bytes come, and what follows it does not matter.

The first byte of an input says what to do with the rest: the low four bits which class it is to be; 16, that limits
are small; 32, that the value does not start at 0; 64, that there is no class but only its fields, as those of a call;
128, that text may be something else than UTF-8, and unknown fields are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import wire_types as t
from golden_bytes import GOLDEN, golden
from protocols import CLASSES as PROTOCOLS
from protocols import HOWS, How
from shapes import shape

from idlrt.errors import LocalProtocolError, RemoteProtocolError
from idlrt.protocol.thrift.envelope import envelope
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.serialization import DEFAULT_LIMITS, Limits
from idlrt.serialization._backend import native
from idlrt.serialization.base import Backend
from idlrt.serialization.options import with_options

SMALL = Limits(max_frame=4096, max_message=4096, max_string=64, max_container=16, max_depth=6)
BACKENDS: tuple[Backend, ...] = ("pure", "native") if native is not None else ("pure",)
TOLERANT = with_options(DEFAULT_LIMITS, "surrogateescape", "keep")
IS_LIMITED, IS_INSIDE, IS_RECORD, IS_TOLERANT = 16, 32, 64, 128
BEFORE = b"\xffab"

Outcome = tuple[Any, int] | str
"""A value and the offset after it, or the text of the error."""


@cache
def _protocol(name: str, backend: Backend, limits: Limits) -> Any:
    [cls] = [each for each in PROTOCOLS if each.name == name]
    return cls(limits, backend=backend)


@cache
def _codec(name: str, backend: Backend, limits: Limits, cls: Any, is_record: bool) -> Any:
    protocol = _protocol(name, backend, limits)
    if not is_record:
        return protocol.struct(cls)
    return protocol.record(cls.__thrift_fields__, (), cls.__name__)


def checking(name: str) -> Callable[[bytes], bool]:
    """Return a check for inputs of this protocol: it returns whether the input was a value, and raises on a finding."""

    def check(data: bytes) -> bool:
        if not data:
            return False
        how = data[0]
        return check_value(
            name,
            t.CLASSES[how % 16 % len(t.CLASSES)],
            data[1:],
            limits=SMALL if how & IS_LIMITED else DEFAULT_LIMITS,
            is_tolerant=bool(how & IS_TOLERANT),
            start=len(BEFORE) if how & IS_INSIDE else 0,
            is_record=bool(how & IS_RECORD),
        )

    return check


def check_value(
    name: str,
    cls: Any,
    data: bytes,
    *,
    limits: Limits = DEFAULT_LIMITS,
    start: int = 0,
    is_record: bool = False,
    is_tolerant: bool = False,
) -> bool:
    """Read `data` in every way; whether it is a value.

    Args:
        name: of the protocol.
        start: how much of `BEFORE` stands before `data`.

    Raises:
        AssertionError: a finding.
        Exception: likewise.
    """
    data = BEFORE[:start] + data
    is_limited, roomy = limits is not DEFAULT_LIMITS, DEFAULT_LIMITS
    if is_tolerant:
        limits, roomy = with_options(limits, "surrogateescape", "keep"), TOLERANT
    outcomes = [_decode(_codec(name, backend, limits, cls, is_record), data, start) for backend in BACKENDS]
    first = outcomes[0]
    for other in outcomes[1:]:
        assert _shown(other) == _shown(first), f"backends do not agree: {outcomes}"
    if isinstance(first, str):
        _scan(name, data[start:], len(data) - start, limits)
        return False
    end = first[1]
    assert start <= end <= len(data), f"it ends at {end}"
    if is_limited:
        free = _decode(_codec(name, "pure", roomy, cls, is_record), data, start)
        assert _shown(free) == _shown(first), f"with limits it is {first}, without {free}"
    for backend in BACKENDS:
        alone = _decode(_codec(name, backend, limits, cls, is_record), data[start:end], 0)
        assert _shown(alone) == _shown((first[0], end - start)), f"without what follows it is {alone}, not {first}"
        skipped = _decode(_codec(name, backend, limits, t.Empty, False), data, start)
        assert isinstance(skipped, tuple), f"{backend} reads it and cannot skip it: {skipped}"
        assert skipped[1] == end, f"{backend} reads to {end} and skips to {skipped[1]}"
    _check_written(name, cls, is_record, limits, roomy, [each[0] for each in outcomes if isinstance(each, tuple)])
    scanned = _scan(name, data[start:], end - start, limits)
    # The head and the tail of a message count too.
    assert scanned == end - start or len(data) > limits.max_message - 100, f"read to {end}, scanned to {scanned}"
    return True


def _decode(codec: Any, data: bytes, start: int) -> Outcome:
    try:
        value, end = codec.decode(data, start)
    except RemoteProtocolError as error:
        if "do not agree" in str(error):
            raise AssertionError(str(error)) from error
        return str(error)
    return value, end


def _shown(outcome: Outcome) -> Any:
    return outcome if isinstance(outcome, str) else (shape(outcome[0]), outcome[1])


def _check_written(name: str, cls: Any, is_record: bool, limits: Limits, roomy: Limits, values: list[Any]) -> None:
    codecs = [_codec(name, backend, limits, cls, is_record) for backend in BACKENDS]
    written = [_encode(codec, value) for value in values for codec in codecs[: None if value is values[0] else 1]]
    if isinstance(written[0], str):
        assert len({*written}) == 1, f"backends do not agree: {written}"
        # Only a union whose field a newer peer alone knows can be read and not written.
        assert "is a union: exactly one field must be set, got none" in written[0], f"read, not written: {written[0]}"
        return
    # One value, two writers. Sets of nan that were read twice have two orders.
    assert written[: len(codecs)] == [written[0]] * len(codecs), f"backends write {written}"
    for value, data in zip(values, [written[0], written[-1]], strict=False):
        assert isinstance(data, bytes)
        for backend in BACKENDS:
            # Defaults are written although they did not come, so there may be more than a limit allows.
            again = _decode(_codec(name, backend, roomy, cls, is_record), data, 0)
            assert _shown(again) == _shown((value, len(data))), f"{backend}: {value!r} is read again as {again}"


def _encode(codec: Any, value: Any) -> bytes | str:
    try:
        data: bytes = codec.encode(value)
    except LocalProtocolError as error:
        return str(error)
    return data


@cache
def _around(name: str) -> tuple[bytes, bytes]:
    around = envelope(name)
    return around.pack_head(MessageType.CALL, "a", 1), around.tail


def _scan(name: str, data: bytes, end: int, limits: Limits) -> int | None:
    """Where the scanner ends in `data`, whose value ends at `end`; `None` if it does not."""
    head, tail = _around(name)
    message = head + data[:end] + tail + data[end:]
    size = len(message)
    ends: list[int | str | None] = []
    for cuts in ([size], [*range(0, size, max(size // 20, 3)), size]):
        scanner = envelope(name, limits).scanner()
        found: int | str | None = None
        try:
            for cut in cuts:
                found = scanner.scan(message[:cut])
                if found is not None:
                    break
        except RemoteProtocolError as error:
            found = str(error)
        ends.append(found)
    assert len(set(ends)) == 1, f"scanned to {ends}, depending on how the bytes came"
    return ends[0] - len(head) - len(tail) if isinstance(ends[0], int) else None


def seeds(name: str) -> Iterator[bytes]:
    """Values of every class, and a struct of all types that no class knows."""
    bodies = [(type(golden(each)[0]), golden(each, name)[1]) for each in GOLDEN]
    how: How = next(how for how in HOWS if how.name == name)
    unknown = how.bytes.struct(
        *[how.bytes.field(kind, id, each) for id, (kind, each) in enumerate(how.unknown.values(), 1)]
    )
    bodies += [(cls, unknown) for cls in (t.Empty, t.Optionals, t.Lists, t.Maps, t.Tree)]
    for number, (cls, body) in enumerate(bodies):
        flags = (0, IS_LIMITED, IS_INSIDE | IS_RECORD, IS_RECORD)[number % 4]
        yield bytes([t.CLASSES.index(cls) | flags]) + body

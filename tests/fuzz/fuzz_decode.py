"""Fuzz all wire protocol readers with mutated messages.

    python tests/fuzz/fuzz_decode.py [seconds] [seed]

Decoding gives a value or a `RemoteProtocolError`, never another exception, and the same from every backend; where
it gives a value, scanning ends at the same offset, and the value can be written and read again. The bytes of the
first finding are printed, and the exit code is 1.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
for folder in (ROOT / "runtime", ROOT / "tests" / "idlrt" / "serialization"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import wire_types as t  # noqa: E402
from golden_bytes import GOLDEN, golden  # noqa: E402
from protocols import HOWS, How  # noqa: E402

from idlrt.errors import LocalProtocolError, RemoteProtocolError  # noqa: E402

SMALL = {"max_message": 4096, "max_string": 64, "max_container": 16, "max_depth": 6}
NAMES = ("binary", "compact", "json")

Body = tuple[Any, bytes]
"""A class, and bytes that are or were a value of it."""


def seeds(name: str) -> list[Body]:
    """Valid values of every class, and a struct of everything that no class knows."""
    how = next(how for how in HOWS if how.name == name)
    found = [(type(golden(each)[0]), golden(each, name)[1]) for each in GOLDEN]
    fields = [how.bytes.field(kind, id, data) for id, (kind, data) in enumerate(how.unknown.values(), 1)]
    everything = how.bytes.struct(*fields)
    return [*found, *[(cls, everything) for cls in (t.Empty, t.Optionals, t.Lists, t.Maps, t.Tree)]]


# Mutations: the dice and some bytes → other bytes.


def flip(rng: random.Random, data: bytes, bodies: list[Body]) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        position = rng.randrange(len(changed))
        changed[position] ^= 1 << rng.randrange(8)
    return bytes(changed)


def replace(rng: random.Random, data: bytes, bodies: list[Body]) -> bytes:
    position = rng.randrange(len(data))
    return (
        data[:position]
        + bytes([rng.choice(b'\0\1\2\10\13\14\15\17\x1c\x7f\x80\xff{}[],:"\\019-')])
        + data[position + 1 :]
    )


def truncate(rng: random.Random, data: bytes, bodies: list[Body]) -> bytes:
    return data[: rng.randrange(len(data))]


def remove(rng: random.Random, data: bytes, bodies: list[Body]) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randint(1, 12) :]


def splice(rng: random.Random, data: bytes, bodies: list[Body]) -> bytes:
    other = rng.choice(bodies)[1]
    start = rng.randrange(len(other))
    position = rng.randrange(len(data) + 1)
    return data[:position] + other[start : start + rng.randint(1, 40)] + data[position:]


def put_length(rng: random.Random, data: bytes, bodies: list[Body]) -> bytes:
    length = rng.choice((0, 1, 255, 256, 65536, 2**31 - 1, 2**31, 2**32 - 1, len(data), len(data) - 1))
    how = rng.choice(HOWS)
    number = {"compact": how.bytes.i64, "json": how.bytes.i64}.get(how.name, lambda value: value.to_bytes(4, "big"))
    position = rng.randrange(len(data))
    return data[:position] + number(length) + data[position + rng.randint(1, 4) :]


def nest(rng: random.Random, data: bytes, bodies: list[Body]) -> bytes:
    how = rng.choice(HOWS)
    before, after = how.bytes.struct(how.bytes.field(t.STRUCT, rng.randint(1, 4), b"?")).split(b"?")
    levels = rng.randint(1, 80)
    return before * levels + data + after * levels


MUTATIONS: tuple[Callable[[random.Random, bytes, list[Body]], bytes], ...] = (
    flip,
    replace,
    truncate,
    remove,
    splice,
    put_length,
    nest,
)


def mutate(rng: random.Random, bodies: list[Body]) -> Body:
    """The bytes of a value, changed in a few places; now and then read as another class."""
    cls, data = rng.choice(bodies)
    for _ in range(rng.randint(1, 3)):
        if data:
            data = rng.choice(MUTATIONS)(rng, data, bodies)
    return (rng.choice(t.CLASSES) if rng.random() < 0.1 else cls), data[:20_000]


# What must hold.


def check(name: str, cls: Any, data: bytes) -> bool:
    """Read `data` in every way; whether it is a value.

    Raises:
        Exception: a finding.
    """
    hows = [how for how in HOWS if how.name == name]
    outcomes = [_decode(how, cls, data, {}) for how in hows]
    limited = [_decode(how, cls, data, SMALL) for how in hows]
    for each in (outcomes, limited):
        if any(repr(other) != repr(each[0]) for other in each):
            raise AssertionError(f"backends do not agree: {each}")
    end, small_end = outcomes[0], limited[0]
    if isinstance(small_end, tuple) and small_end != end and repr(small_end) != repr(end):
        raise AssertionError(f"with limits it is {small_end}, without {end}")
    scanned = _scan(hows[0], data, end[1] if isinstance(end, tuple) else len(data))
    if isinstance(end, tuple) and scanned != end[1]:
        raise AssertionError(f"decoded to {end[1]}, scanned to {scanned}")
    return isinstance(end, tuple)


def _decode(how: How, cls: Any, data: bytes, limits: dict[str, int]) -> tuple[Any, int] | str:
    """The value and where it ends, or the error."""
    codec = how(**limits).struct(cls)
    try:
        value, end = codec.decode(data)
    except RemoteProtocolError as error:
        if "do not agree" in str(error):
            raise AssertionError(str(error)) from error
        return str(error)
    try:
        again = codec.encode(value)
    except LocalProtocolError as error:
        # Only a union whose field a newer peer alone knows can be read and not written.
        if "is a union: exactly one field must be set, got none" in str(error):
            return value, end
        raise AssertionError(f"{value!r} was read and cannot be written") from error
    if how().struct(t.Empty).decode(again)[1] != len(again):
        raise AssertionError(f"what was written of {value!r} does not end where it should")
    return value, end


def _scan(how: How, data: bytes, end: int) -> int | None:
    """Where the scanner ends; `end` is where the body does."""
    message = how.head + data[:end] + how.envelope().tail + data[end:]
    ends: list[int | None] = []
    for pieces in ((len(message),), (len(message) // 2, len(message)), range(0, len(message) + 1, 7)):
        scanner, found = how.envelope().scanner(), None
        try:
            for piece in pieces:
                found = scanner.scan(message[:piece])
                if found is not None:
                    break
            else:
                found = scanner.scan(message)
        except RemoteProtocolError:
            found = -1
        ends.append(found)
    if len(set(ends)) != 1:
        raise AssertionError(f"scanned to {ends}, depending on how the bytes came")
    return ends[0] - len(how.head) - len(how.envelope().tail) if ends[0] is not None and ends[0] >= 0 else None


def run(seed: int, *, cases: int | None = None, seconds: float | None = None) -> tuple[int, int]:
    """Check `cases` inputs, or inputs for `seconds`; return the number of cases and of those that were values.

    Raises:
        AssertionError: a finding, with its bytes.
    """
    rng, bodies = random.Random(seed), {name: seeds(name) for name in NAMES}
    end = None if seconds is None else time.monotonic() + seconds
    count = values = 0
    while (cases is None or count < cases) and (end is None or time.monotonic() < end):
        name = NAMES[count % len(NAMES)]
        cls, data = mutate(rng, bodies[name])
        count += 1
        try:
            values += check(name, cls, data)
        except Exception as error:
            raise AssertionError(f"case {count} of seed {seed}, {name}, {cls.__name__}: {data.hex()}") from error
    return count, values


def main(arguments: list[str]) -> int:
    """Run for a while; the exit code."""
    seconds = float(arguments[0]) if arguments else 60.0
    seed = int(arguments[1]) if len(arguments) > 1 else random.randrange(2**32)
    sys.stderr.write(f"decode: {seconds:g} s, seed {seed}\n")
    count, values = run(seed, seconds=seconds)
    sys.stderr.write(f"decode: {count} cases, {values} of them values, no findings\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

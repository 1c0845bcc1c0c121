"""Throws mutated messages at everything that reads the binary protocol, for a while.

    python tests/fuzz/fuzz_binary_decode.py [seconds] [seed]

Decoding gives a value or a `RemoteProtocolError`, never another exception; where it gives a value, skipping and
scanning come to the same end, and the value can be written and read again. The bytes of the first finding are
printed, and the exit code is 1.
"""

from __future__ import annotations

import random
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
for folder in (ROOT / "runtime", ROOT / "tests" / "idlrt" / "wire"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import wire_types as t  # noqa: E402
from golden_bytes import GOLDEN  # noqa: E402

from idlrt.errors import LocalProtocolError, RemoteProtocolError  # noqa: E402
from idlrt.wire import BinaryProtocol, Limits  # noqa: E402
from idlrt.wire._binary_skip import skip  # noqa: E402
from idlrt.wire._binary_values import PADDING  # noqa: E402
from idlrt.wire.faults import Fault  # noqa: E402

HEAD = bytes.fromhex("80010001 00000001 61 00000001")
PROTOCOLS = (BinaryProtocol(), BinaryProtocol(Limits(max_message=4096, max_string=64, max_container=16, max_depth=6)))

Body = tuple[Any, bytes]
"""A class, and bytes that are or were a value of it."""


def seeds() -> list[Body]:
    """Valid values of every class, and a struct of everything that no class knows."""
    found = [(type(value), bytes.fromhex(data)) for value, data in GOLDEN.values()]
    fields = b"".join(t.field(kind, id, data) for id, (kind, data) in enumerate(t.UNKNOWN_VALUES.values(), 1))
    return [*found, *[(cls, fields + b"\0") for cls in (t.Empty, t.Optionals, t.Lists, t.Maps, t.Tree)]]


# Mutations: the dice and some bytes → other bytes.


def flip(dice: random.Random, data: bytes, bodies: list[Body]) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        position = dice.randrange(len(changed))
        changed[position] ^= 1 << dice.randrange(8)
    return bytes(changed)


def replace(dice: random.Random, data: bytes, bodies: list[Body]) -> bytes:
    position = dice.randrange(len(data))
    return data[:position] + bytes([dice.choice((0, 1, 2, 8, 11, 12, 13, 15, 127, 128, 255))]) + data[position + 1 :]


def truncate(dice: random.Random, data: bytes, bodies: list[Body]) -> bytes:
    return data[: dice.randrange(len(data))]


def remove(dice: random.Random, data: bytes, bodies: list[Body]) -> bytes:
    start = dice.randrange(len(data))
    return data[:start] + data[start + dice.randint(1, 12) :]


def splice(dice: random.Random, data: bytes, bodies: list[Body]) -> bytes:
    other = dice.choice(bodies)[1]
    start = dice.randrange(len(other))
    position = dice.randrange(len(data) + 1)
    return data[:position] + other[start : start + dice.randint(1, 40)] + data[position:]


def put_length(dice: random.Random, data: bytes, bodies: list[Body]) -> bytes:
    length = dice.choice((0, 1, 255, 256, 65536, 2**31 - 1, 2**31, 2**32 - 1, len(data), len(data) - 1))
    position = dice.randrange(len(data))
    return data[:position] + struct.pack(">I", length) + data[position + 4 :]


def nest(dice: random.Random, data: bytes, bodies: list[Body]) -> bytes:
    return t.field(t.STRUCT, dice.randint(1, 4), b"") * dice.randint(1, 80) + data


MUTATIONS: tuple[Callable[[random.Random, bytes, list[Body]], bytes], ...] = (
    flip,
    replace,
    truncate,
    remove,
    splice,
    put_length,
    nest,
)


def mutate(dice: random.Random, bodies: list[Body]) -> Body:
    """The bytes of a value, changed in a few places; now and then read as another class."""
    cls, data = dice.choice(bodies)
    for _ in range(dice.randint(1, 3)):
        if data:
            data = dice.choice(MUTATIONS)(dice, data, bodies)
    return (dice.choice(t.CLASSES) if dice.random() < 0.1 else cls), data[:20_000]


# What must hold.


def check(cls: Any, data: bytes) -> bool:
    """Read `data` in every way; whether it is a value.

    Raises:
        Exception: a finding.
    """
    ends = [_decode(protocol, cls, data) for protocol in PROTOCOLS]
    if ends[1] is not None and ends[0] != ends[1]:
        raise AssertionError(f"with limits it ends at {ends[1]}, without at {ends[0]}")
    skipped, scanned = _skip(data), _scan(data)
    if ends[0] is not None and not ends[0] == skipped == scanned:
        raise AssertionError(f"decoded to {ends[0]}, skipped to {skipped}, scanned to {scanned}")
    return ends[0] is not None


def _decode(protocol: BinaryProtocol, cls: Any, data: bytes) -> int | None:
    codec = protocol.struct(cls)
    try:
        value, end = codec.decode(data)
    except RemoteProtocolError as error:
        if "do not agree" in str(error):
            raise AssertionError(str(error)) from error
        return None
    try:
        again = codec.encode(value)
    except LocalProtocolError as error:
        # Only a union whose field a newer peer alone knows can be read and not written.
        if "is a union and must have one field set, not none" in str(error):
            return end
        raise AssertionError(f"{value!r} was read and cannot be written") from error
    if PROTOCOLS[0].struct(t.Empty).decode(again)[1] != len(again):
        raise AssertionError(f"what was written of {value!r} does not end where it should")
    return end


def _skip(data: bytes) -> int | None:
    try:
        end = skip(data + PADDING, 0, len(data), t.STRUCT, 64, 64)
    except (Fault, IndexError, struct.error):
        return None
    return end if end <= len(data) else None


def _scan(data: bytes) -> int | None:
    message = HEAD + data
    ends: list[int | None] = []
    for pieces in ((len(message),), (len(message) // 2, len(message)), range(0, len(message) + 1, 7)):
        scanner, end = PROTOCOLS[0].scanner(), None
        try:
            for piece in pieces:
                end = scanner.scan(message[:piece])
                if end is not None:
                    break
            else:
                end = scanner.scan(message)
        except RemoteProtocolError:
            end = -1
        ends.append(end)
    if len(set(ends)) != 1:
        raise AssertionError(f"scanned to {ends}, depending on how the bytes came")
    return ends[0] - len(HEAD) if ends[0] is not None and ends[0] >= 0 else None


def run(seed: int, *, cases: int | None = None, seconds: float | None = None) -> tuple[int, int]:
    """Check so many cases, or for so long: how many there were, and how many of them were values.

    Raises:
        AssertionError: a finding, with its bytes.
    """
    dice, bodies = random.Random(seed), seeds()
    end = None if seconds is None else time.monotonic() + seconds
    count = values = 0
    while (cases is None or count < cases) and (end is None or time.monotonic() < end):
        cls, data = mutate(dice, bodies)
        count += 1
        try:
            values += check(cls, data)
        except Exception as error:
            raise AssertionError(f"case {count} of seed {seed}, {cls.__name__}: {data.hex()}") from error
    return count, values


def main(arguments: list[str]) -> int:
    """Run for a while; the exit code."""
    seconds = float(arguments[0]) if arguments else 60.0
    seed = int(arguments[1]) if len(arguments) > 1 else random.randrange(2**32)
    sys.stderr.write(f"binary_decode: {seconds:g} s, seed {seed}\n")
    count, values = run(seed, seconds=seconds)
    sys.stderr.write(f"binary_decode: {count} cases, {values} of them values, no findings\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

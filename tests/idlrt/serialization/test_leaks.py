"""Nothing is left behind by codecs, nor taken from what they share, whether reading succeeds or fails."""

from __future__ import annotations

import contextlib
import gc
import random
import sys

import pytest
import wire_types as t
from protocols import each_protocol

from idlrt.errors import LocalProtocolError, RemoteProtocolError

pytestmark = pytest.mark.long

# Blocks that may come and go by themselves: free lists, caches of the interpreter.
NOISE = 300


def values():
    """A value of every class, always the same."""
    found = [
        t.Scalars(
            flag=True,
            tiny=1,
            small=2,
            middle=3,
            large=4,
            real=0.5,
            text="é",
            data=b"x",
            uid=t.UUID(int=7),
            color=t.Color.RED,
        ),
        t.Tree(value=1, children=[t.Tree(value=2), t.Tree(left=t.Tree())]),
        t.Pick(point=t.Point(x=1)),
        t.Broke(code=1, why="so", notes=["a"]),
        t.Defaults(),
        t.Optionals(color=t.Color(77), uid=t.UUID(int=1), text="text"),
        t.Lists(flags=[True], texts=["a", "bc"], points=[t.Point(x=1)], maps=[{"k": 1}], colors=[t.Color.BLUE]),
        t.Sets(texts={"a"}, lists={(1, 2)}, sets={frozenset({"x"})}, points={t.Point(x=3)}),
        t.Maps(
            counts={"key": 1},
            by_list={("a",): 1},
            deep={"a": {1: [t.Pick(text="t")]}},
            members={t.Color.RED: t.Point(x=1)},
        ),
    ]
    return [*found, t.Empty()]


def exercise(codec, value, data, damaged):
    for _ in range(20):
        assert codec.decode_whole(codec.encode(value)) == value
    for each in damaged:
        with contextlib.suppress(RemoteProtocolError):
            codec.decode_whole(each)


def damage(data):
    rng = random.Random(5)
    cut = [data[:size] for size in range(len(data))]
    flipped = []
    for _ in range(40):
        changed = bytearray(data or b"\0")
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        flipped.append(bytes(changed))
    return cut + flipped


@each_protocol
def test_memory_is_given_back(how):
    protocol = how()
    for value in values():
        codec = protocol.struct(type(value))
        data = codec.encode(value)
        damaged = damage(data)
        for _ in range(3):
            exercise(codec, value, data, damaged)
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(5):
            exercise(codec, value, data, damaged)
        gc.collect()
        assert sys.getallocatedblocks() - before < NOISE, type(value).__name__


@each_protocol
def test_what_is_shared_is_counted_right(how):
    protocol = how()
    shared = [None, True, False, t.Color.RED, t.Color.BLUE, t.Point, t.Broke, t.Pick, t.Tree, "nobody", "key", b"", ()]
    codecs = [(protocol.struct(type(value)), value) for value in values()]
    work = [(codec, value, codec.encode(value), damage(codec.encode(value))) for codec, value in codecs]
    for each in work:
        exercise(*each)
    gc.collect()
    before = [sys.getrefcount(each) for each in shared]
    for _ in range(3):
        for each in work:
            exercise(*each)
    gc.collect()
    after = [sys.getrefcount(each) for each in shared]
    changed = {repr(each): b - a for each, a, b in zip(shared, before, after, strict=True) if abs(b - a) > 40}
    assert changed == {}


@each_protocol
def test_a_value_that_cannot_be_written_leaves_nothing(how):
    codec = how().struct(t.Lists)
    bad = t.Lists(texts=["fine", "x" * 70_000, 5])

    def refuse():
        with pytest.raises(LocalProtocolError, match=r"Lists\.texts\[2\]"):
            codec.encode(bad)

    for _ in range(5):
        refuse()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(50):
        refuse()
    gc.collect()
    assert sys.getallocatedblocks() - before < NOISE


@pytest.mark.slow
@each_protocol
def test_a_million_round_trips(how):
    codec = how().struct(t.Tree)
    value = t.Tree(value=1, children=[t.Tree(value=2)], left=t.Tree(value=3))
    data = codec.encode(value)
    encode, decode = codec.encode, codec.decode_whole
    for _ in range(1000):
        decode(encode(value))
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(1_000_000 if how.backend == "native" else 20_000):
        decode(data)
        encode(value)
    gc.collect()
    # One block a trip would be 20,000 at least.
    assert sys.getallocatedblocks() - before < 4 * NOISE

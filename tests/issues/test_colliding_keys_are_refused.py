"""Sets and maps whose keys were made to collide are refused, by all protocols and both backends alike."""

from __future__ import annotations

import functools
import random
import uuid
from typing import Any

import pytest
import wire_types as t
from protocols import HOWS

from idlrt import codegen as rpc
from idlrt.errors import RemoteProtocolError
from idlrt.serialization._hash_probes import HashProbes
from idlrt.serialization.errors import DecodeError

PROTOCOLS = ("binary", "compact", "json")
COUNT = 5000
TABLE = 8192  # of a dict while it grows from 2730 to 5461 keys

KEYS = t.optionals(
    "Keys",
    numbers=rpc.set_of(rpc.I64),
    small=rpc.map_of(rpc.I32, rpc.BOOL),
    large=rpc.map_of(rpc.I64, rpc.STRING),
    reals=rpc.map_of(rpc.DOUBLE, rpc.BOOL),
    uuids=rpc.map_of(rpc.UUID, rpc.BOOL),
    uuid_set=rpc.set_of(rpc.UUID),
    lists=rpc.set_of(rpc.frozen_list_of(rpc.UUID)),
    sets=rpc.map_of(rpc.frozen_set_of(rpc.UUID), rpc.BOOL),
    maps=rpc.map_of(rpc.frozen_map_of(rpc.I32, rpc.UUID), rpc.BOOL),
    frozen=rpc.map_of(rpc.frozen_map_of(rpc.I64, rpc.BOOL), rpc.BOOL),
)


@functools.cache
def crafted() -> tuple[int, ...]:
    """Numbers that fill places one step from each other, then such that find all those places taken."""
    chain = [0]
    while len(chain) < 2900:
        chain.append((5 * chain[-1] + 1) % TABLE)
    taken = {slot: index for index, slot in enumerate(chain)}
    keys = list(chain)
    for high in range(1, 256):
        for slot in chain:
            key = perturb = slot + TABLE * high
            while perturb and slot in taken:
                perturb >>= 5
                slot = (5 * slot + perturb + 1) % TABLE
            if taken.get(slot, len(chain)) < 1500:
                keys.append(key)
            if len(keys) == COUNT:
                return tuple(keys)
    raise AssertionError("too few numbers collide")


def same_hash(count: int) -> list[uuid.UUID]:
    return [uuid.UUID(int=7 + i * (2**61 - 1)) for i in range(count)]


CRAFTED: dict[str, Any] = {
    "set of i64": lambda: {"numbers": set(crafted())},
    "map of i32": lambda: {"small": dict.fromkeys(crafted(), True)},
    "map of i64": lambda: {"large": dict.fromkeys(crafted(), "")},
    "map of doubles": lambda: {"reals": dict.fromkeys(map(float, crafted()), True)},
    "map of uuids": lambda: {"uuids": dict.fromkeys(same_hash(300), True)},
    "set of uuids": lambda: {"uuid_set": set(same_hash(300))},
    "set of lists": lambda: {"lists": {(each,) for each in same_hash(300)}},
    "map of sets": lambda: {"sets": {frozenset({each}): True for each in same_hash(300)}},
    "map of maps": lambda: {"maps": {rpc.FrozenMap({1: each}): True for each in same_hash(300)}},
    "map within a key": lambda: {"frozen": {rpc.FrozenMap(dict.fromkeys(crafted(), True)): True}},
}
HONEST: dict[str, Any] = {
    "in order": lambda: {"numbers": set(range(10**9, 10**9 + COUNT))},
    "negative": lambda: {"large": dict.fromkeys(range(-COUNT, 0), "")},
    "snowflakes": lambda: {"large": {(i << 22) | (i % 7): "" for i in range(COUNT)}},
    "random": lambda: {"small": dict.fromkeys(random.Random(7).sample(range(2**31), COUNT), False)},
    "reals": lambda: {"reals": {i / 8: True for i in range(COUNT)}},
    "uuids": lambda: {"uuids": {uuid.UUID(int=random.Random(i).getrandbits(128)): True for i in range(COUNT)}},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", CRAFTED)
def test_crafted_keys_are_refused_alike_by_all_backends(name: str, protocol: str) -> None:
    value = KEYS(**CRAFTED[name]())
    texts = set()
    for how in (how for how in HOWS if how.name == protocol):
        codec = how().struct(KEYS)
        data = codec.encode(value)
        with pytest.raises(RemoteProtocolError) as caught:
            codec.decode_whole(data)
        texts.add(str(caught.value))
    assert len(texts) == 1
    assert "too many hash collisions between keys at offset " in texts.pop()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", HONEST)
def test_other_keys_are_read(name: str, protocol: str) -> None:
    value = KEYS(**HONEST[name]())
    for how in (how for how in HOWS if how.name == protocol):
        codec = how().struct(KEYS)
        assert codec.decode_whole(codec.encode(value)) == value


@pytest.mark.parametrize("shift", range(0, 60, 3))
def test_regular_keys_do_not_come_near_the_limit(shift: int) -> None:
    for count in (1024, 3000):
        probes = HashProbes(count * 2 // 3)  # two thirds of the steps
        for i in range(count):
            key = i << shift
            probes.look(key, 0)
            probes.added(key)


def test_the_same_few_keys_again_and_again_do_not_count_as_colliding() -> None:
    build = HOWS[0].bytes
    data = build.struct(build.field(t.SET, 1, build.sequence(t.I64, *[build.i64(i % 50) for i in range(COUNT)])))
    for how in (how for how in HOWS if how.name == HOWS[0].name):
        assert how().struct(KEYS).decode_whole(data).numbers == set(range(50))


def test_the_steps_are_counted_not_the_time() -> None:
    probes = HashProbes(COUNT)

    def add_all() -> None:
        for key in crafted():
            probes.look(key, 0)
            probes.added(key)

    with pytest.raises(DecodeError, match="hash collisions"):
        add_all()


def test_maps_as_keys_hash_by_value_in_any_order() -> None:
    pairs = [(i, (i,)) for i in range(100)]
    one, other = rpc.FrozenMap(pairs), rpc.FrozenMap(reversed(pairs))
    assert one == other
    assert hash(one) == hash(other) != hash(rpc.FrozenMap(pairs[1:]))

"""Decoded size limit: memory of a message is bounded, not only its bytes, in all protocols and both backends."""

from __future__ import annotations

import contextlib
import gc
import struct
import tracemalloc
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import wire_types as t
from hand_written import GET, JOIN, SERVICE, requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from protocols import HOWS, each_protocol

from idlrt import codegen as rpc
from idlrt.errors import RemoteProtocolError
from idlrt.protocol.events import RequestReceived, ResponseReceived
from idlrt.protocol.thrift.connection import ClientConnection, ServerConnection
from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.protocol.thrift.sniff import detector
from idlrt.serialization import Limits
from idlrt.testing.strategies import values

PROTOCOLS = ("binary", "compact", "json")
FLOOR = 4 << 20
N = 500
WIDE = t.optionals("Wide", **{f"field{i}": rpc.I32 for i in range(160)})
NARROW = t.optionals("Narrow", **{f"field{i}": rpc.I32 for i in range(20)})
NARROWS = t.optionals("Narrows", narrows=rpc.list_of(rpc.struct(NARROW)))
WIDES = t.optionals("Wides", wides=rpc.list_of(rpc.struct(WIDE)))

# A value of each kind that takes memory; what it is of does not matter.
VALUES: dict[str, Any] = {
    "text": t.Optionals(text="x" * N),
    "binary": t.Optionals(data=b"x" * N),
    "scalars": t.Optionals(large=2**60, real=0.1, uid=uuid.UUID(int=2**127), color=t.Color(77), middle=2**30),
    "list of bools": t.Lists(flags=[True] * N),
    "list of i8": t.Lists(tinies=[-100] * N),
    "list of i32": t.Lists(middles=list(range(10**6, 10**6 + N))),
    "list of i64": t.Lists(larges=list(range(2**40, 2**40 + N))),
    "list of doubles": t.Lists(reals=[i / 7 for i in range(N)]),
    "list of texts": t.Lists(texts=[f"text {i}" for i in range(N)]),
    "list of binaries": t.Lists(blobs=[b"%d" % i for i in range(N)]),
    "list of uuids": t.Lists(uids=[uuid.UUID(int=2**127 + i) for i in range(N)]),
    "list of enums": t.Lists(colors=[t.Color.RED] * N),
    "list of unknown enums": t.Lists(colors=[t.Color(i) for i in range(100, 100 + N)]),
    "list of structs": t.Lists(points=[t.Point(x=i) for i in range(N)]),
    "list of unions": t.Lists(picks=[t.Pick(text=f"text {i}") for i in range(N)]),
    "list of lists": t.Lists(lists=[[] for _ in range(N)]),
    "list of sets": t.Lists(sets=[{"a", "b"} for _ in range(N)]),
    "list of maps": t.Lists(maps=[{"a": 2**40, "b": 1} for _ in range(N)]),
    "list of empty structs": NARROWS(narrows=[NARROW() for _ in range(N)]),
    "set of i64": t.Sets(larges=set(range(2**40, 2**40 + N))),
    "set of texts": t.Sets(texts={f"text {i}" for i in range(N)}),
    "set of uuids": t.Sets(uids={uuid.UUID(int=2**127 + i) for i in range(N)}),
    "set of structs": t.Sets(points={t.Point(x=i) for i in range(N)}),
    "set of lists": t.Sets(lists={(i, 2**20) for i in range(N)}),
    "set of maps": t.Sets(maps={rpc.FrozenMap({i: (True,)}) for i in range(N)}),
    "map of numbers": t.Maps(numbers={i: i / 7 for i in range(2**20, 2**20 + N)}),
    "map of texts": t.Maps(words={f"key {i}": f"value {i}" for i in range(N)}),
    "map of structs": t.Maps(by_point={t.Point(x=i): "" for i in range(N)}),
    "map of maps": t.Maps(deep={f"key {i}": {} for i in range(N)}),
    "exception": t.Broke(code=1, why="x", notes=[f"note {i}" for i in range(N)]),
    "tree": t.Tree(children=[t.Tree(left=t.Tree()) for _ in range(N)]),
}


def cost_of(how: Any, value: Any, data: bytes) -> int:
    """Return the exact memory charge of the fields of `value`."""
    fields = type(value).__thrift_fields__
    cost: int = how().record(fields).decode_measured(data)[2]
    with contextlib.suppress(RemoteProtocolError):  # Pure codecs count only where a message might be over its budget.
        cost = how(max_decoded=cost - 1).record(fields).decode_measured(data)[2]
    return cost


def refusal_of(read: Callable[[], object]) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        read()
    return str(caught.value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", VALUES)
def test_every_kind_of_value_counts_and_alike_in_all_backends(kind: str, protocol: str) -> None:
    value = VALUES[kind]
    fields = type(value).__thrift_fields__
    hows = [how for how in HOWS if how.name == protocol]
    data = hows[0]().struct(type(value)).encode(value)
    costs = {cost_of(how, value, data) for how in hows}
    assert len(costs) == 1
    (cost,) = costs
    assert all(how(max_decoded=cost).record(fields).decode(data)[1] == len(data) for how in hows)
    less = cost - 1
    texts = {refusal_of(lambda how=how: how(max_decoded=less).record(fields).decode(data)) for how in hows}  # type: ignore[misc]
    assert len(texts) == 1
    assert f"exceed the limit max_decoded={less}" in texts.pop()


@each_protocol
@pytest.mark.parametrize("kind", VALUES)
def test_the_count_is_not_less_than_what_python_takes(how: Any, kind: str) -> None:
    value = VALUES[kind]
    data = how().struct(type(value)).encode(value)
    codec = how().record(type(value).__thrift_fields__)
    cost = cost_of(how, value, data)
    codec.decode(data)
    # Threads that other tests have left behind take memory, too: then it is measured again.
    assert any(taken_by(lambda: codec.decode(data)) <= cost + 1000 for _ in range(5))


def taken_by(work: Callable[[], object]) -> int:
    """Bytes of memory that the result of `work` takes."""
    gc.collect()
    tracemalloc.start()
    try:
        made = work()
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del made
    return taken


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("cls", t.CLASSES)
@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_all_backends_refuse_the_same_with_the_same_text(protocol: str, cls: Any, data: st.DataObject) -> None:
    value = data.draw(values(cls))
    hows = [how for how in HOWS if how.name == protocol]
    encoded = hows[0]().struct(cls).encode(value)
    limits = {"max_decoded": data.draw(st.integers(0, 6 * len(encoded) + 400) | st.integers(0, 4000))}

    def outcome(how: Any) -> object:
        try:
            return how(**limits).struct(cls).decode_whole(encoded)
        except RemoteProtocolError as error:
            return str(error)

    first, *others = [outcome(how) for how in hows]
    assert all(other == first for other in others)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_short_message_does_not_become_large(protocol: str) -> None:
    hows = [how for how in HOWS if how.name == protocol]
    build = hows[0].bytes
    count = 10_000
    one = build.struct()
    data = build.struct(build.field(t.LIST, 1, build.sequence(t.STRUCT, *[one] * count)))
    texts = set()
    for how in hows:
        read = how().struct(WIDES).decode_whole
        tracemalloc.start()
        try:
            texts.add(refusal_of(lambda read=read: read(data)))  # type: ignore[misc]
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < FLOOR + 300 * len(data)
    assert len(texts) == 1
    text = texts.pop()
    assert f"exceed {FLOOR} bytes plus max_expansion=256 * {len(data)} received bytes" in text
    for how in hows:
        assert len(how(max_expansion=10_000).struct(WIDES).decode_whole(data).wides) == count


@each_protocol
def test_skipped_values_cost_nothing(how: Any) -> None:
    value = VALUES["list of empty structs"]
    data = how().struct(NARROWS).encode(value)
    assert how(max_decoded=len(data) + 200).struct(t.Empty).decode_whole(data) == t.Empty()


@each_protocol
def test_a_message_counts_among_what_its_values_need(how: Any) -> None:
    data = how().struct(t.Optionals).encode(t.Optionals(text="x" * 5000))
    text = refusal_of(lambda: how(max_decoded=4000).struct(t.Optionals).decode_whole(data))
    assert text.endswith("decoded values at offset 0 exceed the limit max_decoded=4000")


# Compressed messages: what arrived counts.

ZLIB = dialect("header_zlib")
EMPTY_TEXTS = struct.pack(">BhBI", t.LIST, 1, t.STRING, 3_000_000) + bytes(4) * 3_000_000 + b"\0"


def calls_of(data: bytes, limits: Limits | None = None) -> list[RequestReceived]:
    connection = ServerConnection(detector(limits) if limits else detector(), SERVICE.methods)
    events = connection.receive_data(data)
    assert all(isinstance(event, RequestReceived) for event in events)
    return events  # type: ignore[return-value]


def packed(kind: MessageType, number: int, body: bytes) -> bytes:
    return ZLIB.pack(kind, "join", number, body)


def peak_of(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_compressed_call_is_measured_by_what_arrived() -> None:
    frame = packed(MessageType.CALL, 1, EMPTY_TEXTS)
    assert len(frame) < 20_000
    found: list[Any] = []
    assert peak_of(lambda: found.extend(calls_of(frame))) < 3 * FLOOR + 600 * len(frame)
    assert "exceed 4194304 bytes plus max_expansion=256 * " in found[0].refusal.message
    # Within the budget of its unpacked bytes, but not with what its texts are.
    frame = packed(MessageType.CALL, 1, EMPTY_TEXTS[:4] + struct.pack(">I", 400_000) + bytes(1_600_001))
    connection = ServerConnection(detector(), SERVICE.methods)
    (call,) = calls_of(frame)
    assert peak_of(lambda: refusal_of(lambda: connection.arguments(call))) < FLOOR + 600 * len(frame)
    (call,) = calls_of(frame, Limits(max_expansion=1 << 20))
    ((words, _), _) = ServerConnection(detector(), SERVICE.methods).arguments(call)
    assert len(words) == 400_000


def test_a_compressed_answer_is_measured_by_what_arrived() -> None:
    client = ClientConnection(dialect("header"))
    number, _ = client.request(JOIN, ([], "-"))
    body = struct.pack(">BhI", t.STRING, 0, 12_000_000) + bytes(12_000_001)
    (reply,) = client.receive_data(packed(MessageType.REPLY, number, body))
    assert isinstance(reply, ResponseReceived)
    assert "decoded values at offset" in refusal_of(lambda: reply.result())


def test_calls_that_have_to_wait_stay_as_they_came_unless_they_are_small() -> None:
    large = ([""] * 40_000, "-")
    first, second, third = calls_of(requests((JOIN, large), (JOIN, large), (GET, (1,))))
    assert (second.arguments, third.arguments) in ((None, (1,)), (None, None))
    connection = ServerConnection(detector(), SERVICE.methods)
    assert connection.arguments(second) == connection.arguments(first)
    assert connection.arguments(third)[0] == (1,)

"""Whatever waits in an agent is merged, and whatever becomes of it, the collector counts exactly."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_senders import Collected, Program

from idlrt.collector.api import Packet, SpanBatch
from idlrt.collector.merging import PacketBuffer
from idlrt.collector.packets import merged_of
from idlrt.collector.span_queue import SpanQueue
from idlrt.errors import RemoteProtocolError

steps = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 10**10)), max_size=8),
        # What becomes of the packets of a snapshot on the way to the agent.
        st.sampled_from(["arrive", "arrive", "lost", "twice", "reversed", "direct", "late"]),
        # What the agent does then: whether the collector is there, and how many packets it takes.
        st.sampled_from(["away", "away", "there", "half", "answer lost"]),
    ),
    max_size=15,
)


def forward(buffer: PacketBuffer, collected: Collected, fate: str) -> None:
    """Forward what waits, once."""
    for number, packet in enumerate(buffer.take(100)):
        if fate == "away" or (fate == "half" and number % 2):
            buffer.failed(packet)
            continue
        collected.take(packet)
        if fate == "answer lost":
            buffer.failed(packet)
        else:
            buffer.sent(packet)


@given(steps, st.sampled_from([150, 400, 60_000]))
def test_counts_are_exact_whatever_is_merged(history: Any, size: int) -> None:
    program, collected, buffer = Program(), Collected(), PacketBuffer()
    late: list[Packet] = []
    for calls, fate, collector in history:
        for method, duration in calls:
            program.count(method, duration)
        packets = program.packets(size)
        if fate == "late":
            late += packets
        elif fate == "direct":
            for packet in packets:
                collected.take(packet)
        elif fate != "lost":
            for packet in reversed(packets) if fate == "reversed" else packets:
                assert buffer.put(packet) is not None
                if fate == "twice":
                    assert buffer.put(packet) == 0
        forward(buffer, collected, collector)
    for packet in [*late, *program.packets(size)]:
        buffer.put(packet)
    forward(buffer, collected, "there")
    assert collected.agrees(program)
    assert len(buffer) == buffer.cells == 0


@given(st.integers(1, 8), st.sampled_from([150, 60_000]))
def test_packets_that_are_merged_are_not_missing(snapshots: int, size: int) -> None:
    program, collected, buffer = Program(), Collected(), PacketBuffer()
    forward(buffer, collected, "there")
    sent = 0
    for _ in range(snapshots):
        for method in "abcdefgh":
            program.count(method, 1)
        packets = program.packets(size)
        sent += len(packets)
        for packet in packets:
            buffer.put(packet)
    # Of many snapshots one is left.
    assert len(buffer) == len(packets)
    forward(buffer, collected, "there")
    assert collected.missing == 0
    assert collected.agrees(program)
    for state in collected.senders.states():
        assert state.sequence == sent


def test_what_is_lost_before_the_agent_is_missing() -> None:
    program, collected, buffer = Program(), Collected(), PacketBuffer()
    for number in range(6):
        program.count("a", 1)
        [packet] = program.packets()
        if number != 2:
            buffer.put(packet)
    [packet] = buffer.take(10)
    assert packet.merged == [1, 2, 4, 5]
    collected.take(packet)
    assert collected.missing == 1


def test_a_packet_that_is_on_its_way_is_replaced() -> None:
    program, collected, buffer = Program(), Collected(), PacketBuffer()
    program.count("a", 1)
    buffer.put(program.packets()[0])
    [first] = buffer.take(10)
    program.count("a", 2)
    assert buffer.put(program.packets()[0]) == 1
    [second] = buffer.take(10)
    assert (first.sequence, second.sequence, second.merged) == (1, 2, [1, 1])
    # The second one is done first, then the first one fails: there is nothing to send again.
    collected.take(second)
    buffer.sent(second)
    buffer.failed(first)
    assert buffer.take(10) == []
    assert len(buffer) == 0
    assert collected.missing == 0
    assert collected.agrees(program)


def test_the_mark_of_the_last_packet_stays() -> None:
    program, collected, buffer = Program(), Collected(), PacketBuffer()
    program.count("a", 1)
    packets = [program.packets()[0] for _ in range(3)]
    packets[1].is_last = True
    for packet in packets:
        buffer.put(packet)
    [left] = buffer.take(10)
    assert left.is_last
    collected.take(left)
    assert [each.is_over for each in collected.senders.states()] == [True]


def test_what_waits_is_bounded_by_the_number_of_series() -> None:
    clock = itertools.count()
    buffer = PacketBuffer(max_cells=10, wall=lambda: float(next(clock)))
    programs = [Program(id) for id in (1, 2)]
    for each in programs:
        each.count("a", 1)
    for _ in range(100):
        for each in programs:
            each.count("a", 1)
            assert buffer.put(each.packets()[0]) is not None
    assert (len(buffer), buffer.cells) == (2, 6)
    third = Program(3)
    for method in "abc":
        third.count(method, 1)
    # There is no space for all of its 7 cells.
    assert buffer.put(third.packets()[0]) is None
    assert (len(buffer), buffer.cells) == (2, 6)


def test_processes_that_are_silent_for_a_day_are_forgotten() -> None:
    at = 0.0
    buffer = PacketBuffer(wall=lambda: at)
    buffer.put(Program(1).packets()[0])
    at = 50_000.0
    buffer.put(Program(2).packets()[0])
    assert buffer.forget_silent() == 0
    at = 100_000.0
    assert buffer.forget_silent() == 1
    assert [each.sender.id for each in buffer.take(10)] == [2]


def test_one_packet_that_fails_does_not_hold_others_back() -> None:
    buffer = PacketBuffer()
    for id in (1, 2, 3):
        buffer.put(Program(id).packets()[0])
    [first] = buffer.take(1)
    buffer.failed(first)
    assert [each.sender.id for each in buffer.take(3)] == [2, 3, 1]


@pytest.mark.parametrize("merged", [[3, 2], [0, 1], [1, 9], [9, 9]])
def test_invalid_ranges_are_refused(merged: list[int]) -> None:
    packet = Program().packets()[0]
    packet.sequence, packet.merged = 9, merged
    with pytest.raises(RemoteProtocolError, match="packet with the number 9: it cannot replace"):
        merged_of(packet)
    with pytest.raises(RemoteProtocolError):
        PacketBuffer().put(packet)
    with pytest.raises(RemoteProtocolError):
        Collected().take(packet)


def test_ranges_of_any_length_take_little() -> None:
    packet = Program().packets()[0]
    packet.sequence, packet.merged = 1 << 60, [1, (1 << 60) - 1]
    assert len(merged_of(packet)) == 1000


def batch(*spans: bytes) -> SpanBatch:
    return SpanBatch(service="shop", spans=bytes([0x90 + len(spans)]) + b"".join(spans))


def test_the_oldest_spans_are_dropped() -> None:
    queue = SpanQueue(max_bytes=10)
    assert queue.put(batch(b"\x01", b"\x02")) == (2, 0)
    assert queue.put(batch(b"\x03", b"\x04", b"\x05")) == (3, 0)
    assert queue.put(batch(*[b"\x06"] * 6)) == (6, 5)
    found = queue.take()
    assert found == (batch(*[b"\x06"] * 6), 6)
    assert (queue.take(), queue.spans) == (None, 0)
    assert queue.put_back(*found) == 0
    queue.put(batch(b"\x07"))
    assert queue.put(batch(b"\x08")) == (1, 6)
    # The one that comes back is the oldest.
    assert queue.put_back(*found) == 6
    assert queue.spans == 2
    with pytest.raises(RemoteProtocolError, match="cannot read the spans of shop"):
        queue.put(SpanBatch(service="shop", spans=b"no"))

"""Whatever happens to packets, counts are exact after the next one that arrives."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from idlrt.collector.api import Packet, Sender
from idlrt.collector.packets import packets_of
from idlrt.collector.senders import Senders
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import Metric, Series
from idlrt.observe.snapshot import Snapshot

CALLS = Metric(name="calls_total", kind="counter", help="Calls", labels=("method",))
DURATION = Metric(name="duration_seconds", kind="histogram", help="Duration", labels=("method",))
LOAD = Metric(name="load", kind="gauge", help="Load")


class Program:
    """A process that counts, and sends what it has counted."""

    def __init__(self, id: int = 7, started_at: float = 100.0) -> None:
        self.sender = Sender(id=id, started_at=started_at, resource={"service": "shop", "instance": str(id)})
        self.calls: Counter[str] = Counter()
        self.durations: dict[str, list[int]] = {}
        self.load = 0.0
        self._sequences = itertools.count(1)
        self._at = started_at

    def count(self, method: str, duration: int) -> None:
        self.calls[method] += 1
        self.durations.setdefault(method, []).append(duration)

    def packets(self, size: int = 60_000) -> list[Packet]:
        self._at += 10.0
        series = (
            Series(CALLS, {(name,): float(count) for name, count in self.calls.items()}),
            Series(DURATION, {(name,): Histogram.of(values) for name, values in self.durations.items()}),
            Series(LOAD, {(): self.load}),
        )
        found = {each.metric.name: each for each in series}
        snapshot = Snapshot(at=self._at, started_at=self.sender.started_at, series=found)
        return packets_of(snapshot, self.sender, self._sequences, size=size)


class Collected:
    """Counts that a collector has added up."""

    def __init__(self) -> None:
        self.at = 0.0
        self.senders = Senders(wall=lambda: self.at)
        self.calls: Counter[str] = Counter()
        self.durations: dict[str, Histogram] = {}
        self.loads: list[float] = []
        self.missing = 0
        self.stored: dict[int, bytes] = {}

    def take(self, packet: Packet) -> bool:
        addition = self.senders.apply(packet)
        if addition is None:
            return False
        self.stored[packet.sender.id] = self.senders.dump(packet.sender.id)
        self.missing = addition.missing
        for series in addition.series:
            for labels, value in series.values.items():
                if isinstance(value, Histogram):
                    before = self.durations.get(labels[0], Histogram())
                    self.durations[labels[0]] = Histogram.merged([before, value])
                elif series.metric.kind == "counter":
                    assert value >= 0
                    self.calls[labels[0]] += int(value)
                else:
                    self.loads.append(value)
        return True

    def restart(self) -> None:
        """Begin again with what was stored."""
        self.senders = Senders(self.stored, wall=lambda: self.at)

    def agrees(self, program: Program) -> bool:
        durations = {name: Histogram.of(values) for name, values in program.durations.items()}
        return +self.calls == +program.calls and all(
            self.durations[name].counts == each.counts and self.durations[name].sum == each.sum
            for name, each in durations.items()
        )


steps = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 10**10)), max_size=8),
        # What becomes of the packets of a snapshot.
        st.sampled_from(["arrive", "arrive", "lost", "twice", "late", "reversed"]),
        st.booleans(),
    ),
    max_size=12,
)


@given(steps, st.sampled_from([150, 60_000]))
def test_counts_are_exact_after_the_last_packet(history: Any, size: int) -> None:
    program, collected = Program(), Collected()
    late: list[Packet] = []
    for calls, fate, restarts in history:
        for method, duration in calls:
            program.count(method, duration)
        packets = program.packets(size)
        if fate == "late":
            late += packets
            continue
        for packet in () if fate == "lost" else reversed(packets) if fate == "reversed" else packets:
            collected.take(packet)
            if fate == "twice":
                assert not collected.take(packet)
        if restarts:
            collected.restart()
    for packet in program.packets(size):
        assert collected.take(packet)
    assert collected.agrees(program)
    # What comes after that changes nothing.
    for packet in late:
        collected.take(packet)
    assert collected.agrees(program)


def test_packets_that_have_not_arrived_are_counted() -> None:
    program, collected = Program(), Collected()
    first, second, third = (program.packets()[0] for _ in range(3))
    collected.take(first)
    collected.take(third)
    assert collected.missing == 1
    collected.restart()
    assert collected.take(second)
    assert collected.missing == 0
    assert not collected.take(second)


def test_a_restarted_program_counts_from_zero() -> None:
    collected = Collected()
    for started_at in (100.0, 500.0):
        program = Program(started_at=started_at)
        program.count("a", 1)
        program.count("a", 2)
        collected.take(program.packets()[0])
    assert collected.calls["a"] == 4


def test_counting_that_begins_again_in_a_running_program_is_not_negative() -> None:
    program, collected = Program(), Collected()
    for _ in range(5):
        program.count("a", 1)
    collected.take(program.packets()[0])
    program.calls["a"], program.durations["a"] = 2, [1, 1]
    collected.take(program.packets()[0])
    assert collected.calls["a"] == 7
    assert collected.durations["a"].count == 7


def test_gauges_have_their_last_value() -> None:
    program, collected = Program(), Collected()
    for load in (1.0, 5.0, 2.0):
        program.load = load
        collected.take(program.packets()[0])
    assert collected.loads == [1.0, 5.0, 2.0]


def test_programs_do_not_mix_and_silent_ones_are_forgotten() -> None:
    collected = Collected()
    # Clocks of programs may be wrong.
    programs = [Program(id, 1000.0 / id) for id in (1, 2, 3)]
    for each in programs:
        each.count("a", 1)
        collected.at += 100.0
        collected.take(each.packets()[0])
    assert collected.calls["a"] == 3
    assert sorted(collected.senders.forget_silent(50.0)) == [1, 2]
    assert [each.resource["instance"] for each in collected.senders.states()] == ["3"]
    # After a restart all have time to push again.
    collected.restart()
    assert collected.senders.forget_silent(50.0) == []


def test_old_packets_of_forgotten_programs_add_nothing() -> None:
    program, collected = Program(), Collected()
    program.count("a", 1)
    old = program.packets() + program.packets()
    for packet in old:
        collected.take(packet)
    for _ in range(2):
        collected.at += 100.0
        for id in collected.senders.forget_silent(50.0):
            collected.stored[id] = collected.senders.dump(id)
        assert list(collected.senders.states()) == []
        for packet in old:
            assert not collected.take(packet)
        collected.restart()
    # What it counted while it was forgotten is not known; what it counts from then on is.
    program.count("a", 1)
    for packet in program.packets(150):
        assert collected.take(packet)
    collected.restart()
    program.count("a", 1)
    program.count("b", 1)
    for packet in program.packets(150):
        collected.take(packet)
    assert collected.calls == {"a": 2, "b": 1}
    # After a month nothing is known.
    collected.at += 40 * 86_400
    assert collected.senders.forget_silent(50.0) == [7, 7]
    assert collected.senders.dump(7) == b""


def test_the_number_of_programs_is_bounded() -> None:
    clock = itertools.count()
    senders = Senders(max_senders=3, wall=lambda: float(next(clock)))
    for id in range(1, 6):
        senders.apply(Program(id, 100.0 * id).packets()[0])
    assert senders.forget_silent(1e9) == [1, 2]
    assert sorted(each.resource["instance"] for each in senders.states()) == ["3", "4", "5"]


def test_a_last_packet_ends_a_program() -> None:
    program, senders = Program(), Senders()
    packet = program.packets()[0]
    packet.is_last = True
    senders.apply(packet)
    [state] = senders.states()
    assert state.is_over

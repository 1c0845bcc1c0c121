"""Sources of a process: read together, weakly referenced, and never able to make all metrics unreadable."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator

import pytest

from idlrt.observe import Metric, Series, Sources

CALLS = Metric(name="x_calls_total", kind="counter", help="Calls", labels=("name",))
OPEN = Metric(name="x_open", kind="gauge", help="Open")
HIGHEST = Metric(name="x_highest", kind="gauge", help="Highest", merge="max")
LOWEST = Metric(name="x_lowest", kind="gauge", help="Lowest", merge="min")


class Counted:
    def __init__(self, calls: int, name: str = "a") -> None:
        self.calls, self.name = calls, name

    def read(self) -> Iterator[Series]:
        yield Series(CALLS, {(self.name,): self.calls})
        yield Series(OPEN, {(): 1})
        yield Series(HIGHEST, {(): self.calls})
        yield Series(LOWEST, {(): self.calls})


class Broken:
    def read(self) -> Iterator[Series]:
        raise RuntimeError("out of order")


def values(sources: Sources) -> dict[str, object]:
    return {each.metric.name: dict(each.values) for each in sources.read()}


def test_equal_metrics_are_combined() -> None:
    sources, one, two, three = Sources(), Counted(3), Counted(5), Counted(7, "b")
    for each in (one, two, three, one):
        sources.add(each)
    assert values(sources) == {
        "x_calls_total": {("a",): 8, ("b",): 7},
        "x_open": {(): 3},
        "x_highest": {(): 7},
        "x_lowest": {(): 3},
    }


def test_counters_stay_when_a_source_is_removed() -> None:
    sources, one, two = Sources(), Counted(3), Counted(5)
    sources.add(one)
    sources.add(two)
    sources.remove(one)
    sources.remove(one)
    sources.remove(None)
    assert values(sources)["x_calls_total"] == {("a",): 8}
    assert values(sources)["x_open"] == {(): 1}


def test_a_source_that_is_no_longer_referenced_is_forgotten() -> None:
    sources, one = Sources(), Counted(3)
    sources.add(one)
    del one
    gc.collect()
    assert values(sources) == {}


def test_a_source_that_fails_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    sources, one, broken = Sources(), Counted(3), Broken()
    sources.add(one)
    sources.add(broken)
    with caplog.at_level(logging.ERROR, "idlrt.observe"):
        assert values(sources)["x_calls_total"] == {("a",): 3}
    assert "cannot read the metrics of Broken" in caplog.text


class Waiting:
    calls = 0

    def measure(self) -> None:
        self.calls += 1


def test_what_waits_for_metrics_is_called_once() -> None:
    sources, waiting, gone = Sources(), Waiting(), Waiting()
    sources.when_enabled(waiting.measure)
    sources.when_enabled(gone.measure)
    del gone
    assert not sources.is_enabled
    sources.enable()
    sources.enable()
    assert waiting.calls == 1
    sources.when_enabled(waiting.measure)
    assert waiting.calls == 2


@pytest.mark.parametrize("is_inherited", [True, False])
def test_a_forked_child_does_not_count_what_its_parent_has_counted(is_inherited: bool) -> None:
    sources, one, two = Sources(is_inherited=is_inherited), Counted(3), Counted(5)
    sources.add(one)
    sources.add(two)
    sources.remove(one)
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(writer, repr(values(sources).get("x_calls_total")).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reader, 100).decode() == ("{('a',): 5}" if is_inherited else "None")
    os.close(reader)
    os.close(writer)

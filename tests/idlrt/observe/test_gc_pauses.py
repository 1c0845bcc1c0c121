"""Pauses of the garbage collector."""

from __future__ import annotations

import gc
import os
import threading
from typing import Any

from measured import counts

from idlrt.observe.gc_pauses import GcPauses
from idlrt.observe.metric import Series

PAUSE = "python_gc_pause_seconds"


def test_collections_are_counted_by_generation() -> None:
    gc.disable()
    try:
        pauses = GcPauses()
        before = counts(pauses.read(), "python_gc_collections_total")
        for generation in (0, 1, 1, 2):
            gc.collect(generation)
        now = counts(pauses.read(), "python_gc_collections_total")
        assert {labels: now[labels] - before[labels] for labels in now} == {("0",): 1, ("1",): 2, ("2",): 1}
        assert counts(pauses.read(), PAUSE) == {("0",): 1, ("1",): 2, ("2",): 1}
    finally:
        gc.enable()


def test_collected_objects_are_counted() -> None:
    gc.disable()
    try:
        pauses = GcPauses()
        before = counts(pauses.read(), "python_gc_objects_collected_total")[("2",)]
        for _ in range(100):
            cycle: list[Any] = []
            cycle.append(cycle)
        del cycle
        gc.collect()
        assert counts(pauses.read(), "python_gc_objects_collected_total")[("2",)] - before >= 100
    finally:
        gc.enable()


def test_pauses_last_until_the_collection_ends() -> None:
    times = iter((5, 12))
    pauses = GcPauses(lambda: next(times))
    gc.disable()
    try:
        gc.collect(0)
        (series,) = (each for each in pauses.read() if each.metric.name == PAUSE)
        assert [(labels, getattr(value, "sum", 0)) for labels, value in series.values.items()] == [(("0",), 7)]
    finally:
        del pauses
        gc.enable()


def test_the_interpreter_forgets_it_with_its_last_reference() -> None:
    before = list(gc.callbacks)
    pauses = GcPauses()
    assert len(gc.callbacks) == len(before) + 1
    del pauses
    assert gc.callbacks == before


def test_collections_may_begin_while_metrics_are_read() -> None:
    pauses = GcPauses()
    threshold = gc.get_threshold()
    stop = threading.Event()

    def collect() -> None:
        while not stop.is_set():
            gc.collect(0)

    thread = threading.Thread(target=collect)
    gc.set_threshold(1)
    thread.start()
    try:
        found: list[Series] = []
        for _ in range(100):
            found = list(pauses.read())
    finally:
        stop.set()
        gc.set_threshold(*threshold)
        thread.join()
    assert counts(found, PAUSE)[("0",)] > 0


def test_a_forked_child_counts_from_0() -> None:
    pauses = GcPauses()
    gc.collect()
    pid = os.fork()
    if not pid:
        try:
            gc.disable()
            is_right = counts(pauses.read(), PAUSE) == {}
            gc.collect(1)
            found = list(pauses.read())
            is_right = is_right and counts(found, PAUSE) == {("1",): 1}
            os._exit(0 if is_right and counts(found, "python_gc_collections_total")[("1",)] >= 1 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

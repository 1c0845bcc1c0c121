"""A protocol may be shared by threads from the first use on."""

from __future__ import annotations

import sys
import threading

import pytest
import wire_types as t
from golden_bytes import GOLDEN, golden
from protocols import each_protocol

THREADS = 8


@pytest.fixture
def often_switching():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(work):
    """Run `work(number)` in many threads that start together; return each result or exception."""
    gate = threading.Barrier(THREADS)
    outcomes: list[object] = [None] * THREADS

    def run(number):
        gate.wait(20)
        try:
            outcomes[number] = work(number)
        except BaseException as error:  # noqa: BLE001
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return outcomes


@each_protocol
@pytest.mark.parametrize("name", ["maps", "lists", "recursion", "defaults"])
def test_the_first_use_by_many_threads_at_once(how, name, often_switching):
    value, data = golden(name, how.name)
    for _ in range(2):
        protocol = how.new()

        def use(number, protocol=protocol):
            codec = protocol.struct(type(value))
            if number % 2:
                return codec.decode(data) == (value, len(data)), codec.encode(value) == data
            return codec.encode(value) == data, codec.decode(data) == (value, len(data))

        assert in_threads(use) == [(True, True)] * THREADS


@each_protocol
def test_all_threads_get_the_same_codec(how, often_switching):
    protocol = how.new()
    codecs = in_threads(lambda number: protocol.struct(t.Maps))
    assert len({id(codec) for codec in codecs}) == 1
    assert codecs[0] is protocol.struct(t.Maps)


@each_protocol
def test_classes_that_refer_to_each_other(how, often_switching):
    values = [golden(name, how.name) for name in GOLDEN]
    protocol = how.new()

    def use(number):
        for value, data in values[number % 3 :: 3] + values:
            assert protocol.struct(type(value)).decode(data) == (value, len(data))
            assert protocol.struct(type(value)).encode(value) == data
        return "done"

    assert in_threads(use) == ["done"] * THREADS

"""Resources: outcomes, operations in flight, bounds."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest
from measured import Ticks, counts, grown, process_counts

from idlrt import observe
from idlrt.errors import ConfigurationError
from idlrt.observe import OTHER, Histogram
from idlrt.observe.resources import MAX_OPERATIONS, Resources

DURATION = "resource_duration_seconds"
IN_FLIGHT = "resource_in_flight"


def test_operations_have_duration_outcome_and_error() -> None:
    clock = Ticks()
    resources = Resources(clock)
    with resources.resource("redis", "GET"):
        clock.pass_by(0.25)
    with pytest.raises(TimeoutError), resources.resource("redis", "GET"):
        raise TimeoutError
    with resources.resource("s3", "PUT") as operation:
        operation.fail("HTTP 503")
    found = next(iter(each.values for each in resources.read() if each.metric.name == DURATION))
    assert found == {
        ("redis", "GET", "ok", ""): Histogram.of([250_000_000]),
        ("redis", "GET", "error", "TimeoutError"): Histogram.of([0]),
        ("s3", "PUT", "error", "HTTP 503"): Histogram.of([0]),
    }


def test_operations_in_flight_are_counted_across_threads() -> None:
    resources = Resources()
    outer = resources.resource("redis", "BLPOP")
    outer.__enter__()
    with resources.resource("redis", "GET"), resources.resource("sqlite3", "SELECT"):
        assert counts(resources.read(), IN_FLIGHT) == {("redis",): 2, ("sqlite3",): 1}
    thread = threading.Thread(target=outer.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    assert counts(resources.read(), IN_FLIGHT) == {("redis",): 0, ("sqlite3",): 0}
    assert counts(resources.read(), "resource_started_total") == {("redis",): 2, ("sqlite3",): 1}


def test_functions_and_asynchronous_blocks() -> None:
    before = process_counts(DURATION)

    @observe.resource("ldap", "search")
    async def search() -> int:
        async with observe.resource("ldap", "bind"):
            await asyncio.sleep(0)
        return 5

    @observe.resource("ldap", "close")
    def close() -> None:
        raise ConnectionError

    assert asyncio.run(search()) == 5
    with pytest.raises(ConnectionError):
        close()
    assert grown(before, DURATION) == {
        ("ldap", "search", "ok", ""): 1,
        ("ldap", "bind", "ok", ""): 1,
        ("ldap", "close", "error", "ConnectionError"): 1,
    }


def test_a_cancelled_operation_is_an_error() -> None:
    resources = Resources()
    with pytest.raises(asyncio.CancelledError), resources.resource("redis", "GET"):
        raise asyncio.CancelledError
    assert counts(resources.read(), DURATION) == {("redis", "GET", "error", "CancelledError"): 1}


def test_a_block_measures_one_use() -> None:
    operation = Resources().resource("redis", "GET")
    with operation:
        pass
    with pytest.raises(ConfigurationError, match=r"operation 'GET' of resource 'redis': it has begun already"):
        operation.__enter__()


@pytest.mark.parametrize("names", [("", "GET"), ("redis", ""), ("redis", "a\n"), ("_x", "GET")])
def test_names_are_checked(names: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="must have between 1 and 100 printable characters"):
        observe.resource(*names)


def test_operations_and_systems_are_bounded() -> None:
    resources = Resources()
    for number in range(60):
        with resources.resource(f"system {number}", "GET"):
            pass
    for number in range(MAX_OPERATIONS + 10):
        with resources.resource("system 1", f"operation {number}"):
            pass
    found = counts(resources.read(), DURATION)
    assert len(found) == MAX_OPERATIONS + 2
    assert found[(OTHER, OTHER, "ok", "")] == 10
    assert found[("system 1", OTHER, "ok", "")] == MAX_OPERATIONS + 10 - (MAX_OPERATIONS - 50)


def test_a_forked_child_counts_its_own() -> None:
    resources = Resources()
    with resources.resource("redis", "GET"):
        pass
    pid = os.fork()
    if not pid:
        try:
            with resources.resource("redis", "SET"):
                pass
            is_right = counts(resources.read(), DURATION) == {("redis", "SET", "ok", ""): 1}
            os._exit(0 if is_right and counts(resources.read(), IN_FLIGHT) == {("redis",): 0} else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

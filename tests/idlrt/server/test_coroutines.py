"""`async` handlers run on an event loop beside the server's thread, in batches."""

from __future__ import annotations

import asyncio
import gc
import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import pytest
from by_hand import Raw, serving
from eventually import TIMEOUT, eventually
from hand_written import GET, JOIN, User, Users

from idlrt.server.coroutines import CoroutineRunner

Outcome = tuple[str, Any, BaseException | None]


class Bench:
    """A runner whose server's thread is the test's."""

    def __init__(self, *, is_deferred: bool = False) -> None:
        self.soon: list[Callable[[], None]] = []
        self.delivered: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.outcomes: list[Outcome] = []
        self.runner = CoroutineRunner(self.delivered.put, self.soon.append if is_deferred else None)

    def run(self, name: str, coroutine: Any) -> None:
        self.runner.run(coroutine, copy_context(), lambda result, error: self.outcomes.append((name, result, error)))

    def deliver(self) -> None:
        self.delivered.get(timeout=TIMEOUT)()


@contextmanager
def bench(*, is_deferred: bool = False) -> Iterator[Bench]:
    made = Bench(is_deferred=is_deferred)
    try:
        yield made
    finally:
        made.runner.stop()


async def give(value: int) -> int:
    return value


async def fail(error: BaseException) -> None:
    raise error


def test_coroutines_that_have_come_together_start_and_are_delivered_together() -> None:
    with bench(is_deferred=True) as one:
        for value in range(20):
            one.run(str(value), give(value))
        assert len(one.soon) == 1
        one.soon.pop()()
        one.deliver()
        assert one.outcomes == [(str(value), value, None) for value in range(20)]
        assert one.delivered.empty()


def test_coroutines_start_by_themselves_where_they_do_not_wait_for_the_end_of_a_round() -> None:
    with bench() as one:
        one.run("a", give(1))
        one.deliver()
        one.run("b", give(2))
        one.deliver()
    assert one.outcomes == [("a", 1, None), ("b", 2, None)]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_what_a_coroutine_raises_is_its_outcome_and_others_go_on(error: BaseException) -> None:
    with bench(is_deferred=True) as one:
        one.run("a", fail(error))
        one.run("b", give(1))
        one.soon.pop()()
        one.deliver()
    assert one.outcomes == [("a", None, error), ("b", 1, None)]


def test_one_that_cancels_itself_is_cancelled() -> None:
    async def cancel() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    with bench() as one:
        one.run("a", cancel())
        one.deliver()
    (_, result, error), *_ = one.outcomes
    assert result is None
    assert isinstance(error, asyncio.CancelledError)


def test_a_stop_cancels_those_that_have_suspended_and_begins_no_others() -> None:
    begun: list[str] = []
    entered = threading.Event()

    async def wait(name: str) -> None:
        begun.append(name)
        entered.set()
        await asyncio.Event().wait()

    one = Bench(is_deferred=True)
    one.run("a", wait("a"))
    one.soon.pop()()
    assert entered.wait(TIMEOUT)
    one.run("b", wait("b"))
    one.runner.stop()
    one.soon.pop()()
    while not one.delivered.empty():
        one.deliver()
    assert begun == ["a"]
    assert sorted((name, type(error)) for name, _, error in one.outcomes) == [
        ("a", asyncio.CancelledError),
        ("b", asyncio.CancelledError),
    ]


def test_no_task_is_kept_once_it_has_ended() -> None:
    tasks: list[weakref.ref[asyncio.Task[Any]]] = []

    async def pause() -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(weakref.ref(task))
        await asyncio.sleep(0)

    def are_gone() -> bool:
        gc.collect()
        return all(each() is None for each in tasks)

    with bench() as one:
        for name in ("a", "b"):
            one.run(name, pause())
            one.deliver()
        assert len(tasks) == 2
        eventually(are_gone)


class Mixed(Users):
    """`join` is plain, and waits until `get`, which is `async`, has been called."""

    def __init__(self) -> None:
        super().__init__()
        self.called = threading.Event()

    async def get(self, id: int) -> Any:
        self.called.set()
        return User(id=id)

    def join(self, words: list[str], by: str = "-") -> str:
        assert self.called.wait(TIMEOUT)
        return by.join(words)


def test_a_plain_handler_may_wait_for_an_async_one_that_has_come_with_it() -> None:
    with serving(Mixed()) as server, Raw(server) as raw:
        raw.socket.sendall(raw.bytes_of(GET, 1) + raw.bytes_of(JOIN, ["a", "b"], "+"))
        assert raw.values(2) == [User(id=1), "a+b"]
        eventually(lambda: server.in_flight == 0)

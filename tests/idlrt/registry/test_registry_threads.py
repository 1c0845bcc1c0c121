"""A registry of a program with many threads, some of which close it while others use it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from idlrt.core import Instance
from idlrt.errors import ConfigurationError, RegistryUnavailable
from idlrt.registry import Registration, Registry
from idlrt.registry.thread import LoopThread


def instance(number: int = 1) -> Instance:
    return Instance(service="demo", host="127.0.0.1", port=1000 + number)


def until(is_so: Callable[[], object], what: str = "") -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.002)


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    with Registry.connect(url, empty_protection=False) as made:
        yield made


@pytest.fixture
def silent() -> Iterator[Registry]:
    """One that takes connections and says nothing."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        Registry.connect(f"embedded://127.0.0.1:{listening.getsockname()[1]}", cache=False) as made,
    ):
        yield made


def at_once(*works: Callable[[], object]) -> None:
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        barrier.wait(20)
        work()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)


def test_threads_change_different_things_of_an_instance(registry: Registry) -> None:
    registration = registry.register(instance())
    for number in range(1, 50):
        text = str(number)

        def heavier(weight: int = number) -> None:
            registration.update(weight=weight)

        def newer(version: str = text) -> None:
            registration.update(version=version)

        at_once(heavier, newer)
        assert (registration.instance.weight, registration.instance.version) == (number, text)


def test_what_was_taken_away_stays_away_whatever_another_thread_changes(registry: Registry) -> None:
    for number in range(50):
        registration = registry.register(instance())
        registration.wait()

        def change(registration: Registration = registration, weight: int = number) -> None:
            for _ in range(5):
                try:
                    registration.update(weight=weight + 1)
                    registration.update(weight=weight + 2)
                except ConfigurationError:
                    return

        def leave(registration: Registration = registration) -> None:
            registration.deregister(20)

        at_once(change, leave)
        assert registry.instances("demo").instances == ()


def test_taking_away_what_never_got_there_waits_for_nothing(silent: Registry) -> None:
    registration = silent.register(instance())
    start = time.monotonic()
    registration.deregister(20)
    assert time.monotonic() - start < 2


def test_a_question_is_over_when_its_registry_is_closed(silent: Registry) -> None:
    found: list[Exception] = []

    def ask() -> None:
        try:
            silent.groups(timeout=20)
        except RegistryUnavailable as error:
            found.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: silent._engine is not None)
    time.sleep(0.05)
    start = time.monotonic()
    silent.close()
    thread.join(30)
    assert time.monotonic() - start < 4
    assert "was closed before it answered" in str(found[0])


def test_who_waits_for_a_registration_does_not_when_its_registry_is_closed(silent: Registry) -> None:
    registration = silent.register(instance())
    threading.Timer(0.05, silent.close).start()
    start = time.monotonic()
    with pytest.raises(RegistryUnavailable):
        registration.wait(20)
    assert time.monotonic() - start < 5


def test_a_listener_may_close_the_registry(registry: Registry, url: str) -> None:
    with Registry.connect(url) as other:
        registry.register(instance(2)).wait()
        subscription = registry.subscribe("demo")
        until(lambda: subscription.wait().instances)
        subscription.listen(lambda change: registry.close() if len(change.snapshot.instances) > 1 else None)
        other.register(instance()).wait()
        until(lambda: registry._is_closed)
        until(lambda: other.instances("demo").instances == (instance(),), "what it had registered goes with it")


def test_a_listener_may_let_go_of_what_it_listens_to(registry: Registry) -> None:
    heard: list[int] = []
    subscription = registry.subscribe("demo")

    def once(change: object) -> None:
        heard.append(1)
        subscription.close()

    subscription.wait()
    subscription.listen(once)
    registry.register(instance()).wait()
    registry.register(instance(2)).wait()
    assert heard == [1]
    assert registry.subscribe("demo").wait() is not None


def test_what_runs_on_a_thread_ends_with_it_in_good_order(caplog: pytest.LogCaptureFixture) -> None:
    thread, said, begun = LoopThread("test"), list[str](), threading.Semaphore(0)

    async def slow_end() -> None:
        try:
            begun.release()
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            said.append("ended")

    with caplog.at_level(logging.ERROR):
        first, second = thread.run(slow_end()), thread.run(slow_end())
        assert begun.acquire(timeout=20)
        assert begun.acquire(timeout=20)
        first.cancel()
        thread.stop()
        gc.collect()
    assert said == ["ended", "ended"]
    assert second.cancelled()
    thread.call(said.clear)
    assert thread.run(slow_end()).cancelled()
    assert caplog.records == []


def test_subscriptions_are_closed_and_made_by_many_threads(registry: Registry, url: str) -> None:
    registration = registry.register(instance())
    registration.wait()

    def use() -> None:
        for _ in range(50):
            subscription = registry.subscribe("demo")
            assert subscription.wait(20).instances
            subscription.close()
            subscription.close()

    at_once(*[use] * 8)
    last = registry.subscribe("demo")
    last.wait()
    registration.update(weight=7)
    until(lambda: last.wait().instances[0].weight == 7, "it is still followed")


@pytest.mark.parametrize("held", ["registry", "feed", "telling"])
def test_a_child_is_not_held_up_by_what_a_thread_of_the_parent_holds(registry: Registry, url: str, held: str) -> None:
    registry.register(instance()).wait()
    subscription = registry.subscribe("demo")
    subscription.wait()
    feed = subscription._feed
    lock = {"registry": registry._lock, "feed": feed._lock, "telling": feed._telling}[held]
    is_held, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            is_held.set()
            may_go.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    assert is_held.wait(20)

    def child() -> None:
        subscription.listen(lambda change: None)
        subscription.wait(5)
        registry.close()

    assert forked(child) == 0
    may_go.set()
    thread.join(20)
    assert registry.instances("demo").instances, "the parent's is not the child's to take away"


def test_a_child_does_not_take_away_what_its_parent_registered(registry: Registry) -> None:
    registration = registry.register(instance())
    registration.wait()

    def child() -> None:
        start = time.monotonic()
        registration.deregister(5)
        registry.close()
        assert time.monotonic() - start < 2

    assert forked(child) == 0
    assert registry.instances("demo").instances == (instance(),)


def forked(work: Callable[[], object], seconds: float = 15) -> int:
    """Do something in a child; its exit status, or -1 if it had to be killed."""
    pid = os.fork()
    if not pid:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return -1

"""Thread safety and fork safety of `Registry`: concurrent use, closing and forking."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterator

import pytest
from eventually import TIMEOUT, eventually
from registry_heard import Heard

from idlrt.core import Change, Instance
from idlrt.errors import ConfigurationError, RegistryUnavailable
from idlrt.registry import Registration, Registry
from idlrt.registry.thread import LoopThread

pytestmark = pytest.mark.slow


def instance(number: int = 1) -> Instance:
    return Instance(service="demo", host="127.0.0.1", port=1000 + number)


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    with Registry.connect(url, empty_protection=False, timeout=TIMEOUT) as made:
        yield made


@pytest.fixture
def deaf() -> Iterator[socket.socket]:
    """A server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def silent(deaf: socket.socket) -> Iterator[Registry]:
    """An unresponsive registry with a very long timeout."""
    url = f"embedded://127.0.0.1:{deaf.getsockname()[1]}"
    with Registry.connect(url, cache=False, timeout=3600) as made:
        yield made


def at_once(*works: Callable[[], object]) -> None:
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        barrier.wait(TIMEOUT)
        work()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_threads_update_different_attributes_of_an_instance(registry: Registry) -> None:
    registration = registry.register(instance())
    for number in range(1, 50):
        text = str(number)

        def heavier(weight: int = number) -> None:
            registration.update(weight=weight)

        def newer(version: str = text) -> None:
            registration.update(version=version)

        at_once(heavier, newer)
        assert (registration.instance.weight, registration.instance.version) == (number, text)


def test_a_deregistered_instance_is_not_revived_by_a_concurrent_update(registry: Registry) -> None:
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
            registration.deregister(TIMEOUT)

        at_once(change, leave)
        assert registry.instances("demo").instances == ()


def test_deregistering_an_unregistered_instance_returns_immediately(silent: Registry) -> None:
    registration = silent.register(instance())
    registration.deregister(3600)


def test_closing_ends_pending_queries(silent: Registry, deaf: socket.socket) -> None:
    found: list[Exception] = []

    def ask() -> None:
        try:
            silent.groups()
        except RegistryUnavailable as error:
            found.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    with deaf.accept()[0]:
        # The query waits for a session, which is being opened.
        silent.close()
    thread.join()
    assert "was closed before it responded" in str(found[0])


def test_closing_ends_waits_for_registrations(silent: Registry) -> None:
    registration = silent.register(instance())
    closing = threading.Timer(0.05, silent.close)
    closing.start()
    with pytest.raises(RegistryUnavailable):
        registration.wait()
    closing.join()


def test_a_listener_may_close_the_registry(registry: Registry, url: str) -> None:
    with Registry.connect(url, timeout=TIMEOUT) as other:
        registry.register(instance(2)).wait()
        subscription = registry.subscribe("demo")
        Heard(subscription).until_ports(1002)
        subscription.listen(lambda change: registry.close() if len(change.snapshot.instances) > 1 else None)
        other.register(instance()).wait()
        eventually(lambda: registry.is_closed)
        eventually(lambda: other.instances("demo").instances == (instance(),), "what it had registered goes with it")


def test_a_listener_may_close_its_subscription(registry: Registry) -> None:
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


def test_tasks_end_with_their_thread(caplog: pytest.LogCaptureFixture) -> None:
    thread, said, begun = LoopThread("test"), list[str](), threading.Semaphore(0)

    async def slow_end() -> None:
        try:
            begun.release()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            said.append("ended")

    with caplog.at_level(logging.ERROR):
        first, second = thread.run(slow_end()), thread.run(slow_end())
        assert begun.acquire(timeout=TIMEOUT)
        assert begun.acquire(timeout=TIMEOUT)
        first.cancel()
        thread.stop()
        gc.collect()
    assert said == ["ended", "ended"]
    assert second.cancelled()
    thread.call(said.clear)
    assert thread.run(slow_end()).cancelled()
    assert caplog.records == []


def test_threads_open_and_close_subscriptions(registry: Registry, url: str) -> None:
    registration = registry.register(instance())
    registration.wait()

    def use() -> None:
        for _ in range(50):
            subscription = registry.subscribe("demo")
            assert subscription.wait().instances
            subscription.close()
            subscription.close()

    at_once(*[use] * 8)
    last = Heard(registry.subscribe("demo"))
    registration.update(weight=7)
    last.until_weights(7)


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Switch threads very often, so that they are also interrupted while they hold a lock."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("quick_switches")
@pytest.mark.parametrize("use", ["subscribe", "look", "wait", "listen"])
def test_a_forked_child_is_not_blocked_by_locks_of_the_parent(registry: Registry, use: str) -> None:
    """A busy thread holds a lock at the time of at least one of several forks."""
    registry.register(instance()).wait()
    subscription = registry.subscribe("demo")
    subscription.wait()
    is_over = threading.Event()

    def listen_and_leave() -> None:
        subscription.listen(ignore)
        subscription.leave(ignore)

    uses: dict[str, Callable[[], object]] = {
        "subscribe": lambda: registry.subscribe("demo").close(),
        "look": lambda: registry.run_in_background(nothing)(),
        "wait": lambda: subscription.wait(),
        "listen": listen_and_leave,
    }

    def work() -> None:
        while not is_over.is_set():
            uses[use]()

    def child() -> None:
        subscription.listen(ignore)
        subscription.wait()
        registry.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(12):
            assert forked(child) == 0
    finally:
        is_over.set()
        thread.join()
    assert registry.instances("demo").instances, "the parent's is not the child's to take away"


def test_a_forked_child_is_not_blocked_by_a_listener_of_the_parent(registry: Registry) -> None:
    registration = registry.register(instance())
    registration.wait()
    subscription = registry.subscribe("demo")
    Heard(subscription).until_ports(1001)
    is_told, may_go = threading.Event(), threading.Event()

    def slow(change: Change) -> None:
        if change.snapshot.instances[0].weight == 7:
            is_told.set()
            may_go.wait(TIMEOUT)

    def child() -> None:
        subscription.listen(ignore)
        subscription.wait()
        registry.close()

    subscription.listen(slow)
    registration.update(weight=7)
    assert is_told.wait(TIMEOUT)
    try:
        assert forked(child) == 0
    finally:
        may_go.set()
    assert registry.instances("demo").instances, "the parent's is not the child's to take away"


def test_a_forked_child_does_not_deregister_instances_of_its_parent(registry: Registry) -> None:
    registration = registry.register(instance())
    registration.wait()

    def child() -> None:
        # It does not wait for a response either, because none would come.
        registration.deregister(3600)
        registry.close()

    assert forked(child) == 0
    assert registry.instances("demo").instances == (instance(),)


def ignore(change: Change) -> None:
    pass


async def nothing() -> None:
    pass


def forked(work: Callable[[], object]) -> int:
    """Run something in a forked child; return its exit status, or -1 if it had to be killed."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    ended: list[int] = []

    def has_ended() -> bool:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            ended.append(os.waitstatus_to_exitcode(status))
        return bool(found)

    try:
        eventually(has_ended)
    except AssertionError:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        return -1
    return ended[0]

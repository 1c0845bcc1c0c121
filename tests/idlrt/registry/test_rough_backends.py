"""Robustness of `Registry` against faulty backends (lost responses, unexpected errors), and against updates at
unfavorable moments.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, cast

import pytest
from eventually import TIMEOUT, eventually
from registry_heard import Heard

from idlrt.core import Freshness, Instance, ServiceKey
from idlrt.errors import RegistryUnavailable
from idlrt.registry import Registration, Registry, RegistryUrl, ServiceData
from idlrt.registry.engine import Engine
from idlrt.registry.memory import MemoryBackend, memory_store
from idlrt.registry.registrar import Entry
from idlrt.registry.thread import LoopThread

pytestmark = pytest.mark.slow


class Rough(MemoryBackend):
    """In-memory backend with injected errors.

    Attributes:
        trouble: errors by method.
    """

    def __init__(self, name: str, trouble: dict[str, Exception]) -> None:
        super().__init__(RegistryUrl.parse(f"memory://{name}"))
        self.heartbeat = 0.02
        self.trouble = trouble

    def check(self, method: str) -> None:
        if method in self.trouble:
            raise self.trouble[method]

    async def open(self, lost: Callable[[], None]) -> None:
        self.check("open")
        await super().open(lost)

    async def keep(self, registered: Sequence[Instance] = ()) -> Sequence[Instance]:
        self.check("keep")
        return await super().keep(registered)

    async def register(self, instance: Instance) -> None:
        await super().register(instance)
        self.check("register")  # it succeeds, and the response is lost

    async def reclaim(self, instance: Instance) -> None:
        await super().reclaim(instance)
        self.check("register")

    async def watch(self, key: ServiceKey) -> AsyncIterator[ServiceData]:
        async for found in super().watch(key):
            self.check("watch")
            yield found


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


def rough(name: str, trouble: dict[str, Exception]) -> Registry:
    return Registry(lambda: Rough(name, trouble), name, empty_protection=False, timeout=TIMEOUT)


def instance(port: int = 1001) -> Instance:
    return Instance(service="demo", host="127.0.0.1", port=port)


def test_an_instance_registered_without_a_response_is_deregistered(name: str) -> None:
    trouble: dict[str, Exception] = {"register": RegistryUnavailable("the answer is lost")}
    with rough(name, trouble) as server, Registry.connect(f"memory://{name}", empty_protection=False) as client:
        heard = Heard(client.subscribe("demo"))
        registration = server.register(instance())
        heard.until_ports(1001)
        with pytest.raises(RegistryUnavailable, match="the answer is lost"):
            registration.wait(0.05)
        registration.deregister()
        heard.until_ports()


@pytest.mark.parametrize("method", ["open", "keep", "register", "watch"])
def test_unexpected_errors_do_not_end_the_tasks(name: str, method: str, caplog: pytest.LogCaptureFixture) -> None:
    trouble: dict[str, Exception] = {method: ZeroDivisionError("a bug")}
    with rough(name, trouble) as registry:
        heard = Heard(registry.subscribe("demo"))
        registration = registry.register(instance())
        eventually(lambda: "a bug" in caplog.text)
        trouble.clear()
        registration.wait()
        heard.until_ports(1001)
        trouble[method] = ZeroDivisionError("a bug")
        if method == "watch":
            registration.update(weight=7)
            heard.until(lambda each: each.freshness is Freshness.STALE, "stale")
        if method == "keep":
            eventually(lambda: registry.last_error)
        trouble.clear()
        registration.update(weight=8)
        heard.until_weights(8)
        memory_store(name).expire_all()
        heard.until_ports(1001)


class Interrupting:
    """Owner of an entry who updates it just when the engine is about to acknowledge it: before the engine takes the
    entry's lock, or while it holds it.
    """

    def __init__(self, name: str, when: str) -> None:
        self.trouble: dict[str, Exception] = {}
        self.thread = LoopThread("test")
        self.entry = Entry(instance())
        self.registration = Registration(self.entry, self.thread.call, TIMEOUT)
        self.owner = threading.Thread(target=lambda: self.registration.update(weight=7))
        self.has_interrupted = threading.Event()
        if when == "before":
            self.entry.lock = cast(Any, InterruptingLock(self))
        else:
            self.entry.is_done = InterruptingEvent(self)
        self.engine = Engine(Rough(name, self.trouble), None, name)

    async def start(self) -> None:
        self.engine.start()
        self.engine.add(self.entry)

    def interrupt(self) -> None:
        if self.thread.is_current and not self.has_interrupted.is_set():
            self.trouble["register"] = RegistryUnavailable("the answer is lost")
            self.owner.start()
            # While the engine holds the lock, the owner is blocked here.
            self.owner.join(0.2)
            self.has_interrupted.set()


class InterruptingLock:
    def __init__(self, owner: Interrupting) -> None:
        self.owner = owner
        self.lock = threading.Lock()

    def __enter__(self) -> None:
        self.owner.interrupt()
        self.lock.acquire()

    def __exit__(self, *error: object) -> None:
        self.lock.release()


class InterruptingEvent(threading.Event):
    def __init__(self, owner: Interrupting) -> None:
        super().__init__()
        self.owner = owner

    def set(self) -> None:
        self.owner.interrupt()
        super().set()


@pytest.mark.parametrize("when", ["before", "while"])
def test_an_acknowledgement_is_for_the_latest_update(name: str, when: str) -> None:
    owner = Interrupting(name, when)
    owner.thread.run(owner.start()).result()
    assert owner.has_interrupted.wait(TIMEOUT)
    owner.owner.join()
    with pytest.raises(RegistryUnavailable):
        owner.registration.wait(0.2)
    owner.trouble.clear()
    assert owner.registration.wait().weight == 7
    owner.thread.run(owner.engine.stop(TIMEOUT)).result()
    owner.thread.stop()


class Overtaking(MemoryBackend):
    """Completes the first request last, after everything else that can run."""

    def __init__(self, url: RegistryUrl) -> None:
        super().__init__(url)
        self.steps = {"register": [50, 0, 20], "deregister": [50, 20]}
        self.deregistered = 0

    async def wait(self, what: str) -> None:
        for _ in range(self.steps[what].pop(0) if self.steps[what] else 0):
            await asyncio.sleep(0)

    async def register(self, instance: Instance) -> None:
        await self.wait("register")
        await super().register(instance)

    async def reclaim(self, instance: Instance) -> None:
        await self.wait("register")
        await super().reclaim(instance)

    async def deregister(self, instance: Instance) -> None:
        self.deregistered += 1
        await self.wait("deregister")
        await super().deregister(instance)


@pytest.mark.parametrize("is_first_known", [True, False])
def test_deregistering_keeps_the_next_registration_of_the_same_id(name: str, is_first_known: bool) -> None:
    backend = Overtaking(RegistryUrl.parse(f"memory://{name}"))
    with Registry(lambda: backend, name, empty_protection=False, timeout=TIMEOUT) as registry:
        first = registry.register(instance())
        if is_first_known:
            first.wait(TIMEOUT)
        first.deregister(0)
        second = registry.register(instance())
        second.update(weight=7)
        first.deregister(TIMEOUT)
        second.wait(TIMEOUT)
        assert [each.weight for each in registry.instances("demo").instances] == [7]
        second.deregister(TIMEOUT)
        assert registry.instances("demo").instances == ()
        third = registry.register(instance())
        third.wait(TIMEOUT)
        third.deregister(0)
        registry.register(instance()).deregister(TIMEOUT)
        third.deregister(TIMEOUT)
        assert registry.instances("demo").instances == ()


def test_of_two_registrations_of_one_id_the_remaining_one_is_registered(name: str) -> None:
    backend = Overtaking(RegistryUrl.parse(f"memory://{name}"))
    with Registry(lambda: backend, name, empty_protection=False, timeout=TIMEOUT) as registry:
        first, second = registry.register(instance()), registry.register(instance())
        second.update(weight=7)
        first.wait(TIMEOUT)
        second.wait(TIMEOUT)
        first.update(weight=8)
        first.wait(TIMEOUT)
        first.deregister(TIMEOUT)
        heard = Heard(registry.subscribe("demo"))
        heard.until(lambda each: [one.weight for one in each.instances] == [7], "the other's weight")
        assert backend.deregistered == 0, "it never was away"

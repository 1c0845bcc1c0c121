"""What `Registry` makes of kinds of registry that do not behave: answers that are lost, errors that nobody expected.
And of owners who change their minds at the wrong moment.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Callable

import pytest
from registry_heard import Heard

from idlrt.core import Freshness, Instance, ServiceKey
from idlrt.errors import RegistryUnavailable
from idlrt.registry import Found, Registry, RegistryUrl
from idlrt.registry.memory import MemoryBackend, memory_store


class Rough(MemoryBackend):
    """In memory. Goes wrong where `trouble` says so.

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

    async def keep(self) -> None:
        self.check("keep")
        await super().keep()

    async def register(self, instance: Instance) -> None:
        await super().register(instance)
        self.check("register")  # it is done, and the answer is lost

    async def watch(self, key: ServiceKey) -> AsyncIterator[Found]:
        async for found in super().watch(key):
            self.check("watch")
            yield found


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


def rough(name: str, trouble: dict[str, Exception]) -> Registry:
    return Registry(lambda: Rough(name, trouble), name, empty_protection=False)


def instance(port: int = 1001) -> Instance:
    return Instance(service="demo", host="127.0.0.1", port=port)


def test_what_was_registered_without_an_answer_is_deregistered(name: str) -> None:
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
def test_errors_that_nobody_expected_do_not_end_anything(
    name: str, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    trouble: dict[str, Exception] = {method: ZeroDivisionError("a bug")}
    with rough(name, trouble) as registry:
        heard = Heard(registry.subscribe("demo"))
        registration = registry.register(instance())
        heard.wait(lambda: "a bug" in caplog.text)
        trouble.clear()
        registration.wait(20)
        heard.until_ports(1001)
        trouble[method] = ZeroDivisionError("a bug")
        if method == "watch":
            registration.update(weight=7)
            heard.until(lambda each: each.freshness is Freshness.STALE, "stale")
        if method == "keep":
            heard.wait(lambda: registry.trouble is not None)
        trouble.clear()
        registration.update(weight=8)
        heard.until(lambda each: each.instances[0].weight == 8, "a weight")
        memory_store(name).expire_all()
        heard.until_ports(1001)


def test_an_acknowledgement_is_of_what_was_said_last(name: str) -> None:
    trouble: dict[str, Exception] = {"register": RegistryUnavailable("the answer is lost")}

    class Done(threading.Event):
        """The owner says something else just when the engine says that it is done."""

        def set(self) -> None:
            if not trouble:
                trouble["register"] = RegistryUnavailable("the answer is lost")
                owner.start()
            super().set()

    owner = threading.Thread(target=lambda: registration.update(weight=7))
    with rough(name, trouble) as registry:
        registration = registry.register(instance())
        registration._entry.is_done = Done()
        trouble.clear()
        heard = Heard(registry.subscribe("demo"))
        heard.wait(lambda: bool(trouble))
        owner.join(20)
        with pytest.raises(RegistryUnavailable):
            registration.wait(0.5)
        registration._entry.is_done = threading.Event()
        trouble.clear()
        assert registration.wait(20).weight == 7


class Overtaking(MemoryBackend):
    """What is asked for first is done last."""

    def __init__(self, url: RegistryUrl) -> None:
        super().__init__(url)
        self.delays = {"register": [0.05, 0.0, 0.02], "deregister": [0.05, 0.02]}
        self.deregistered = 0

    async def register(self, instance: Instance) -> None:
        """See `Backend.register`."""
        await asyncio.sleep(self.delays["register"].pop(0) if self.delays["register"] else 0)
        await super().register(instance)

    async def deregister(self, instance: Instance) -> None:
        """See `Backend.deregister`."""
        self.deregistered += 1
        await asyncio.sleep(self.delays["deregister"].pop(0) if self.delays["deregister"] else 0)
        await super().deregister(instance)


@pytest.mark.parametrize("is_first_known", [True, False])
def test_who_comes_back_under_an_id_is_not_taken_away_with_who_left(name: str, is_first_known: bool) -> None:
    backend = Overtaking(RegistryUrl.parse(f"memory://{name}"))
    with Registry(lambda: backend, name, empty_protection=False) as registry:
        first = registry.register(instance())
        if is_first_known:
            first.wait(20)
        first.deregister(0)
        second = registry.register(instance())
        second.update(weight=7)
        first.deregister(20)
        second.wait(20)
        assert [each.weight for each in registry.instances("demo").instances] == [7]
        second.deregister(20)
        assert registry.instances("demo").instances == ()
        third = registry.register(instance())
        third.wait(20)
        third.deregister(0)
        registry.register(instance()).deregister(20)
        third.deregister(20)
        assert registry.instances("demo").instances == ()


def test_of_two_under_one_id_the_one_that_stays_is_there(name: str) -> None:
    backend = Overtaking(RegistryUrl.parse(f"memory://{name}"))
    with Registry(lambda: backend, name, empty_protection=False) as registry:
        first, second = registry.register(instance()), registry.register(instance())
        second.update(weight=7)
        first.wait(20)
        second.wait(20)
        first.update(weight=8)
        first.wait(20)
        first.deregister(20)
        heard = Heard(registry.subscribe("demo"))
        heard.until(lambda each: [one.weight for one in each.instances] == [7], "the other's weight")
        assert backend.deregistered == 0, "it never was away"

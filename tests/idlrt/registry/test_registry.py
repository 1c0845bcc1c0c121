"""What a `Registry` does whatever happens to the registry: with one in memory that fails when it is told to."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from idlrt.core import Freshness, Instance, Snapshot, Status
from idlrt.errors import ConfigurationError, RegistryUnavailable
from idlrt.registry import Registry, SnapshotCache
from idlrt.registry.memory import MemoryStore, memory_store

SERVICE = "Users"


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def store(name: str) -> MemoryStore:
    return memory_store(name)


@pytest.fixture
def registry(name: str, store: MemoryStore) -> Iterator[Registry]:
    with Registry.connect(f"memory://{name}") as made:
        yield made


def instance(number: int = 1, **more: Any) -> Instance:
    return Instance(service=SERVICE, host="127.0.0.1", port=20000 + number, **more)


def until(is_so: Callable[[], object], what: str = "") -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def test_a_registry_that_is_down_is_no_trouble_of_those_who_register(
    registry: Registry, store: MemoryStore, name: str
) -> None:
    store.is_down = True
    registration = registry.register(instance())
    with pytest.raises(RegistryUnavailable, match=r"not registered within 0\.05 s; it is still tried|down"):
        registration.wait(0.05)
    with pytest.raises(RegistryUnavailable, match="down"):
        registry.instances(SERVICE, timeout=0.5)
    until(lambda: registry.trouble is not None)
    store.is_down = False
    assert registration.wait(20).port == 20001
    assert len(registry.instances(SERVICE).instances) == 1
    assert registry.trouble is None


def test_what_was_registered_is_registered_again_when_the_session_was_lost(
    registry: Registry, store: MemoryStore
) -> None:
    registry.register(instance(1)).wait()
    disabled = registry.register(instance(2, status=Status.DISABLED))
    disabled.wait()
    disabled.update(weight=3)
    disabled.wait()
    subscription = registry.subscribe(SERVICE)
    until(lambda: subscription.snapshot is not None and len(subscription.snapshot.instances) == 2)
    heard: list[Snapshot] = []
    subscription.listen(lambda change: heard.append(change.snapshot))
    store.expire_all()
    until(lambda: len(registry.instances(SERVICE).instances) == 2, "they are registered again")
    assert registry.instances(SERVICE).get("127.0.0.1:20002") == disabled.instance
    until(lambda: subscription.snapshot is not None and subscription.snapshot.freshness is Freshness.LIVE)
    assert all(each.instances for each in heard), "nobody has seen an empty service"


def test_a_change_while_the_registry_is_down_is_made_later(registry: Registry, store: MemoryStore) -> None:
    registration = registry.register(instance())
    registration.wait()
    store.is_down = True
    registration.disable()
    with pytest.raises(RegistryUnavailable):
        registration.wait(0.2)
    store.is_down = False
    registration.wait(20)
    assert registry.instances(SERVICE).instances[0].status is Status.DISABLED


def test_deregistering_while_the_registry_is_down_is_not_waited_for_long(
    registry: Registry, store: MemoryStore
) -> None:
    registration = registry.register(instance())
    registration.wait()
    store.is_down = True
    start = time.monotonic()
    registration.deregister(0.1)
    assert time.monotonic() - start < 5
    store.is_down = False
    until(lambda: not registry.instances(SERVICE).instances, "it is taken away when that can be done")
    with pytest.raises(ConfigurationError, match="was deregistered"):
        registration.enable()


def test_what_is_found_by_cannot_be_changed(registry: Registry) -> None:
    registration = registry.register(instance())
    for wrong in ({"service": "x"}, {"group": "x"}, {"id": "x"}, {"nothing": 1}):
        with pytest.raises(ConfigurationError, match="cannot change"):
            registration.update(**wrong)


def test_the_last_instances_are_kept_when_there_are_suddenly_none(registry: Registry) -> None:
    registration = registry.register(instance())
    subscription = registry.subscribe(SERVICE)
    until(lambda: subscription.snapshot is not None and subscription.snapshot.instances)
    registration.deregister()
    until(lambda: subscription.snapshot is not None and subscription.snapshot.freshness is Freshness.PROTECTED)
    assert subscription.snapshot is not None
    assert len(subscription.snapshot.instances) == 1
    registry.register(instance(2))
    until(
        lambda: (
            subscription.snapshot is not None
            and [each.port for each in subscription.snapshot.instances] == [20002]
            and subscription.snapshot.freshness is Freshness.LIVE
        )
    )


def test_without_protection_none_are_none(name: str, store: MemoryStore) -> None:
    with Registry.connect(f"memory://{name}", empty_protection=False) as registry:
        registration = registry.register(instance())
        subscription = registry.subscribe(SERVICE)
        until(lambda: subscription.snapshot is not None and subscription.snapshot.instances)
        registration.deregister()
        until(lambda: subscription.snapshot is not None and not subscription.snapshot.instances)


def test_a_listener_that_fails_is_its_own_trouble(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    subscription = registry.subscribe(SERVICE)
    heard: list[int] = []

    def broken(change: object) -> None:
        raise RuntimeError("broken listener")

    subscription.listen(broken)
    subscription.listen(lambda change: heard.append(len(change.snapshot.instances)))
    registry.register(instance())
    until(lambda: 1 in heard)
    assert "broken listener" in caplog.text


def test_a_listener_must_not_ask(registry: Registry) -> None:
    errors: list[Exception] = []

    def ask(change: object) -> None:
        try:
            registry.instances(SERVICE)
        except ConfigurationError as error:
            errors.append(error)

    registry.subscribe(SERVICE).listen(ask)  # which may tell it itself of what is known
    registry.register(instance())
    until(lambda: errors)
    assert "wait for itself" in str(errors[0])


def test_who_listens_late_hears_what_is_known(registry: Registry) -> None:
    registry.register(instance()).wait()
    subscription = registry.subscribe(SERVICE)
    subscription.wait(20)
    until(lambda: subscription.snapshot is not None and subscription.snapshot.instances)
    heard: list[int] = []
    subscription.listen(lambda change: heard.append(len(change.added)))
    assert heard == [1]


def test_a_closed_registry(registry: Registry, name: str) -> None:
    registry.register(instance()).wait()
    registry.close()
    registry.close()
    with pytest.raises(ConfigurationError, match="is closed"):
        registry.subscribe(SERVICE)
    with Registry.connect(f"memory://{name}") as other:
        assert other.instances(SERVICE).instances == ()


def test_threads_are_gone_after_closing(name: str) -> None:
    before = threading.active_count()
    with Registry.connect(f"memory://{name}") as registry:
        registry.register(instance()).wait()
        registry.subscribe(SERVICE).wait()
        assert threading.active_count() > before
    assert threading.active_count() == before


def make(name: str, folder: Path) -> Registry:
    from idlrt.registry.memory import MemoryBackend
    from idlrt.registry.url import RegistryUrl

    url = RegistryUrl.parse(f"memory://{name}")
    return Registry(lambda: MemoryBackend(url), str(url), cache=SnapshotCache(folder, str(url)))


def test_a_start_without_the_registry_uses_what_was_saved(name: str, store: MemoryStore, tmp_path: Path) -> None:
    with make(name, tmp_path) as first:
        first.register(instance()).wait()
        subscription = first.subscribe(SERVICE)
        until(lambda: subscription.snapshot is not None and subscription.snapshot.instances)
    assert list(tmp_path.iterdir()), "what was known is on disk after closing"
    store.is_down = True
    with make(name, tmp_path) as second:
        subscription = second.subscribe(SERVICE)
        snapshot = subscription.wait(20)
        assert snapshot.freshness is Freshness.SAVED
        assert [each.port for each in snapshot.instances] == [20001]
        assert subscription.trouble is not None
        store.is_down = False
        other = second.register(instance(2))
        other.wait(20)
        until(lambda: subscription.snapshot is not None and subscription.snapshot.freshness is Freshness.LIVE)
        assert [each.port for each in subscription.snapshot.instances] == [20002]  # type: ignore[union-attr]
        assert subscription.trouble is None


@pytest.mark.slow
def test_nothing_saved_and_no_registry(name: str, store: MemoryStore, tmp_path: Path) -> None:
    store.is_down = True
    with make(name, tmp_path) as registry:
        subscription = registry.subscribe(SERVICE)
        with pytest.raises(RegistryUnavailable, match=r"cannot tell the instances of Users: .*down"):
            subscription.wait(0.7)
        store.is_down = False
        assert subscription.wait(20).freshness is Freshness.LIVE


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_subscriptions_go_on_in_a_child_and_registrations_stay_the_parents(tmp_path: Path) -> None:
    # In memory a child has a registry of its own; so this one is on a socket.
    from idlrt.embedded import RegistryServer

    with (
        RegistryServer() as server,
        Registry.connect(server.url, cache=False) as registry,
        Registry.connect(server.url, cache=False) as observer,
    ):
        registry.register(instance(1)).wait()
        subscription = registry.subscribe(SERVICE)
        until(lambda: subscription.snapshot is not None and subscription.snapshot.instances)
        read, write = os.pipe()
        child = os.fork()
        if not child:
            try:
                end = time.monotonic() + 20
                while time.monotonic() < end:
                    snapshot = subscription.snapshot
                    if snapshot is not None and len(snapshot.instances) == 2:
                        os.write(write, b"y")
                        break
                    time.sleep(0.01)
            finally:
                os._exit(0)
        observer.register(instance(2)).wait()
        os.close(write)
        assert os.read(read, 1) == b"y", "the child has heard of what came after the fork"
        os.waitpid(child, 0)
        os.close(read)
        time.sleep(0.1)
        assert len(observer.instances(SERVICE).instances) == 2, "the child took nothing away when it ended"

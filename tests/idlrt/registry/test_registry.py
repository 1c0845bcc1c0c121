"""Behavior of `Registry` with an in-memory registry that fails on demand."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eventually import TIMEOUT, eventually
from registry_heard import Heard, why_not

from idlrt.core import Change, Freshness, Instance, Status
from idlrt.embedded import RegistryServer
from idlrt.errors import ConfigurationError, RegistryUnavailable
from idlrt.registry import Registry, RegistryUrl, SnapshotCache
from idlrt.registry.memory import MemoryBackend, MemoryStore, memory_store

SERVICE = "Users"


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def store(name: str) -> MemoryStore:
    return memory_store(name)


@pytest.fixture
def registry(name: str, store: MemoryStore) -> Iterator[Registry]:
    with Registry.connect(f"memory://{name}", timeout=TIMEOUT) as made:
        yield made


def instance(number: int = 1, **more: Any) -> Instance:
    return Instance(service=SERVICE, host="127.0.0.1", port=20000 + number, **more)


def test_registering_does_not_wait_for_an_unavailable_registry(
    registry: Registry, store: MemoryStore, name: str
) -> None:
    store.is_down = True
    registration = registry.register(instance())
    with pytest.raises(
        RegistryUnavailable, match=r"no acknowledgement within 0\.05 s; retrying in the background|down"
    ):
        registration.wait(0.05)
    assert "down" in str(why_not(registry))
    store.is_down = False
    assert registration.wait().port == 20001
    assert len(registry.instances(SERVICE).instances) == 1
    assert registry.last_error is None


def test_instances_are_registered_again_after_a_lost_session(registry: Registry, store: MemoryStore) -> None:
    registry.register(instance(1)).wait()
    disabled = registry.register(instance(2, status=Status.DISABLED))
    disabled.wait()
    disabled.update(weight=3)
    disabled.wait()
    heard = Heard(registry.subscribe(SERVICE))
    heard.until_ports(20001, 20002)
    first = len(heard.changes)
    store.expire_all()
    eventually(lambda: len(registry.instances(SERVICE).instances) == 2, "they are registered again")
    assert registry.instances(SERVICE).get("127.0.0.1:20002") == disabled.instance
    heard.until_ports(20001, 20002)
    assert heard.never_empty(first - 1), "nobody has seen an empty service"


def test_an_update_during_an_outage_is_applied_later(registry: Registry, store: MemoryStore) -> None:
    registration = registry.register(instance())
    registration.wait()
    store.is_down = True
    registration.disable()
    with pytest.raises(RegistryUnavailable):
        registration.wait(0.05)
    store.is_down = False
    registration.wait()
    assert registry.instances(SERVICE).instances[0].status is Status.DISABLED


def test_deregistering_during_an_outage_times_out(registry: Registry, store: MemoryStore) -> None:
    registration = registry.register(instance())
    registration.wait()
    store.is_down = True
    registration.deregister(0.05)
    # It has ended although the registry could not be reached.
    store.is_down = False
    eventually(lambda: not registry.instances(SERVICE).instances, "it is taken away when that can be done")
    with pytest.raises(ConfigurationError, match="was deregistered"):
        registration.enable()


def test_identifying_attributes_cannot_be_updated(registry: Registry) -> None:
    registration = registry.register(instance())
    for wrong in ({"service": "x"}, {"group": "x"}, {"id": "x"}, {"nothing": 1}):
        with pytest.raises(ConfigurationError, match="cannot update"):
            registration.update(**wrong)


def test_empty_protection_keeps_the_last_instances(registry: Registry) -> None:
    registration = registry.register(instance())
    heard = Heard(registry.subscribe(SERVICE))
    heard.until_ports(20001)
    registration.deregister(TIMEOUT)
    heard.until_fresh(Freshness.PROTECTED)
    assert [each.port for each in heard.last.instances] == [20001]
    registry.register(instance(2))
    heard.until_ports(20002)


def test_without_empty_protection_an_empty_list_is_published(name: str, store: MemoryStore) -> None:
    with Registry.connect(f"memory://{name}", empty_protection=False) as registry:
        registration = registry.register(instance())
        heard = Heard(registry.subscribe(SERVICE))
        heard.until_ports(20001)
        registration.deregister(TIMEOUT)
        heard.until_ports()


def test_a_failing_listener_does_not_affect_others(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    subscription = registry.subscribe(SERVICE)
    heard: list[int] = []

    def broken(change: Change) -> None:
        raise RuntimeError("broken listener")

    subscription.listen(broken)
    subscription.listen(lambda change: heard.append(len(change.snapshot.instances)))
    registry.register(instance())
    eventually(lambda: 1 in heard)
    assert "broken listener" in caplog.text


def test_a_listener_must_not_query(registry: Registry) -> None:
    errors: list[Exception] = []

    def ask(change: Change) -> None:
        try:
            registry.instances(SERVICE)
        except ConfigurationError as error:
            errors.append(error)

    registry.subscribe(SERVICE).listen(ask)  # which may itself call the listener with the current snapshot
    registry.register(instance())
    eventually(lambda: errors)
    assert "would deadlock" in str(errors[0])


def test_a_late_listener_receives_the_current_snapshot(registry: Registry) -> None:
    registry.register(instance()).wait()
    subscription = registry.subscribe(SERVICE)
    Heard(subscription).until_ports(20001)
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
    url = RegistryUrl.parse(f"memory://{name}")
    return Registry(lambda: MemoryBackend(url), str(url), cache=SnapshotCache(folder, str(url)), timeout=TIMEOUT)


def test_a_start_without_the_registry_uses_the_saved_snapshot(name: str, store: MemoryStore, tmp_path: Path) -> None:
    with make(name, tmp_path) as first:
        first.register(instance()).wait()
        Heard(first.subscribe(SERVICE)).until_ports(20001)
    assert list(tmp_path.iterdir()), "what was known is on disk after closing"
    store.is_down = True
    with make(name, tmp_path) as second:
        subscription = second.subscribe(SERVICE)
        snapshot = subscription.wait()
        assert snapshot.freshness is Freshness.SAVED
        assert [each.port for each in snapshot.instances] == [20001]
        assert subscription.last_error is not None
        store.is_down = False
        other = second.register(instance(2))
        other.wait()
        Heard(subscription).until_ports(20002)
        assert subscription.last_error is None


def test_neither_saved_snapshot_nor_registry(name: str, store: MemoryStore, tmp_path: Path) -> None:
    store.is_down = True
    with make(name, tmp_path) as registry:
        subscription = registry.subscribe(SERVICE)
        eventually(lambda: subscription.last_error)
        with pytest.raises(RegistryUnavailable, match=r"cannot look up instances of Users: .*down"):
            subscription.wait(0.05)
        store.is_down = False
        assert subscription.wait().freshness is Freshness.LIVE


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_keeps_subscriptions_but_not_registrations() -> None:
    # A child would have its own copy of an in-memory registry, so this test uses a socket.
    with (
        RegistryServer() as server,
        Registry.connect(f"{server.url}?timeout=60", cache=False, timeout=TIMEOUT) as registry,
        Registry.connect(f"{server.url}?timeout=60", cache=False, timeout=TIMEOUT) as observer,
    ):
        registry.register(instance(1)).wait()
        subscription = registry.subscribe(SERVICE)
        Heard(subscription).until_ports(20001)
        read, write = os.pipe()
        child = os.fork()
        if not child:
            status = 1
            try:
                eventually(lambda: subscription.snapshot is not None and len(subscription.snapshot.instances) == 2)
                os.write(write, b"y")
                registry.close()
                status = 0
            finally:
                os._exit(status)
        os.close(write)
        observer.register(instance(2)).wait()
        assert os.read(read, 1) == b"y", "the child has heard of what came after the fork"
        os.close(read)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        # The child's session has ended; its removals, if any, are seen before this instance.
        observer.register(instance(3)).wait()
        assert [each.port for each in observer.instances(SERVICE).instances] == [20001, 20002, 20003]

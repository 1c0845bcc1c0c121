"""Lost registrations of live servers are restored within two heartbeats, and no other server can take the id of a live
server.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from eventually import TIMEOUT, eventually
from hand_written import Users, UserServiceClient, user_service
from registry_heard import Heard
from registry_process import registry_process

from idlrt.core import Instance, ServerCall, ServiceKey
from idlrt.embedded import Access, RegistryServer
from idlrt.embedded.api import RegistryClient
from idlrt.errors import ApplicationCode, ApplicationError
from idlrt.registry import (
    INSTANCE_TOKEN,
    AlreadyRegistered,
    RegistrationEvent,
    RegistrationState,
    Registry,
    RegistryUrl,
)
from idlrt.registry.memory import MemoryBackend, memory_store
from idlrt.server import Server, ServerCallNext, ServerFilter

KEY = ServiceKey("demo")
ID = "127.0.0.1:1001"


def instance(port: int = 1001, **more: Any) -> Instance:
    return Instance(service="demo", host="127.0.0.1", port=port, **more)


class Counted(MemoryBackend):
    """In memory, with frequent heartbeats that are counted.

    Attributes:
        beats: how many there were.
        written_at: how many there were when an instance was written last.
    """

    def __init__(self, name: str) -> None:
        super().__init__(RegistryUrl.parse(f"memory://{name}"))
        self.heartbeat = 0.02
        self.beats = self.written_at = 0

    async def keep(self, registered: Sequence[Instance] = ()) -> Sequence[Instance]:
        self.beats += 1
        return await super().keep(registered)

    async def register(self, instance: Instance) -> None:
        await super().register(instance)
        self.written_at = self.beats

    async def reclaim(self, instance: Instance) -> None:
        await super().reclaim(instance)
        self.written_at = self.beats


class Place:
    """A registry in memory, and clients of it."""

    def __init__(self) -> None:
        self.name = uuid.uuid4().hex
        self.store = memory_store(self.name)
        self._stack = ExitStack()

    def client(self) -> tuple[Registry, Counted]:
        backend = Counted(self.name)
        registry = Registry(lambda: backend, self.name, empty_protection=False, timeout=TIMEOUT)
        return self._stack.enter_context(registry), backend

    def ports(self) -> list[int]:
        return [each.port for each in self.store.find(KEY).instances]

    def versions(self) -> list[str]:
        return [each.version for each in self.store.find(KEY).instances]

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.close()


def states(events: list[RegistrationEvent]) -> list[str]:
    return [each.state.value for each in events]


def test_a_deleted_registration_is_there_again_within_two_heartbeats(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    registry, backend = place.client()
    events: list[RegistrationEvent] = []
    registration = registry.register(instance())
    registration.wait()
    registration.listen(events.append)
    eventually(lambda: states(events) == ["registered"])
    for _ in range(3):
        events.clear()
        place.store.delete(KEY, ID)
        since = backend.beats
        eventually(lambda: place.ports() == [1001], "it is there again")
        assert backend.written_at - since <= 2
        # What is told is told right after that.
        eventually(lambda: states(events) == ["lost", "registered"])
    assert registration.error is None
    assert caplog.text.count("re-registered") == 3


@pytest.mark.parametrize("was_noticed", [True, False])
def test_a_new_version_that_comes_and_goes_gives_the_id_back(place: Place, was_noticed: bool) -> None:
    (registry, backend), (crashing, _) = place.client(), place.client()
    old = registry.register(instance(version="1"))
    old.wait()
    crashing.register(instance(version="2")).wait()
    assert place.versions() == ["2"]
    if was_noticed:
        eventually(lambda: old.state is RegistrationState.DISPLACED, "the old one is told")
        assert isinstance(old.error, AlreadyRegistered)
    crashing.close()
    since = backend.beats
    eventually(lambda: place.versions() == ["1"], "the old one is there again")
    assert backend.written_at - since <= 2
    old.wait()


def test_two_that_say_they_have_one_address_do_not_take_it_from_each_other(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    (first, beats), (second, _) = place.client(), place.client()
    old = first.register(instance(version="1"))
    old.wait()
    events: list[RegistrationEvent] = []
    old.listen(events.append)
    new = second.register(instance(version="2"))
    new.wait()
    told = ["registered", "lost", "displaced"]
    eventually(lambda: states(events) == told, "the first one is told")
    # Neither changes nor heartbeats nor a new session of the first one change anything.
    old.disable()
    old.update(weight=7)
    before = beats.beats
    eventually(lambda: beats.beats > before + 5, "heartbeats")
    assert place.versions() == ["2"]
    assert states(events) == told
    assert new.state is RegistrationState.REGISTERED
    assert caplog.text.count("in use by another process with the same address") == 1
    # Nor does its end.
    old.deregister(TIMEOUT)
    assert place.versions() == ["2"]


def test_a_displaced_registration_stays_so_in_a_new_session(place: Place) -> None:
    (first, beats), (second, _) = place.client(), place.client()
    old = first.register(instance(version="1"))
    old.wait()
    second.register(instance(version="2")).wait()
    eventually(lambda: old.state is RegistrationState.DISPLACED, "the first one is told")
    place.store.expire_all()
    eventually(lambda: place.versions(), "somebody is there again")
    before = beats.beats
    eventually(lambda: beats.beats > before + 5, "heartbeats")
    assert len(place.versions()) == 1


def test_a_second_registrant_of_a_live_id_is_refused(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    (first, _), (second, beats) = place.client(), place.client()
    owner = first.register(instance(1001, id="users-0"))
    owner.wait()
    stranger = second.register(instance(1002, id="users-0"))
    eventually(lambda: stranger.state is RegistrationState.REFUSED, "it is refused")
    with pytest.raises(
        AlreadyRegistered, match=r"users-0' of demo is in use .* at 127\.0\.0\.1:1001; stop that instance, or"
    ):
        stranger.wait(0.05)
    before = beats.beats
    eventually(lambda: beats.beats > before + 5, "heartbeats")
    assert (place.ports(), owner.state) == ([1001], RegistrationState.REGISTERED)
    assert caplog.text.count("registration of users-0 of demo rejected") == 1
    stranger.deregister(TIMEOUT)
    assert place.ports() == [1001], "what it takes back was not its own"


def test_a_refused_registrant_has_the_id_when_it_is_free(place: Place) -> None:
    (first, _), (second, beats) = place.client(), place.client()
    first.register(instance(1001, id="users-0")).wait()
    stranger = second.register(instance(1002, id="users-0"))
    eventually(lambda: stranger.state is RegistrationState.REFUSED, "it is refused")
    first.close()
    since = beats.beats
    eventually(lambda: place.ports() == [1002], "it is registered")
    assert beats.written_at - since <= 2
    stranger.wait()


def test_a_second_registrant_in_the_same_program_is_refused(place: Place) -> None:
    registry, _ = place.client()
    first = registry.register(instance(1001, id="users-0"))
    first.wait()
    second = registry.register(instance(1002, id="users-0"))
    with pytest.raises(AlreadyRegistered, match=r"by this program at 127\.0\.0\.1:1001"):
        second.wait(0.05)
    assert place.ports() == [1001]
    first.deregister(TIMEOUT)
    second.wait()
    assert place.ports() == [1002]


@pytest.mark.parametrize(("before", "after", "is_same"), [("a", "a", True), ("a", "b", False), ("", "", False)])
def test_an_instance_token_tells_a_restart_from_a_stranger(
    place: Place, before: str, after: str, is_same: bool
) -> None:
    (first, _), (second, _) = place.client(), place.client()
    first.register(instance(1001, id="users-0", metadata={INSTANCE_TOKEN: before})).wait()
    restarted = second.register(instance(1002, id="users-0", metadata={INSTANCE_TOKEN: after}))
    if is_same:
        restarted.wait()
    else:
        eventually(lambda: isinstance(restarted.error, AlreadyRegistered), "it is refused")
    assert place.ports() == ([1002] if is_same else [1001])


def test_a_failing_listener_does_not_affect_others(place: Place) -> None:
    registry, _ = place.client()
    events: list[RegistrationEvent] = []

    def fail(event: RegistrationEvent) -> None:
        raise ZeroDivisionError(event.state)

    registration = registry.register(instance())
    registration.listen(fail)
    registration.listen(events.append)
    registration.wait()
    registration.deregister(TIMEOUT)
    eventually(lambda: states(events)[-2:] == ["registered", "deregistered"], "it is told")


def test_clients_find_a_server_again_that_was_displaced_for_a_moment(place: Place) -> None:
    (first, _), (second, _) = place.client(), place.client()
    with Server(user_service(Users()), registry=first) as server:
        server.start()
        eventually(lambda: place.store.find(ServiceKey("UserService")).instances, "it is registered")
        address = server.address.removeprefix("tcp://")
        with Server(user_service(Users()), registry=second, instance={"advertise": address}) as crashing:
            crashing.start()
            eventually(
                lambda: server.registrations[0].state is RegistrationState.DISPLACED, "the one that runs is told"
            )
        eventually(lambda: server.registrations[0].state is RegistrationState.REGISTERED, "it is registered again")
        with UserServiceClient.connect(f"memory://{place.name}", timeout=TIMEOUT) as client:
            assert client.get(1)


class Old(Access, frozen=True, kw_only=True):
    """The registry of an earlier version: it does not know some methods."""

    def filter(self) -> ServerFilter:
        filter = super().filter()

        async def check(call: ServerCall, next: ServerCallNext) -> Any:
            if call.method.name in ("renew", "reclaim"):
                raise ApplicationError(f"unknown method {call.method.name}", ApplicationCode.UNKNOWN_METHOD)
            return await filter(call, next)

        return check


@pytest.mark.slow
def test_an_embedded_registry_of_an_earlier_version_is_still_used() -> None:
    with (
        RegistryServer(access=Old()) as server,
        Registry.connect(f"{server.url}?timeout=1.5", cache=False, empty_protection=False, timeout=TIMEOUT) as registry,
    ):
        registration = registry.register(instance())
        registration.wait()
        heard = Heard(registry.subscribe("demo"))
        heard.until_ports(1001)
        registration.update(weight=7)
        heard.until_weights(7)
        # Heartbeats keep its session: it outlives one that sends none.
        with RegistryClient.connect(server.address, framing="header", timeout=TIMEOUT) as silent:
            sessions = server.sessions
            silent.begin("silent", 1500)
            eventually(lambda: server.sessions == sessions, "the silent session has ended")
        assert heard.removed == []


@contextmanager
def followed(url: str) -> Iterator[tuple[Registry, Heard]]:
    """A program with an instance that is registered, and another one that follows the service."""
    with (
        Registry.connect(url, cache=False, empty_protection=False, timeout=TIMEOUT) as server,
        Registry.connect(url, cache=False, empty_protection=False, timeout=TIMEOUT) as client,
    ):
        server.register(instance(version="1")).wait()
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1001)
        yield server, heard


def is_back_after(heard: Heard, delete: Callable[[], object]) -> None:
    """Delete it and wait until it is there again; and see that it was not there."""
    heard.changes.clear()
    delete()
    heard.until(lambda _: heard.removed or heard.changes[-1].updated, "it is gone, or another's")
    heard.until(lambda each: [one.version for one in each.instances] == ["1"], "it is there again")


@pytest.mark.slow
def test_in_the_embedded_registry() -> None:
    with registry_process() as process, followed(f"{process.url}?timeout=3") as (_, heard):

        def restart() -> None:
            process.kill()
            process.start()

        # It kept nothing.
        restart()
        heard.until_ports(1001)
        with Registry.connect(process.url, cache=False, timeout=TIMEOUT) as another:

            def come_and_go() -> None:
                another.register(instance(version="2")).wait()
                another.close()

            is_back_after(heard, come_and_go)


@pytest.mark.long
def test_in_etcd(tmp_path_factory: pytest.TempPathFactory) -> None:
    from etcd_server import etcd_cluster, quoted

    with etcd_cluster(tmp_path_factory.mktemp("etcd")) as cluster:
        (etcd,) = cluster.members
        with followed(f"{cluster.url}?ttl=3") as (server, heard):
            key = f"/idlrt/default/demo/instances/{ID}"
            is_back_after(heard, lambda: etcd.ask("kv/deleterange", key=quoted(key)))
            is_back_after(heard, etcd.revoke_all)
            # Written by hand it stands under no lease, and would outlive its server.
            text = '{"service":"demo","host":"127.0.0.1","port":1001,"version":"by hand"}'
            is_back_after(heard, lambda: etcd.put(key, text))
            is_back_after(heard, lambda: etcd.put(key, "not an instance"))
            server.close()
            eventually(lambda: etcd.keys(key) == [], "its key is gone with it")
            # What another one has written by hand is not replaced.
            etcd.put(key, text.replace("1001", "1002").replace('"version"', f'"id":"{ID}","version"'))
            with Registry.connect(f"{cluster.url}?ttl=3", cache=False, timeout=TIMEOUT) as again:
                refused = again.register(instance())
                eventually(lambda: isinstance(refused.error, AlreadyRegistered), "it is refused")


@pytest.mark.long
@pytest.mark.parametrize("layout", ["idlrt", "motan", "dubbo"])
def test_in_zookeeper(tmp_path_factory: pytest.TempPathFactory, layout: str) -> None:
    from zookeeper_server import plain_client, running_zookeeper

    from idlrt.registry.zookeeper.dubbo import DubboLayout
    from idlrt.registry.zookeeper.layouts import IdlrtLayout, Layout
    from idlrt.registry.zookeeper.motan import MotanLayout

    layouts: dict[str, Layout] = {"idlrt": IdlrtLayout(), "motan": MotanLayout(), "dubbo": DubboLayout()}
    node = layouts[layout].write(instance(version="1"))
    path = f"{node.folder}/{node.name}"
    with running_zookeeper(tmp_path_factory.mktemp("zookeeper") / "server") as zookeeper:
        url = f"zookeeper://{zookeeper.address}?timeout=3&layout={layout}"
        with followed(url) as (_, heard), plain_client(zookeeper.address) as hand:
            is_back_after(heard, lambda: hand.delete(path))
            assert hand.exists(path).ephemeralOwner, "it goes with its session"

            # What was written by hand would outlive its server.
            def replace() -> None:
                transaction = hand.transaction()
                transaction.delete(path)
                transaction.create(path, node.data)
                assert not any(isinstance(each, Exception) for each in transaction.commit())

            replace()
            eventually(lambda: (stat := hand.exists(path)) and stat.ephemeralOwner, "it is the session's again")

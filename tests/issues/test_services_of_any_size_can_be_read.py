"""Answers of registries come in parts: no number of instances and no size of them makes a service unreadable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import run_idlrt
from eventually import TIMEOUT, eventually
from registry_process import registry_process
from zookeeper_server import running_zookeeper

from idlrt.core import Instance, Patch, ServerCall, Snapshot
from idlrt.embedded import Access, Limits, RegistryServer
from idlrt.embedded.api import AsyncRegistryClient, Record, Refused, RegistryClient
from idlrt.errors import ApplicationCode, ApplicationError, RegistryRefused, RegistryUnavailable
from idlrt.registry import Registry, Subscription
from idlrt.server import ServerCallNext, ServerFilter


def instance(number: int, **more: Any) -> Instance:
    return Instance(service="Users", host="10.0.0.1", port=9090, id=f"i{number:05}", **more)


def connect(url: str) -> Registry:
    return Registry.connect(f"{url}?timeout=60", cache=False, timeout=TIMEOUT)


def until(subscription: Subscription, is_there: Callable[[Snapshot], bool]) -> Snapshot:
    eventually(lambda: (now := subscription.snapshot) is not None and is_there(now), f"{subscription.last_error}")
    assert subscription.snapshot is not None
    return subscription.snapshot


def register_all(registry: Registry, instances: list[Instance]) -> None:
    for each in [registry.register(each) for each in instances]:
        each.wait()


def test_a_service_larger_than_a_message_is_read_by_new_clients() -> None:
    """260 registrations of 65 kB are more than a message may hold."""
    with RegistryServer() as server, connect(server.url) as owner:
        register_all(owner, [instance(number, metadata={"x": "y" * 65_000}) for number in range(260)])
        with connect(server.url) as reader:
            assert len(reader.subscribe("Users").wait().instances) == 260
            assert len(reader.instances("Users").instances) == 260
            assert reader.services() == ["Users"]
            # It can be listed, too.
        assert "Users    260" in run_idlrt(["registry", "services", server.url, "--timeout", f"{TIMEOUT:g}"]).stdout
        # A client of before is told why, and not that the registry is broken.
        with (
            RegistryClient.connect(server.address, framing="header", timeout=TIMEOUT) as old,
            pytest.raises(
                Refused,
                match=r"cannot send Users in one response: it takes \d+ bytes, the limit is 15728640; upgrade this",
            ),
        ):
            old.changes("default", "Users", 0, 0, 0)


def test_readers_follow_a_service_that_is_told_in_many_parts() -> None:
    with RegistryServer(limits=Limits(answer=300)) as server, connect(server.url) as owner:
        register_all(owner, [instance(number) for number in range(100)])
        with connect(server.url) as reader:
            seen = reader.subscribe("Users")
            assert len(seen.wait().instances) == 100, "never a part of them"
            before = reader.instances("Users")
            registrations = [owner.register(instance(number)) for number in range(100, 150)]
            until(seen, lambda now: len(now.instances) == 150)
            registrations[0].deregister(TIMEOUT)
            owner.modify("Users", "i00007", weight=7)
            owner.configure("Users", {"timeout": "0.5"})
            last = until(seen, lambda now: bool(now.settings))
            assert len(last.instances) == 149
            assert last.instances[7].weight == 7
            update = reader.changes("Users", before.revision)
            assert not update.is_whole
            assert sorted(each.id for each in update.instances) == [
                "i00007",
                *(f"i{number:05}" for number in range(101, 150)),
            ]
            assert update.removed == ("i00100",)
            assert update.settings == {"timeout": "0.5"}


def test_names_are_listed_in_parts() -> None:
    with RegistryServer(limits=Limits(answer=20)) as server, connect(server.url) as owner:
        names = [f"service{number}" for number in range(20)]
        for name in names:
            owner.configure(name, {"a": "b"}, group="g" + name)
            owner.configure(name, {"a": "b"})
        assert owner.services() == sorted(names)
        assert owner.groups() == sorted(["default", *("g" + name for name in names)])


class _Earlier(Access, frozen=True, kw_only=True):
    """A registry of before, as clients see it: it does not know what was added."""

    def filter(self) -> ServerFilter:
        async def refuse(call: ServerCall, next: ServerCallNext) -> Any:
            if call.method.name in ("part", "groups_after", "services_after", "remove"):
                raise ApplicationError(f"unknown method {call.method.name}", ApplicationCode.UNKNOWN_METHOD)
            return await next(call)

        return refuse


def test_a_registry_of_an_earlier_version_is_used_as_it_is() -> None:
    with RegistryServer(access=_Earlier()) as server, connect(server.url) as owner, connect(server.url) as reader:
        seen = reader.subscribe("Users")
        register_all(owner, [instance(1), instance(2)])
        until(seen, lambda now: len(now.instances) == 2)
        owner.modify("Users", "i00001", weight=7)
        until(seen, lambda now: [each.weight for each in now.instances] == [7, 100])
        owner.reset("Users", "i00001")
        until(seen, lambda now: [each.weight for each in now.instances] == [100, 100])
        since = reader.instances("Users").revision
        owner.configure("Users", {"timeout": "0.5"})
        update = reader.changes("Users", since)
        assert (update.is_whole, update.instances, update.settings) == (False, (), {"timeout": "0.5"})
        assert (reader.groups(), reader.services()) == (["default"], ["Users"])
        with pytest.raises(RegistryRefused, match=r"cannot remove Users: .* is an older version"):
            owner.remove("Users")


def test_oversized_registrations_are_rejected_and_readers_continue() -> None:
    limits = Limits(service_size=100_000, session_size=60_000)
    with RegistryServer(limits=limits) as server, connect(server.url) as one, connect(server.url) as reader:
        accepted = [one.register(instance(number, metadata={"x": "y" * 20_000})) for number in range(2)]
        for each in accepted:
            each.wait()
        refused = one.register(instance(9, metadata={"x": "y" * 20_000}))
        with pytest.raises(RegistryRefused, match=r"cannot register i00009 .* this client .* 60000 \(sess"):
            refused.wait()
        with connect(server.url) as other:
            register_all(other, [instance(number, metadata={"x": "y" * 20_000}) for number in (3, 4)])
            with pytest.raises(
                RegistryRefused, match=r"service Users already uses \d+; the limit is 100000 \(service_size\)"
            ):
                other.register(instance(5, metadata={"x": "y" * 20_000})).wait()
        assert len(reader.instances("Users").instances) >= 2


def test_one_instance_that_cannot_be_one_does_not_hide_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """Another version may know more."""

    async def spoil(address: str) -> None:
        async with AsyncRegistryClient.connect(address, framing="header", timeout=TIMEOUT) as client:
            session = (await client.begin("test", 60_000)).id
            await client.register(session, Record(service="Users", group="default", id="odd", host="h", port=1))

    class Lenient(Access, frozen=True, kw_only=True):
        def filter(self) -> ServerFilter:
            async def spoil(call: ServerCall, next: ServerCallNext) -> Any:
                found = await next(call)
                for record in getattr(found, "records", ()):
                    if record.id == "odd":
                        record.weight = -1
                return found

            return spoil

    with RegistryServer(access=Lenient()) as server, connect(server.url) as owner:
        register_all(owner, [instance(1)])
        asyncio.run(spoil(server.address))
        assert [each.id for each in owner.instances("Users").instances] == ["i00001"]
        assert "ignoring invalid registration odd of Users" in caplog.text


def test_limits_are_set_on_the_command_line() -> None:
    with registry_process(None, "--limit", "service_instances=1") as process, connect(process.url) as owner:
        owner.register(instance(1)).wait()
        with pytest.raises(RegistryRefused, match=r"the limit is 1 \(service_instances\)"):
            owner.register(instance(2)).wait()
    done = run_idlrt(["registry", "serve", "--limit", "instance=1"], code=2)
    assert "unknown limit 'instance' (known: instances, services" in done.stderr
    done = run_idlrt(["registry", "serve", "--limit", "size=much"], code=2)
    assert "--limit size: must be a number, got 'much'" in done.stderr


def instances_at(registry: Registry) -> int:
    """Return how many instances the registry answers with; 0 while it does not answer."""
    try:
        return len(registry.instances("Users").instances)
    except RegistryUnavailable:
        return 0


@pytest.mark.long
@pytest.mark.timeout(600)
def test_fifty_thousand_instances_of_one_service(tmp_path: Path) -> None:
    with (
        registry_process(tmp_path / "registry.db") as process,
        Registry.connect(f"{process.url}?timeout=300", cache=False, timeout=300) as owner,
        Registry.connect(f"{process.url}?timeout=300", cache=False, timeout=300) as reader,
    ):
        registrations = [owner.register(instance(number, tags={"team": "a"})) for number in range(50_000)]
        for each in registrations:
            each.wait()
        heard: list[Snapshot] = []
        subscription = reader.subscribe("Users")
        subscription.listen(lambda change: heard.append(change.snapshot))
        subscription.wait()
        registrations[777].update(weight=7)
        eventually(lambda: heard and heard[-1].instances[777].weight == 7, "a change is known")
        assert {len(each.instances) for each in heard} == {50_000}
        process.kill()
        process.start()
        # A client that was refused while the registry started waits a moment before it tries again.
        eventually(lambda: instances_at(reader) == 50_000, "the registry has read its file")


@pytest.mark.slow
def test_an_instance_that_is_too_large_for_zookeeper_is_refused(tmp_path: Path) -> None:
    """The server closes the connection without a word."""
    with (
        running_zookeeper(tmp_path) as zookeeper,
        Registry.connect(f"zookeeper://{zookeeper.address}?timeout=60", cache=False, timeout=TIMEOUT) as owner,
    ):
        owner.register(instance(1)).wait()
        with pytest.raises(RegistryRefused, match=r"closed the connection .* of 11\d+ bytes.*jute\.maxbuffer"):
            owner.register(instance(2, metadata={"x": "y" * 1_100_000})).wait()
        assert [each.id for each in owner.instances("Users").instances] == ["i00001"]


def test_patches_of_a_service_are_told_one_by_one() -> None:
    """One change of a patch does not tell all others again."""
    with RegistryServer() as server, connect(server.url) as owner:
        register_all(owner, [instance(number) for number in range(10)])
        for number in range(10):
            owner.modify("Users", f"i{number:05}", weight=number)
        with RegistryClient.connect(server.address, framing="header", timeout=TIMEOUT) as client:
            whole = client.part("default", "Users", 0, 0, 0, "")
            assert len(whole.corrections) == 10
            owner.modify("Users", "i00003", weight=33)
            news = client.part("default", "Users", whole.epoch, whole.revision, 0, "")
            assert list(news.corrections) == ["i00003"]
            assert Patch(weight=news.corrections["i00003"].weight) == Patch(weight=33)

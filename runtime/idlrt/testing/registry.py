"""What every kind of registry has to do: one suite, for ours and for yours.

    from idlrt.testing import check_registry

    def test_registry() -> None:
        check_registry(lambda: Registry.connect("mine://127.0.0.1:1234", cache=False, empty_protection=False))

`make` gives another client of the same registry each time. The checks use services of their own, so they may run beside
each other, and again, at a registry that others use. `REGISTRY_CHECKS` has them one by one, for a test of each.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from idlrt.core import Change, Freshness, Instance, ServiceKey, Snapshot, Status
from idlrt.errors import RegistryRefused
from idlrt.registry import Registry, Subscription

__all__ = ["REGISTRY_CHECKS", "check_registry"]

Make = Callable[[], Registry]

# Seconds that anything may take, on a busy machine. What is expected of a registry's speed is measured, not checked.
PATIENCE: Final = 60.0

_numbers = itertools.count(1)


def check_registry(make: Make) -> None:
    """Check all.

    Raises:
        AssertionError: the registry does not do what it has to.
    """
    for check in REGISTRY_CHECKS.values():
        check(make)


def _service(what: str) -> str:
    """A name that nobody has used."""
    return f"check.{what}.{os.getpid()}.{next(_numbers)}.{time.time_ns() % 1_000_000_000}"


def _instance(service: str, number: int = 1, **more: Any) -> Instance:
    return Instance(service=service, host="127.0.0.1", port=20000 + number, **more)


class _Seen:
    """A subscription and all that it has told."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.changes: list[Change] = []
        self._condition = threading.Condition()
        subscription.listen(self._heard)

    def _heard(self, change: Change) -> None:
        with self._condition:
            self.changes.append(change)
            self._condition.notify_all()

    def until(self, is_there: Callable[[Snapshot], bool], what: str) -> Snapshot:
        """Wait until a snapshot is as wanted."""
        with self._condition:
            found = self._condition.wait_for(
                lambda: bool(self.changes) and is_there(self.changes[-1].snapshot), PATIENCE
            )
            last = self.changes[-1].snapshot if self.changes else self.subscription.trouble
        assert found, f"{what}: not within {PATIENCE:.0f} s; last known: {last}"
        assert isinstance(last, Snapshot)
        return last

    def until_ids(self, *ids: str) -> Snapshot:
        """Wait until just these are there."""
        return self.until(lambda each: [one.id for one in each.instances] == sorted(ids), f"instances {sorted(ids)}")


@contextmanager
def _clients(make: Make, count: int = 2) -> Generator[list[Registry]]:
    with ExitStack() as stack:
        yield [stack.enter_context(make()) for _ in range(count)]


def _registered_is_found(make: Make) -> None:
    service = _service("find")
    with _clients(make) as (server, client):
        everything = _instance(
            service,
            protocols=("framed",),
            version="1.2.3",
            weight=7,
            zone="eu-1",
            tags={"gray": "yes"},
            timeout=0.5,
            retries=2,
            routing={"shard": "3"},
            started_at=1_700_000_000.5,
            metadata={"commit": "abc", "ü": "ö"},
        )
        server.register(everything).wait(PATIENCE)
        found = client.instances(service, timeout=PATIENCE)
        assert found.instances == (everything,), found
        assert found.revision > 0
        assert found.freshness is Freshness.LIVE
        assert service in client.services(timeout=PATIENCE)
        assert "default" in client.groups(timeout=PATIENCE)


def _unknown_service_is_empty(make: Make) -> None:
    with _clients(make, 1) as (client,):
        found = client.instances(_service("nobody"), timeout=PATIENCE)
        assert found.instances == ()
        seen = _Seen(client.subscribe(_service("nobody")))
        assert seen.until(lambda _: True, "an empty snapshot").instances == ()


def _subscribers_hear_of_changes(make: Make) -> None:
    service = _service("push")
    with _clients(make) as (server, client):
        seen = _Seen(client.subscribe(service))
        seen.until(lambda each: not each.instances, "nothing yet")
        first = server.register(_instance(service, 1))
        seen.until_ids("127.0.0.1:20001")
        assert [each.id for each in seen.changes[-1].added] == ["127.0.0.1:20001"]
        second = server.register(_instance(service, 2))
        seen.until_ids("127.0.0.1:20001", "127.0.0.1:20002")
        assert [each.id for each in seen.changes[-1].added] == ["127.0.0.1:20002"]
        first.update(weight=3)
        snapshot = seen.until(lambda each: bool(each.instances) and each.instances[0].weight == 3, "a new weight")
        assert [each.id for each in snapshot.instances] == ["127.0.0.1:20001", "127.0.0.1:20002"]
        assert [each.id for each in seen.changes[-1].updated] == ["127.0.0.1:20001"]
        first.deregister(PATIENCE)
        seen.until_ids("127.0.0.1:20002")
        assert [each.id for each in seen.changes[-1].removed] == ["127.0.0.1:20001"]
        second.deregister(PATIENCE)
        seen.until_ids()
        revisions = [each.snapshot.revision for each in seen.changes]
        assert revisions == sorted(revisions), f"revisions go back: {revisions}"


def _who_comes_later_hears_of_all(make: Make) -> None:
    service = _service("late")
    with _clients(make) as (server, client):
        for number in range(5):
            server.register(_instance(service, number)).wait(PATIENCE)
        seen = _Seen(client.subscribe(service))
        seen.until_ids(*[f"127.0.0.1:{20000 + number}" for number in range(5)])
        assert len(seen.changes[0].added) == 5, "the first snapshot is whole"


def _closing_deregisters(make: Make) -> None:
    service = _service("close")
    with _clients(make, 1) as (client,):
        seen = _Seen(client.subscribe(service))
        with make() as server:
            server.register(_instance(service)).wait(PATIENCE)
            seen.until_ids("127.0.0.1:20001")
        seen.until_ids()


def _registering_again_replaces(make: Make) -> None:
    service = _service("again")
    with _clients(make) as (server, client):
        server.register(_instance(service, version="1")).wait(PATIENCE)
        server.register(_instance(service, version="2")).wait(PATIENCE)
        assert [each.version for each in client.instances(service, timeout=PATIENCE).instances] == ["2"]


def _switching_off_and_on(make: Make) -> None:
    service = _service("switch")
    with _clients(make) as (server, client):
        seen = _Seen(client.subscribe(service))
        registration = server.register(_instance(service, status=Status.DISABLED))
        snapshot = seen.until_ids("127.0.0.1:20001")
        assert snapshot.callable == ()
        registration.enable()
        seen.until(lambda each: len(each.callable) == 1, "enabled")
        registration.disable()
        snapshot = seen.until(lambda each: not each.callable, "disabled")
        assert len(snapshot.instances) == 1


def _operators_change_instances(make: Make) -> None:
    service = _service("modify")
    with _clients(make) as (server, client):
        seen = _Seen(client.subscribe(service))
        registration = server.register(_instance(service, tags={"a": "1", "b": "2"}))
        seen.until_ids("127.0.0.1:20001")
        id = "127.0.0.1:20001"
        changed = client.modify(service, id, weight=5, tags={"b": "", "c": "3"}, timeout=PATIENCE)
        assert (changed.weight, changed.tags) == (5, {"a": "1", "c": "3"})
        assert seen.until(lambda each: each.instances[0].weight == 5, "a weight").instances == (changed,)
        client.modify(service, id, status=Status.DISABLED, timeout=PATIENCE)
        last = seen.until(lambda each: not each.callable, "disabled by an operator")
        assert last.instances[0].weight == 5, "what was said before still counts"
        # What the owner says of itself is still there below.
        registration.update(version="2")
        seen.until(lambda each: each.instances[0].version == "2" and not each.callable, "still disabled")
        client.reset(service, id, timeout=PATIENCE)
        assert seen.until(lambda each: len(each.callable) == 1, "as before").instances[0].tags == {"a": "1", "b": "2"}
        try:
            client.modify(service, "127.0.0.1:1", weight=1, timeout=PATIENCE)
            why = "an instance that is not there was changed"
        except RegistryRefused as error:
            why = str(error)
        assert "there are: 127.0.0.1:20001" in why, why


def _what_operators_said_outlives_the_instance(make: Make) -> None:
    service = _service("outlive")
    with _clients(make) as (server, client):
        seen = _Seen(client.subscribe(service))
        first = server.register(_instance(service))
        seen.until_ids("127.0.0.1:20001")
        client.modify(service, "127.0.0.1:20001", status=Status.DISABLED, timeout=PATIENCE)
        seen.until(lambda each: not each.callable, "disabled")
        first.deregister(PATIENCE)
        seen.until_ids()
        server.register(_instance(service, version="2"))
        assert seen.until_ids("127.0.0.1:20001").callable == ()
        client.reset(service, "127.0.0.1:20001", timeout=PATIENCE)
        seen.until(lambda each: len(each.callable) == 1, "enabled")


def _settings_of_a_service(make: Make) -> None:
    service = _service("settings")
    with _clients(make) as (operator, client):
        seen = _Seen(client.subscribe(service))
        assert operator.configure(service, {"balancer": "p2c", "timeout": "0.5"}, timeout=PATIENCE) == {
            "balancer": "p2c",
            "timeout": "0.5",
        }
        seen.until(lambda each: each.settings.get("balancer") == "p2c", "a setting")
        assert operator.configure(service, {"timeout": None, "ü": "ö"}, timeout=PATIENCE) == {
            "balancer": "p2c",
            "ü": "ö",
        }
        seen.until(lambda each: each.settings == {"balancer": "p2c", "ü": "ö"}, "settings")
        assert client.instances(service, timeout=PATIENCE).settings == {"balancer": "p2c", "ü": "ö"}


def _services_are_removed(make: Make) -> None:
    service, id = _service("removed"), "127.0.0.1:20001"
    with _clients(make) as (server, operator):
        seen = _Seen(operator.subscribe(service))
        first = server.register(_instance(service))
        seen.until_ids(id)
        operator.modify(service, id, weight=7, timeout=PATIENCE)
        operator.configure(service, {"timeout": "0.5"}, timeout=PATIENCE)
        for wrong in (None, id):
            try:
                operator.remove(service, id=wrong, timeout=PATIENCE)
                raise AssertionError("what is in use was removed")
            except RegistryRefused:
                pass
        first.deregister(PATIENCE)
        seen.until_ids()
        operator.remove(service, timeout=PATIENCE)
        seen.until(lambda each: not each.settings, "settings are gone")
        server.register(_instance(service))
        assert seen.until_ids(id).instances[0].weight == 100, "what operators said is gone"
        operator.modify(service, id, weight=7, timeout=PATIENCE)
        server.close(PATIENCE)
        seen.until_ids()
        operator.remove(service, id=id, timeout=PATIENCE)
        with _clients(make, 1) as (again,):
            again.register(_instance(service))
            assert seen.until_ids(id).instances[0].weight == 100, "the patch is gone"


def _groups_are_apart(make: Make) -> None:
    service = _service("groups")
    with _clients(make) as (server, client):
        blue, green = (_Seen(client.subscribe(service, group)) for group in ("blue", "green"))
        server.register(_instance(service, 1, group="blue")).wait(PATIENCE)
        server.register(_instance(service, 2, group="green")).wait(PATIENCE)
        blue.until_ids("127.0.0.1:20001")
        green.until_ids("127.0.0.1:20002")
        assert {"blue", "green"} <= set(client.groups(timeout=PATIENCE))
        assert service in client.services("blue", timeout=PATIENCE)
        assert service not in client.services(timeout=PATIENCE)
        assert client.instances(service, timeout=PATIENCE).instances == ()


def _changes_since_a_revision(make: Make) -> None:
    service = _service("since")
    with _clients(make) as (server, client):
        first = server.register(_instance(service, 1))
        first.wait(PATIENCE)
        known = client.instances(service, timeout=PATIENCE)
        state = {each.id: each for each in known.instances}
        nothing = client.changes(service, known.revision, timeout=PATIENCE)
        assert not nothing.is_whole and not nothing.instances and not nothing.removed, nothing  # noqa: PT018
        server.register(_instance(service, 2)).wait(PATIENCE)
        first.deregister(PATIENCE)
        update = client.changes(service, known.revision, timeout=PATIENCE)
        assert update.revision > known.revision
        if update.is_whole:
            state.clear()
        for id in update.removed:
            del state[id]
        state.update({each.id: each for each in update.instances})
        assert list(state) == ["127.0.0.1:20002"], state


def _many_at_once(make: Make) -> None:
    service = _service("many")
    with _clients(make) as (server, client):
        seen = _Seen(client.subscribe(service))
        registrations = [server.register(_instance(service, number)) for number in range(50)]
        seen.until_ids(*[f"127.0.0.1:{20000 + number}" for number in range(50)])
        for each in registrations[::2]:
            each.deregister(PATIENCE)
        seen.until_ids(*[f"127.0.0.1:{20000 + number}" for number in range(1, 50, 2)])


def _subscriptions_share_and_end(make: Make) -> None:
    service = _service("share")
    with _clients(make) as (server, client):
        one, other = client.subscribe(service), client.subscribe(service)
        seen = _Seen(other)
        one.close()
        one.close()
        server.register(_instance(service)).wait(PATIENCE)
        seen.until_ids("127.0.0.1:20001")
        other.close()
        assert client.subscribe(service).wait(PATIENCE).key == ServiceKey(service)


REGISTRY_CHECKS: Final[dict[str, Callable[[Make], None]]] = {
    function.__name__.removeprefix("_"): function
    for function in (
        _registered_is_found,
        _unknown_service_is_empty,
        _subscribers_hear_of_changes,
        _who_comes_later_hears_of_all,
        _closing_deregisters,
        _registering_again_replaces,
        _switching_off_and_on,
        _operators_change_instances,
        _what_operators_said_outlives_the_instance,
        _settings_of_a_service,
        _services_are_removed,
        _groups_are_apart,
        _changes_since_a_revision,
        _many_at_once,
        _subscriptions_share_and_end,
    )
}

"""Conformance suite of registries, for the built-in ones and for plugins.

    from idlrt.testing import check_registry

    def test_registry() -> None:
        check_registry(lambda: Registry.connect("mine://127.0.0.1:1234", cache=False, empty_protection=False))

`make` returns a new client of the same registry at each call. The checks use unique service names, so they can run
concurrently, repeatedly, and against a registry that is in use. `REGISTRY_CHECKS` has the single checks, for a test of
each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from idlrt.core import Freshness, ServiceKey, Status
from idlrt.errors import RegistryRefused
from idlrt.testing.registry_clients import TIMEOUT, ChangeRecorder, Make, clients, make_instance, new_service
from idlrt.testing.registry_id_conflicts import HEARTBEAT_CHECKS, ID_CONFLICT_CHECKS

__all__ = ["HEARTBEAT_CHECKS", "REGISTRY_CHECKS", "Make", "check_registry"]


def check_registry(make: Make) -> None:
    """Run all checks.

    Raises:
        AssertionError: the registry violates a rule; the message names the rule.
    """
    for check in REGISTRY_CHECKS.values():
        check(make)


def _registered_instances_are_found(make: Make) -> None:
    service = new_service("find")
    with clients(make) as (server, client):
        everything = make_instance(
            service,
            protocols=("framed",),
            rpc_protocols={"thrift": ("compact", "binary"), "jsonrpc": ("json",)},
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
        server.register(everything).wait(TIMEOUT)
        found = client.instances(service, timeout=TIMEOUT)
        assert found.instances == (everything,), (
            f"an instance must keep all its fields: {everything} became {found.instances}"
        )
        assert found.revision > 0, f"a revision must be positive, got {found.revision}"
        assert found.freshness is Freshness.LIVE, f"freshness must be live, got {found.freshness}"
        assert service in client.services(timeout=TIMEOUT), f"services() must list {service!r}"
        assert "default" in client.groups(timeout=TIMEOUT), "groups() must list 'default'"


def _unknown_service_is_empty(make: Make) -> None:
    with clients(make, 1) as (client,):
        found = client.instances(new_service("unknown"), timeout=TIMEOUT)
        assert found.instances == ()
        seen = ChangeRecorder(client.subscribe(new_service("unknown")))
        assert seen.wait_for(lambda _: True, "an empty snapshot").instances == ()


def _subscribers_receive_changes(make: Make) -> None:
    service = new_service("push")
    with clients(make) as (server, client):
        seen = ChangeRecorder(client.subscribe(service))
        seen.wait_for(lambda each: not each.instances, "an empty snapshot")
        first = server.register(make_instance(service, 1))
        seen.wait_for_ids("127.0.0.1:20001")
        assert [each.id for each in seen.changes[-1].added] == ["127.0.0.1:20001"]
        second = server.register(make_instance(service, 2))
        seen.wait_for_ids("127.0.0.1:20001", "127.0.0.1:20002")
        assert [each.id for each in seen.changes[-1].added] == ["127.0.0.1:20002"]
        first.update(weight=3)
        snapshot = seen.wait_for(lambda each: bool(each.instances) and each.instances[0].weight == 3, "a new weight")
        assert [each.id for each in snapshot.instances] == ["127.0.0.1:20001", "127.0.0.1:20002"]
        assert [each.id for each in seen.changes[-1].updated] == ["127.0.0.1:20001"]
        first.deregister(TIMEOUT)
        seen.wait_for_ids("127.0.0.1:20002")
        assert [each.id for each in seen.changes[-1].removed] == ["127.0.0.1:20001"]
        second.deregister(TIMEOUT)
        seen.wait_for_ids()
        revisions = [each.snapshot.revision for each in seen.changes]
        assert revisions == sorted(revisions), f"revisions must not decrease, got {revisions}"


def _late_subscribers_receive_all_instances(make: Make) -> None:
    service = new_service("late")
    with clients(make) as (server, client):
        for number in range(5):
            server.register(make_instance(service, number)).wait(TIMEOUT)
        seen = ChangeRecorder(client.subscribe(service))
        seen.wait_for_ids(*[f"127.0.0.1:{20000 + number}" for number in range(5)])
        assert len(seen.changes[0].added) == 5, "the first snapshot must have all instances"


def _closing_deregisters(make: Make) -> None:
    service = new_service("close")
    with clients(make, 1) as (client,):
        seen = ChangeRecorder(client.subscribe(service))
        with make() as server:
            server.register(make_instance(service)).wait(TIMEOUT)
            seen.wait_for_ids("127.0.0.1:20001")
        seen.wait_for_ids()


def _registering_again_replaces(make: Make) -> None:
    service = new_service("again")
    with clients(make) as (server, client):
        server.register(make_instance(service, version="1")).wait(TIMEOUT)
        server.register(make_instance(service, version="2")).wait(TIMEOUT)
        assert [each.version for each in client.instances(service, timeout=TIMEOUT).instances] == ["2"]


def _instances_can_be_disabled_and_enabled(make: Make) -> None:
    service = new_service("switch")
    with clients(make) as (server, client):
        seen = ChangeRecorder(client.subscribe(service))
        registration = server.register(make_instance(service, status=Status.DISABLED))
        snapshot = seen.wait_for_ids("127.0.0.1:20001")
        assert snapshot.callable == ()
        registration.enable()
        seen.wait_for(lambda each: len(each.callable) == 1, "enabled")
        registration.disable()
        snapshot = seen.wait_for(lambda each: not each.callable, "disabled")
        assert len(snapshot.instances) == 1


def _operators_change_instances(make: Make) -> None:
    service = new_service("modify")
    with clients(make) as (server, client):
        seen = ChangeRecorder(client.subscribe(service))
        registration = server.register(make_instance(service, tags={"a": "1", "b": "2"}))
        seen.wait_for_ids("127.0.0.1:20001")
        id = "127.0.0.1:20001"
        changed = client.modify(service, id, weight=5, tags={"b": "", "c": "3"}, timeout=TIMEOUT)
        assert (changed.weight, changed.tags) == (5, {"a": "1", "c": "3"})
        assert seen.wait_for(lambda each: each.instances[0].weight == 5, "a weight").instances == (changed,)
        client.modify(service, id, status=Status.DISABLED, timeout=TIMEOUT)
        last = seen.wait_for(lambda each: not each.callable, "disabled by an operator")
        assert last.instances[0].weight == 5, "a second modify must keep the fields of the first one"
        # Patches of operators do not replace what the owner registered.
        registration.update(version="2")
        seen.wait_for(lambda each: each.instances[0].version == "2" and not each.callable, "still disabled")
        client.reset(service, id, timeout=TIMEOUT)
        assert seen.wait_for(lambda each: len(each.callable) == 1, "as before").instances[0].tags == {
            "a": "1",
            "b": "2",
        }
        try:
            client.modify(service, "127.0.0.1:1", weight=1, timeout=TIMEOUT)
            why = "modify() of an unknown instance must raise RegistryRefused"
        except RegistryRefused as error:
            why = str(error)
        assert "known instances: 127.0.0.1:20001" in why, why


def _patches_outlive_the_instance(make: Make) -> None:
    service = new_service("outlive")
    with clients(make) as (server, client):
        seen = ChangeRecorder(client.subscribe(service))
        first = server.register(make_instance(service))
        seen.wait_for_ids("127.0.0.1:20001")
        client.modify(service, "127.0.0.1:20001", status=Status.DISABLED, timeout=TIMEOUT)
        seen.wait_for(lambda each: not each.callable, "disabled")
        first.deregister(TIMEOUT)
        seen.wait_for_ids()
        server.register(make_instance(service, version="2"))
        assert seen.wait_for_ids("127.0.0.1:20001").callable == ()
        client.reset(service, "127.0.0.1:20001", timeout=TIMEOUT)
        seen.wait_for(lambda each: len(each.callable) == 1, "enabled")


def _services_have_settings(make: Make) -> None:
    service = new_service("settings")
    with clients(make) as (operator, client):
        seen = ChangeRecorder(client.subscribe(service))
        assert operator.configure(service, {"balancer": "p2c", "timeout": "0.5"}, timeout=TIMEOUT) == {
            "balancer": "p2c",
            "timeout": "0.5",
        }
        seen.wait_for(lambda each: each.settings.get("balancer") == "p2c", "a setting")
        assert operator.configure(service, {"timeout": None, "ü": "ö"}, timeout=TIMEOUT) == {
            "balancer": "p2c",
            "ü": "ö",
        }
        seen.wait_for(lambda each: each.settings == {"balancer": "p2c", "ü": "ö"}, "settings")
        assert client.instances(service, timeout=TIMEOUT).settings == {"balancer": "p2c", "ü": "ö"}


def _services_are_removed(make: Make) -> None:
    service, id = new_service("removed"), "127.0.0.1:20001"
    with clients(make) as (server, operator):
        seen = ChangeRecorder(operator.subscribe(service))
        first = server.register(make_instance(service))
        seen.wait_for_ids(id)
        operator.modify(service, id, weight=7, timeout=TIMEOUT)
        operator.configure(service, {"timeout": "0.5"}, timeout=TIMEOUT)
        for wrong in (None, id):
            try:
                operator.remove(service, id=wrong, timeout=TIMEOUT)
                raise AssertionError("remove() of a service or an instance in use must raise RegistryRefused")
            except RegistryRefused:
                pass
        first.deregister(TIMEOUT)
        seen.wait_for_ids()
        operator.remove(service, timeout=TIMEOUT)
        seen.wait_for(lambda each: not each.settings, "no settings")
        server.register(make_instance(service))
        assert seen.wait_for_ids(id).instances[0].weight == 100, "remove() of a service must remove its patches"
        operator.modify(service, id, weight=7, timeout=TIMEOUT)
        server.close(TIMEOUT)
        seen.wait_for_ids()
        operator.remove(service, id=id, timeout=TIMEOUT)
        with clients(make, 1) as (again,):
            again.register(make_instance(service))
            assert seen.wait_for_ids(id).instances[0].weight == 100, "remove() of an instance must remove its patch"


def _groups_are_separate(make: Make) -> None:
    service = new_service("groups")
    with clients(make) as (server, client):
        blue, green = (ChangeRecorder(client.subscribe(service, group)) for group in ("blue", "green"))
        server.register(make_instance(service, 1, group="blue")).wait(TIMEOUT)
        server.register(make_instance(service, 2, group="green")).wait(TIMEOUT)
        blue.wait_for_ids("127.0.0.1:20001")
        green.wait_for_ids("127.0.0.1:20002")
        assert {"blue", "green"} <= set(client.groups(timeout=TIMEOUT)), "groups() must list all groups"
        assert service in client.services("blue", timeout=TIMEOUT), "services() must list the services of the group"
        assert service not in client.services(timeout=TIMEOUT), "services() must not list services of other groups"
        found = client.instances(service, timeout=TIMEOUT).instances
        assert found == (), f"instances() must not return instances of other groups, got {found}"


def _changes_since_a_revision(make: Make) -> None:
    service = new_service("since")
    with clients(make) as (server, client):
        first = server.register(make_instance(service, 1))
        first.wait(TIMEOUT)
        known = client.instances(service, timeout=TIMEOUT)
        state = {each.id: each for each in known.instances}
        nothing = client.changes(service, known.revision, timeout=TIMEOUT)
        is_empty = not (nothing.is_whole or nothing.instances or nothing.removed)
        assert is_empty, f"no changes expected, got {nothing}"
        server.register(make_instance(service, 2)).wait(TIMEOUT)
        first.deregister(TIMEOUT)
        update = client.changes(service, known.revision, timeout=TIMEOUT)
        assert update.revision > known.revision, f"revision {known.revision} must grow, got {update.revision}"
        if update.is_whole:
            state.clear()
        for id in update.removed:
            del state[id]
        state.update({each.id: each for each in update.instances})
        assert list(state) == ["127.0.0.1:20002"], f"changes() must lead to the current instances, got {state}"


def _many_at_once(make: Make) -> None:
    service = new_service("many")
    with clients(make) as (server, client):
        seen = ChangeRecorder(client.subscribe(service))
        registrations = [server.register(make_instance(service, number)) for number in range(50)]
        seen.wait_for_ids(*[f"127.0.0.1:{20000 + number}" for number in range(50)])
        for each in registrations[::2]:
            each.deregister(TIMEOUT)
        seen.wait_for_ids(*[f"127.0.0.1:{20000 + number}" for number in range(1, 50, 2)])


def _subscriptions_share_and_end(make: Make) -> None:
    service = new_service("share")
    with clients(make) as (server, client):
        one, other = client.subscribe(service), client.subscribe(service)
        seen = ChangeRecorder(other)
        one.close()
        one.close()
        server.register(make_instance(service)).wait(TIMEOUT)
        seen.wait_for_ids("127.0.0.1:20001")
        other.close()
        assert client.subscribe(service).wait(TIMEOUT).key == ServiceKey(service)


REGISTRY_CHECKS: Final[dict[str, Callable[[Make], None]]] = {
    function.__name__.removeprefix("_"): function
    for function in (
        _registered_instances_are_found,
        _unknown_service_is_empty,
        _subscribers_receive_changes,
        _late_subscribers_receive_all_instances,
        _closing_deregisters,
        _registering_again_replaces,
        _instances_can_be_disabled_and_enabled,
        _operators_change_instances,
        _patches_outlive_the_instance,
        _services_have_settings,
        _services_are_removed,
        _groups_are_separate,
        _changes_since_a_revision,
        _many_at_once,
        _subscriptions_share_and_end,
        *ID_CONFLICT_CHECKS,
    )
}

"""Registry checks of ids that two sessions register, and of lost registrations. Part of `REGISTRY_CHECKS`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from idlrt.registry import (
    INSTANCE_TOKEN,
    AlreadyRegistered,
    Registration,
    RegistrationEvent,
    RegistrationState,
    Registry,
)
from idlrt.testing.registry_clients import TIMEOUT, ChangeRecorder, Make, clients, make_instance, new_service

__all__ = ["HEARTBEAT_CHECKS", "ID_CONFLICT_CHECKS"]


class _EventRecorder:
    """A registration and its recorded events."""

    def __init__(self, registration: Registration) -> None:
        self.events: list[RegistrationEvent] = []
        self._condition = threading.Condition()
        registration.listen(self._on_event)

    def _on_event(self, event: RegistrationEvent) -> None:
        with self._condition:
            self.events.append(event)
            self._condition.notify_all()

    def wait_for(self, state: RegistrationState) -> RegistrationEvent:
        """Wait for a state."""
        with self._condition:
            found = self._condition.wait_for(lambda: bool(self.events) and self.events[-1].state is state, TIMEOUT)
            states = [each.state.value for each in self.events]
        assert found, f"the registration is not {state.value} after {TIMEOUT:.0f} s; its states were {states}"
        return self.events[-1]


def _versions(client: Registry, service: str) -> list[str]:
    return [each.version for each in client.instances(service, timeout=TIMEOUT).instances]


def _a_restarted_instance_takes_over(make: Make) -> None:
    service = new_service("restart")
    with clients(make, 3) as (before, after, client):
        old = before.register(make_instance(service, version="1"))
        old.wait(TIMEOUT)
        after.register(make_instance(service, version="2")).wait(TIMEOUT)
        assert _versions(client, service) == ["2"]
        old.deregister(TIMEOUT)
        assert _versions(client, service) == ["2"], "deregistering the old instance must not remove the new one"


def _an_instance_token_replaces_the_address(make: Make) -> None:
    service, same = new_service("token"), {INSTANCE_TOKEN: "users-0"}
    with clients(make, 3) as (before, after, client):
        before.register(make_instance(service, 1, id="users-0", metadata=same)).wait(TIMEOUT)
        after.register(make_instance(service, 2, id="users-0", metadata=same)).wait(TIMEOUT)
        found = client.instances(service, timeout=TIMEOUT).instances
        assert [(each.id, each.port) for each in found] == [("users-0", 20002)], found


def _an_id_in_use_is_refused(make: Make) -> None:
    service = new_service("conflict")
    with clients(make, 3) as (one, other, client):
        first = one.register(make_instance(service, 1, id="users-0"))
        first.wait(TIMEOUT)
        second = other.register(make_instance(service, 2, id="users-0"))
        refused = _EventRecorder(second).wait_for(RegistrationState.REFUSED)
        assert isinstance(refused.error, AlreadyRegistered), refused
        assert "127.0.0.1:20001" in str(refused.error), refused
        assert second.error is not None
        found = client.instances(service, timeout=TIMEOUT).instances
        assert [each.port for each in found] == [20001], found
        # It gets the id as soon as the id is free.
        first.deregister(TIMEOUT)
        second.wait(TIMEOUT)
        found = client.instances(service, timeout=TIMEOUT).instances
        assert [each.port for each in found] == [20002], found


def _a_displaced_registration_comes_back(make: Make) -> None:
    service = new_service("displaced")
    with clients(make) as (server, client):
        seen = ChangeRecorder(client.subscribe(service))
        registration = server.register(make_instance(service, version="1"))
        registration.wait(TIMEOUT)
        recorded = _EventRecorder(registration)
        with make() as another:
            another.register(make_instance(service, version="2")).wait(TIMEOUT)
            displaced = recorded.wait_for(RegistrationState.DISPLACED)
            assert isinstance(displaced.error, AlreadyRegistered), displaced
            # An update of the displaced registration does not take the id back.
            registration.update(weight=7)
            try:
                registration.wait(0.1)
                why = "wait() of a displaced registration must raise AlreadyRegistered"
            except AlreadyRegistered as error:
                why = str(error)
            assert "127.0.0.1:20001" in why, why
            assert _versions(client, service) == ["2"]
        recorded.wait_for(RegistrationState.REGISTERED)
        snapshot = seen.wait_for(
            lambda each: [one.version for one in each.instances] == ["1"], "the first instance again"
        )
        assert snapshot.instances[0].weight == 7


def _a_removed_registration_comes_back(make: Make) -> None:
    service = new_service("back")
    with clients(make) as (server, client):
        seen = ChangeRecorder(client.subscribe(service))
        server.register(make_instance(service, version="1")).wait(TIMEOUT)
        with make() as another:
            another.register(make_instance(service, version="2")).wait(TIMEOUT)
            seen.wait_for(lambda each: [one.version for one in each.instances] == ["2"], "the second instance")
        seen.wait_for(lambda each: [one.version for one in each.instances] == ["1"], "the first instance again")


HEARTBEAT_CHECKS: Final = frozenset(
    {
        "a_displaced_registration_comes_back",
        "a_removed_registration_comes_back",
        "an_id_in_use_is_refused",
    }
)
"""The checks of `REGISTRY_CHECKS` that wait for heartbeats: they are slow unless the sessions of `make`'s clients time
out after a few seconds.
"""

ID_CONFLICT_CHECKS: Final[tuple[Callable[[Make], None], ...]] = (
    _a_restarted_instance_takes_over,
    _an_instance_token_replaces_the_address,
    _an_id_in_use_is_refused,
    _a_displaced_registration_comes_back,
    _a_removed_registration_comes_back,
)

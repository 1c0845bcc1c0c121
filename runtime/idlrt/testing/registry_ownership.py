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
from idlrt.testing.registry_clients import PATIENCE, Make, Seen, clients, make_instance, new_service

__all__ = ["HEARTBEAT_CHECKS", "OWNERSHIP_CHECKS"]


class _Heard:
    """A registration and its recorded events."""

    def __init__(self, registration: Registration) -> None:
        self.events: list[RegistrationEvent] = []
        self._condition = threading.Condition()
        registration.listen(self._hear)

    def _hear(self, event: RegistrationEvent) -> None:
        with self._condition:
            self.events.append(event)
            self._condition.notify_all()

    def until(self, state: RegistrationState) -> RegistrationEvent:
        """Wait for a state."""
        with self._condition:
            found = self._condition.wait_for(lambda: bool(self.events) and self.events[-1].state is state, PATIENCE)
            states = [each.state.value for each in self.events]
        assert found, f"the registration is not {state.value} after {PATIENCE:.0f} s; its states were {states}"
        return self.events[-1]


def _versions(client: Registry, service: str) -> list[str]:
    return [each.version for each in client.instances(service, timeout=PATIENCE).instances]


def _a_restarted_instance_takes_over(make: Make) -> None:
    service = new_service("restart")
    with clients(make, 3) as (before, after, client):
        old = before.register(make_instance(service, version="1"))
        old.wait(PATIENCE)
        after.register(make_instance(service, version="2")).wait(PATIENCE)
        assert _versions(client, service) == ["2"]
        old.deregister(PATIENCE)
        assert _versions(client, service) == ["2"], "deregistering the old instance must not remove the new one"


def _an_instance_token_stands_for_the_address(make: Make) -> None:
    service, same = new_service("token"), {INSTANCE_TOKEN: "users-0"}
    with clients(make, 3) as (before, after, client):
        before.register(make_instance(service, 1, id="users-0", metadata=same)).wait(PATIENCE)
        after.register(make_instance(service, 2, id="users-0", metadata=same)).wait(PATIENCE)
        found = client.instances(service, timeout=PATIENCE).instances
        assert [(each.id, each.port) for each in found] == [("users-0", 20002)], found


def _an_id_in_use_is_refused(make: Make) -> None:
    service = new_service("conflict")
    with clients(make, 3) as (one, other, client):
        first = one.register(make_instance(service, 1, id="users-0"))
        first.wait(PATIENCE)
        second = other.register(make_instance(service, 2, id="users-0"))
        refused = _Heard(second).until(RegistrationState.REFUSED)
        assert isinstance(refused.error, AlreadyRegistered), refused
        assert "127.0.0.1:20001" in str(refused.error), refused
        assert second.error is not None
        found = client.instances(service, timeout=PATIENCE).instances
        assert [each.port for each in found] == [20001], found
        # It gets the id as soon as the id is free.
        first.deregister(PATIENCE)
        second.wait(PATIENCE)
        found = client.instances(service, timeout=PATIENCE).instances
        assert [each.port for each in found] == [20002], found


def _a_displaced_registration_comes_back(make: Make) -> None:
    service = new_service("displaced")
    with clients(make) as (server, client):
        seen = Seen(client.subscribe(service))
        registration = server.register(make_instance(service, version="1"))
        registration.wait(PATIENCE)
        heard = _Heard(registration)
        with make() as another:
            another.register(make_instance(service, version="2")).wait(PATIENCE)
            displaced = heard.until(RegistrationState.DISPLACED)
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
        heard.until(RegistrationState.REGISTERED)
        snapshot = seen.until(lambda each: [one.version for one in each.instances] == ["1"], "the first instance again")
        assert snapshot.instances[0].weight == 7


def _a_registration_that_another_took_away_comes_back(make: Make) -> None:
    service = new_service("back")
    with clients(make) as (server, client):
        seen = Seen(client.subscribe(service))
        server.register(make_instance(service, version="1")).wait(PATIENCE)
        with make() as another:
            another.register(make_instance(service, version="2")).wait(PATIENCE)
            seen.until(lambda each: [one.version for one in each.instances] == ["2"], "the second instance")
        seen.until(lambda each: [one.version for one in each.instances] == ["1"], "the first instance again")


HEARTBEAT_CHECKS: Final = frozenset(
    {
        "a_displaced_registration_comes_back",
        "a_registration_that_another_took_away_comes_back",
        "an_id_in_use_is_refused",
    }
)
"""The checks of `REGISTRY_CHECKS` that wait for heartbeats: they are slow unless the sessions of `make`'s clients time
out after a few seconds.
"""

OWNERSHIP_CHECKS: Final[tuple[Callable[[Make], None], ...]] = (
    _a_restarted_instance_takes_over,
    _an_instance_token_stands_for_the_address,
    _an_id_in_use_is_refused,
    _a_displaced_registration_comes_back,
    _a_registration_that_another_took_away_comes_back,
)

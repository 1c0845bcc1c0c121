"""Ownership of ids in the embedded registry: during writes, with silent sessions, and after a restart."""

from __future__ import annotations

import pytest

from idlrt.core import ServiceKey
from idlrt.embedded.api import Conflict, Record, Refused
from idlrt.embedded.limits import Limits
from idlrt.embedded.state import Lease, State

KEY = ServiceKey("Users")


def record(port: int = 1001, **more: str) -> Record:
    return Record(service="Users", group="default", id="users-0", host="127.0.0.1", port=port, metadata=more)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def state(clock: Clock | None = None) -> State:
    return State(Limits(), clock or Clock(), epoch=1)


def register(state: State, lease: Lease, record: Record, *, reclaims: bool = False) -> None:
    state.apply(state.prepare_record(lease.id, record, reclaims=reclaims))


def ports(state: State) -> list[int]:
    return [each.port for each in state.changes(KEY, 1, 0).records]


def test_the_second_of_two_concurrent_registrations_of_an_id_is_refused() -> None:
    known = state()
    first, second = known.begin("first", 6.0), known.begin("second", 6.0)
    operation = known.prepare_record(first.id, record(1001))
    with pytest.raises(Conflict) as caught:
        known.prepare_record(second.id, record(1002))
    assert "at 127.0.0.1:1001" in caught.value.message
    assert "in use by first" in caught.value.message
    known.apply(operation)
    assert ports(known) == [1001]
    assert known.missing(second.id, [(KEY, "users-0")]) == [(KEY, "users-0")]


def test_an_id_is_free_after_a_failed_write() -> None:
    known = state()
    first, second = known.begin("first", 6.0), known.begin("second", 6.0)
    known.roll_back(known.prepare_record(first.id, record(1001)))
    register(known, second, record(1002))
    assert ports(known) == [1002]


def test_a_restarted_instance_replaces_a_registration_that_is_not_on_disk_yet() -> None:
    known = state()
    first, second = known.begin("first", 6.0), known.begin("second", 6.0)
    before = known.prepare_record(first.id, record(1001))
    after = known.prepare_record(second.id, record(1001, version="2"))
    # The replaced registration cannot be reclaimed.
    with pytest.raises(Conflict):
        known.prepare_record(first.id, record(1001), reclaims=True)
    known.apply(before)
    known.apply(after)
    assert known.missing(first.id, [(KEY, "users-0")]) == [(KEY, "users-0")]
    assert known.missing(second.id, [(KEY, "users-0")]) == []


def test_the_id_of_an_expired_session_is_free() -> None:
    """Also during self-preservation, which keeps expired sessions."""
    clock = Clock()
    known = state(clock)
    silent = [known.begin(f"silent {number}", 6.0) for number in range(10)]
    register(known, silent[0], record(1001))
    for number, lease in enumerate(silent[1:]):
        other = Record(service="Others", group="default", id=str(number), host="127.0.0.1", port=2000 + number)
        register(known, lease, other)
    clock.now = 5.0
    newcomer = known.begin("newcomer", 6.0)
    with pytest.raises(Conflict):
        register(known, newcomer, record(1002))
    clock.now = 7.0
    assert known.expire() == [], "all are kept"
    register(known, newcomer, record(1002))
    assert ports(known) == [1002]
    # The silent session learns of it with its next heartbeat.
    assert known.missing(silent[0].id, [(KEY, "users-0")]) == [(KEY, "users-0")]
    with pytest.raises(Conflict):
        register(known, silent[0], record(1001), reclaims=True)


def test_a_late_removal_does_not_affect_the_next_owner() -> None:
    known = state()
    first, second = known.begin("first", 6.0), known.begin("second", 6.0)
    register(known, first, record(1001))
    # Both writes are pending.
    after = known.prepare_record(second.id, record(1001))
    removal = known.prepare_removal(first.id, "default", "Users", "users-0")
    assert removal is not None
    known.apply(after)
    known.apply(removal)
    for operation in known.end(first.id):
        known.apply(operation)
    assert ports(known) == [1001]
    assert known.missing(second.id, [(KEY, "users-0")]) == []


def test_a_service_with_a_pending_write_is_not_evicted() -> None:
    known = State(Limits(services=1), Clock(), epoch=1)
    lease = known.begin("first", 6.0)
    register(known, lease, record())
    known.apply(known.removal(KEY, "users-0", lease.id))
    operation = known.prepare_record(lease.id, record())
    other = Record(service="Orders", group="default", id="orders-0", host="127.0.0.1", port=1)
    with pytest.raises(Refused, match="the limit is 1"):
        known.prepare_record(lease.id, other)
    known.roll_back(operation)
    known.apply(known.prepare_record(lease.id, other))
    assert known.changes(KEY, 1, 0).records == []

"""Who has an id in the embedded registry while it is being written, while sessions are silent, and after a restart."""

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


def test_of_two_that_register_an_id_before_either_is_on_disk_one_is_refused() -> None:
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


def test_an_id_that_could_not_be_written_is_free() -> None:
    known = state()
    first, second = known.begin("first", 6.0), known.begin("second", 6.0)
    known.give_up(known.prepare_record(first.id, record(1001)))
    register(known, second, record(1002))
    assert ports(known) == [1002]


def test_a_restart_is_not_refused_before_the_first_one_is_on_disk() -> None:
    known = state()
    first, second = known.begin("first", 6.0), known.begin("second", 6.0)
    before = known.prepare_record(first.id, record(1001))
    after = known.prepare_record(second.id, record(1001, version="2"))
    # And the first one, which has been replaced, cannot take it back.
    with pytest.raises(Conflict):
        known.prepare_record(first.id, record(1001), reclaims=True)
    known.apply(before)
    known.apply(after)
    assert known.missing(first.id, [(KEY, "users-0")]) == [(KEY, "users-0")]
    assert known.missing(second.id, [(KEY, "users-0")]) == []


def test_an_id_is_free_when_the_session_that_has_it_is_overdue() -> None:
    """Also if silent sessions are kept, because so many are silent at once that it must be the network."""
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
    # The one that was silent is told when it is back.
    assert known.missing(silent[0].id, [(KEY, "users-0")]) == [(KEY, "users-0")]
    with pytest.raises(Conflict):
        register(known, silent[0], record(1001), reclaims=True)


def test_what_a_session_takes_away_late_is_not_the_next_ones() -> None:
    known = state()
    first, second = known.begin("first", 6.0), known.begin("second", 6.0)
    register(known, first, record(1001))
    # Both are on their way to the disk.
    after = known.prepare_record(second.id, record(1001))
    removal = known.prepare_removal(first.id, "default", "Users", "users-0")
    assert removal is not None
    known.apply(after)
    known.apply(removal)
    for operation in known.end(first.id):
        known.apply(operation)
    assert ports(known) == [1001]
    assert known.missing(second.id, [(KEY, "users-0")]) == []


def test_a_service_whose_instance_is_being_written_is_not_given_back() -> None:
    known = State(Limits(services=1), Clock(), epoch=1)
    lease = known.begin("first", 6.0)
    register(known, lease, record())
    known.apply(known.removal(KEY, "users-0", lease.id))
    operation = known.prepare_record(lease.id, record())
    other = Record(service="Orders", group="default", id="orders-0", host="127.0.0.1", port=1)
    with pytest.raises(Refused, match="the limit is 1"):
        known.prepare_record(lease.id, other)
    known.give_up(operation)
    known.apply(known.prepare_record(lease.id, other))
    assert known.changes(KEY, 1, 0).records == []

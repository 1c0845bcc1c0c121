"""State and sessions of the embedded registry, in virtual time and without a network."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from idlrt.core import ServiceKey
from idlrt.embedded.api import Changes, Correction, NoSession, Record, Refused
from idlrt.embedded.limits import Limits
from idlrt.embedded.state import Lease, State

KEY = ServiceKey("Users")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def record(id: str = "a", service: str = "Users", **more: Any) -> Record:
    return Record(service=service, group="default", id=id, host="h", port=1, **more)


def make(clock: Clock | None = None, **limits: Any) -> State:
    return State(Limits(**limits), clock if clock is not None else Clock(), epoch=7)


def register(state: State, session: int, id: str, **more: Any) -> int:
    operation = state.prepare_record(session, record(id, **more))
    state.apply(operation)
    return operation.revision


def ids(state: State) -> list[str]:
    return sorted(each.id for each in state.changes(KEY, 0, 0).records)


def end(state: State, session: int) -> None:
    for operation in state.end(session):
        state.apply(operation)


def test_a_session_expires_without_heartbeats() -> None:
    clock = Clock()
    state = make(clock)
    lease = state.begin("client", 6.0)
    register(state, lease.id, "a")
    for _ in range(10):
        clock.now += 5.9
        state.keep(lease.id)
        assert state.expire() == []
    clock.now += 5.9
    assert state.expire() == []
    clock.now += 0.2
    assert state.expire() == [lease.id]
    end(state, lease.id)
    assert ids(state) == []
    with pytest.raises(NoSession):
        state.keep(lease.id)


def test_registering_counts_as_a_heartbeat() -> None:
    clock = Clock()
    state = make(clock)
    lease = state.begin("client", 6.0)
    clock.now += 5.0
    register(state, lease.id, "a")
    clock.now += 5.0
    assert state.expire() == []


@pytest.mark.parametrize(("wanted", "given"), [(0.0, 0.5), (-5.0, 0.5), (6.0, 6.0), (1e9, 300.0)])
def test_session_timeouts_are_bounded(wanted: float, given: float) -> None:
    assert make().begin("client", wanted).timeout == given


def test_the_last_session_to_register_owns_the_instance() -> None:
    state = make()
    old, new = state.begin("old", 6.0), state.begin("new", 6.0)
    register(state, old.id, "a", version="1")
    register(state, new.id, "a", version="2")
    assert state.prepare_removal(old.id, "default", "Users", "a") is None
    end(state, old.id)
    assert [each.version for each in state.changes(KEY, 0, 0).records] == ["2"]
    end(state, new.id)
    assert ids(state) == []
    assert state.instances == 0


def test_a_write_after_the_end_of_its_session_is_dropped() -> None:
    state = make()
    lease = state.begin("client", 6.0)
    late = state.prepare_record(lease.id, record())
    end(state, lease.id)
    state.apply(late)
    assert ids(state) == []


def test_self_preservation_keeps_sessions_when_all_are_silent(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    state = make(clock)
    leases = [state.begin(f"client {number}", 6.0) for number in range(10)]
    for number, lease in enumerate(leases):
        register(state, lease.id, f"i{number}")
        lease.deadline += number * 0.2  # they began at different times
    for _ in range(100):
        clock.now += 0.25
        assert state.expire() == []
    assert "10 of 10 send no heartbeats" in caplog.text
    for lease in leases[:8]:
        state.keep(lease.id)
    clock.now += 1.0
    assert sorted(state.expire()) == sorted(lease.id for lease in leases[8:]), "most are there again: two are not"


def owners(state: State, count: int) -> list[Lease]:
    """Begin sessions with one instance each."""
    leases = [state.begin(f"client {number}", 6.0) for number in range(count)]
    for number, lease in enumerate(leases):
        register(state, lease.id, f"i{number}")
    return leases


def test_a_few_silent_sessions_expire() -> None:
    clock = Clock()
    state = make(clock)
    leases = owners(state, 10)
    clock.now += 5.0
    for lease in leases[4:]:
        state.keep(lease.id)
    clock.now += 1.1
    assert sorted(state.expire()) == sorted(lease.id for lease in leases[:4])


def test_self_preservation_requires_a_minimum_of_sessions() -> None:
    clock = Clock()
    state = make(clock)
    leases = owners(state, 4)
    clock.now += 7.0
    assert sorted(state.expire()) == sorted(lease.id for lease in leases)


def test_self_preservation_is_limited_in_time() -> None:
    clock = Clock()
    state = make(clock, protected_for=60.0)
    leases = owners(state, 10)
    clock.now += 30.0
    assert state.expire() == []
    clock.now += 40.0
    assert sorted(state.expire()) == sorted(lease.id for lease in leases)


def test_abandoned_sessions_do_not_trigger_self_preservation() -> None:
    clock = Clock()
    state = make(clock)
    alive = owners(state, 6)
    # Sessions of clients that timed out before the response, and tried again.
    lost = [state.begin("client", 6.0) for _ in range(20)]
    clock.now += 5.0
    for lease in alive[1:]:
        state.keep(lease.id)
    clock.now += 1.1
    assert sorted(state.expire()) == sorted(lease.id for lease in [alive[0], *lost])


def test_self_preservation_does_not_keep_sessions_without_instances() -> None:
    clock = Clock()
    state = make(clock)
    owners(state, 6)
    lost = state.begin("client", 6.0)
    clock.now += 7.0
    assert state.expire() == [lost.id]


def test_time_during_which_the_registry_was_suspended_does_not_count() -> None:
    clock = Clock()
    state = make(clock)
    lease = owners(state, 1)[0]
    clock.now += 20.0
    assert state.expire(late=19.0) == []
    state.keep(lease.id)  # a heartbeat that had arrived during the suspension
    assert state.expire() == []
    clock.now += 6.1
    assert state.expire(late=0.05) == [lease.id]


def test_limits() -> None:
    state = make(instances=2, services=2, sessions=2, text=100)
    lease = state.begin("client", 6.0)
    state.begin("other", 6.0)
    with pytest.raises(Refused, match="2 sessions; the limit is 2"):
        state.begin("third", 6.0)
    with pytest.raises(Refused, match=r"too much text: 102 bytes; the limit is 100 \(text\)"):
        register(state, lease.id, "a", metadata={"x": "y" * 100})
    register(state, lease.id, "a")
    register(state, lease.id, "b")
    register(state, lease.id, "b", version="2")
    with pytest.raises(Refused, match=r"the registry has 2 instances; the limit is 2 \(instances\)"):
        register(state, lease.id, "c")
    state.apply(state.prepare_settings("default", "Other", {"a": "b"}))
    with pytest.raises(Refused, match=r"the registry has 2 services; the limit is 2 \(services\)"):
        state.prepare_settings("default", "Third", {})
    state.wait(ServiceKey("Third"), lambda: None)  # waiting for a service does not create it


def test_names_are_checked() -> None:
    state = make()
    for wrong in ("", "a/b", "../x", "x" * 300, "a b"):
        with pytest.raises(Refused, match="invalid service of an instance: "):
            state.prepare_settings("default", wrong, {})


def test_changes_since_a_revision() -> None:
    state = make()
    lease = state.begin("client", 6.0)
    first = register(state, lease.id, "a")
    register(state, lease.id, "b")
    last = register(state, lease.id, "a", version="2")
    changes = state.changes(KEY, 7, first)
    assert (changes.is_whole, changes.revision) == (False, last)
    assert sorted(each.id for each in changes.records) == ["a", "b"]
    assert changes.corrections is None
    assert changes.settings is None
    nothing = state.changes(KEY, 7, last)
    assert (nothing.is_whole, nothing.records, nothing.removed) == (False, [], [])


@pytest.mark.parametrize(("epoch", "since"), [(7, 0), (8, 2), (0, 2), (7, 99)])
def test_an_unknown_revision_yields_everything(epoch: int, since: int) -> None:
    state = make()
    lease = state.begin("client", 6.0)
    register(state, lease.id, "a")
    register(state, lease.id, "b")
    changes = state.changes(KEY, epoch, since)
    assert changes.is_whole
    assert [each.id for each in changes.records] == ["a", "b"]


def test_a_revision_before_the_history_yields_everything() -> None:
    state = make()
    lease = state.begin("client", 6.0)
    since = register(state, lease.id, "a")
    for _ in range(2000):
        register(state, lease.id, "b")
    assert not state.changes(KEY, 7, since).is_whole, "what is there is always known"
    gone = since
    for number in range(2000):
        gone = register(state, lease.id, f"c{number}")
        state.apply(state.removal(KEY, f"c{number}", lease.id))
    assert state.changes(KEY, 7, since).is_whole
    assert not state.changes(KEY, 7, gone - 1500).is_whole


def test_no_change_is_missed_after_a_restart() -> None:
    # The removal of `b` was the last change before the restart; its tombstone is lost.
    state = make()
    lease = state.begin("client", 6.0)
    state.restore_record(KEY, "a", lease.id, record("a"))
    state.restore(KEY, 10, {})
    assert state.changes(KEY, 7, 9).is_whole
    assert state.has_changed(KEY, 7, 9)
    assert not state.has_changed(KEY, 7, 10)


def test_waiters_are_notified_once() -> None:
    state = make()
    lease = state.begin("client", 6.0)
    told: list[str] = []

    def tell() -> None:
        told.append("news")

    forget = state.wait(KEY, tell)
    for tell_one in state.apply(state.prepare_record(lease.id, record("a"))):
        tell_one()
    assert state.apply(state.prepare_record(lease.id, record("b"))) == []
    assert told == ["news"]
    forget()
    other = state.wait(KEY, tell)
    other()
    assert state.apply(state.prepare_record(lease.id, record("c"))) == []


def test_waiting_for_an_unknown_service_leaves_no_trace() -> None:
    state = make(services=1)
    state.wait(ServiceKey("Nobody"), lambda: None)()
    assert state.services("default") == []
    assert state.groups() == []
    # It does not count towards the limit either.
    state.apply(state.prepare_settings("default", "Other", {}))


@settings(max_examples=60, stateful_step_count=40, deadline=None)
class Followers(RuleBasedStateMachine):
    """A client that polls for changes at arbitrary times always has the exact state."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.state = make(self.clock)
        self.sessions: list[int] = []
        self.expected: dict[str, tuple[str | None, int]] = {}
        self.corrections: dict[str, int] = {}
        self.settings: dict[str, str] = {}
        self.known: list[dict[str, Any]] = [
            {"epoch": 0, "revision": 0, "records": {}, "corrections": {}, "settings": {}} for _ in range(3)
        ]

    @rule()
    def begin(self) -> None:
        self.sessions.append(self.state.begin("client", 6.0).id)

    @rule(which=st.integers(0, 5), id=st.sampled_from("abc"), version=st.sampled_from("123"))
    def register(self, which: int, id: str, version: str) -> None:
        if self.sessions:
            session = self.sessions[which % len(self.sessions)]
            register(self.state, session, id, version=version)
            self.expected[id] = version, session

    @rule(which=st.integers(0, 5), id=st.sampled_from("abc"))
    def deregister(self, which: int, id: str) -> None:
        if self.sessions:
            session = self.sessions[which % len(self.sessions)]
            operation = self.state.prepare_removal(session, "default", "Users", id)
            if operation is not None:
                self.state.apply(operation)
                assert self.expected.pop(id)[1] == session

    @rule(which=st.integers(0, 5))
    def end(self, which: int) -> None:
        if self.sessions:
            session = self.sessions.pop(which % len(self.sessions))
            end(self.state, session)
            self.expected = {id: known for id, known in self.expected.items() if known[1] != session}

    @rule(id=st.sampled_from("abc"), weight=st.integers(0, 3))
    def correct(self, id: str, weight: int) -> None:
        correction = Correction(weight=weight) if weight else Correction()
        self.state.apply(self.state.prepare_correction("default", "Users", id, correction))
        self.corrections.pop(id, None)
        if weight:
            self.corrections[id] = weight

    @rule(value=st.sampled_from("xyz"))
    def configure(self, value: str) -> None:
        self.settings = {"s": value}
        self.state.apply(self.state.prepare_settings("default", "Users", self.settings))

    @rule(which=st.integers(0, 2))
    def follow(self, which: int) -> None:
        known = self.known[which]
        changes: Changes = self.state.changes(KEY, known["epoch"], known["revision"])
        assert changes.revision >= known["revision"]
        known["epoch"], known["revision"] = changes.epoch, changes.revision
        if changes.is_whole:
            known["records"].clear()
        for id in changes.removed:
            known["records"].pop(id, None)
        known["records"].update({each.id: each.version for each in changes.records})
        if changes.corrections is not None:
            known["corrections"] = {id: each.weight for id, each in changes.corrections.items()}
        if changes.settings is not None:
            known["settings"] = changes.settings
        assert known["records"] == {id: version for id, (version, _) in self.expected.items()}
        assert known["corrections"] == self.corrections
        assert known["settings"] == self.settings

    @invariant()
    def counts_are_right(self) -> None:
        assert self.state.instances == len(self.expected)


TestFollowers = Followers.TestCase

"""Responses in parts with concurrent changes, resource limits, and removal of services."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from idlrt.core import ServiceKey
from idlrt.embedded.api import Correction, Part, Record, Refused
from idlrt.embedded.limits import Limits
from idlrt.embedded.replica import Replica
from idlrt.embedded.state import Operation, State
from idlrt.errors import ConfigurationError

KEY = ServiceKey("Users")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def make(clock: Clock | None = None, /, **limits: Any) -> State:
    return State(Limits(**limits), clock if clock is not None else Clock(), epoch=7)


def record(id: str, **more: Any) -> Record:
    return Record(**{"service": "Users", "group": "default", "id": id, "host": "h", "port": 1, **more})


def apply(state: State, *operations: Operation) -> None:
    for each in operations:
        state.apply(each)


def register(state: State, session: int, id: str, **more: Any) -> None:
    apply(state, state.prepare_record(session, record(id, **more)))


def parts(state: State, since: int = 0, epoch: int = 7) -> list[Part]:
    """Read all parts of a response."""
    found = [state.part(KEY, epoch, since, "")]
    while (cursor := found[-1].next) is not None:
        found.append(state.part(KEY, epoch, since, cursor))
    return found


def test_a_part_does_not_exceed_the_limit() -> None:
    state = make(answer=1000)
    lease = state.begin("client", 6.0)
    for number in range(100):
        register(state, lease.id, f"i{number}", metadata={"x": "y" * number})
    found = parts(state)
    assert [each.is_whole for each in found] == [True] + [False] * (len(found) - 1)
    assert [each.id for part in found for each in part.records] == [f"i{number}" for number in range(100)]
    sizes = [sum(len(str(each.metadata)) for each in part.records) for part in found]
    assert max(sizes) < 1000


def test_a_part_is_never_empty_even_if_a_record_exceeds_the_limit() -> None:
    state = make(answer=1)
    lease = state.begin("client", 6.0)
    for id in "abc":
        register(state, lease.id, id)
    assert [[each.id for each in part.records] for part in parts(state)] == [["a"], ["b"], ["c"]]


def test_a_known_revision_yields_only_later_changes() -> None:
    state = make()
    lease = state.begin("client", 6.0)
    for id in "abc":
        register(state, lease.id, id)
    since = parts(state)[-1].revision
    register(state, lease.id, "b", version="2")
    apply(state, state.removal(KEY, "a", lease.id))
    apply(state, state.prepare_correction("default", "Users", "c", Correction(weight=1)))
    (part,) = parts(state, since)
    assert not part.is_whole
    assert [each.id for each in part.records] == ["b"]
    assert part.removed == ["a"]
    assert list(part.corrections) == ["c"]
    assert part.settings is None
    # The revision of another epoch is unknown.
    assert parts(state, since, epoch=8)[0].is_whole


def test_a_patch_that_is_removed_twice_is_reported_as_removed() -> None:
    state = make()
    apply(state, state.prepare_correction("default", "Users", "a", Correction(weight=1)))
    since = parts(state)[-1].revision
    for _ in range(2):
        apply(state, state.prepare_correction("default", "Users", "a", Correction()))
    (part,) = parts(state, since)
    assert part.corrections == {"a": Correction()}


@pytest.mark.parametrize(
    "cursor",
    ["x", "0.1.2", "{run}.1", "{run}.-1.2", "{run}.99.0", "{run}.1.99", "{run}.².3", "{run}.1." + "9" * 10_000],
    ids=["text", "no run", "one number", "negative", "since", "position", "no digit", "endless"],
)
def test_an_invalid_cursor_starts_over(cursor: str) -> None:
    state = make(answer=1)
    lease = state.begin("client", 6.0)
    register(state, lease.id, "a")
    register(state, lease.id, "b")
    run = (state.part(KEY, 7, 0, "").next or "").partition(".")[0]
    assert run
    again = state.part(KEY, 7, 0, cursor.replace("{run}", run))
    assert again.is_whole
    assert [each.id for each in again.records] == ["a"]


def test_missed_removals_between_two_parts_start_over() -> None:
    state = make(answer=1)
    lease = state.begin("client", 6.0)
    register(state, lease.id, "a")
    register(state, lease.id, "b")
    cursor = state.part(KEY, 7, 0, "").next
    assert cursor is not None
    apply(state, state.removal(KEY, "a", lease.id))
    for number in range(2000):
        register(state, lease.id, f"c{number}")
        apply(state, state.removal(KEY, f"c{number}", lease.id))
    assert state.part(KEY, 7, 0, cursor).is_whole


def test_a_cursor_is_invalid_after_a_restart() -> None:
    def restarted() -> State:
        state = make(answer=1)
        lease = state.begin("client", 6.0)
        for id in "abc":
            state.restore_record(KEY, id, lease.id, record(id))
        state.restore_correction(KEY, "a", Correction(weight=2))
        state.restore(KEY, 10, {"s": "x"})
        return state

    before, after = restarted(), restarted()
    assert [each.id for part in parts(before) for each in part.records] == ["a", "b", "c"]
    assert parts(before)[-1].revision == 10
    cursor = before.part(KEY, 7, 0, "").next
    assert cursor is not None
    assert after.part(KEY, 7, 0, cursor).is_whole


@settings(max_examples=60, stateful_step_count=60, deadline=None)
class Readers(RuleBasedStateMachine):
    """Readers that read parts during concurrent changes have the exact state after the last part."""

    def __init__(self) -> None:
        super().__init__()
        self.state = make(answer=60)
        self.session = self.state.begin("client", 6.0).id
        self.versions: dict[str, str] = {}
        self.weights: dict[str, int] = {}
        self.settings: dict[str, str] = {}
        self.known = [Replica(KEY) for _ in range(3)]
        self.cursors = [""] * 3

    @rule(id=st.sampled_from("abcdefgh"), version=st.sampled_from("123"))
    def register(self, id: str, version: str) -> None:
        register(self.state, self.session, id, version=version)
        self.versions[id] = version

    @rule(id=st.sampled_from("abcdefgh"))
    def deregister(self, id: str) -> None:
        operation = self.state.prepare_removal(self.session, "default", "Users", id)
        if operation is not None:
            apply(self.state, operation)
            del self.versions[id]

    @rule(id=st.sampled_from("abcd"), weight=st.integers(0, 3))
    def correct(self, id: str, weight: int) -> None:
        correction = Correction(weight=weight or None)
        apply(self.state, self.state.prepare_correction("default", "Users", id, correction))
        self.weights.pop(id, None)
        if weight:
            self.weights[id] = weight

    @rule(value=st.sampled_from("xyz"))
    def configure(self, value: str) -> None:
        self.settings = {"s": value}
        apply(self.state, self.state.prepare_settings("default", "Users", self.settings))

    @rule()
    def forget(self) -> None:
        if not self.versions:
            if self.state.services("default"):
                apply(self.state, *self.state.prepare_service_removal("default", "Users"))
            self.weights, self.settings = {}, {}

    @rule(which=st.integers(0, 2))
    def read(self, which: int) -> None:
        known = self.known[which]
        part = self.state.part(KEY, known.epoch, known.revision, self.cursors[which])
        self.cursors[which] = part.next or ""
        if part.next is not None:
            known.add(part)
            return
        known.apply(part)
        found = known.found()
        assert {each.id: each.version for each in found.instances} == self.versions
        assert {id: each.weight for id, each in found.patches.items()} == self.weights
        assert dict(found.settings) == self.settings


TestReaders = Readers.TestCase


def test_names_are_paged() -> None:
    state = make(answer=10)
    for name in ("Users", "Orders", "Carts", "A-rather-long-name"):
        apply(state, state.prepare_settings("default", name, {"a": "b"}))
    names, found = state.services("default"), list[str]()
    while more := state.page(names, found[-1] if found else ""):
        assert len(more) < 3
        found += more
    assert found == ["A-rather-long-name", "Carts", "Orders", "Users"]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"service_instances": 2}, r"service Users has 2 instances; the limit is 2 \(service_instances\)"),
        ({"session_instances": 2}, r"this client has 2 instances; the limit is 2 \(session_instances\)"),
        (
            {"service_size": 125},
            r"service Users already uses \d+; the limit is 125 \(service_size\); register less metadata",
        ),
        ({"session_size": 125}, r"this client already uses \d+; the limit is 125 \(session_size\)"),
        ({"size": 125}, r"the registry already uses \d+; the limit is 125 \(size\)"),
    ],
)
def test_the_error_names_the_exceeded_limit(limits: dict[str, int], words: str) -> None:
    state = make(**limits)
    lease = state.begin("client", 6.0)
    register(state, lease.id, "a")
    register(state, lease.id, "b")
    with pytest.raises(Refused, match=rf"cannot register c of Users: .*{words}"):
        register(state, lease.id, "c")
    register(state, lease.id, "b", version="2")  # an existing record may change
    apply(state, state.removal(KEY, "a", lease.id))
    register(state, lease.id, "c")


def test_pending_writes_count_towards_limits() -> None:
    """Otherwise a client that does not wait for responses could exceed the limits."""
    state = make(service_instances=1)
    lease = state.begin("client", 6.0)
    first = state.prepare_record(lease.id, record("a"))
    with pytest.raises(Refused, match="1 instance; the limit is 1"):
        state.prepare_record(lease.id, record("b"))
    state.roll_back(first)
    assert state.services("default") == []
    register(state, lease.id, "b")
    # A session that takes over an instance takes over its size as well.
    other = state.begin("other", 6.0)
    register(state, other.id, "b")
    apply(state, *state.end(other.id))
    register(state, lease.id, "c")


def test_text_is_counted_in_bytes() -> None:
    state = make(text=100)
    lease = state.begin("client", 6.0)
    with pytest.raises(Refused, match=r"too much text: 126 bytes; the limit is 100"):
        register(state, lease.id, "a", metadata={"x": "ü" * 62})


def test_patches_of_a_service_are_limited() -> None:
    state = make(service_instances=2, service_size=100)
    for id in "ab":
        apply(state, state.prepare_correction("default", "Users", id, Correction(weight=1)))
    with pytest.raises(Refused, match=r"cannot patch c of Users: the service has 2 patches; the limit is 2"):
        state.prepare_correction("default", "Users", "c", Correction(weight=1))
    with pytest.raises(Refused, match=r"the service's patches already use \d+; the limit is 100 \(service_size\)"):
        state.prepare_correction("default", "Users", "a", Correction(tags={"x": "y" * 100}))
    apply(state, state.prepare_correction("default", "Users", "a", Correction()))
    apply(state, state.prepare_correction("default", "Users", "c", Correction(weight=1)))


def test_limits_must_not_be_negative() -> None:
    with pytest.raises(ConfigurationError, match=r"Limits.answer must not be negative, got -1"):
        Limits(answer=-1)


def test_an_empty_service_is_evicted_for_another() -> None:
    state = make(services=2)
    lease = state.begin("client", 6.0)
    for name in ("Users", "Orders"):
        register(state, lease.id, "a", service=name)
    with pytest.raises(Refused, match=r"the registry has 2 services; the limit is 2 \(services\)"):
        register(state, lease.id, "a", service="Carts")
    apply(state, state.removal(KEY, "a", lease.id))
    register(state, lease.id, "a", service="Carts")
    assert state.services("default") == ["Carts", "Orders"]
    # It is deleted from the disk as well.
    assert [(each.key, each.is_removal) for each in state.clean_up(0.0)] == [(KEY, True)]
    assert parts(state, 3)[0].is_whole, "who followed it learns that it has nothing"


def test_an_empty_service_is_removed_after_a_while() -> None:
    clock = Clock()
    state = make(clock, unused_service=60.0)
    lease = state.begin("client", 6.0)
    register(state, lease.id, "a")
    apply(state, state.removal(KEY, "a", lease.id))
    clock.now += 59.0
    apply(state, *state.clean_up(0.0))
    assert state.services("default") == ["Users"]
    clock.now += 2.0
    farewell = state.clean_up(0.0)
    register(state, lease.id, "b")
    apply(state, *farewell)
    assert state.services("default") == ["Users"], "it has come back meanwhile"
    apply(state, state.removal(KEY, "b", lease.id))
    clock.now += 61.0
    apply(state, *state.clean_up(0.0))
    assert state.services("default") == []


def test_a_service_that_returns_is_sent_completely() -> None:
    clock = Clock()
    state = make(clock, unused_service=60.0)
    lease = state.begin("client", 6.0)
    register(state, lease.id, "a")
    since = parts(state)[-1].revision
    apply(state, state.removal(KEY, "a", lease.id))
    clock.now += 61.0
    apply(state, *state.clean_up(0.0))
    register(state, lease.id, "b")
    (part,) = parts(state, since)
    assert (part.is_whole, [each.id for each in part.records]) == (True, ["b"]), "nobody remembers that `a` went"


def test_the_patch_of_an_unregistered_instance_expires() -> None:
    state = make(unused_patch=60.0)
    lease = state.begin("client", 6.0)
    register(state, lease.id, "there")
    for id in ("there", "never"):
        apply(state, state.prepare_correction("default", "Users", id, Correction(weight=1, unused_until=1.0)))
    assert [each.id for each in state.clean_up(1000.0)] == ["never"]
    apply(state, *state.clean_up(1000.0))
    assert state.clean_up(1059.0) == []
    # One instance registers, another deregisters.
    register(state, lease.id, "never")
    apply(state, state.removal(KEY, "there", lease.id))
    apply(state, *state.clean_up(1061.0))
    assert state.clean_up(1120.0) == []
    apply(state, *state.clean_up(1121.0))
    assert list(state.changes(KEY, 0, 0).corrections or {}) == ["never"]


def test_a_service_is_removed_with_its_patches_and_settings() -> None:
    state = make()
    lease = state.begin("client", 6.0)
    with pytest.raises(Refused, match="cannot remove Users: there is no such service"):
        state.prepare_service_removal("default", "Users")
    writing = state.prepare_record(lease.id, record("a"))
    with pytest.raises(Refused, match="cannot remove Users: there is no such service"):
        state.prepare_service_removal("default", "Users")
    apply(state, writing, state.prepare_settings("default", "Users", {"a": "b"}))
    apply(state, state.prepare_correction("default", "Users", "a", Correction(weight=1)))
    with pytest.raises(Refused, match="cannot remove Users: it has 1 instance; stop the servers first"):
        state.prepare_service_removal("default", "Users")
    apply(state, state.removal(KEY, "a", lease.id))
    apply(state, *state.prepare_service_removal("default", "Users"))
    assert state.services("default") == []
    assert state.groups() == []

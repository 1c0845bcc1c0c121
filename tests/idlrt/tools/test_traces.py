"""Tail of calls, and traces as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from eventually import eventually
from hand_written import Users, UserServiceClient, user_service

from idlrt import Server, observe
from idlrt.observe.tracing.sampling import Always
from idlrt.observe.tracing.span_pages import EventRecord, SpanRecord
from idlrt.observe.tracing.waterfall import waterfall
from idlrt.tools.instances import AdminUrl, PageReader, Target
from idlrt.tools.traces import NothingReadable, Search, Tail, TraceReader, call_line, heading, tree_lines


def record(id: str, parent: str = "", began: float = 0.0, **changes: Any) -> SpanRecord:
    return SpanRecord(
        **{
            "trace_id": "ab" * 16,
            "span_id": id,
            "parent_id": parent,
            "service": "shop",
            "name": "UserService.get",
            "kind": "server",
            "started_at": 1_796_000_000.0 + began,
            "duration_s": 1.0,
            **changes,
        }
    )


class Traced:
    """A server, and a tail of its calls."""

    def __init__(self, server: Server, store: Any) -> None:
        self.targets: list[Target] = [Target("", AdminUrl.parse(server.admin_address))]
        self._address = server.address
        self._store = store
        self.reader = TraceReader(self._read, PageReader(timeout=30))

    def _read(self) -> Sequence[Target]:
        return self.targets

    def call(self, count: int) -> None:
        before = len(self._store.recent())
        with UserServiceClient.connect(self._address, framing="header") as client:
            for _ in range(count):
                client.ping()
        eventually(lambda: len(self._store.recent()) == before + 2 * count)


@pytest.fixture
def traced() -> Iterator[Traced]:
    with observe.trace("shop", sampler=Always()) as active, Server(user_service(Users()), admin=0).start() as server:
        yield Traced(server, active.store)


def test_the_last_calls_are_first_and_then_only_new_ones(traced: Traced) -> None:
    traced.call(3)
    tail = Tail(traced.reader, Search())
    found, messages = tail.first(4)
    assert (len(found), messages) == (4, [])
    assert [each.started_at for each in found] == sorted(each.started_at for each in found)
    assert tail.next() == ([], [])
    traced.call(2)
    assert len(tail.next()[0]) == 4
    assert tail.next() == ([], [])


def test_two_admin_ports_of_one_process_are_one(traced: Traced) -> None:
    with Server(user_service(Users()), admin=0).start() as second:
        traced.targets.append(Target("", AdminUrl.parse(second.admin_address)))
        traced.call(1)
        assert len(traced.reader.calls(Search()).spans) == 2


def test_instances_that_fail_are_reported_once_and_when_they_are_back(traced: Traced) -> None:
    traced.call(1)
    tail = Tail(traced.reader, Search())
    tail.first()
    good = traced.targets
    traced.targets = [*good, Target("second", None, "it announces no admin port")]
    assert tail.next() == ([], ["second: it announces no admin port"])
    assert tail.next() == ([], [])
    traced.targets = [Target("second", None, "it announces no admin port")]
    assert tail.next() == ((), []), "nothing can be read, which does not end it"
    traced.targets = good
    assert tail.next() == ([], ["second: readable again"])


def test_without_any_instance_there_is_an_error(traced: Traced) -> None:
    traced.targets = []
    with pytest.raises(NothingReadable, match=r"no traces could be read \(0 instances\)"):
        traced.reader.calls(Search())


def test_a_search_is_a_query() -> None:
    assert Search().query == "format=json&order=recent&limit=500"
    found = Search(is_failed=True, min_s=0.1, method="get", status="ok", tags=("user:1", "a:b c"), limit=7).query
    assert found == ("format=json&order=failed&limit=7&min_s=0.1&method=get&status=ok&tag=user%3A1&tag=a%3Ab+c")


def test_a_call_is_one_line_below_the_titles() -> None:
    attributes = {"rpc.response.status_code": "ok", "rpc.caller": "web", "tag.user": "42"}
    line = call_line(record("1", attributes=attributes, is_late=True))
    titles = heading()
    assert line.endswith("shop: UserService.get from web (late) user:42")
    assert line.index("ok") == titles.index("STATUS")
    assert line.index("ab" * 16) == titles.index("TRACE")
    assert line.index("server") == titles.index("KIND")
    assert line.index("shop:") == titles.index("SERVICE")


def test_a_trace_is_a_tree_with_times() -> None:
    spans = [
        record("1", "0", duration_s=4.0, events=(EventRecord(at_s=0.5, name="retry", attributes={"why": "timeout"}),)),
        record("2", "1", 1.0, status="error", message="no answer", service="stock", attributes={"a": 1}),
    ]
    title, heading, first, event, second, error, attribute = tree_lines(
        waterfall(spans), "ab" * 16, has_attributes=True
    )
    assert title.endswith("4 s, 2 spans of 2 services, 1 failed")
    assert heading.split() == ["START", "DURATION", "SELF", "SPAN"]
    assert first.split(None, 6)[:6] == ["0", "s", "4", "s", "3", "s"]
    assert first.endswith(f"  {'=' * 24}  shop: UserService.get server (parent unknown)")
    assert event.strip() == "+500 ms retry why=timeout"
    assert f"  {' ' * 6}xxxxxx{' ' * 12}  " in second
    assert (error.strip(), attribute.strip()) == ("! no answer", "a=1")


def test_a_corrected_clock_is_told() -> None:
    spans = [record("1", duration_s=4.0, kind="client", service="web"), record("2", "1", 10.0, duration_s=2.0)]
    lines = list(tree_lines(waterfall(spans), "ab" * 16))
    assert lines[3].endswith("UserService.get server (clock corrected by -9 s)")

"""Trace store: traces are found by each of their properties, and only by those, however their spans arrive."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_traces import NOW, Clock, id_of, search_range, span, store_in, write_all

from idlrt.collector.traces import TraceLimits, TraceQuery, TraceStore, TraceSummary
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.span import Attribute
from idlrt.observe.tracing.span_pages import EventRecord, LinkRecord, SpanRecord

Search = Callable[..., list[str]]


def found(store: TraceStore, **conditions: Any) -> list[TraceSummary]:
    return store.search(TraceQuery(**{**search_range(), **conditions}))


def ids(store: TraceStore, **conditions: Any) -> list[str]:
    return [each.trace_id for each in found(store, **conditions)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[TraceStore]:
    made = store_in(tmp_path, clock)
    yield made
    made.close()


def test_a_quiet_trace_is_one_summary(store: TraceStore, clock: Clock) -> None:
    spans = [
        span(1, 2, 1, began=0.1, duration=2.0, service="stock", name="Stock.get", status="error"),
        span(1, 1, duration=1.0),
        span(1, 3, 1, began=0.2, kind="client"),
    ]
    store.put(spans)
    clock.time += 9.0
    store.maintain()
    assert ids(store) == []
    clock.time += 2.0
    store.maintain()
    summary = TraceSummary(
        trace_id=id_of(1),
        started_at=NOW,
        duration_s=2.1,
        service="shop",
        operation="Shop.find",
        spans=3,
        failed=1,
        services=2,
        matched_s=2.1,
    )
    assert found(store) == [summary]
    assert store.services() == ["shop", "stock"]
    assert store.operations("stock") == ["Stock.get"]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, [3, 2, 1]),
        ({"limit": 1}, [3]),
        ({"order": "slowest"}, [2, 3, 1]),
        ({"service": "stock"}, [1]),
        ({"operation": "Stock.get", "is_failed": True}, [1]),
        ({"service": "shop", "is_failed": True}, []),
        ({"is_failed": True}, [1]),
        ({"min_s": 0.3, "max_s": 1.0}, [3]),
        ({"tags": {"user": "42"}}, [2]),
        ({"tags": {"tag.user": "42", "rpc.caller": "web"}}, []),
        ({"start": NOW + 0.5}, [3, 2]),
        ({"end": NOW + 1.0}, [1]),
    ],
)
def test_open_traces_are_searched_in_the_same_way(
    store: TraceStore, clock: Clock, conditions: dict[str, Any], expected: list[int]
) -> None:
    spans = [
        span(1, 1),
        span(1, 2, 1, service="stock", name="Stock.get", status="error"),
        span(2, 1, began=1.0, duration=3.0, attributes={"tag.user": "42"}),
        span(3, 1, began=2.0, duration=0.5),
    ]
    store.put(spans)
    query = TraceQuery(**{**search_range(), **conditions})
    assert [each.trace_id for each in store.search_open(query)] == [id_of(each) for each in expected]
    assert ids(store) == []
    clock.time += 11.0
    store.maintain()
    assert store.search_open(query) == []
    assert ids(store, **conditions) == [id_of(each) for each in expected]


def test_spans_are_read_as_they_were_put_before_and_after_the_trace_is_written(store: TraceStore, clock: Clock) -> None:
    spans = [
        span(
            1,
            1,
            attributes={"text": "ä\x00", "number": 7, "share": 0.1, "is_new": True, "big": 2**63},
            events=(EventRecord(at_s=0.001, name="retry", attributes={"n": 1}),),
            links=(LinkRecord(trace_id=id_of(9), span_id="x", why="queue"),),
            is_remote_parent=True,
            is_late=True,
            dropped=3,
            message="no stock",
        ),
        span(1, 2, 1, began=0.123456789, duration=1 / 3),
        span(1, 3, 77, began=0.2, duration=0.0, kind="consumer", status="ok"),
        span(1, 4, began=0.3, span_id="not-hex", parent_id="Other"),
        span(1, 5, began=0.4, span_id="ABCDEF0123456789", parent_id="not-hex"),
    ]
    store.put(reversed(spans))
    assert store.trace(id_of(1)) == spans
    assert store.services() == ["shop"]
    assert store.operations("shop") == ["Shop.find"]
    write_all(store, clock)
    assert store.trace(id_of(1)) == spans
    assert store.figures().open_spans == 0
    assert store.trace(id_of(2)) == []


def test_late_spans_are_merged_into_the_row(store: TraceStore, clock: Clock) -> None:
    write_all(store, clock, [span(1, 2, 1, began=0.5, attributes={"tag.user": "ada"})])
    clock.time += 3600.0  # the row is in the file of an earlier hour
    write_all(store, clock, [span(1, 1, duration=2.0, status="error", service="web")])
    assert [(each.spans, each.failed, each.service, each.started_at) for each in found(store)] == [(2, 1, "web", NOW)]
    assert ids(store, service="web") == ids(store, tags={"user": "ada"}) == ids(store, is_failed=True) == [id_of(1)]
    assert [each.span_id[-1] for each in store.trace(id_of(1))] == ["1", "2"]
    assert (store.figures().traces, store.figures().merged) == (1, 1)


def test_duplicates_count_once(store: TraceStore, clock: Clock) -> None:
    spans = [span(1, 1), span(1, 2, 1)]
    store.put(spans)
    write_all(store, clock, spans)
    write_all(store, clock, spans)
    assert [each.spans for each in found(store)] == [2]
    assert store.figures().duplicates == 4


def test_both_sides_of_a_call_may_have_one_id(store: TraceStore, clock: Clock) -> None:
    write_all(store, clock, [span(1, 1, kind="client"), span(1, 1, kind="server")])
    assert len(store.trace(id_of(1))) == 2


def test_conditions_on_a_service_apply_to_its_spans(store: TraceStore, clock: Clock) -> None:
    spans = [
        span(1, 1, duration=5.0, service="web", name="GET", status="error"),
        span(1, 2, 1, duration=0.2, service="stock", name="Stock.get"),
        span(1, 3, 1, duration=0.5, service="stock", name="Stock.get"),
    ]
    write_all(store, clock, spans)
    assert [each.matched_s for each in found(store, service="stock", min_s=0.5)] == [0.5]
    assert ids(store, service="stock", min_s=0.51) == []
    assert ids(store, service="stock", max_s=0.49) == []
    assert ids(store, service="stock", is_failed=True) == []
    assert ids(store, service="stock", operation="GET") == []
    assert ids(store, operation="Stock.get", min_s=0.3) == ids(store, min_s=4.0) == [id_of(1)]


def test_tags_are_business_tags_and_indexed_attributes(tmp_path: Path, clock: Clock) -> None:
    store = store_in(tmp_path, clock, indexed_tags=["db.system", "attempt"])
    values: dict[str, Attribute] = {"tag.user": "42", "db.system": "sqlite", "attempt": 2, "other": "x", "a.b": "c"}
    write_all(store, clock, [span(1, attributes=values)])
    for tags in ({"user": "42"}, {"tag.user": "42"}, {"db.system": "sqlite"}, {"attempt": "2", "user": "42"}):
        assert ids(store, tags=tags) == [id_of(1)]
    for tags in ({"user": "4"}, {"other": "x"}, {"attempt": "3", "user": "42"}, {"unknown": ""}):
        assert ids(store, tags=tags) == []
    with pytest.raises(ConfigurationError, match=r"'a\.b' is not indexed; add it to indexed_tags"):
        found(store, tags={"a.b": "c"})
    store.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": None}, "no time range; add `start`, in seconds"),
        ({"end": None}, "no time range; add `end`, in seconds"),
        ({"start": None, "end": None}, "no time range; add `start` and `end`, in seconds"),
        ({"start": NOW, "end": NOW}, "`start` must be before `end`"),
        ({"end": float("inf")}, "`start` must be before `end`"),
        ({"start": 0.0}, "must be at most 604800 s, got .*; search in several parts"),
        ({"limit": 0}, "limit must be between 1 and 1000, got 0"),
        ({"limit": 1001}, "limit must be between 1 and 1000, got 1001"),
        ({"order": "best"}, "order must be newest or slowest, got 'best'"),
        ({"min_s": float("nan")}, "durations must be numbers"),
        ({"service": "\ud800"}, "a name or value has a lone surrogate"),
        ({"tags": {str(at): "" for at in range(17)}}, "at most 16 tags, got 17"),
    ],
)
def test_searches_without_bounds_are_refused(store: TraceStore, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        found(store, **changes)


def test_orders_and_limits_hold_across_files(store: TraceStore, clock: Clock) -> None:
    durations = {}
    for number in range(1, 31):
        duration = durations[id_of(number)] = number * 7 % 31 / 10
        write_all(store, clock, [span(number, began=clock.time - NOW, duration=duration, attributes={"tag.a": "b"})])
        clock.time += 1800.0
    newest = list(durations)[::-1]
    slowest = sorted(durations, key=lambda each: -durations[each])
    for conditions in ({}, {"service": "shop"}, {"tags": {"a": "b"}}, {"service": "shop", "tags": {"a": "b"}}):
        assert ids(store, limit=7, **conditions) == newest[:7]
        assert ids(store, limit=7, order="slowest", **conditions) == slowest[:7]
        assert ids(store, limit=1000, order="slowest", **conditions) == slowest


def test_traces_that_start_at_one_time_are_all_there(store: TraceStore, clock: Clock) -> None:
    write_all(store, clock, [span(number) for number in range(1, 3001)])
    assert sorted(each.spans for each in found(store, limit=1000)) == [1] * 1000
    assert store.figures().traces == 3000
    assert len(ids(store, start=NOW, end=NOW + 0.001, limit=1000)) == 1000
    assert ids(store, end=NOW) == []


def test_starts_far_from_the_clock_are_found(store: TraceStore, clock: Clock) -> None:
    far = [span(1, began=-NOW), span(2, began=-3 * 86400.0), span(3, began=5 * 365 * 86400.0)]
    write_all(store, clock, far)
    for number, each in enumerate(far, 1):
        start = each.started_at
        if number > 1:
            assert ids(store, start=start, end=start + 1.0) == [id_of(number)]
        assert store.trace(id_of(number)) == [each]


def test_implausible_spans_are_counted(store: TraceStore, clock: Clock) -> None:
    bad = [
        span("", 1),
        span("x" * 200, 1),
        span(1, span_id=""),
        span(1, began=float("nan")),
        span(1, duration=-1.0),
        span(1, duration=float("inf")),
        span(1, kind="strange"),
        span(1, attributes={"huge": 2**70}),
        span(1, name="\ud800"),
    ]
    write_all(store, clock, [*bad, span(2)])
    assert ids(store) == [id_of(2)]
    assert (store.figures().rejected, store.figures().spans) == (len(bad), 1)


def test_text_that_cannot_be_stored_is_found_nowhere(store: TraceStore) -> None:
    assert store.trace("\ud800") == store.operations("\ud800") == []


def test_another_thread_than_that_which_opens_and_closes_may_write(tmp_path: Path, clock: Clock) -> None:
    store = store_in(tmp_path, clock)
    writer = threading.Thread(target=write_all, args=(store, clock, [span(1)]))
    writer.start()
    writer.join()
    assert ids(store) == [id_of(1)]
    store.close()


def test_memory_is_bounded_and_what_exceeds_it_is_counted(tmp_path: Path, clock: Clock) -> None:
    store = store_in(tmp_path, clock, limits=TraceLimits(open_traces=20, open_spans=50, spans=5))
    store.put([span(1, number) for number in range(1, 9)])
    assert (len(store.trace(id_of(1))), store.figures().over_limit) == (5, 3)
    for number in range(2, 100):
        store.put([span(number)])
        assert store.figures().open_traces <= 20
    assert store.figures().early == 100 - 1 - store.figures().open_traces
    for number in range(200, 300):
        store.put([span(number, at) for at in range(1, 6)])
        assert store.figures().open_spans <= 50
    write_all(store, clock, [span(1, number) for number in range(100, 110)])
    assert len(store.trace(id_of(1))) == 5
    assert len(ids(store, limit=1000)) == 199
    store.close()


def test_a_trace_with_very_many_operations_and_tags_is_indexed_in_part(store: TraceStore, clock: Clock) -> None:
    write_all(store, clock, [span(1, at, name=f"op{at}", attributes={f"tag.t{at}": "x"}) for at in range(1, 1001)])
    assert store.figures().not_indexed == 1000 - 256 + 1000 - 64
    assert len(store.trace(id_of(1))) == 1000


def test_a_trace_that_never_is_quiet_is_written_in_parts(tmp_path: Path, clock: Clock) -> None:
    store = store_in(tmp_path, clock, limits=TraceLimits(open_s=60.0))
    for at in range(1, 31):
        store.put([span(1, at, began=clock.time - NOW), span(1000 + at)])
        clock.time += 5.0
        store.maintain()
    assert next(each.spans for each in found(store) if each.trace_id == id_of(1)) >= 20
    assert len(store.trace(id_of(1))) == 30
    store.close()


def test_a_clock_that_is_set_back_does_not_keep_traces_open(store: TraceStore, clock: Clock) -> None:
    store.put([span(1)])
    clock.time -= 7200.0
    store.maintain()
    assert ids(store) == [id_of(1)]


traces = st.lists(
    st.tuples(
        st.integers(1, 6),  # trace
        st.integers(1, 4),  # span
        st.integers(0, 4),  # parent
        st.integers(-5000, 100_000),  # start in ms
        st.integers(0, 3000),  # duration in ms
        st.sampled_from(["web", "shop", "stock"]),
        st.sampled_from(["find", "list"]),
        st.booleans(),
        st.dictionaries(st.sampled_from(["tag.user", "tag.plan", "error.type"]), st.sampled_from(["a", "b", "7"])),
    ),
    max_size=30,
)
Drawn = tuple[int, int, int, int, int, str, str, bool, dict[str, str]]


def spans_of(drawn: list[Drawn]) -> list[SpanRecord]:
    return [
        span(
            trace,
            number,
            parent,
            began=began / 1000,
            duration=duration / 1000,
            service=service,
            name=name,
            status="error" if fails else "ok",
            attributes=attributes,
        )
        for trace, number, parent, began, duration, service, name, fails, attributes in drawn
    ]


def matching(known: dict[str, dict[str, SpanRecord]], query: TraceQuery) -> set[str]:
    """The traces that match, by looking at all spans."""
    return {trace_id for trace_id, spans in known.items() if matches(list(spans.values()), query)}


def matches(spans: list[SpanRecord], query: TraceQuery) -> bool:
    start = min(each.started_at for each in spans)
    if not (query.start or 0) <= start < (query.end or 0):
        return False
    for name, value in query.tags.items():
        if not any(value in (each.attributes.get(name), each.attributes.get(f"tag.{name}")) for each in spans):
            return False
    longest = query.max_s if query.max_s is not None else float("inf")
    if not (query.service or query.operation):
        duration = max(each.started_at + each.duration_s for each in spans) - start
        failed = any(each.is_failed for each in spans)
        return query.min_s <= round(duration, 4) <= longest and failed >= query.is_failed
    calls: dict[tuple[str, str], list[SpanRecord]] = {}
    for each in spans:
        if query.service in ("", each.service) and query.operation in ("", each.name):
            calls.setdefault((each.service, each.name), []).append(each)
    return any(
        query.min_s <= max(each.duration_s for each in those) <= longest
        and any(each.is_failed for each in those) >= query.is_failed
        for those in calls.values()
    )


queries: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    start=st.integers(-6000, 90_000).map(lambda each: NOW + each / 1000 - 0.0004),
    length=st.sampled_from([1.0, 50.0, 3600.0]),
    service=st.sampled_from(["", "web", "shop", "none"]),
    operation=st.sampled_from(["", "find"]),
    tags=st.dictionaries(st.sampled_from(["user", "tag.plan", "error.type"]), st.sampled_from(["a", "7"]), max_size=2),
    # Between the durations that are drawn: those of a trace are sums, which are not exact.
    min_s=st.integers(0, 3000).map(lambda each: max(each / 1000 - 0.0005, 0.0)),
    max_s=st.none() | st.integers(0, 9000).map(lambda each: each / 1000 + 0.0005),
    is_failed=st.booleans(),
    order=st.sampled_from(["newest", "slowest"]),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(drawn=traces, asked=st.lists(queries, max_size=8), data=st.data())
def test_traces_are_found_by_their_properties_and_only_by_those(
    drawn: list[Drawn], asked: list[dict[str, Any]], data: st.DataObject
) -> None:
    spans = spans_of(drawn)
    known: dict[str, dict[str, SpanRecord]] = {}
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        store = store_in(Path(folder), clock)
        for each in spans:
            known.setdefault(each.trace_id, {}).setdefault(each.span_id, each)
            store.put([each])
            match data.draw(st.sampled_from(["", "", "maintain", "wait", "restart", "again", "hour"])):
                case "maintain":
                    store.maintain()
                case "wait":
                    write_all(store, clock)
                case "restart":
                    store.close()
                    store = store_in(Path(folder), clock)
                case "again":
                    store.put([each, each])
                case "hour":
                    clock.time += 3600.0
        write_all(store, clock)
        for trace_id, those in known.items():
            assert {each.span_id: each for each in store.trace(trace_id)} == those
        for each_query in asked:
            start, length = each_query["start"], each_query["length"]
            conditions = {name: value for name, value in each_query.items() if name not in ("start", "length")}
            query = TraceQuery(**{**conditions, "start": start, "end": start + length, "limit": 1000})
            results = store.search(query)
            assert {each.trace_id for each in results} == matching(known, query)
            assert len({each.trace_id for each in results}) == len(results)
            order = [each.matched_s if query.order == "slowest" else each.started_at for each in results]
            assert order == sorted(order, reverse=True)
        for each_summary in found(store, limit=1000):
            those = known[each_summary.trace_id]
            assert each_summary.spans == len(those)
            assert each_summary.failed == sum(each.is_failed for each in those.values())
        assert store.services() == sorted({each.service for those in known.values() for each in those.values()})
        store.close()

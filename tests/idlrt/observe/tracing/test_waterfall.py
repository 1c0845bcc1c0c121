"""Waterfalls: the tree of the spans of a trace, with depths, offsets and self times."""

from __future__ import annotations

import pytest
from span_records import span

from idlrt.observe.tracing.waterfall import Waterfall, waterfall


def shape(found: Waterfall) -> list[tuple[str, int]]:
    return [(each.span.span_id, each.depth) for each in found.rows]


def test_parents_precede_their_children_in_the_order_of_starts() -> None:
    spans = [span("c", "a", 0.5), span("d", "b", 0.3), span("b", "a", 0.2), span("a")]
    found = waterfall(spans)
    assert shape(found) == [("a", 0), ("b", 1), ("d", 2), ("c", 1)]
    assert [(each.children, each.below) for each in found.rows] == [(2, 3), (1, 1), (0, 0), (0, 0)]
    assert [round(each.offset_s, 6) for each in found.rows] == [0.0, 0.2, 0.3, 0.5]
    assert (found.started_at, round(found.duration_s, 6)) == (1000.0, 1.5)


def test_self_time_is_without_children_which_may_overlap_and_outlive_their_parent() -> None:
    spans = [
        span("a", duration=1.0),
        span("b", "a", 0.1, 0.3),
        span("c", "a", 0.2, 0.3),
        span("d", "a", 0.9, 5.0),
        span("e", "a", 0.25, 0.1),
    ]
    found = {each.span.span_id: each.self_s for each in waterfall(spans).rows}
    assert found["a"] == pytest.approx(0.5)
    assert found["d"] == 5.0


def test_a_span_without_a_known_parent_is_an_orphan() -> None:
    found = waterfall([span("a", "elsewhere"), span("b", "a"), span("c", began=0.5)])
    assert [(each.span.span_id, each.depth, each.is_orphan) for each in found.rows] == [
        ("a", 0, True),
        ("b", 1, False),
        ("c", 0, False),
    ]


def test_circles_and_duplicates_do_no_harm() -> None:
    found = waterfall([span("a", "b"), span("b", "a", 0.1), span("c", "c", 0.2), span("a", "b"), span("d", "b", 0.3)])
    assert shape(found) == [("a", 0), ("b", 1), ("d", 2), ("c", 0)]
    assert found.rows[0].below == 2


def test_a_long_chain_needs_no_recursion() -> None:
    spans = [span(f"{number}", f"{number - 1}" if number else "", number * 1e-3) for number in range(5000)]
    found = waterfall(spans)
    assert found.rows[-1].depth == 4999
    assert found.rows[0].below == 4999


def test_services_and_failures_are_counted() -> None:
    spans = [span("a", service="web"), span("b", "a", 0.1, service="shop", status="error"), span("c", service="web")]
    found = waterfall(spans)
    assert (found.services, found.failed) == (["web", "shop"], 1)


def test_there_has_to_be_a_span() -> None:
    with pytest.raises(ValueError, match="there are no spans"):
        waterfall([])


@pytest.mark.parametrize("skew", [-100.0, -2.5, 3.0, 100.0])
def test_a_server_with_another_clock_is_moved_into_the_call_with_what_it_calls(skew: float) -> None:
    found = waterfall(
        [
            span("a", duration=10.0, kind="client", service="web"),
            span("b", "a", 2.0 + skew, 6.0, kind="server", service="shop"),
            span("c", "b", 4.0 + skew, 3.0, service="shop"),
        ]
    )
    assert [(each.span.span_id, round(each.offset_s, 6), round(each.self_s, 6)) for each in found.rows] == [
        ("a", 0.0, 4.0),
        ("b", 2.0, 3.0),
        ("c", 4.0, 3.0),
    ]
    assert [round(each.shift_s, 6) for each in found.rows] == [0.0, -skew, -skew]
    assert (found.started_at, round(found.duration_s, 6)) == (1000.0, 10.0)


def test_what_is_not_a_server_or_does_not_fit_is_not_moved() -> None:
    caller = span("a", duration=2.0, kind="client", service="web")
    for kind, service, duration in (("server", "shop", 6.0), ("internal", "shop", 1.0), ("server", "web", 1.0)):
        found = waterfall([caller, span("b", "a", 1.5, duration, kind=kind, service=service)])
        assert [(each.offset_s, each.shift_s) for each in found.rows] == [(0.0, 0.0), (1.5, 0.0)]


def test_siblings_are_ordered_by_their_corrected_starts() -> None:
    found = waterfall(
        [
            span("a", duration=10.0, service="web"),
            span("b", "a", 5.0, 1.0, kind="client", service="web"),
            span("c", "a", 1.0, 1.0, kind="client", service="web"),
            span("d", "c", 8.0, 0.5, kind="server", service="shop"),
        ]
    )
    assert shape(found) == [("a", 0), ("c", 1), ("d", 2), ("b", 1)]

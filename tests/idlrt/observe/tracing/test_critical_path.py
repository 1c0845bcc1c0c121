"""Critical paths: which parts of which spans determine the duration of a trace."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from span_records import span

from idlrt.observe.tracing.critical_path import PathPart, critical_path
from idlrt.observe.tracing.span_pages import SpanRecord
from idlrt.observe.tracing.waterfall import waterfall


def path(*spans: SpanRecord) -> list[PathPart]:
    return critical_path(waterfall(spans))


def shape(*spans: SpanRecord) -> list[tuple[str, float, float]]:
    return [(each.span.span_id, round(each.offset_s, 6), round(each.duration_s, 6)) for each in path(*spans)]


def test_a_single_span_is_the_path() -> None:
    assert shape(span("a", duration=2.0)) == [("a", 0.0, 2.0)]


def test_children_in_sequence_are_on_the_path_with_the_time_between_them() -> None:
    found = shape(span("a", duration=10.0), span("b", "a", 1.0, 3.0), span("c", "a", 5.0, 4.0))
    assert found == [("a", 0.0, 1.0), ("b", 1.0, 3.0), ("a", 4.0, 1.0), ("c", 5.0, 4.0), ("a", 9.0, 1.0)]


def test_of_children_in_parallel_the_one_that_ends_last_is_on_the_path() -> None:
    found = shape(span("a", duration=10.0), span("b", "a", 1.0, 5.0), span("c", "a", 1.0, 8.0))
    assert found == [("a", 0.0, 1.0), ("c", 1.0, 8.0), ("a", 9.0, 1.0)]


def test_a_child_that_overlaps_with_the_next_one_on_the_path_is_not_on_it() -> None:
    found = shape(
        span("a", duration=10.0), span("b", "a", 0.0, 2.0), span("c", "a", 1.0, 5.0), span("d", "a", 4.0, 6.0)
    )
    assert found == [("b", 0.0, 2.0), ("a", 2.0, 2.0), ("d", 4.0, 6.0)]


def test_the_path_goes_down_to_grandchildren() -> None:
    found = shape(span("a", duration=10.0), span("b", "a", 2.0, 6.0), span("c", "b", 3.0, 2.0))
    assert found == [("a", 0.0, 2.0), ("b", 2.0, 1.0), ("c", 3.0, 2.0), ("b", 5.0, 3.0), ("a", 8.0, 2.0)]


def test_a_child_that_outlives_its_parent_is_cut_off() -> None:
    assert shape(span("a", duration=10.0), span("b", "a", 6.0, 20.0)) == [("a", 0.0, 6.0), ("b", 6.0, 4.0)]
    assert shape(span("a", duration=10.0), span("b", "a", 16.0, 20.0)) == [("a", 0.0, 10.0)]


def test_children_that_follow_each_other_within_the_resolution_of_the_clock_are_both_on_the_path() -> None:
    found = shape(span("a", duration=4.0), span("b", "a", 0.0, 2.0 + 3e-7), span("c", "a", 2.0, 2.0))
    assert [each for each, _, _ in found] == ["b", "c"]


@pytest.mark.parametrize("skew", [-100.0, -2.5, 3.0, 100.0])
def test_a_server_with_another_clock_is_moved_into_the_call_with_what_it_calls(skew: float) -> None:
    found = path(
        span("a", began=100, duration=10.0, kind="client", service="web"),
        span("b", "a", 100 + 2.0 + skew, 6.0, kind="server", service="shop"),
        span("c", "b", 100 + 4.0 + skew, 3.0, service="shop"),
    )
    assert [each.span.span_id for each in found] == ["a", "b", "c", "b", "a"]
    assert [round(each.duration_s, 6) for each in found] == [2.0, 2.0, 3.0, 1.0, 2.0]


def test_a_server_that_takes_longer_than_its_caller_is_not_moved() -> None:
    found = shape(
        span("a", duration=2.0, kind="client", service="web"),
        span("b", "a", 1.0, 6.0, kind="server", service="shop"),
    )
    assert found == [("a", 0.0, 1.0), ("b", 1.0, 1.0)]


def test_orphans_count_only_without_a_root() -> None:
    assert shape(span("a", duration=2.0), span("b", "gone", 1.0, 9.0)) == [("a", 0.0, 2.0)]
    assert shape(span("a", "gone", 0.0, 2.0), span("b", "gone", 1.0, 9.0)) == [("b", 1.0, 9.0)]


def test_of_several_roots_the_one_that_ends_last_counts() -> None:
    assert shape(span("a", duration=2.0), span("b", began=1.0, duration=9.0)) == [("b", 1.0, 9.0)]


def test_circles_and_long_chains_end() -> None:
    assert sum(each for _, _, each in shape(span("a", "b", duration=3.0), span("b", "a", 1.0, 1.0))) > 0
    assert shape(span("a", "a", duration=3.0)) == [("a", 0.0, 3.0)]
    chain = [span(str(at), str(at - 1) if at else "", 0.0, 5.0) for at in range(5000)]
    assert shape(*chain) == [("4999", 0.0, 5.0)]


def test_a_span_without_a_duration_has_an_empty_path() -> None:
    assert shape(span("a", duration=0.0)) == []


@given(
    st.lists(
        st.tuples(
            st.integers(-1, 30),
            st.floats(-50, 50),
            st.floats(0, 60),
            st.sampled_from(["client", "server", "internal"]),
            st.sampled_from(["web", "shop"]),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_parts_follow_each_other_and_add_up_to_the_duration_of_the_root(
    drawn: list[tuple[int, float, float, str, str]],
) -> None:
    spans = [
        span(str(at), "" if not at or parent < 0 else str(parent), began, duration, kind=kind, service=service)
        for at, (parent, began, duration, kind, service) in enumerate(drawn)
    ]
    found = path(*spans)
    roots = [each for each in spans if not each.parent_id]
    longest = max(roots, key=lambda each: each.started_at + each.duration_s)
    assert sum(each.duration_s for each in found) == pytest.approx(longest.duration_s, abs=1e-5)
    for one, two in itertools.pairwise(found):
        assert two.offset_s == pytest.approx(one.offset_s + one.duration_s, abs=1e-5)
        assert one.duration_s > 0

"""Traces as pages show them: lines with levels, the critical path, services and corrected clocks."""

from __future__ import annotations

import pytest
from span_records import span

from idlrt.observe.tracing.span_pages import SpanRecord
from idlrt.observe.tracing.waterfall_view import TRACE_PARAMETERS, TraceView, trace_view
from idlrt.protocol.http.pages import HttpRequest
from idlrt.web import Link, ViewState


def state_of(**query: str) -> ViewState:
    return ViewState(HttpRequest(verb="GET", path="/traces/t", query=tuple(query.items())), TRACE_PARAMETERS)


def view(*spans: SpanRecord, **query: str) -> TraceView:
    return trace_view(spans, state_of(**query))


def names(found: TraceView) -> list[str]:
    return [each.row.span.span_id for each in found.lines]


SPANS = (
    span("a", duration=10.0, kind="client", service="web"),
    span("b", "a", 2.0, 6.0, kind="server", service="shop"),
    span("c", "b", 2.0, 1.0, service="shop"),
    span("d", "b", 4.0, 4.0, kind="client", service="shop"),
    span("e", "d", 4.5, 3.0, kind="server", service="stock"),
    span("f", "a", 8.5, 0.5, service="web", status="error"),
)


def test_all_spans_are_shown_with_what_they_add_to_the_critical_path() -> None:
    found = view(*SPANS)
    assert names(found) == ["a", "b", "c", "d", "e", "f"]
    assert [each.path_s for each in found.lines] == [3.5, 1.0, 1.0, 1.0, 3.0, 0.5]
    paths = [bar for each in found.lines for bar in each.bars if bar.kind == "path"]
    assert sum(float(each.width) for each in paths) == pytest.approx(1000, abs=1)
    assert found.summary["critical path"] == "6 of 6 spans"


def test_the_critical_path_by_operation_adds_up_to_the_whole() -> None:
    rows = view(*SPANS).path.rows
    assert [(each["operation"], each["service"], each["kind"]) for each in rows[:2]] == [
        ("a", "web", "client"),
        ("e", "stock", "server"),
    ]
    assert sum(each["share"] for each in rows) == pytest.approx(1.0)
    many = [span("root", duration=100.0), *(span(f"s{at}", "root", at, 1.0) for at in range(50))]
    rows = view(*many).path.rows
    assert len(rows) == 21
    assert rows[-1]["operation"] == "31 others"
    assert sum(each["seconds"] for each in rows) == pytest.approx(100.0)


def test_only_the_spans_on_the_path_are_shown_with_their_ancestors() -> None:
    late = span("g", "a", 1.0, 0.5)
    hidden = span("h", "g", 1.0, 0.5)
    covered = (span("i", "a", 9.0, 1.0), span("j", "i", 9.0, 1.0))
    parallel = span("k", "b", 4.0, 3.0)
    found = view(*SPANS, late, hidden, parallel, *covered, show="path")
    assert names(found) == ["a", "g", "h", "b", "c", "d", "e", "f", "i", "j"]
    by_id = {each.row.span.span_id: each for each in found.lines}
    assert by_id["i"].path_s is None
    assert (by_id["b"].row.children, by_id["b"].row.below) == (2, 3)
    assert (by_id["a"].row.children, by_id["a"].row.below) == (4, 9)
    assert by_id["e"].row.children == 0
    # Levels are closed as often as they are opened.
    levels = 0
    for each in found.lines:
        levels += each.is_nested - each.closes
        assert levels >= 0


def test_levels_are_open_as_the_url_says() -> None:
    assert [each.is_open for each in view(*SPANS).lines] == [True, True, False, True, False, False]
    assert [each.is_open for each in view(*SPANS, levels="2").lines] == [True, False, False, False, False, False]
    assert not any(each.is_open for each in view(*SPANS, levels="1").lines)
    assert view(*SPANS, levels="99").levels == view(*SPANS).levels


def test_a_large_trace_opens_only_its_first_levels() -> None:
    children = [span(f"{at}", "root", 0.0, 1.0) for at in range(500)]
    grandchildren = [span(f"{at}-{number}", f"{at}", 0.0, 1.0) for at in range(500) for number in range(2)]
    found = view(span("root"), *children, *grandchildren)
    assert found.is_large
    assert sum(each.is_open for each in found.lines) == 1
    assert found.levels[-1] == ("", "First 1,000 spans")


def test_services_have_a_name_and_one_of_four_colors() -> None:
    assert view(*SPANS).services == [("web", 1), ("shop", 2), ("stock", 3)]
    many = view(*(span(f"{at}", began=at, service=f"s{at}") for at in range(6)))
    assert [color for _, color in many.services] == [1, 2, 3, 4, 1, 2]
    assert [each.color for each in many.lines] == [1, 2, 3, 4, 1, 2]


def test_corrected_clocks_are_told() -> None:
    found = view(
        span("a", duration=10.0, kind="client", service="web"),
        span("b", "a", 102.5, 6.0, kind="server", service="shop"),
    )
    assert found.summary["clocks"] == "shop corrected by -1 min 40 s"
    assert found.lines[1].facts["clock"] == "corrected by -1 min 40 s"
    assert "clocks" not in view(*SPANS).summary


def test_spans_link_to_pages_about_them() -> None:
    found = trace_view(SPANS, state_of(), lambda span: [Link(span.name, f"../method?method={span.name}")])
    assert [each.links[0].href for each in found.lines[:2]] == ["../method?method=a", "../method?method=b"]


def test_circles_and_spans_without_a_duration_are_shown() -> None:
    assert names(view(span("a", "b", duration=3.0), span("b", "a", 1.0, 1.0), show="path")) == ["a", "b"]
    found = view(span("a", duration=0.0), show="path")
    assert names(found) == ["a"]
    assert found.path.rows == []

"""The screen of `idlrt monitor top` as a function of figures, view and size, and its table as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.observe import Histogram, Series, Snapshot
from idlrt.observe.catalogue import CLIENT_IN_FLIGHT, SERVER_CALLS, SERVER_IN_FLIGHT
from idlrt.tools.top.columns import COLUMNS, short_duration
from idlrt.tools.top.output import plain_lines
from idlrt.tools.top.poll import Poll, Reading
from idlrt.tools.top.screen import HELP, Line, draw
from idlrt.tools.top.table import SORT_KEYS, Reports, Table, in_flight, make_table
from idlrt.tools.top.text import fit, shorten, width
from idlrt.tools.top.view import Shown, View, press

MS = 1_000_000
Calls = Mapping[tuple[str, str, str, str], list[int]]
CALLS: Calls = {
    ("Shop.get", "ok", "", "web"): [2 * MS] * 90,
    ("Shop.get", "internal", "ValueError", "app"): [700 * MS] * 10,
    ("Shop.put", "ok", "", "app"): [3000 * MS] * 20,
    ("Users.get", "ok", "", ""): [1000] * 300,
}


def snapshot(calls: Calls, at: float, name: str = "a:1", flying: float = 3) -> Snapshot:
    values: Mapping[tuple[str, ...], Any] = {labels: Histogram.of(each) for labels, each in calls.items()}
    series = [Series(SERVER_CALLS, values), Series(SERVER_IN_FLIGHT, {(): flying})]
    return Snapshot(
        at=at,
        started_at=1000.0,
        resource={"instance": name, "zone": "eu-1"},
        core=frozenset({"Shop"}),
        series={each.metric.name: each for each in series},
    )


def reading(name: str = "a:1", **changes: Any) -> Reading:
    earlier, later = snapshot({}, 1100.0, name), snapshot(CALLS, 1102.0, name)
    return Reading(**{"name": name, "url": f"http://{name}", "total": later, "added": later.since(earlier), **changes})


DOWN = Reading(name="b:2", url="http://b:2", error="connection refused")


def poll(*readings: Reading) -> Poll:
    return Poll(at=1_700_000_000.0, readings=readings or (reading(), DOWN))


def table(view: View | None = None, *readings: Reading) -> Table:
    return make_table(Reports(poll(*readings)), view or View())


def text(line: Line) -> str:
    return "".join(piece for piece, _ in line)


def screen(view: View | None = None, columns: int = 80, rows: int = 24, *readings: Reading) -> list[str]:
    view = view or View()
    return [text(each) for each in draw(table(view, *readings), view, columns, rows).lines]


def test_the_screen_in_80_columns() -> None:
    lines = screen()
    assert len(lines) == 24
    assert [each.rstrip() for each in lines[:8]] == [
        "idlrt monitor top  22:13:20 UTC  1 of 2 up  every 1 s",
        "server calls:  210 calls/s  errors 2.38 %  in flight 3  p50 1 \u00b5s  p99 3 s",
        "by method",
        "! b:2: connection refused",
        "  METHOD                      PV    QPS\u25bc   ERR%     P50     P90     P99     MAX",
        "  Users.get                  300     150      0    1 \u00b5s    1 \u00b5s    1 \u00b5s    1 \u00b5s",
        "* Shop.get                   100      50     10 2.01 ms 2.01 ms  700 ms  700 ms",
        "* Shop.put                    20      10      0     3 s     3 s     3 s     3 s",
    ]
    assert lines[-1].startswith("? help  q quit  Enter open  Tab client")
    assert not any(each.strip() for each in lines[8:-1])


def test_a_wide_screen_has_more_columns() -> None:
    lines = screen(columns=160)
    assert lines[4].split() == ["METHOD", "PV", "QPS\u25bc", "ERR%", "AVG", "P50", "P90", "P99", "P99.9", "MAX"]
    assert max(map(width, lines)) <= 160


def test_a_narrow_screen_has_the_most_important_ones() -> None:
    assert screen(columns=46)[4].split() == ["METHOD", "QPS\u25bc", "ERR%", "P99"]


def test_instances_are_rows_even_if_they_cannot_be_read() -> None:
    lines = screen(View(by="instance"))
    assert lines[3].split() == ["INSTANCE", "PV", "QPS\u25bc", "ERR%", "FLIGHT", "P50", "P99", "MAX"]
    assert lines[4].split()[:5] == ["a:1", "420", "210", "2.38", "3"]
    assert lines[5].strip() == "b:2                connection refused"
    assert not any(each.startswith("!") for each in lines)


def test_many_instances_that_cannot_be_read_take_two_lines() -> None:
    down = [Reading(name=f"b:{number}", error="connection refused") for number in range(5)]
    lines = screen(None, 80, 24, reading(), *down)
    assert lines[3:5] == ["! b:0: connection refused", "! 4 more instances not readable; press i"]


def test_before_the_second_poll_figures_are_those_since_the_start() -> None:
    lines = screen(None, 80, 24, reading(added=None))
    assert lines[0].rstrip() == "idlrt monitor top  22:13:20 UTC  1 of 1 up  every 1 s  since the start"
    assert lines[1].startswith("server calls:  4.12 calls/s")
    assert screen(View(is_since_start=True))[0].rstrip().endswith("since the start")


def test_rows_without_calls_in_the_interval_stay() -> None:
    idle = reading(added=snapshot({}, 1102.0))
    (row,) = table(View(filter="put"), idle).rows
    assert (row.pv, row.figures.qps, row.figures.p50_s, row.figures.is_core) == (20, 0.0, None, True)
    assert screen(View(filter="put"), 80, 24, idle)[4].split() == ["*", "Shop.put", "20", "0", *"\u2013" * 5]


def test_styles_tell_what_is_selected_and_what_is_wrong() -> None:
    view = View(selected="Shop.put")
    lines = draw(table(view), view, 80, 24).lines
    assert ("errors 2.38 %", "bad") in [(each.strip(), style) for each, style in lines[1]]
    assert {style for _, style in lines[3]} == {"bad"}
    assert {style for _, style in lines[4]} == {"title"}
    assert [style for each, style in lines[6] if each.strip() == "10"] == ["bad"]
    assert {style for _, style in lines[7]} == {"selected"}


@pytest.mark.parametrize("sort", ["name", *SORT_KEYS])
def test_every_column_sorts_and_numbers_that_do_not_exist_come_last(sort: str) -> None:
    readings = [reading(), reading("c:3"), DOWN]
    for by in ("method", "instance"):
        rows = list(table(View(sort=sort, by=by), *readings).rows)
        back = list(table(View(sort=sort, by=by, is_reversed=True), *readings).rows)
        if sort == "name":
            assert [each.name for each in rows] == sorted(each.name for each in rows)
            assert back == rows[::-1]
            continue
        values = [SORT_KEYS[sort](each) for each in rows]
        known = [each for each in values if each is not None]
        assert known == sorted(known, reverse=True)
        assert values == known + [None] * (len(values) - len(known))
        assert [SORT_KEYS[sort](each) for each in back if SORT_KEYS[sort](each) is not None] == known[::-1]


def test_filter_and_limit() -> None:
    assert table(View(filter="SHOP")).names == ["Shop.get", "Shop.put"]
    assert table(View(limit=1)).names == ["Users.get"]
    assert "  no row matches the filter" in screen(View(filter="nothing"))
    assert screen(View(filter="nothing"))[2].rstrip() == "by method  filter 'nothing'"
    assert "  no client calls yet" in screen(View(side="client"))


def test_drilling_down() -> None:
    view = View()
    for key in ("down", "enter", "c"):
        pressed = press(view, key, draw(table(view), view, 80, 24).shown)
        assert pressed is not None
        view = pressed
    assert [(each.name, each.pv) for each in table(view).rows] == [("web", 90), ("app", 10)]
    lines = screen(view)
    assert lines[2].rstrip() == "by caller  of  method Shop.get"
    assert "in flight" not in lines[1], "it is not measured by method"
    unknown = View(by="caller", where=(("method", "Users.get"),))
    assert screen(unknown)[5].split()[0] == "(unknown)"


def test_calls_in_flight_are_known_by_what_they_are_measured_by() -> None:
    found = poll(reading(), reading("c:3"), DOWN)
    assert in_flight(found, "server", "", {}) == {"": 6}
    assert in_flight(found, "server", "instance", {}) == {"a:1": 3, "c:3": 3}
    assert in_flight(found, "server", "zone", {"instance": "c:3"}) == {"eu-1": 3}
    assert in_flight(found, "server", "method", {}) is None
    assert in_flight(found, "feature", "", {}) is None
    assert in_flight(found, "client", "target", {}) is None, "no instance has a client"
    client = Series(CLIENT_IN_FLIGHT, {("x:1",): 2, ("x:2",): 5})
    total = Snapshot(at=1.0, started_at=0.0, resource={"instance": "a:1"}, series={client.metric.name: client})
    found = poll(Reading(name="a:1", total=total))
    assert in_flight(found, "client", "target", {}) == {"x:1": 2, "x:2": 5}
    assert in_flight(found, "client", "", {"target": "x:2"}) == {"": 5}
    assert in_flight(found, "client", "", {"target": "x:2", "instance": "z:9"}) == {"": 0}


def test_the_selected_row_is_always_visible() -> None:
    calls: Calls = {(f"Shop.m{number:03}", "ok", "", ""): [MS] for number in range(100)}
    whole = snapshot(calls, 1102.0)
    for index in (0, 1, 50, 98, 99):
        view = View(sort="name", selected=f"Shop.m{index:03}")
        lines = draw(table(view, reading(total=whole, added=whole)), view, 80, 24).lines
        (selected,) = [text(each) for each in lines if ("selected" in {style for _, style in each})]
        assert selected.split()[1] == view.selected
        assert " of 100 " in text(lines[-1])


def test_names_with_wide_and_unsafe_characters() -> None:
    calls: Calls = {("Shop.\x1b[2J\u202ex", "ok", "", ""): [MS], ("\u5e97" * 40 + ".get", "ok", "", ""): [MS]}
    whole = snapshot(calls, 1102.0)
    lines = screen(None, 80, 24, reading(total=whole, added=whole))
    assert {width(each) for each in lines[4:6]} == {80}
    assert "\x1b" not in "".join(lines)
    assert "\\x1b[2J\\u202ex" in "\n".join(plain_lines(table(None, reading(total=whole, added=whole)), View()))
    assert lines[5].startswith("  \u2026\u5e97")


def test_help_and_typing() -> None:
    lines = "\n".join(screen(View(is_help=True)))
    assert all(keys in lines for keys, _ in HELP)
    assert "\u2026" not in lines, "it is short enough"
    assert screen(View(typed="ab"))[-1] == "filter: ab_"
    assert screen(View(message="no such thing"))[-1] == "no such thing"
    assert screen(View(is_paused=True))[0].endswith("PAUSED")


SIZES = st.integers(1, 250)


@given(
    columns=SIZES,
    rows=st.integers(1, 60),
    view=st.builds(View, is_help=st.booleans(), by=st.sampled_from(["instance", "caller"])),
)
def test_no_size_is_exceeded(columns: int, rows: int, view: View) -> None:
    lines = draw(table(view), view, columns, rows).lines
    assert len(lines) <= rows
    assert max(width(text(each)) for each in lines) <= columns


def test_the_table_as_text() -> None:
    lines = plain_lines(table(View(sort="pv", by="instance")), View(by="instance"))
    assert lines[0] == (
        "22:13:20 UTC  server calls  1 of 2 up  last 2 s  210 calls/s  errors 2.38 %  in flight 3"
        "  p50 1 \u00b5s  p99 3 s"
    )
    assert lines[1].split()[:3] == ["INSTANCE", "PV", "QPS"]
    assert lines[3] == "b:2       connection refused"
    lines = plain_lines(table(), View())
    assert lines[1] == "! b:2: connection refused"
    assert lines[4].startswith("Shop.get *")
    assert len({width(each) for each in lines[2:]}) == 1


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "\u2013"), (850e-6, "850 \u00b5s"), (0.0123, "12.3 ms"), (59.9, "59.9 s"), (60, "60 s"), (4398, "4,398 s")],
)
def test_durations_are_short(seconds: float | None, shown: str) -> None:
    assert short_duration(seconds) == shown
    assert len(shown) <= 7


@given(st.floats(0, 1e13), st.floats(1e-3, 9e7), st.floats(0, 1), st.floats(1e-9, 4398))
def test_numbers_fit_into_their_columns(pv: float, qps: float, share: float, seconds: float) -> None:
    from idlrt.observe import Figures
    from idlrt.tools.top.table import Row

    found = Figures(
        qps=qps, error_rate=share, average_s=seconds, p50_s=seconds, p90_s=seconds, p99_s=seconds, p999_s=seconds
    )
    row = Row(name="x", figures=found, pv=int(pv), in_flight=min(pv, 99_999), uptime_s=min(pv, 3e8))
    assert {each.key: each.text(row) for each in COLUMNS if len(each.text(row)) > each.width} == {}


def test_text_is_cut_to_cells() -> None:
    assert shorten("abcdef", 4) == "abc\u2026"
    assert shorten("abcdef", 4, keep_end=True) == "\u2026def"
    assert shorten("abc", 0) == ""
    assert fit("ab", 4, is_right=True) == "  ab"
    assert width("\u5e97e\u0301") == 3
    assert fit("\u5e97\u5e97", 4 - 1) == "\u5e97\u2026"


def test_what_is_shown_is_what_keys_are_about() -> None:
    view = View()
    assert draw(table(view), view, 46, 24).shown == Shown(
        ["Users.get", "Shop.get", "Shop.put"], ["name", "qps", "errors", "p99"]
    )

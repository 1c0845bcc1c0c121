"""Tables and the state of a view in its URL."""

from __future__ import annotations

import pytest

from idlrt.protocol.http.pages import HttpRequest
from idlrt.web import Column, Link, Parameter, Table, ViewState

COLUMNS = (Column(key="name", title="Name"), Column(key="p99", title="p99", unit="duration"))
ROWS = ({"name": Link("b", "?"), "p99": 2.0}, {"name": Link("A", "?"), "p99": None}, {"name": Link("c", "?"), "p99": 1})


def names(sort: str) -> list[str]:
    table = Table(id="t", caption="T", columns=COLUMNS, rows=ROWS, sort=sort)
    return [str(row["name"]) for row in table.sorted_rows]


@pytest.mark.parametrize(
    ("sort", "order"),
    [("", "bAc"), ("name", "Abc"), ("-name", "cbA"), ("p99", "cbA"), ("-p99", "bcA"), ("nosuch", "bAc"), ("-", "bAc")],
)
def test_rows_are_sorted_and_those_without_value_are_last(sort: str, order: str) -> None:
    assert "".join(names(sort)) == order


def test_headings_say_how_the_table_is_sorted_and_sort_it_the_other_way() -> None:
    def headings(sort: str) -> list[tuple[str, str]]:
        table = Table(id="t", caption="T", columns=COLUMNS, rows=ROWS, sort=sort)
        return [(table.aria_sort(each), table.next_sort(each)) for each in COLUMNS]

    assert headings("") == [("", "name"), ("", "-p99")]
    assert headings("name") == [("ascending", "-name"), ("", "-p99")]
    assert headings("-p99") == [("", "name"), ("descending", "p99")]


PARAMETERS = (Parameter("period", "60", ("60", "300")), Parameter("sort"), Parameter("filter"))


def state(**query: str) -> ViewState:
    return ViewState(HttpRequest(verb="GET", path="/", query=tuple(query.items())), PARAMETERS)


def test_a_link_keeps_what_it_does_not_change() -> None:
    shown = state(period="300", filter="a&b=ü")
    assert (shown["period"], shown["sort"], shown["filter"]) == ("300", "", "a&b=ü")
    assert shown.link(sort="-p99") == "?period=300&sort=-p99&filter=a%26b%3D%C3%BC"
    assert shown.link(period="60", filter="") == "?"
    assert shown.others("filter") == [("period", "300")]
    with pytest.raises(KeyError, match="the page has no parameter 'nosuch'"):
        shown.link(nosuch="1")


def test_invalid_values_count_as_the_default() -> None:
    assert state(period="61")["period"] == "60"
    assert len(state(filter="x" * 1000)["filter"]) == 200

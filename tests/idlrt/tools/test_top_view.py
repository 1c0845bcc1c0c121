"""Keys of `idlrt monitor top`: each is a function of a view and of what is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.observe.figures import SIDES, report
from idlrt.tools.top.view import DIMENSION_KEYS, INTERVALS, SIDE_ORDER, Shown, View, dimensions_of, press

SHOWN = Shown(["Shop.get", "Shop.put", "Users.get"], ["name", "pv", "qps", "errors"])
KEYS = [
    *("up", "down", "left", "right", "page_up", "page_down", "home", "end", "enter", "escape", "backspace", "tab"),
    *("backtab", "", *"mscitezqrpa/?hjkgG<>+-= x\u00b5\x01"),
]


def after(*keys: str, view: View | None = None, shown: Shown = SHOWN) -> View:
    view = view or View()
    for key in keys:
        found = press(view, key, shown)
        assert found is not None, f"{key!r} quits"
        view = found
    return view


def test_q_quits() -> None:
    assert press(View(), "q", SHOWN) is None
    assert press(View(is_help=True), "q", SHOWN) is None
    assert press(View(is_paused=True), "q", Shown()) is None


@pytest.mark.parametrize(
    ("keys", "selected"),
    [
        (("down",), "Shop.put"),
        (("j", "j"), "Users.get"),
        (("down", "down", "down", "down"), "Users.get"),
        (("up",), "Shop.get"),
        (("end", "k"), "Shop.put"),
        (("G", "g"), "Shop.get"),
        (("page_down",), "Users.get"),
        (("page_down", "page_up"), "Shop.get"),
    ],
)
def test_rows_are_selected(keys: tuple[str, ...], selected: str) -> None:
    assert after(*keys).selected == selected


def test_a_selection_follows_its_row_and_stays_in_place_when_the_row_is_gone() -> None:
    view = after("down")
    assert view.position(["a", "b", "Shop.put"]) == 2
    assert view.position(["a", "b", "c"]) == 1
    assert view.position(["a"]) == 0
    assert view.position([]) == 0


@pytest.mark.parametrize(("key", "by"), [("m", "method"), ("s", "service"), ("i", "instance"), ("c", "caller")])
def test_keys_of_dimensions_group_rows(key: str, by: str) -> None:
    view = after("down", key)
    assert (view.by, view.selected, view.message) == (by, "", "")


def test_a_dimension_that_a_side_lacks_is_explained() -> None:
    view = after("t")
    assert view.by == "method"
    assert view.message.startswith("server figures have no dimension target (known: method, service, instance, caller")
    assert after("tab", "t").by == "target"
    assert after("t", "down").message == "", "a message goes with the next key"


def test_enter_goes_down_and_backspace_back() -> None:
    view = after("down", "enter")
    assert (view.by, view.where) == ("instance", (("method", "Shop.put"),))
    instances = Shown(["10.0.0.7:9090", "10.0.0.8:9090"], SHOWN.columns)
    view = after("down", "enter", view=view, shown=instances)
    assert (view.by, view.where) == ("caller", (("method", "Shop.put"), ("instance", "10.0.0.8:9090")))
    view = after("i", view=view)
    assert (view.by, view.message) == ("caller", "the instance is fixed here; press Backspace to go back")
    view = after("backspace", view=view)
    assert (view.by, view.selected) == ("instance", "10.0.0.8:9090")
    view = after("escape", view=view)
    assert (view.by, view.where, view.selected) == ("method", (), "Shop.put")
    assert after("backspace", view=view).message == "this is the top level"


def test_services_lead_to_methods_and_the_way_ends() -> None:
    view = after("s", "enter")
    assert (view.by, dict(view.where)) == ("method", {"service": "Shop.get"})
    seen = []
    while view.message == "":
        seen.append(view.by)
        view = after("enter", view=view)
    assert seen == ["method", "instance", "caller", "status", "error"]
    assert view.message == "there is nothing below this row"
    assert after("enter", shown=Shown()) == View(), "without rows there is nothing to open"


def test_tab_changes_the_side() -> None:
    assert [after(*["tab"] * number).side for number in range(6)] == [*SIDE_ORDER, "server"]
    assert after("backtab").side == "resource"
    view = after("enter", "tab")
    assert (view.by, view.where, view.path) == ("method", (), ())
    assert set(SIDE_ORDER) == set(SIDES)


def test_the_order_changes() -> None:
    assert after("<").sort == "pv"
    assert after("right").sort == "errors"
    assert after(">", ">").sort == "name"
    assert after("r").is_reversed
    assert not after("r", ">").is_reversed
    assert after(">", shown=Shown(columns=["name", "pv"])).sort == "name", "a column that is not there any more"
    assert after(">", shown=Shown()).sort == "qps"


def test_a_filter_is_typed() -> None:
    view = after("/", "q", "m", "x", "backspace", "down")
    assert (view.typed, view.filter, view.by) == ("qm", "", "method")
    assert after("enter", view=view).filter == "qm"
    assert after("enter", "/", view=view).typed == "qm"
    assert after("escape", view=view) == View()
    view = after("enter", view=view)
    assert after("i", view=view).filter == "", "it is about names of another kind"
    assert after("backspace", view=view).filter == ""


def test_the_rest() -> None:
    assert after("p").is_paused
    assert not after("p", " ").is_paused
    assert after("a").is_since_start
    assert after("?").is_help
    assert after("?", "m") == View(), "any key leaves the help"
    assert [after(*["+"] * number).interval for number in range(6)] == [1, 2, 5, 10, 30, 60]
    assert after(*["+"] * 20).interval == INTERVALS[-1]
    assert after(*["-"] * 20).interval == INTERVALS[0]
    assert after("+", view=View(interval=1.5)).interval == 2


@given(st.lists(st.sampled_from(KEYS), max_size=40), st.lists(st.sampled_from(SHOWN.names), max_size=3, unique=True))
def test_any_keys_lead_to_a_view_that_has_figures(keys: list[str], names: list[str]) -> None:
    view = View()
    for key in keys:
        found = press(view, key, Shown(names, SHOWN.columns))
        if found is None:
            return
        view = found
        report([], side=view.side, by=(view.by,), where=dict(view.where))
        assert view.by not in dict(view.where)
        assert len(view.path) == len(view.where)
        assert 0 <= view.position(names) <= max(len(names) - 1, 0)


def test_every_side_has_dimensions_with_figures() -> None:
    for side in SIDE_ORDER:
        found = dimensions_of(side)
        assert found[0] == "method"
        assert set(found) <= set(DIMENSION_KEYS.values())
        for by in found:
            report([], side=side, by=(by,))

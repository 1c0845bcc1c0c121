"""The page `/status` for browsers, as it arrives: complete without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import pytest
from admin_requests import request
from eventually import eventually
from hand_written import Users, UserServiceClient, user_service

from idlrt import Server
from idlrt.errors import RpcError


@pytest.fixture
def server() -> Iterator[Server]:
    """A server with 12 calls, of which 2 failed."""
    with Server(user_service(Users()), admin=0, registry="memory://status") as made:
        made.start()
        with UserServiceClient.connect(made.address) as client:
            for _ in range(10):
                client.ping()
            for _ in range(2):
                with pytest.raises(RpcError):
                    client.get(0)
        eventually(lambda: tiles(page(made))["Calls"] == "12")
        yield made


def page(server: Server, query: str = "") -> str:
    found = request(server, f"/status{query}", accept="text/html")
    assert found.status == 200
    return unescape(found.text)


def tiles(text: str) -> dict[str, str]:
    """The figures by name."""
    return dict(re.findall(r"<dt>([^<]*)</dt><dd>(?:<span[^>]*>✕ </span>)?([^<]*)</dd>", text))


def table(text: str, id: str) -> list[list[str]]:
    """The cells of the rows of a table."""
    body = text.partition(f'id="{id}"')[2].partition("<tbody>")[2].partition("</tbody>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    return [
        [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in rows
    ]


def test_state_and_registration_are_first_and_the_configuration_is_last(server: Server) -> None:
    text = page(server)
    order = ["> serving", "registrations", "Figures", "Last 15 minutes", "Methods", "Callers", "configuration"]
    places = [text.index(f"{each}<") for each in order]
    assert places == sorted(places)


def test_figures_are_those_of_the_period(server: Server) -> None:
    found = tiles(page(server))
    assert (found["Calls"], found["Errors"], found["Error rate"]) == ("12", "2", "16.7 %")
    assert re.fullmatch(r"[\d.]+ (ns|µs|ms|s)", found["p99"])
    assert 'aria-current="true">1 min<' in page(server)
    for query in ("?period=300", "?period=900", "?period=all"):
        assert tiles(page(server, query))["Calls"] == "12"
    assert 'aria-current="true">since start<' in page(server, "?period=all")
    assert 'aria-current="true">1 min<' in page(server, "?period=7")


def test_methods_are_listed_worst_first_and_can_be_sorted_and_filtered(server: Server) -> None:
    assert [row[0] for row in table(page(server), "methods")] == ["UserService.get", "UserService.ping"]
    assert [row[2] for row in table(page(server, "?sort=-pv"), "methods")] == ["10", "2"]
    assert [row[2] for row in table(page(server, "?sort=pv"), "methods")] == ["2", "10"]
    assert 'aria-sort="ascending"' in page(server, "?sort=pv")
    assert [row[0] for row in table(page(server, "?filter=PING"), "methods")] == ["UserService.ping"]
    assert "no method matches the filter" in page(server, "?filter=nosuch")


def test_a_method_can_be_looked_at_alone(server: Server) -> None:
    text = page(server, "?method=UserService.get&sort=pv")
    assert "Figures of UserService.get" in text
    assert tiles(text)["Calls"] == "2"
    assert sum(int(row[1]) for row in table(text, "buckets")) == 2
    assert [row[1] for row in table(text, "codes")] == ["2"]
    assert 'href="?sort=pv">All methods</a>' in text
    assert "no calls in this period" in page(server, "?method=nosuch")


def test_callers_are_listed(server: Server) -> None:
    assert [row[2] for row in table(page(server), "callers-table")] == ["12"]


def test_the_buckets_and_the_status_are_complete(server: Server) -> None:
    text = page(server)
    rows = table(text, "buckets")
    assert [row[0] for row in rows][:2] == ["0 – 10 ms", "10 ms – 30 ms"]
    assert rows[-1][0] == "more than 30 s"
    assert sum(int(row[1]) for row in rows) == 12
    assert sum(int(row[1]) for row in table(text, "codes")) == 12


def test_plots_have_a_table_with_the_same_values(server: Server) -> None:
    text = page(server)
    plots = re.findall(r'class="canvas" id="([\w-]+)".*?data-table="(\w+)" data-columns="([\w ]+)"', text)
    assert [each for each, _, _ in plots] == ["plot-qps", "plot-errors", "plot-durations", "plot-in-flight"]
    assert "in steps of 10 s" in text
    assert "The plot needs JavaScript" in text


def test_a_server_that_does_not_measure_says_how_to() -> None:
    with Server(user_service(Users()), admin=0, metrics=False) as server:
        server.start()
        text = page(server)
        assert "This server does not measure its calls." in text
        assert "metrics=False" in text
        assert "uPlot" not in text
        assert ">configuration<" in text

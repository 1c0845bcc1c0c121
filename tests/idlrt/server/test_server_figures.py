"""Figures of servers: core services of the IDL, and the pages of the admin port for programs."""

from __future__ import annotations

import importlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from compiled_idl import importable
from hand_written import Users, UserServiceClient, user_service

from idlrt.errors import ConfigurationError
from idlrt.observe.exposition import OPENMETRICS_TYPE
from idlrt.observe.snapshot import decode_snapshot
from idlrt.server import Server

IDL = """
namespace py core_shop
service Catalogue { string find(1: string name) (core = "true") string browse() }
service Orders { string order(1: string name) } (core = "true")
service Reports { string report() (core = "false") }
"""


class Everything:
    def find(self, name: str) -> str:
        return name

    order = find

    def browse(self) -> str:
        return ""

    report = browse


def test_core_services_and_methods_of_the_idl_and_of_the_options_come_first(tmp_path: Path) -> None:
    (tmp_path / "shop.thrift").write_text(IDL)
    output = tmp_path / "gen"
    output.mkdir()
    with importable(tmp_path / "shop.thrift", output=output):
        shop: Any = importlib.import_module("core_shop.shop")
        handlers = [each(Everything()) for each in (shop.catalogue, shop.orders, shop.reports)]
        with Server(handlers, metrics=True, core=["Catalogue.browse"]).start() as server:
            with shop.CatalogueClient.connect(server.address, multiplexed=True) as catalogue:
                catalogue.find("x")
                catalogue.browse()
            with shop.OrdersClient.connect(server.address, multiplexed=True) as orders:
                orders.order("x")
            with shop.ReportsClient.connect(server.address, multiplexed=True) as reports:
                reports.report()
                reports.report()
            found = {each.labels["method"]: each.is_core for each in server.figures(by=("method",)).rows}
    assert found == {"Catalogue.find": True, "Catalogue.browse": True, "Orders.order": True, "Reports.report": False}
    assert list(found)[-1] == "Reports.report"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(user_service(Users()), admin=0).start() as found:
        with UserServiceClient.connect(found.address) as client:
            for number in range(20):
                client.get(number + 1)
        yield found


def get(server: Server, path: str, **headers: str) -> tuple[int, str, bytes]:
    request = urllib.request.Request(f"{server.admin_address}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.headers["Content-Type"], response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


def test_figures_as_json(server: Server) -> None:
    status, kind, body = get(server, "/figures?period=all")
    found = json.loads(body)
    assert (status, kind) == (200, "application/json")
    assert (found["side"], found["by"], found["total"]["pv"]) == ("server", ["method"], 20)
    [row] = found["rows"]
    assert row["labels"] == {"method": "UserService.get"}
    assert 0 < row["min_s"] <= row["p50_s"] <= row["p99_s"] <= row["max_s"] < 60
    assert sum(each["count"] for each in row["buckets"]) == 20
    assert json.loads(get(server, "/figures?period=60&by=caller,status&method=UserService.get")[2])["total"]["pv"] == 20
    assert json.loads(get(server, "/figures?by=method,target&side=client")[2])["total"]["pv"] >= 20
    assert json.loads(get(server, "/figures?method=other")[2])["total"]["pv"] == 0


def test_the_history_as_json(server: Server) -> None:
    found = json.loads(get(server, "/history")[2])
    assert found["step_s"] == 10
    assert sum(found["qps"]) > 0
    assert len({len(each) for name, each in found.items() if name != "step_s"}) == 1


def test_cells_are_the_snapshot(server: Server) -> None:
    found = decode_snapshot(get(server, "/cells")[2])
    assert found.resource["instance"] == server.address.removeprefix("tcp://")
    assert found.resource["service"] == "UserService"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/figures?period=7", "period: must be one of 1, 10, 60, 300, 900, all, got '7'"),
        ("/figures?by=methods", "by: server figures have no dimension 'methods'"),
        ("/figures?side=x", "side: must be one of server, client, attempt, feature, resource, got 'x'"),
        ("/figures?nothing=1", "nothing: there is no such parameter (known: period, side, by,"),
        ("/history?period=1", "period: there is no such parameter"),
    ],
)
def test_wrong_parameters_are_named(server: Server, path: str, message: str) -> None:
    status, _, body = get(server, path)
    assert status == 400
    assert message in body.decode()


def test_a_scraper_that_wants_openmetrics_gets_it(server: Server) -> None:
    status, kind, body = get(server, "/metrics", Accept="application/openmetrics-text;version=1.0.0,*/*;q=0.1")
    assert (status, kind) == (200, OPENMETRICS_TYPE)
    assert body.endswith(b"# EOF\n")


def test_a_server_that_does_not_measure_has_no_figures() -> None:
    with Server(user_service(Users())) as server, pytest.raises(ConfigurationError, match="metrics=True"):
        server.figures()

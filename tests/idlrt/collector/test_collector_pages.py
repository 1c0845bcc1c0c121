"""Pages of the collector: their figures are those that were pushed, whatever a URL asks for."""

from __future__ import annotations

import http.client
import json
import math
import re
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
import pytest
from eventually import eventually
from synthetic_programs import SyntheticProgram

from idlrt.collector import CollectorServer
from idlrt.collector.api import CollectorClient, Refused
from idlrt.collector.pages.figures import CALLS
from idlrt.collector.pages.period import Period
from idlrt.collector.pages.reader import Reader
from idlrt.collector.store import CellStore
from idlrt.errors import ApplicationError
from idlrt.observe.catalogue import BREAKER_STATE, CLIENT_RETRIES
from idlrt.observe.metric import OTHER
from idlrt.observe.process import CPU, RESIDENT

MS = 1_000_000


class Answer(NamedTuple):
    status: int
    text: str
    headers: dict[str, str]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CollectorServer]:
    with CollectorServer(tmp_path / "data", "127.0.0.1:0") as made:
        yield made


def get(server: CollectorServer, path: str, headers: dict[str, str] | None = None, **query: str) -> Answer:
    connection = http.client.HTTPConnection(server.address.removeprefix("tcp://"), timeout=60)
    try:
        connection.request("GET", f"{path}?{urlencode(query)}", headers={"accept": "text/html", **(headers or {})})
        response = connection.getresponse()
        return Answer(response.status, response.read().decode(), dict(response.getheaders()))
    finally:
        connection.close()


def push(server: CollectorServer, programs: Sequence[SyntheticProgram], *, is_last: bool = False) -> None:
    with CollectorClient.connect(server.address, framing="header", protocol="compact", timeout=60.0) as client:
        for program in programs:
            for packet in program.packets(is_last=is_last):
                client.push(packet)


def rows(text: str, table: str) -> dict[str, dict[str, str]]:
    """Return the cells with units of a table, as they are in the page, by the text of the first column."""
    found: dict[str, dict[str, str]] = {}
    body = re.search(rf'<table class="grid" id="{table}">.*?</table>', text, re.DOTALL)
    if body is None:
        return found
    for row in re.findall(r"<tr>(.*?)</tr>", body.group(), re.DOTALL)[1:]:
        head = re.sub(r"<[^>]+>", " ", re.findall(r"<th.*?</th>", row, re.DOTALL)[0])
        cells = re.findall(r'data-column="(\w+)">.*?<data value="([^"]*)"', row, re.DOTALL)
        found[" ".join(head.split())] = dict(cells)
    return found


def plot(text: str, id: str) -> dict[str, Any]:
    found = re.search(rf'<div id="{id}-data" data-live hidden>(.*?)</div>', text, re.DOTALL)
    assert found is not None, id
    loaded: dict[str, Any] = json.loads(found.group(1).replace("&#34;", '"').replace("&quot;", '"'))
    return loaded


def two_services() -> list[SyntheticProgram]:
    shop = SyntheticProgram("shop", "shop-1", core=("Shop",), host="host-1", zone="eu-1", version="1.0")
    shop.calls("Shop.find", [10 * MS] * 90, caller="web")
    shop.calls("Shop.find", [30 * MS] * 10, status="error", error="ValueError", caller="web")
    shop.calls("Shop.buy", [50 * MS] * 20, caller="app")
    other = SyntheticProgram("shop", "shop-2", host="host-2", zone="eu-2", version="1.0")
    other.calls("Shop.find", [20 * MS] * 100, caller="app")
    stock = SyntheticProgram("stock", "stock-1", host="host-1")
    stock.calls("Stock.get", [1 * MS] * 50, status="error", error="IOError")
    return [shop, other, stock]


def test_the_overview_has_all_services_core_ones_first(server: CollectorServer) -> None:
    push(server, two_services())
    text = get(server, "/").text
    found = rows(text, "services")
    assert list(found) == ["shop core", "stock"], "stock has more errors, shop is core"
    assert (found["shop core"]["calls"], found["shop core"]["errors"]) == ("220", "10")
    assert (found["stock"]["calls"], found["stock"]["error_rate"]) == ("50", "1.0")
    assert float(found["shop core"]["p99"]) == pytest.approx(0.05, rel=0.02)
    assert float(found["shop core"]["max"]) == pytest.approx(0.05, rel=0.001)
    assert found["shop core"]["instances"] == "2"
    # By a link of a heading the other way round.
    assert list(rows(get(server, "/", sort="-errors").text, "services")) == ["stock", "shop core"]
    assert list(rows(get(server, "/", filter="STO").text, "services")) == ["stock"]
    assert "no service matches the filter" in get(server, "/", filter="nothing").text
    drawn = plot(text, "calls")
    assert sorted(drawn["titles"]) == ["shop", "stock"]


def test_a_service_by_method_caller_instance_zone_and_status(server: CollectorServer) -> None:
    push(server, two_services())
    text = get(server, "/service", service="shop").text
    methods = rows(text, "methods")
    assert {name: (each["calls"], each["errors"]) for name, each in methods.items()} == {
        "Shop.find": ("200", "10"),
        "Shop.buy": ("20", "0"),
    }
    assert {name: each["calls"] for name, each in rows(text, "callers-table").items()} == {"web": "100", "app": "120"}
    instances = rows(text, "instances-table")
    assert {name: each["calls"] for name, each in instances.items()} == {"shop-1": "120", "shop-2": "100"}
    assert {name: each["calls"] for name, each in rows(text, "zones").items()} == {"eu-1": "120", "eu-2": "100"}
    codes = rows(text, "codes-table")
    assert {name.split()[-1]: each["calls"] for name, each in codes.items()} == {"ok": "210", "error": "10"}
    assert "version 1.0" in text
    # All values of a plot are a table of the page if the URL asks for it.
    twin = rows(get(server, "/service", service="shop", table="durations").text, "durations-values")
    assert [float(each["2"]) for each in twin.values() if "2" in each] == [pytest.approx(0.05, rel=0.02)]
    heat = plot(text, "heat")
    assert sum(sum(each) for each in heat["counts"] if each is not None) == 220
    # Limited to one instance and one method.
    text = get(server, "/method", service="shop", method="Shop.find", instance="shop-1").text
    assert rows(text, "callers-table")["web"]["calls"] == "100"
    assert "remove instance shop-1" in text


def edge_rows(text: str) -> dict[tuple[str, str], dict[str, str]]:
    """Return the figures of the table of `/graph` by caller and service."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    body = re.search(r'<table class="grid" id="edges">.*?</table>', text, re.DOTALL)
    for row in re.findall(r"<tr>(.*?)</tr>", body.group() if body else "", re.DOTALL)[1:]:
        caller, service = (re.sub(r"<[^>]+>", "", each).strip() for each in re.findall(r"<t[hd]>?.*?</t[hd]>", row)[:2])
        found[caller, service] = dict(re.findall(r'data-column="(\w+)">.*?<data value="([^"]*)"', row))
    return found


def chain() -> list[SyntheticProgram]:
    """Calls from web to shop and stock, from shop to stock, and to stock by an unknown caller."""
    shop = SyntheticProgram("shop", host="host-1")
    shop.calls("Shop.find", [10 * MS] * 100, caller="web")
    shop.calls("Shop.find", [30 * MS] * 2, status="error", error="ValueError", caller="web")
    stock = SyntheticProgram("stock", host="host-2")
    stock.calls("Stock.get", [2 * MS] * 300, caller="shop")
    stock.calls("Stock.get", [1 * MS] * 40, caller="web")
    stock.calls("Stock.get", [1 * MS] * 5)
    return [shop, stock]


def test_the_graph_shows_which_services_call_which(server: CollectorServer) -> None:
    assert get(server, "/graph").text.count("no calls in this period") == 2
    push(server, chain())
    text = get(server, "/graph").text
    found = edge_rows(text)
    assert {pair: (each["calls"], each["errors"]) for pair, each in found.items()} == {
        ("shop", "stock"): ("300", "0"),
        ("web", "shop"): ("102", "2"),
        ("web", "stock"): ("40", "0"),
        ("unknown", "stock"): ("5", "0"),
    }
    assert next(iter(found)) == ("shop", "stock"), "the most calls"
    assert float(found["web", "shop"]["p99"]) == pytest.approx(0.03, rel=0.02)
    assert float(found["shop", "stock"]["p50"]) == pytest.approx(0.002, rel=0.02)
    drawn = re.findall(r"<g><title>([^<]*)</title>.*?<path class=\"line-of-calls ([^\"]*)\"", text)
    assert {title.partition(":")[0]: "failed" in kind for title, kind in drawn} == {
        "shop → stock": False,
        "web → shop": True,
        "web → stock": False,
        "unknown → stock": False,
    }
    assert any(re.search(r"web → shop: .*102 calls, 2 errors \(1.96 %\), p50 10 ms, p99 30", each) for each, _ in drawn)
    assert re.findall(r'<a href="(service[^"]*)" tabindex="-1">', text).count("service?service=shop") == 1
    assert "style=" not in text
    assert 'data-refresh="5"' in text
    assert '<div class="scroll" id="graph-scroll"' in text
    # Sorted by a duration, and filtered.
    by_duration = get(server, "/graph", sort="-p99").text
    assert list(edge_rows(by_duration))[:2] == [("web", "shop"), ("shop", "stock")]
    assert "p50 2 ms" in by_duration
    filtered = get(server, "/graph", filter="SHOP").text
    assert list(edge_rows(filtered)) == [("shop", "stock"), ("web", "shop")]
    assert "unknown → stock" in filtered, "the graph is not filtered"


def test_the_graph_of_one_service_has_its_callers_and_callees(server: CollectorServer) -> None:
    push(server, chain())
    assert 'href="graph?service=shop"' in get(server, "/service", service="shop").text
    text = get(server, "/graph", service="shop").text
    assert set(edge_rows(text)) == {("web", "shop"), ("shop", "stock")}
    assert "web → stock" not in text
    assert re.findall(r'<svg class="box current".*?<title>(\w+):', text) == ["shop"]
    assert "remove service shop" in text
    assert "missing has received and made no calls" in get(server, "/graph", service="missing").text
    # A program that only calls.
    assert set(edge_rows(get(server, "/graph", service="web").text)) == {("web", "shop"), ("web", "stock")}


def test_the_graph_of_many_services_is_cut_and_its_table_has_pages(server: CollectorServer) -> None:
    programs = []
    for number in range(130):
        program = SyntheticProgram(f"service-{number:03}")
        program.calls("S.get", [MS] * (number + 1), caller=f"service-{number // 2:03}")
        programs.append(program)
    push(server, programs)
    text = get(server, "/graph").text
    assert text.count('<svg class="box') == 60
    assert "60 of 130 nodes" in text
    assert "1 to 50 of 130" in text
    assert ("service-000", "service-000") in edge_rows(get(server, "/graph", page="2").text)


def test_a_period_that_is_over_is_shown_as_it_was(server: CollectorServer) -> None:
    push(server, two_services())
    now = time.time()
    before = get(server, "/service", service="shop", end=f"{now - 3600:.0f}", last="900").text
    assert "shop had no calls in this period" not in before, "its programs report"
    assert rows(before, "methods") == {}
    assert "data-refresh" not in before
    assert "Follow the time" in before
    after = get(server, "/service", service="shop", end=f"{now + 60:.0f}", last="900").text
    assert rows(after, "methods")["Shop.find"]["calls"] == "200"


def test_a_comparison_has_the_same_figures_and_their_change(server: CollectorServer) -> None:
    program = SyntheticProgram("shop", "shop-1")
    program.sender.started_at -= 86_400 + 60
    program.calls("Shop.find", [10 * MS] * 100)
    with CollectorClient.connect(server.address, framing="header", protocol="compact") as client:
        [yesterday] = program.packets(at=time.time() - 86_400)
        client.push(yesterday)
        program.calls("Shop.find", [30 * MS] * 150)
        [today] = program.packets()
        client.push(today)
    found = rows(get(server, "/compare", service="shop").text, "comparison")
    assert (found["now"]["calls"], found["yesterday"]["calls"]) == ("150", "100")
    assert float(found["yesterday"]["change"]) == pytest.approx(0.5, abs=0.01)
    assert float(found["yesterday"]["p99_change"]) == pytest.approx(2, rel=0.05)
    assert "calls" not in found["last week"] or found["last week"]["calls"] == "0"
    drawn = plot(get(server, "/service", service="shop", compare="day").text, "calls")
    assert drawn["titles"] == ["calls", "yesterday"]


def test_the_last_step_of_an_earlier_period_is_a_whole_one(server: CollectorServer, tmp_path: Path) -> None:
    program = SyntheticProgram("shop", "shop-1")
    program.sender.started_at -= 86_400 + 60
    # Of the present step of 6 hours half has passed.
    step, now = 21_600, time.time()
    end = now // step * step + step
    program.calls("Shop.find", [10 * MS] * 100)
    [yesterday] = program.packets(at=end - 86_400 - 10)
    with CollectorClient.connect(server.address, framing="header", protocol="compact") as client:
        client.push(yesterday)
    present = Period(start=end - 10 * step, end=end, step=step, until=end - step / 2, is_live=True)
    server.stop()
    with CellStore(tmp_path / "data" / "cells.db") as store:
        earlier = Reader(store).timeline(CALLS, present.earlier_steps(86_400))
    assert earlier.rates(earlier.durations())[-1] == pytest.approx(100 / step)


def test_hosts_and_governance_show_gauges_and_counters(server: CollectorServer) -> None:
    program = SyntheticProgram("shop", "shop-1", host="host-1")
    program.numbers = {
        CPU: {(): 5.0},
        RESIDENT: {(): 3 << 30},
        BREAKER_STATE: {("Stock.get",): 2.0},
        CLIENT_RETRIES: {("Stock.get", "failover"): 7.0},
    }
    push(server, [program])
    hosts = rows(get(server, "/hosts").text, "hosts")
    assert float(hosts["host-1"]["memory"]) == 3 << 30
    assert 0 < float(hosts["host-1"]["cpu"]) < 5
    host = get(server, "/host", host="host-1").text
    assert "Resident memory of programs" in host
    assert "3 GiB" in get(server, "/host", host="host-1", table="memory").text
    governance = get(server, "/governance").text
    assert re.search(r"Stock\.get.*?open", governance, re.DOTALL)
    assert any(each.get("count") == "7.0" for each in rows(governance, "decisions-table").values())


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/", {"last": "x", "end": "nan", "page": "-1", "sort": "nothing", "table": "?"}),
        ("/", {"last": "1e300", "end": "-5"}),
        ("/service", {}),
        ("/service", {"service": "<script>alert(1)</script>"}),
        ("/method", {"method": "x" * 5000}),
        ("/host", {"host": "'; DROP TABLE event; --"}),
        ("/compare", {"service": "\u202e"}),
        ("/governance", {"service": "missing"}),
        ("/graph", {"service": "<script>alert(1)</script>", "sort": "-p99", "page": "x"}),
        ("/resources", {"system": "missing"}),
        ("/features", {"feature": "missing"}),
        ("/collector", {"page": "9" * 100}),
        ("/methods", {"page": "٣", "filter": "%"}),
    ],
)
def test_any_url_is_answered_with_a_page(server: CollectorServer, path: str, query: dict[str, str]) -> None:
    push(server, two_services())
    found = get(server, path, None, **query)
    assert found.status == 200
    assert "<script>alert" not in found.text
    assert "default-src 'none'" in found.headers["content-security-policy"]


@pytest.mark.parametrize("at", [math.nan, math.inf, -1.0, 1e12])
def test_packets_with_impossible_times_are_refused(server: CollectorServer, at: float) -> None:
    [packet] = SyntheticProgram("shop").packets()
    sender = msgspec.structs.replace(packet.sender, started_at=at)
    with CollectorClient.connect(server.address, framing="header", protocol="compact") as client:
        for each in (msgspec.structs.replace(packet, at=at), msgspec.structs.replace(packet, sender=sender)):
            with pytest.raises(Refused) as caught:
                client.push(each)
            assert caught.value.invalid
    assert get(server, "/collector").status == 200


def test_links_to_hosts_have_the_whole_name(server: CollectorServer) -> None:
    program = SyntheticProgram("shop", host="a&b=c#d")
    program.calls("Shop.find", [MS])
    push(server, [program])
    assert "host?host=a%26b%3Dc%23d" in get(server, "/service", service="shop").text


def test_unknown_pages_are_not_found(server: CollectorServer) -> None:
    assert get(server, "/nothing").status == 404
    assert get(server, "/_web/nothing.js").status == 404
    connection = http.client.HTTPConnection(server.address.removeprefix("tcp://"), timeout=60)
    connection.request("POST", "/", body=b"{}", headers={"content-type": "application/json"})
    assert connection.getresponse().status == 405
    connection.close()


def test_long_tables_have_pages(server: CollectorServer) -> None:
    programs = []
    for number in range(230):
        program = SyntheticProgram(f"service-{number:03}")
        program.calls("S.get", [MS] * (number + 1))
        programs.append(program)
    push(server, programs)
    first = get(server, "/", sort="-calls").text
    assert len(rows(first, "services")) == 100
    assert next(iter(rows(first, "services"))) == "service-229"
    assert "1 to 100 of 230" in first
    assert len(first) < 150_000
    last = get(server, "/", sort="-calls", page="2").text
    assert list(rows(last, "services"))[-1] == "service-000"
    assert len(rows(last, "services")) == 30
    assert get(server, "/", page="77").text.count("201 to 230 of 230") == 1
    drawn = plot(first, "calls")
    assert drawn["titles"] == [f"service-{number}" for number in range(229, 219, -1)]
    assert "the 10 services with the most calls" in first
    assert OTHER not in first


def test_pages_are_served_by_http_only(server: CollectorServer) -> None:
    name = b"Pages:page"
    call = struct.pack("!II", 0x80010001, len(name)) + name + struct.pack("!IB", 1, 0)
    host, _, port = server.address.removeprefix("tcp://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(struct.pack("!I", len(call)) + call)
        assert b"unknown method" in connection.recv(4096)


def test_pages_need_a_sign_in_where_programs_need_a_token(tmp_path: Path) -> None:
    with CollectorServer(tmp_path / "data", "127.0.0.1:0", tokens=["secret"]) as server:
        found = get(server, "/")
        assert found.status == 401
        assert "sign-in" in found.text
        assert get(server, "/", {"authorization": "Bearer secret"}).status == 200
        assert get(server, "/", {"authorization": "Bearer wrong"}).status in (401, 403)
        address = server.address.removeprefix("tcp://")
        connection = http.client.HTTPConnection(address, timeout=60)
        form = urlencode({"token": "secret", "after": "/"})
        headers = {"content-type": "application/x-www-form-urlencoded", "origin": f"http://{address}"}
        connection.request("POST", "/sign-in", body=form, headers=headers)
        response = connection.getresponse()
        cookie = (response.getheader("set-cookie") or "").partition(";")[0]
        connection.close()
        assert get(server, "/", {"cookie": cookie}).status == 200
        # A sign-in is for pages, not for pushing.
        made = CollectorClient.connect(server.address, framing="header", protocol="compact")
        with made as client, pytest.raises(ApplicationError):
            client.metrics()


def test_other_sites_cannot_read_the_pages(server: CollectorServer) -> None:
    assert get(server, "/", {"host": "evil.example"}).status in (400, 403, 421)


def test_programs_push_every_second_while_a_live_page_is_open(server: CollectorServer) -> None:
    program = SyntheticProgram("shop")
    with CollectorClient.connect(server.address, framing="header", protocol="compact") as client:
        assert client.push(program.packets()[0]).interval == 10.0
        get(server, "/", end="1700000000")
        assert client.push(program.packets()[0]).interval == 10.0, "that page is not live"
        get(server, "/")
        assert client.push(program.packets()[0]).interval == 1.0


def test_the_collector_shows_its_own_load(server: CollectorServer) -> None:
    push(server, two_services())
    push(server, two_services()[:1], is_last=True)
    text = get(server, "/collector").text
    assert len(re.findall("shop-1", text)) >= 1
    eventually(lambda: "transport tcp, outcome stored" in get(server, "/collector").text)


def test_a_new_version_of_an_instance_has_a_state_of_its_own(server: CollectorServer) -> None:
    for version in ("1.0", "2.0"):
        program = SyntheticProgram("shop", "shop-1", version=version)
        program.calls("Shop.find", [MS])
        push(server, [program], is_last=version == "1.0")
    text = get(server, "/service", service="shop").text
    table = re.search(r'<table class="grid" id="instances-table">.*?</table>', text, re.DOTALL)
    assert table is not None
    states = re.findall(r"<td>(\d\.\d)</td>\s*<td>.*?</span> (\w+)", table.group(), re.DOTALL)
    assert sorted(states) == [("1.0", "ended"), ("2.0", "live")]


def test_tables_of_one_page_are_paged_one_by_one(server: CollectorServer) -> None:
    program = SyntheticProgram("shop")
    for number in range(150):
        program.calls(f"Shop.method{number:03}", [MS], caller=f"caller-{number:03}")
    push(server, [program])
    text = get(server, "/service", service="shop", page="1").text
    assert len(rows(text, "methods")) == 50
    assert len(rows(text, "callers-table")) == 100
    text = get(server, "/service", service="shop", callers_page="1").text
    assert len(rows(text, "methods")) == 100
    assert len(rows(text, "callers-table")) == 50

"""The page `/alerts` of a real collector: states, silences and history, by what its URL asks for."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from eventually import eventually
from synthetic_programs import SyntheticProgram

from idlrt.collector import CollectorServer
from idlrt.collector.api import CollectorClient
from idlrt.observe.catalogue import BREAKER_STATE

RULES = """
[alerts.Gone]
when = "absent for 1 ms"
service = "none"
severity = "page"
annotations.summary = "<b>{service}</b> is gone"
[alerts.BreakerOpen]
when = "rpc_breaker_state > 1 for 1 h"
by = ["service", "name"]
[alerts.Quiet]
when = "error rate > 1 %"
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CollectorServer]:
    (tmp_path / "alerts.toml").write_text(RULES)
    with CollectorServer(tmp_path / "data", "127.0.0.1:0", alerts=tmp_path / "alerts.toml") as made:
        yield made


def get(server: CollectorServer, **query: str) -> str:
    connection = http.client.HTTPConnection(server.address.removeprefix("tcp://"), timeout=60)
    try:
        connection.request("GET", f"/alerts?{urlencode(query)}", headers={"accept": "text/html"})
        response = connection.getresponse()
        assert response.status == 200
        return response.read().decode()
    finally:
        connection.close()


def rows(text: str, table: str) -> list[str]:
    """Return the texts of the rows of a table."""
    body = re.search(rf'<table class="grid" id="{table}">.*?</table>', text, re.DOTALL)
    if body is None:
        return []
    found = re.findall(r"<tr>(.*?)</tr>", body.group(), re.DOTALL)[1:]
    return [" ".join(re.sub(r"<[^>]+>", " ", each).split()) for each in found]


@pytest.mark.slow
def test_the_page_shows_states_silences_and_history(server: CollectorServer) -> None:
    alerts = server.alerts
    assert alerts is not None
    program = SyntheticProgram("shop", "shop-1")
    program.numbers = {BREAKER_STATE: {("stock",): 2.0}}
    with CollectorClient.connect(server.address, framing="header", protocol="compact", timeout=60.0) as client:
        for packet in program.packets():
            client.push(packet)
    eventually(lambda: len(rows(get(server), "pending-table")) == 1)
    text = get(server)
    (firing,) = rows(text, "firing-table")
    assert firing.startswith("Gone ✕ firing none severity=page absent no report for 1 ms")
    assert "&lt;b&gt;none" in firing
    (pending,) = rows(text, "pending-table")
    assert pending.startswith("BreakerOpen ! pending shop name=stock severity=ticket 2 &gt; 1")
    assert [each.split()[0] for each in rows(text, "other-table")] == ["Quiet"]
    assert {each.split()[2] for each in rows(text, "history-table")} == {"Gone", "BreakerOpen"}
    made = alerts.silence(["alertname=Gone"], time.time() + 3600, "anna", "moving")
    text = get(server)
    assert f"silenced by {made.id}" in rows(text, "firing-table")[0]
    assert rows(text, "silences-table")[0].startswith(made.id)
    # A link shows the same view.
    text = get(server, rule="BreakerOpen", show="pending")
    assert (rows(text, "firing-table"), len(rows(text, "pending-table"))) == ([], 1)
    assert {each.split()[2] for each in rows(text, "history-table")} == {"BreakerOpen"}
    text = get(server, filter="QUIET")
    assert (rows(text, "firing-table"), len(rows(text, "other-table"))) == ([], 1)
    assert "no alert matches the filter" in text


def test_a_collector_without_alerts(tmp_path: Path) -> None:
    with CollectorServer(tmp_path / "data", "127.0.0.1:0") as server:
        assert "this collector has no alerts; start it with --alerts FILE" in get(server)


def test_odd_parameters(server: CollectorServer) -> None:
    for query in ({"show": "x"}, {"rule": "<x>"}, {"sort": "-nope"}, {"page": "999"}, {"silences": "end"}):
        assert "<h1>" in get(server, **query)

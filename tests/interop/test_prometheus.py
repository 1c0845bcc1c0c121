"""A real Prometheus scrapes the admin port of a server and answers queries about it."""

from __future__ import annotations

from pathlib import Path

import pytest
from eventually import eventually
from hand_written import Users, UserServiceClient, user_service
from prometheus_server import ask, prometheus, scrape_config

from idlrt import Server

pytestmark = pytest.mark.slow

COUNT = 'sum(rpc_server_call_duration_seconds_count{rpc_method="UserService.get",rpc_status_code="ok"})'


def test_prometheus_has_the_figures_of_a_server(tmp_path: Path) -> None:
    with Server(user_service(Users()), admin=0).start() as server:
        with UserServiceClient.connect(server.address) as client:
            for _ in range(20):
                client.get(1)
        target = server.admin_address.removeprefix("http://")
        with prometheus(scrape_config(target), tmp_path) as url:
            found = eventually(lambda: ask(url, COUNT), "the count of calls")
            assert found[0]["value"][1] == "20"
            quantile = "histogram_quantile(0.99, sum by (le) (rpc_server_call_duration_seconds_bucket))"
            assert 0 < float(ask(url, quantile)[0]["value"][1]) < 60
            assert ask(url, "up")[0]["value"][1] == "1"
            assert ask(url, "process_resident_memory_bytes")[0]["value"][1] != "0"

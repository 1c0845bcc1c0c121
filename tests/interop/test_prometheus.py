"""A real Prometheus scrapes the admin port of a server and answers queries about it."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from hand_written import Users, UserServiceClient, user_service
from programs import require_program

from idlrt import Server

pytestmark = pytest.mark.slow

CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
scrape_configs:
  - job_name: idlrt
    static_configs: [{{targets: ["{target}"]}}]
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@contextmanager
def prometheus(target: str, folder: Path) -> Iterator[str]:
    """Run Prometheus, which scrapes `target` each second; yields its URL."""
    program = require_program("prometheus", "prometheus")
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(target=target))
    subprocess.run([require_program("promtool", "prometheus"), "check", "config", str(config)], check=True)
    port = free_port()
    command = [program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def ask(url: str, expression: str) -> list[Any]:
    """Return the result of an expression; empty while Prometheus is starting."""
    try:
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=30) as response:
            found: list[Any] = json.load(response)["data"]["result"]
            return found
    except OSError:
        return []


COUNT = 'sum(rpc_server_call_duration_seconds_count{rpc_method="UserService.get",rpc_status_code="ok"})'


def test_prometheus_has_the_figures_of_a_server(tmp_path: Path) -> None:
    with Server(user_service(Users()), admin=0).start() as server:
        with UserServiceClient.connect(server.address) as client:
            for _ in range(20):
                client.get(1)
        target = server.admin_address.removeprefix("http://")
        with prometheus(target, tmp_path) as url:
            found = eventually(lambda: ask(url, COUNT), "the count of calls")
            assert found[0]["value"][1] == "20"
            quantile = "histogram_quantile(0.99, sum by (le) (rpc_server_call_duration_seconds_bucket))"
            assert 0 < float(ask(url, quantile)[0]["value"][1]) < 60
            assert ask(url, "up")[0]["value"][1] == "1"
            assert ask(url, "process_resident_memory_bytes")[0]["value"][1] != "0"

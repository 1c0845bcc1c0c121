"""An alert of a real Prometheus reaches a webhook through a real Alertmanager, and recovers."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from free_ports import free_port
from hand_written import Users, user_service
from programs import require_program
from prometheus_server import alertmanager, ask, prometheus, scrape_config

from idlrt import Server
from idlrt.observe.dashboards import Objectives, monitoring_files

pytestmark = pytest.mark.long

FILES = monitoring_files(Objectives())
EXAMPLE = FILES["alertmanager/alertmanager.example.yml"]


class Webhook:
    """Receiver of alerts: `received` has the path and the body of each request."""

    def __init__(self) -> None:
        received: list[tuple[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.append((self.path, json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.received = received
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def alerts(self, path: str, name: str, status: str) -> list[Any]:
        return [
            alert
            for at, body in self.received
            for alert in body["alerts"]
            if (at, alert["labels"]["alertname"], alert["status"]) == (path, name, status)
        ]


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    found = Webhook()
    yield found
    found.close()


def quick(text: str, *times: str) -> str:
    """A configuration in which these times are a second."""
    for time in times:
        assert f'"{time}"' in text
        text = text.replace(f'"{time}"', '"1s"')
    return text


def test_an_alert_reaches_a_webhook_and_recovers(tmp_path: Path, webhook: Webhook) -> None:
    rules = quick(FILES["prometheus/rules/idlrt-alerts.yml"], "1m", "2m")
    (tmp_path / "alerts.yml").write_text(rules)
    routing = quick(EXAMPLE, "30s", "5m").replace("127.0.0.1:9095", webhook.address)
    port = free_port()

    def server() -> Server:
        return Server(user_service(Users()), admin=f"127.0.0.1:{port}").start()

    config = scrape_config(f"127.0.0.1:{port}", job="users")
    with server() as first, alertmanager(routing, tmp_path) as manager:
        config += "rule_files: [alerts.yml]\n"
        config += f'alerting: {{alertmanagers: [{{static_configs: [{{targets: ["{manager}"]}}]}}]}}\n'
        with prometheus(config, tmp_path) as url:
            eventually(lambda: ask(url, "rpc_build_info"), "the server is scraped")
            first.stop()
            (fired, *_) = eventually(lambda: webhook.alerts("/page", "RpcJobDown", "firing"), "the alert")
            assert fired["labels"] == {"alertname": "RpcJobDown", "job": "users", "severity": "page"}
            assert fired["annotations"]["summary"] == "All instances of users are down"
            assert fired["annotations"]["runbook_url"] == "docs/monitoring.md#rpcjobdown"
            with server():
                eventually(lambda: webhook.alerts("/page", "RpcJobDown", "resolved"), "the end of the alert")


@pytest.mark.parametrize("severities", [{}, {"page": "critical", "ticket": "warning"}, {"ticket": "page"}])
def test_amtool_accepts_the_example(tmp_path: Path, severities: dict[str, str]) -> None:
    path = tmp_path / "alertmanager.yml"
    objectives = Objectives(severities=severities)
    path.write_text(monitoring_files(objectives)["alertmanager/alertmanager.example.yml"])
    amtool = require_program("amtool", "prometheus-alertmanager")
    done = subprocess.run([amtool, "check-config", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout

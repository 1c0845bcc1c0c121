"""Alerts of a real collector, which is killed and started again: a server under load begins to fail, and recovers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from command_line import run_idlrt
from eventually import eventually
from free_ports import free_port
from hand_written import Users, UserServiceClient, user_service
from prometheus_server import alertmanager
from webhook_receiver import WebhookReceiver

from idlrt import collector
from idlrt.collector import CollectorServer
from idlrt.collector.alerts.states import fingerprint_of
from idlrt.errors import RpcError
from idlrt.server import Server

RULES = """
[receivers.chat]
webhook = "{url}"
group_wait = "0 s"
group_interval = "0 s"

[alerts.Fails]
service = "users"
when = "error rate > 30 % over 10 s"
severity = "page"
annotations.summary = "{{service}} fails: {{value}}"
"""


class FailingUsers(Users):
    """Handler that fails while `is_failing`."""

    is_failing = False

    def get(self, id: int) -> Any:
        if self.is_failing:
            raise OSError("disk full")
        return super().get(id)


class Collector:
    """A collector in a separate process."""

    def __init__(self, folder: Path, rules: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._log = folder / "log"
        self._command = [sys.executable, "-m", "idlrt", "monitor", "serve", "--data", str(folder / "data")]
        self._command += ["--address", self.address, "--alerts", str(rules)]
        self.process = self._run()

    def _run(self) -> subprocess.Popen[str]:
        with self._log.open("a") as log:
            started = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert started.stdout is not None
        with started.stdout:
            assert started.stdout.readline().strip() == f"the collector is at {self.address}"
        return started

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)

    def start(self) -> None:
        self.process = self._run()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def alerts(self) -> dict[str, str]:
        shown = run_idlrt(["monitor", "alerts", self.address, "--json"]).stdout
        return {each["rule"]: each["state"] for each in json.loads(shown)}


@contextmanager
def running(folder: Path, rules: str) -> Iterator[Collector]:
    path = folder / "alerts.toml"
    path.write_text(rules)
    found = Collector(folder, path)
    try:
        yield found
    finally:
        found.process.terminate()
        assert found.process.wait(60) == 0


@contextmanager
def load(address: str) -> Iterator[FailingUsers]:
    """Run a server under load that pushes to a collector."""
    handler, stop = FailingUsers(), threading.Event()
    with (
        Server(user_service(handler), metrics=True).start() as serving,
        UserServiceClient.connect(serving.address) as client,
        collector.push(address, service="users", instance="users-1", interval=0.5),
    ):

        def work() -> None:
            while not stop.wait(0.005):
                with suppress(RpcError):
                    client.get(1)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield handler
        finally:
            stop.set()
            thread.join()


@pytest.mark.slow
def test_an_alert_fires_and_recovers_across_kills_of_the_collector(tmp_path: Path) -> None:
    with (
        WebhookReceiver() as webhook,
        running(tmp_path, RULES.format(url=webhook.url)) as server,
        load(server.address) as handler,
    ):
        eventually(lambda: server.alerts() == {"Fails": "inactive"})
        handler.is_failing = True
        eventually(lambda: webhook.statuses() == [("Fails", "firing")])
        run_idlrt(["monitor", "alerts", server.address, "--check"], code=1)
        server.kill()
        server.start()
        assert server.alerts() == {"Fails": "firing"}
        # It recovers while the collector is down, and so is the webhook when the collector is back.
        server.kill()
        handler.is_failing = False
        webhook.status = 503
        server.start()
        eventually(lambda: webhook.refused)
        webhook.status = 200
        eventually(lambda: len(webhook.received) == 2)
        assert webhook.statuses() == [("Fails", "firing"), ("Fails", "resolved")]
        first, second = (body["alerts"][0] for body in webhook.received)
        assert first["annotations"]["summary"].startswith("users fails: ")
        assert (first["startsAt"], first["fingerprint"]) == (second["startsAt"], second["fingerprint"])
        eventually(lambda: server.alerts() == {"Fails": "inactive"})
        run_idlrt(["monitor", "alerts", server.address, "--check"])
    assert "alert Fails is firing: users fails: " in server.log
    assert "hidden" not in server.log


@pytest.mark.slow
def test_silences_by_command_and_reload(tmp_path: Path) -> None:
    with (
        WebhookReceiver() as webhook,
        running(tmp_path, RULES.format(url=webhook.url)) as server,
        load(server.address) as handler,
    ):
        add = ["monitor", "silence", "add", server.address, "alertname=Fails"]
        id = run_idlrt([*add, "--for", "1 h", "--comment", "moving", "--author", "anna"]).stdout.strip()
        handler.is_failing = True
        eventually(lambda: server.alerts() == {"Fails": "firing"})
        shown = run_idlrt(["monitor", "alerts", server.address, "--check"]).stdout
        assert f"silenced by {id}" in shown
        listed = run_idlrt(["monitor", "silence", "list", server.address]).stdout.splitlines()
        assert listed[0].split() == ["id", "matchers", "start", "end", "author", "comment"]
        assert (listed[1].split()[:2], listed[1].split()[-2:]) == ([id, "alertname=Fails"], ["anna", "moving"])
        server.kill()
        server.start()
        assert server.alerts() == {"Fails": "firing"}
        assert webhook.received == []
        assert run_idlrt(["monitor", "silence", "end", server.address, id]).stdout == f"ended {id}\n"
        eventually(lambda: webhook.statuses() == [("Fails", "firing")])
        assert run_idlrt(["monitor", "silence", "list", server.address]).stdout.count("\n") == 1
        assert run_idlrt(["monitor", "silence", "list", server.address, "--all"]).stdout.count("\n") == 2
        again = run_idlrt(["monitor", "silence", "end", server.address, id], code=2)
        assert f"there is none with the id '{id}', or it has ended" in again.stderr
        wrong = run_idlrt([*add, "--for", "1 x", "--comment", "moving"], code=2)
        assert "unknown unit of time 'x'" in wrong.stderr
        history = run_idlrt(["monitor", "alerts", server.address, "--history", "5"]).stdout
        assert "inactive -> firing" in history
        # A file with an error changes nothing; the next one does.
        path = tmp_path / "alerts.toml"
        path.write_text("[alerts.New]\n")
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: "cannot reload the alerts: " in server.log)
        assert server.alerts() == {"Fails": "firing"}
        path.write_text(RULES.format(url=webhook.url) + '[alerts.New]\nwhen = "errors > 0"\nservice = "x"\n')
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: server.alerts() == {"Fails": "firing", "New": "inactive"})
        assert webhook.statuses() == [("Fails", "firing")]


def test_a_collector_without_alerts_says_so(tmp_path: Path) -> None:
    with CollectorServer(tmp_path, "127.0.0.1:0") as server:
        address = server.address.removeprefix("tcp://")
        for command in (["alerts", address], ["silence", "list", address]):
            done = run_idlrt(["monitor", *command], code=2)
            assert "this collector has no alerts; start it with --alerts FILE" in done.stderr
    done = run_idlrt(["monitor", "alerts", f"127.0.0.1:{free_port()}"], code=2)
    assert "connection refused" in done.stderr


@pytest.mark.long
def test_a_real_alertmanager_gets_alerts(tmp_path: Path) -> None:
    routing = "route: {receiver: none}\nreceivers: [{name: none}]\n"
    with alertmanager(routing, tmp_path) as manager:
        rules = tmp_path / "rules.toml"
        rules.write_text(
            f'[receivers.manager]\nalertmanager = "http://{manager}"\n'
            '[alerts.Gone]\nwhen = "absent for 1 s"\nservice = "none"\nseverity = "page"\n'
        )

        def known() -> list[Any]:
            with urllib.request.urlopen(f"http://{manager}/api/v2/alerts") as response:
                found: list[Any] = json.load(response)
                return found

        with CollectorServer(tmp_path / "data", "127.0.0.1:0", alerts=rules) as server:
            (alert,) = eventually(known)
            labels = {"alertname": "Gone", "service": "none", "severity": "page"}
            assert alert["labels"] == labels
            assert alert["fingerprint"] == fingerprint_of(labels)
            assert alert["annotations"]["summary"].startswith("none: absent for 1 s")
            with collector.push(server.address, service="none", interval=0.5):
                eventually(lambda: not known(), "Alertmanager takes it for resolved")

"""Zipkin is killed for 20 seconds while calls go on: none fails, the queue is bounded, and then spans arrive again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from eventually import eventually
from free_ports import free_port
from hand_written import Users, UserServiceClient, user_service
from java_servers import ask_json, running_zipkin
from measured import counts

from idlrt import observe
from idlrt.observe import read_all
from idlrt.observe.tracing.exporters import ZipkinExporter
from idlrt.observe.tracing.switch import TRACING
from idlrt.server import Server

# The first run downloads the server.
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

OUTAGE_S: Final = 20.0
# Spans that wait, and those of one batch that is being sent.
MOST_WAITING: Final = 4096 + 512
# Spans of a call: of the client and of the server.
SPANS: Final = 2


@pytest.fixture(autouse=True)
def off() -> Iterator[None]:
    yield
    TRACING.use(None)


class Callers:
    """Threads that call until they are stopped. An error stops its thread."""

    def __init__(self, client: UserServiceClient) -> None:
        self._client = client
        self._stop = threading.Event()
        self.calls = 0
        self.errors: list[BaseException] = []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work) for _ in range(2)]
        for each in self._threads:
            each.start()

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                self._client.get(1)
                with self._lock:
                    self.calls += 1
        except BaseException as error:  # noqa: BLE001  # asserted
            self.errors.append(error)

    def stop(self) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()


def outcomes() -> dict[str, float]:
    """Return how many spans of the exporter had which outcome."""
    found = counts(read_all(), "rpc_trace_spans_total")
    return {outcome: number for (exporter, outcome), number in found.items() if exporter == "zipkin"}


def test_an_outage_of_twenty_seconds(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    before = outcomes()

    def since(outcome: str) -> float:
        return outcomes().get(outcome, 0) - before.get(outcome, 0)

    with (
        observe.trace("web", sampler="always", exporters=[ZipkinExporter(url, "web")]) as tracing,
        Server(user_service(Users())).start() as server,
        UserServiceClient.connect(server.address, framing="header") as client,
    ):
        with running_zipkin(tmp_path, port):
            callers = Callers(client)
            eventually(lambda: since("exported") > 0)
        calls, killed_at = callers.calls, time.monotonic()
        eventually(lambda: time.monotonic() - killed_at >= OUTAGE_S)
        assert callers.errors == []
        assert callers.calls > calls
        assert since("dropped") > 0
        # Calls are counted first: those that end meanwhile make fewer spans wait, not more.
        ended = callers.calls * SPANS
        assert ended - since("exported") - since("dropped") - since("rejected") <= MOST_WAITING
        exported = since("exported")
        with running_zipkin(tmp_path, port):
            eventually(lambda: since("exported") > exported + MOST_WAITING)
            callers.stop()
            with observe.span("after the outage"):
                trace_id = observe.trace_id()
                client.get(1)
            assert tracing.close(30)
            assert len(eventually(lambda: ask_json(f"{url}/api/v2/trace/{trace_id}"))) == SPANS + 1
        assert callers.errors == []
        assert since("exported") + since("dropped") + since("rejected") == (callers.calls + 1) * SPANS + 1

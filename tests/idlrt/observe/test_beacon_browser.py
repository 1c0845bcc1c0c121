"""The beacon in a real browser: `navigator.sendBeacon` and `fetch` from a page of another origin."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from chromium import opened
from eventually import eventually
from hand_written import Users, user_service
from measured import grown, process_counts

from idlrt import Http, Server
from idlrt.observe import Beacon

pytestmark = pytest.mark.slow

DURATION = "feature_duration_seconds"


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><link rel=icon href='data:,'><title>shop</title>")

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def page() -> Iterator[str]:
    """A page of an application; yields its origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


REPORT = """JSON.stringify([{feature: "%s", outcome: "ok", seconds: performance.now() / 1000}])"""


def test_pages_of_other_origins_report(tmp_path: Path) -> None:
    with page() as origin, page() as other:
        http = Http(beacon=Beacon(features=("text", "json", "fetch"), origins=(origin,)))
        with Server(user_service(Users()), "127.0.0.1:0", http=http) as server:
            server.start()
            url = f"{server.address.replace('tcp', 'http')}/_beacon"
            before = process_counts(DURATION)
            with opened(origin, tmp_path / "allowed") as shop:
                shop.wait_for("document.title === 'shop'")
                assert shop.evaluate(f"navigator.sendBeacon('{url}', {REPORT % 'text'})")
                blob = f"new Blob([{REPORT % 'json'}], {{type: 'application/json'}})"
                assert shop.evaluate(f"navigator.sendBeacon('{url}', {blob})")
                options = (
                    f"{{method: 'POST', body: {REPORT % 'fetch'}, headers: {{'content-type': 'application/json'}}}}"
                )
                assert shop.evaluate(f"fetch('{url}', {options}).then(response => response.status)") == 204
                found = eventually(lambda: len(grown(before, DURATION)) == 3 and grown(before, DURATION), "the reports")
                assert shop.problems == []
            assert found == {(name, "ok", "client", ""): 1 for name in ("text", "json", "fetch")}
            with opened(other, tmp_path / "other") as shop:
                shop.wait_for("document.title === 'shop'")
                sent = f"fetch('{url}', {{method: 'POST', body: {REPORT % 'text'}}})"
                assert shop.evaluate(f"{sent}.then(() => 'sent', () => 'blocked')") == "blocked"
            assert grown(before, DURATION) == found

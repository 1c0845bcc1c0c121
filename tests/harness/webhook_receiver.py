"""Receiver of webhooks: a real HTTP server on loopback that keeps what it gets."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["WebhookReceiver"]


class WebhookReceiver:
    """HTTP server that answers each POST with `status`. Use it in a `with` statement.

    Args:
        port: its port; 0 for a free one.

    Attributes:
        received: body of each request that was answered with 2xx.
        refused: bodies of the other ones.
        headers: headers of the last request.
        status: status of the answers.
    """

    def __init__(self, port: int = 0) -> None:
        self.received: list[Any] = []
        self.refused: list[Any] = []
        self.headers: dict[str, str] = {}
        self.status = 200
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.headers = dict(self.headers)
                (owner.received if 200 <= owner.status < 300 else owner.refused).append(body)
                self.send_response(owner.status)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}/hooks/hidden-secret"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def statuses(self) -> list[tuple[str, str]]:
        """Return the name and the status of all alerts that were received."""
        return [(alert["labels"]["alertname"], alert["status"]) for body in self.received for alert in body["alerts"]]

    def __enter__(self) -> WebhookReceiver:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

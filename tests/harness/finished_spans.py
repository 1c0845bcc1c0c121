"""Spans that have ended, made by hand, and a real HTTP server that records what exporters send."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from idlrt.observe.tracing.context import TraceContext, new_span_id, new_trace_id
from idlrt.observe.tracing.span import FinishedSpan, Kind, Span

__all__ = ["Received", "Recorder", "finished_span", "recording_server", "root_span"]


def finished_span(name: str = "UserService.get", **fields: Any) -> FinishedSpan:
    """Return a span of 1.5 ms; `fields` replace those of `FinishedSpan`."""
    trace_id, span_id = fields.pop("trace_id", new_trace_id()), fields.pop("span_id", new_span_id())
    return FinishedSpan(
        **{
            "trace_id": trace_id,
            "span_id": span_id,
            "name": name,
            "kind": "server",
            "started_at": 1_700_000_000_000_000_000,
            "duration": 1_500_000,
            "context": TraceContext(trace_id, span_id, is_sampled=True),
            **fields,
        }
    )


def root_span(name: str = "UserService.get", kind: Kind = "server", **options: Any) -> Span:
    """Return a span that is being recorded, without a local parent."""
    return Span(name, kind, TraceContext(new_trace_id(), new_span_id(), is_sampled=True), **options)


class Received(msgspec.Struct):
    """A request.

    Attributes:
        path: its path.
        headers: its headers, by names in lower case.
        body: its body, decompressed and parsed as JSON.
    """

    path: str
    headers: dict[str, str]
    body: Any


class Recorder:
    """Requests that a server has received.

    Attributes:
        port: port on 127.0.0.1.
        requests: the requests, in their order.
        statuses: statuses of the next responses; 202 after these.
    """

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[Received] = []
        self.statuses: list[int] = []
        self.lock = threading.Lock()

    def items(self) -> list[Any]:
        """Return the values of all lists that were received."""
        return [each for request in self.requests for each in request.body]


@contextmanager
def recording_server(
    port: int = 0, statuses: Sequence[int] = (), tls: ssl.SSLContext | None = None
) -> Iterator[Recorder]:
    """Run a server on 127.0.0.1 that records POST requests.

    Args:
        port: its port; 0 for a free one.
        statuses: statuses of the first responses.
        tls: context for HTTPS.
    """
    recorder = Recorder()
    recorder.statuses += statuses
    connections: list[socket.socket] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            connections.append(self.connection)

        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers["content-length"]))
            if headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            with recorder.lock:
                status = recorder.statuses.pop(0) if recorder.statuses else 202
                recorder.requests.append(Received(self.path, headers, json.loads(body)))
            answer = b"" if status < 300 else b"no thanks"
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    recorder.port = server.server_address[1]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield recorder
    finally:
        server.shutdown()
        for each in connections:
            # Ends the threads that wait for a further request.
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        server.server_close()
        thread.join()

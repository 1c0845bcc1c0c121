"""A program of a chain over HTTP with OpenTelemetry's instrumentation: `python -I opentelemetry_program.py OPTIONS`.

It knows nothing of this project: a WSGI application, which calls the program at `--target` with `requests` or `httpx`.
Its spans go to a file, one JSON object a line. It prints its URL, and ends with its standard input. `http_chain.py`
has the interface; `OTEL_TRACES_SAMPLER` is the sampler.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import httpx
import requests
from opentelemetry import baggage, context, trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

TIMEOUT = 60
HEADERS = ("traceparent", "tracestate", "baggage")
CLIENTS: dict[str, Callable[[str], Any]] = {
    "requests": lambda url: requests.get(url, timeout=TIMEOUT),
    "httpx": lambda url: httpx.get(url, timeout=TIMEOUT),
}


class Server(ThreadingMixIn, WSGIServer):
    """A server whose requests have ended once it is closed, and so have their spans."""

    daemon_threads = False


class Quiet(WSGIRequestHandler):
    """A handler without a log."""

    def log_message(self, *arguments: Any) -> None:
        pass


def line(span: ReadableSpan) -> str:
    """Return a span as a line of JSON."""
    found: Any = span.get_span_context()
    return (
        json.dumps(
            {
                "service": span.resource.attributes["service.name"],
                "trace_id": f"{found.trace_id:032x}",
                "span_id": f"{found.span_id:016x}",
                "parent_id": f"{span.parent.span_id:016x}" if span.parent is not None else "",
                "kind": span.kind.name.lower(),
                "is_sampled": found.trace_flags.sampled,
                "state": dict(found.trace_state),
            }
        )
        + "\n"
    )


def application(service: str, target: str, get: Callable[[str], Any]) -> Callable[..., Iterable[bytes]]:
    """Return the WSGI application."""

    def visit(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        headers = {name: environ[f"HTTP_{name.upper()}"] for name in HEADERS if f"HTTP_{name.upper()}" in environ}
        span = trace.get_current_span().get_span_context()
        hops: list[Any] = [
            {
                "service": service,
                "trace_id": f"{span.trace_id:032x}",
                "headers": headers,
                "carried": dict(baggage.get_all()),
            }
        ]
        if target:
            token = context.attach(baggage.set_baggage("user", "ada"))
            try:
                response = get(target + environ["PATH_INFO"])
            finally:
                context.detach(token)
            hops[0]["traceresponse"] = response.headers.get("traceresponse", "")
            hops += response.json()
        body = json.dumps(hops).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return visit


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--service", required=True)
    parser.add_argument("--spans", required=True, type=Path, help="file for spans")
    parser.add_argument("--client", choices=CLIENTS, default="requests")
    parser.add_argument("--target", default="")
    given = parser.parse_args()
    with given.spans.open("a") as file:
        provider = TracerProvider(resource=Resource.create({"service.name": given.service}))
        provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=file, formatter=line)))
        trace.set_tracer_provider(provider)
        RequestsInstrumentor().instrument()
        HTTPXClientInstrumentor().instrument()
        made = OpenTelemetryMiddleware(application(given.service, given.target, CLIENTS[given.client]))
        with make_server("127.0.0.1", 0, made, server_class=Server, handler_class=Quiet) as server:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            print(f"http://127.0.0.1:{server.server_port}", flush=True)
            sys.stdin.read()
            server.shutdown()
        provider.shutdown()


if __name__ == "__main__":
    main()

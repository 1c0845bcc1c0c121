"""A program of a chain over HTTP with SkyWalking's agent for Python: `python -I skywalking_agent_program.py OPTIONS`.

It knows nothing of this project: the agent instruments the server of the standard library, and `requests`, which calls
the program at `--target`. It prints its URL, and ends with its standard input. `http_chain.py` has the interface.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

# mypy takes the folder `skywalking` beside this file for the agent.
from skywalking import agent, config  # type: ignore[attr-defined]
from skywalking.trace.context import get_context

TIMEOUT = 60


def handler_of(service: str, target: str) -> type[BaseHTTPRequestHandler]:
    """Return the handler of requests."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            context = get_context()
            carried = {name: context.get_correlation(name) for name in ("user", "via")}
            headers = {name.lower(): value for name, value in self.headers.items()}
            hops: list[Any] = [
                {
                    "service": service,
                    "trace_id": str(context.segment.related_traces[0]),
                    "headers": {name: value for name, value in headers.items() if name.startswith(("sw8", "trace"))},
                    "carried": {name: value for name, value in carried.items() if value is not None},
                }
            ]
            if target:
                context.put_correlation("user", "ada")
                hops += requests.get(target + self.path, timeout=TIMEOUT).json()
            body = json.dumps(hops).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--service", required=True)
    parser.add_argument("--oap", required=True, help="HOST:PORT of the server that segments are sent to")
    parser.add_argument("--target", default="")
    parser.add_argument("--ignore", default="", help="pattern of paths that are not traced")
    given = parser.parse_args()
    config.init(  # type: ignore[attr-defined]
        agent_collector_backend_services=given.oap,
        agent_name=given.service,
        agent_protocol="http",
        agent_trace_ignore_path=given.ignore,
        # The server runs no receivers of these.
        agent_log_reporter_active=False,
        agent_meter_reporter_active=False,
        agent_profile_active=False,
    )
    agent.start()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(given.service, given.target)) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()

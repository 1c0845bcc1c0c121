"""A process that takes spans over HTTP and discards them: `python -m benchmarks.span_receiver`.

Prints its URL. For each line of input it prints how many bytes it has received. Ends at the end of its input.
"""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Discard the body."""
        size = int(self.headers["Content-Length"])
        self.rfile.read(size)
        _Received.bytes += size
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


class _Received:
    bytes = 0


def _main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    for _ in sys.stdin:
        print(_Received.bytes, flush=True)


if __name__ == "__main__":
    _main()

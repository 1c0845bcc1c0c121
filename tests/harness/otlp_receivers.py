"""Real receivers of OTLP over HTTP, as processes on 127.0.0.1: `oteltap` tells data points, `rotel` also resources."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eventually import TIMEOUT, eventually
from free_ports import free_ports
from programs import not_run

__all__ = ["Receiver", "oteltap", "rotel"]


class Receiver:
    """A receiver that writes what it gets to a file.

    Attributes:
        url: base of its URLs, for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    """

    def __init__(self, port: int, output: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._output = output

    def text(self) -> str:
        """Return what it has written so far."""
        return self._output.read_text(encoding="utf-8")

    def metrics(self) -> list[dict[str, Any]]:
        """Return the metrics, or spans, that `oteltap` has received, in their order."""
        whole = self.text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]


def _require(module: str) -> Path:
    """Return the folder of a module; the test is skipped, or fails with IDLC_TEST_EVERYTHING, if there is none."""
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        not_run(f"NOT RUN: {module} not found; pip install --group real")
    return Path(found.origin).parent


@contextmanager
def oteltap(folder: Path) -> Iterator[Receiver]:
    """Run `oteltap`, which writes each metric and each span as JSON. It does not decompress requests."""
    _require("oteltap")
    (port,) = free_ports(1)
    command = [sys.executable, "-u", "-m", "oteltap", "--port", str(port)]
    with _running(command, port, folder / "oteltap.log") as receiver:
        yield receiver


@contextmanager
def rotel(folder: Path, signal: str = "metrics") -> Iterator[Receiver]:
    """Run `rotel`, which writes resources, scopes and data points, or spans, as text.

    Args:
        folder: folder for its files.
        signal: `metrics` or `traces`.
    """
    program = _require("rotel") / "rotel-agent"
    port, grpc = free_ports(2)
    command = [
        *(str(program), "start", "--exporter", "blackhole", "--debug-log", signal),
        *("--debug-log-verbosity", "detailed", "--pid-file", str(folder / "rotel.pid")),
        *("--otlp-http-endpoint", f"127.0.0.1:{port}", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}"),
    ]
    with _running(command, port, folder / "rotel.log") as receiver:
        yield receiver


@contextmanager
def _running(command: list[str], port: int, output: Path) -> Iterator[Receiver]:
    with output.open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            eventually(lambda: _accepts(process, port, output), f"{Path(command[0]).name} to listen")
            yield Receiver(port, output)
        finally:
            process.terminate()
            process.wait(TIMEOUT)


def _accepts(process: subprocess.Popen[bytes], port: int, output: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"the receiver ended: {output.read_text()}")
    try:
        with socket.create_connection(("127.0.0.1", port)):
            return True
    except OSError:
        return False

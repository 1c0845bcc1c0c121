"""Real Prometheus and Alertmanager on loopback, which end with the test."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eventually import TIMEOUT, eventually
from free_ports import free_port
from programs import require_program

__all__ = ["alertmanager", "answer", "ask", "prometheus", "promtool", "scrape_config"]


def scrape_config(*targets: str, job: str = "idlrt") -> str:
    """A configuration that scrapes `targets` and evaluates rules each second."""
    return f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
scrape_configs:
  - job_name: {job}
    static_configs: [{{targets: {json.dumps(targets)}}}]
"""


def promtool(*arguments: str, text: str = "") -> str:
    """Run `promtool`; returns what it prints. It has to succeed."""
    command = [require_program("promtool", "prometheus"), *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@contextmanager
def prometheus(config: str, folder: Path, *options: str) -> Iterator[str]:
    """Run Prometheus; yields its URL.

    Args:
        config: its configuration; paths of rules are relative to `folder`.
        folder: folder for its files.
        options: further options of the command.
    """
    program = require_program("prometheus", "prometheus")
    path = folder / "prometheus.yml"
    path.write_text(config)
    promtool("check", "config", str(path))
    port = free_port()
    command = [program, f"--config.file={path}", f"--storage.tsdb.path={folder / 'data'}", *options]
    command += [f"--web.listen-address=127.0.0.1:{port}"]
    with _running(command, folder / "prometheus.log"):
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: _is_ready(f"{url}/-/ready"), "Prometheus is ready")
        yield url


@contextmanager
def alertmanager(config: str, folder: Path) -> Iterator[str]:
    """Run Alertmanager; yields its address."""
    program = require_program("prometheus-alertmanager", "prometheus-alertmanager")
    path = folder / "alertmanager.yml"
    path.write_text(config)
    port = free_port()
    command = [program, f"--config.file={path}", f"--storage.path={folder / 'alerts'}"]
    # Without a cluster, which would listen on all interfaces.
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with _running(command, folder / "alertmanager.log"):
        eventually(lambda: _is_ready(f"http://127.0.0.1:{port}/-/ready"), "Alertmanager is ready")
        yield f"127.0.0.1:{port}"


@contextmanager
def _running(command: Sequence[str], log: Path) -> Iterator[None]:
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(TIMEOUT)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def answer(url: str, path: str, **parameters: str) -> Any:
    """The data that Prometheus answers with. Errors of expressions fail the test."""
    query = urllib.parse.urlencode(parameters)
    try:
        with urllib.request.urlopen(f"{url}/api/v1/{path}?{query}", timeout=TIMEOUT) as response:
            return json.load(response)["data"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from None


def ask(url: str, expression: str) -> list[Any]:
    """The result of an expression."""
    found: list[Any] = answer(url, "query", query=expression)["result"]
    return found

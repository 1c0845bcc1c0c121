"""The table of servers: every server that runs has a row, and one that fails ends the measurement."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.native_peers import Unavailable
from benchmarks.servers import ROWS, Row, run
from benchmarks.workers import running

pytestmark = pytest.mark.slow

OURS = (
    *("idlrt", "idlrt workers", "idlrt async", "idlrt asyncio", "idlrt measured", "idlrt async measured"),
    *("idlrt header", "idlrt async header"),
)
PYTHON_PEERS = ("bare selector", "thriftpy2", "apache", "apache nonblocking")


def measured(folder: Path, rows: dict[str, Row]) -> dict[str, list[str]]:
    """Return the cells of each row, of a measurement that is as small as possible."""
    lines = str(run(folder, rounds=1, calls=1, rows=rows, plot=None)).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {name: rest for name, *rest in cells}


def script(source: str, **options: Any) -> Row:
    return Row(start=lambda folder: [sys.executable, "-c", source], **options)


def test_each_server_in_python_is_measured(tmp_path: Path) -> None:
    rows = measured(tmp_path, {name: ROWS[name] for name in (*OURS, *PYTHON_PEERS)})
    assert list(rows) == ["", *OURS, *PYTHON_PEERS]
    for name in OURS + PYTHON_PEERS:
        assert all(re.match(r"[\d.]+ (ns|µs|ms) ", time) for time in rows[name][2:]), rows[name]
        assert all(bool(ratio) == (name != "idlrt") for ratio in rows[name][:2]), rows[name]


def test_a_server_that_cannot_run_is_left_out_with_the_reason(tmp_path: Path) -> None:
    def start(folder: Path) -> list[str]:
        raise Unavailable("go not found; install Go")

    table = str(run(tmp_path, rounds=1, calls=1, rows={"idlrt": ROWS["idlrt"], "go": Row(start=start)}, plot=None))
    assert "- `go`: not measured: go not found; install Go.\n" in table
    assert "| go" not in table


def test_a_wrong_answer_ends_the_measurement(tmp_path: Path) -> None:
    # The server returns the call itself, which is no reply.
    rows = {"wrong": Row(start=ROWS["bare selector"].start)}
    with pytest.raises(RuntimeError, match="cannot measure wrong: wrong answer"):
        run(tmp_path, rounds=1, calls=1, rows=rows, plot=None)


CLOSES_CONNECTIONS = """
import socket
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
while True:
    listening.accept()[0].close()
"""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise SystemExit(3)", "exit status 3"),
        ("print(1, flush=True); input()", "Connection refused"),
        (CLOSES_CONNECTIONS, "closed the connection|Connection reset|Broken pipe"),
    ],
    ids=["does not start", "does not listen", "closes connections"],
)
def test_a_server_that_fails_ends_the_measurement(source: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=f"cannot measure broken: .*({message})"):
        run(tmp_path, rounds=1, calls=1, rows={"broken": script(source)}, plot=None)


def test_a_process_that_fails_at_its_end_is_an_error() -> None:
    source = "import sys\nprint('ready', flush=True)\nfor line in sys.stdin: print(1, flush=True)\nsys.exit(5)"
    with pytest.raises(RuntimeError, match="exit status 5"), running([sys.executable, "-c", source]) as process:
        assert process.ask("cpu") == 1


def test_a_process_that_ends_without_an_answer_is_an_error() -> None:
    source = "print('ready', flush=True); input(); raise SystemExit(4)"
    with pytest.raises(RuntimeError, match="exit status 4"), running([sys.executable, "-c", source]) as process:
        process.ask("cpu")

"""The quick start of the README works exactly as printed."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from idlrt.registry import Registry

# More than a moment.
pytestmark = pytest.mark.slow

README = Path(__file__).resolve().parents[1] / "README.md"

# A named file, or a command, as the README has them: prose, then a fenced block.
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"`([a-z_]+\.(?:idl|py))`")


def _steps() -> list[tuple[str, str, str]]:
    """(language, file name in the prose before the block, text) of each block of the quick start."""
    text = README.read_text()
    start = text.index("## Quick start")
    text = text[start : text.index("\n## ", start + 1)]
    steps: list[tuple[str, str, str]] = []
    end = 0
    for match in BLOCK.finditer(text):
        names = FILE_NAME.findall(text[end : match.start()])
        steps.append((match[1], names[-1] if names else "", match[2]))
        end = match.end()
    return steps


def _wait_until_it_listens(server: subprocess.Popen[bytes], port: int) -> None:
    """The printed server says nothing when it is ready, so it is asked until it takes a connection."""
    deadline = time.monotonic() + 30
    while True:
        assert server.poll() is None, "the server ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "the server does not listen"
            threading.Event().wait(0.02)


def _wait_until_it_is_registered(server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    with Registry.connect("embedded://127.0.0.1:7400", cache=False) as registry:
        while not registry.instances("UserService").instances:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not register"
            threading.Event().wait(0.02)


@pytest.mark.timeout(60)
def test_the_quick_start_runs_as_printed(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "IDLC_CACHE_DIR": str(tmp_path / "cache"),
        "IDLRT_CACHE_DIR": str(tmp_path / "snapshots"),
    }
    output = ""
    # What goes on in the background, and the port that it listens on; 0 for one that is found by its name.
    background = {"python server.py": 9090, "idlrt registry serve": 7400, "python registered.py": 0}
    running: list[subprocess.Popen[bytes]] = []
    compared = 0
    try:
        for language, name, text in _steps():
            if language in ("thrift", "python"):
                (tmp_path / name).write_text(text)
            elif language == "text":
                assert output == text
                compared += 1
            elif text.strip() in background:
                port = background.pop(text.strip())
                running.append(subprocess.Popen(shlex.split(text), cwd=tmp_path, env=environment))
                if port:
                    _wait_until_it_listens(running[-1], port)
                else:
                    _wait_until_it_is_registered(running[-1])
            else:
                done = subprocess.run(
                    text, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, done.stderr
                output = done.stdout
    finally:
        for each in reversed(running):
            each.terminate()
            each.wait(timeout=20)
    assert not background
    assert [each.returncode for each in running] == [0, 0, 0]
    assert compared == 4

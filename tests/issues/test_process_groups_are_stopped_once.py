"""A service manager that signals a whole process group asks a server of several processes to stop once, not twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from eventually import TIMEOUT, eventually

# A program with processes.
pytestmark = pytest.mark.slow

IDL = "service Slow { string wait(1: i32 id) }"

HANDLERS = """
import pathlib, time

class Slow:
    def wait(self, id):
        pathlib.Path("begun").touch()
        while not pathlib.Path("go").exists():
            time.sleep(0.01)
        return "ok"
"""


def test_a_signal_to_the_group_lets_calls_finish(tmp_path: Path) -> None:
    (tmp_path / "slow.thrift").write_text(IDL)
    (tmp_path / "handlers.py").write_text(HANDLERS)
    idlrt = [sys.executable, "-m", "idlrt"]
    served = ["serve", "handlers:Slow", "--idl", "slow.thrift", "--address", "127.0.0.1:0", "--processes", "2"]
    with subprocess.Popen(
        [*idlrt, *served, "--grace", f"{TIMEOUT:g}"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        answers: list[subprocess.CompletedProcess[str]] = []
        command = [*idlrt, "call", address, "wait", "[1]", "--idl", "slow.thrift", "--timeout", f"{TIMEOUT:g}"]

        def call() -> None:
            answers.append(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False))

        caller = threading.Thread(target=call)
        caller.start()
        try:
            eventually((tmp_path / "begun").exists, "the call has begun")
            os.killpg(server.pid, signal.SIGTERM)
            probe = [*idlrt, "ping", address, "--count", "1", "--timeout", "1"]
            eventually(lambda: subprocess.run(probe, capture_output=True, check=False).returncode == 1, "no new calls")
        finally:
            (tmp_path / "go").touch()
        caller.join()
        _, errors = server.communicate(timeout=TIMEOUT)
    assert answers[0].stdout == '"ok"\n', answers[0].stderr + errors
    assert "SystemExit" not in errors
    assert server.returncode == 0

"""Programs that push to a collector, collectors and agents, as processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["PROGRAM", "Running", "running", "serve"]

PROGRAM: Final = """
import sys
from hand_written import Users, UserServiceClient, user_service
from idlrt import collector
from idlrt.server import Server
with (
    Server(user_service(Users()), metrics=True).start() as serving,
    UserServiceClient.connect(serving.address) as client,
    collector.push(sys.argv[1], service="users", instance=sys.argv[2], interval=0.1),
):
    made = 0
    print(made, flush=True)
    for line in sys.stdin:
        for _ in range(int(line)):
            client.get(1)
            made += 1
        print(made, flush=True)
"""
"""Pushes to its first argument as the instance of its second one. Each line says how many calls to make."""


class Running:
    """A process, which has printed its first line."""

    def __init__(self, *command: str, pipe: bool = False) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE if pipe else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        )
        self.first = self.line()

    def line(self) -> str:
        """Return the next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def call(self, number: int) -> int:
        """Let a program make calls. Return how many it has made in all."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        return int(self.line())

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait(60)

    def end(self) -> None:
        """Let a program end, or a server stop."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        else:
            self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0

    def close(self) -> None:
        """Kill it if it still runs."""
        self.kill()
        for each in (self.process.stdin, self.process.stdout):
            if each is not None:
                each.close()


@contextmanager
def running(*command: str, pipe: bool = False) -> Iterator[Running]:
    """Run a Python process until the block ends.

    Args:
        command: its arguments.
        pipe: whether it has a standard input.
    """
    made = Running(*command, pipe=pipe)
    try:
        yield made
    finally:
        made.close()


def serve(folder: Path, port: int) -> Sequence[str]:
    """Return the command of a collector."""
    return ["-m", "idlrt", "monitor", "serve", "--data", str(folder), "--address", f"127.0.0.1:{port}"]

"""A real Redis on a Unix socket, which ends with the test."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from eventually import TIMEOUT, eventually
from programs import require_program

__all__ = ["redis_server"]


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run Redis without a TCP port; yields the path of its socket.

    Args:
        folder: an empty folder with a short path.
    """
    program = require_program("redis-server", "redis-server")
    path = folder / "redis.sock"
    command = [program, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            eventually(lambda: _answers(path), "Redis to answer")
            yield str(path)
        finally:
            process.terminate()
            process.wait(TIMEOUT)


def _answers(path: Path) -> bool:
    with redis.Redis(unix_socket_path=str(path)) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False

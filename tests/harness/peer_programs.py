"""Servers in processes: programs that print their address, and end with their standard input."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from eventually import TIMEOUT

__all__ = ["running_program"]


@contextmanager
def running_program(command: Sequence[str], log: Path, *, variables: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a program until the block ends; yields its address, the first line that it prints.

    It has to end by itself, without an error.

    Args:
        command: path of the program, and arguments.
        log: file for its errors.
        variables: environment variables; that of the tests by default.
    """
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=variables
        ) as process,
    ):
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address, f"{command} ended: {log.read_text()[-2000:]}"
            yield address
            process.communicate(timeout=TIMEOUT)
            assert process.returncode == 0, f"{command}: {log.read_text()[-2000:]}"
        finally:
            process.kill()

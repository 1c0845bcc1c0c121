"""`idlrt registry serve` as a process, which can be killed and started again."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from eventually import TIMEOUT
from free_ports import free_port


class RegistryProcess:
    """The process. It listens on the same port each time that it is started."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"embedded://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        command = [sys.executable, "-m", "idlrt", "registry", "serve", "--address", f"127.0.0.1:{self.port}"]
        self._process = subprocess.Popen(
            [*command, *self._options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == f"the registry is at {self.url}"

    def kill(self) -> None:
        """As `kill -9` does."""
        assert self._process is not None
        self._process.kill()
        self._end()

    def stop(self) -> int:
        """As Ctrl+C does; the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._end()

    def _end(self) -> int:
        process, self._process = self._process, None
        assert process is not None
        assert process.stdout is not None
        code = process.wait(TIMEOUT)
        process.stdout.close()
        return code

    def close(self) -> None:
        if self._process is not None:
            self.kill()


@contextlib.contextmanager
def registry_process(data: Path | None = None, *options: str) -> Iterator[RegistryProcess]:
    made = RegistryProcess(*(["--data", str(data)] if data is not None else []), *options)
    try:
        yield made
    finally:
        made.close()

"""A server with an admin port as a process, which can be killed and started again."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eventually import TIMEOUT
from free_ports import free_port
from hand_written import UserServiceClient

__all__ = ["ServerProcess", "server_process"]

_PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from hand_written import Users, user_service
from idlrt import Admin, Server
options = json.loads(sys.argv[2])
admin = Admin(options.pop("admin"), token=options.pop("token", ()))
with Server(user_service(Users()), admin=admin, **options).start() as server:
    print(server.address, flush=True)
    sys.stdin.read()
"""


class ServerProcess:
    """The process. Its admin port is the same each time that it is started.

    Attributes:
        admin: address of the admin port.
        address: address of the server.
    """

    def __init__(self, **options: Any) -> None:
        self.admin = f"127.0.0.1:{free_port()}"
        self.address = ""
        self._options = {"admin": self.admin, **options}
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-c", _PROGRAM, str(Path(__file__).parent), json.dumps(self._options)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        assert self.address, "the server ended"

    def call(self, times: int, *, failing: int = 0) -> None:
        """Call `get`, and make further calls that fail on the server."""
        with UserServiceClient.connect(self.address) as client:
            for number in range(times):
                client.get(number % 9 + 1)
            for _ in range(failing):
                with contextlib.suppress(Exception):
                    client.get(0)

    def kill(self) -> None:
        """As `kill -9` does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate(timeout=TIMEOUT)


@contextlib.contextmanager
def server_process(**options: Any) -> Iterator[ServerProcess]:
    made = ServerProcess(**options)
    try:
        yield made
    finally:
        made.kill()

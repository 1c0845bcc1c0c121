"""Shared by the tests of servers: servers with each kind of handler, and a client that sends single messages."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from eventually import TIMEOUT, eventually
from hand_written import NotFound, Users, connect_raw, user_service

from idlrt.errors import ApplicationError
from idlrt.protocol.thrift.connection import ClientConnection
from idlrt.protocol.thrift.dialects import client_dialect, dialect
from idlrt.protocol.thrift.framing import NO_METADATA, Dialect
from idlrt.protocol.thrift.requests import ThriftResponse
from idlrt.server import AsyncServer, Server
from idlrt.spec import Method

FOREVER: Final = 3600.0
"""Seconds, of a timeout that must not expire within a test."""

KINDS: Final = ("plain", "worker", "async")
"""Where handlers run: on the server's thread, on workers, on an event loop."""

FRAMED: Final = dialect("framed")
HEADER: Final = dialect("header")
ANY_ORDER: Final = client_dialect("header")


class Awaited:
    """Handlers that are `async`, around plain ones that do the work."""

    def __init__(self, users: Users) -> None:
        self._users = users

    def __getattr__(self, name: str) -> Any:
        plain = getattr(self._users, name)

        async def call(*arguments: Any) -> Any:
            await asyncio.sleep(0)
            return plain(*arguments)

        return call


class Noting(Users):
    """Notes the ids with which `get` and `wait` were started."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[int] = []

    def get(self, id: int) -> Any:
        self.started.append(id)
        return super().get(id)

    def wait(self, id: int) -> int:
        self.started.append(id)
        return super().wait(id)


@contextlib.contextmanager
def serving(users: Users, kind: str = "plain", *, is_started: bool = True, **options: Any) -> Iterator[Server]:
    """A running server. At the end the gate is opened and the server is stopped.

    Args:
        is_started: `False`: only bound. Clients can connect and send; it reads that when the test starts it.
    """
    if kind == "worker":
        options = {"workers": 2, **options}
    server = Server(user_service(Awaited(users) if kind == "async" else users), **options)
    if is_started:
        server.start()
    else:
        server.bind()
    try:
        yield server
    finally:
        users.gate.set()
        _stop(server, 1.0)


def _stop(server: Server, grace_s: float) -> None:
    """Stop on a thread, so that a server which does not stop fails the test instead of blocking it."""
    thread = threading.Thread(target=server.stop, args=(grace_s,), daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    assert not thread.is_alive(), "the server does not stop"


@contextlib.contextmanager
def stopping(server: Server, grace_s: float = FOREVER) -> Iterator[None]:
    """Within, the server is being stopped; afterwards it has stopped."""
    thread = threading.Thread(target=server.stop, args=(grace_s,), daemon=True)
    thread.start()
    eventually(lambda: server.is_draining)
    try:
        yield
    finally:
        thread.join(TIMEOUT)
    assert not thread.is_alive()


class Answer(NamedTuple):
    """What came for call `number`: its result, or what was thrown or refused."""

    number: int
    value: Any
    metadata: Mapping[str, str]


class Raw:
    """A connection by hand."""

    def __init__(self, server: Server | AsyncServer, how: Dialect = FRAMED) -> None:
        self.socket = connect_raw(server.port)
        self.socket.settimeout(TIMEOUT)
        self.client = ClientConnection(how)
        self._read: list[Answer] = []

    def bytes_of(self, method: Method[..., Any], *arguments: Any, metadata: Mapping[str, str] = NO_METADATA) -> bytes:
        return self.client.request(method, arguments, metadata)[1]

    def call(self, method: Method[..., Any], *arguments: Any, metadata: Mapping[str, str] = NO_METADATA) -> int:
        """Send a call; its number."""
        number, data = self.client.request(method, arguments, metadata)
        self.socket.sendall(data)
        return number

    def read(self, count: int = 1) -> list[Answer]:
        """The next `count` answers, in the order in which they came."""
        while len(self._read) < count:
            data = self.socket.recv(1 << 20)
            assert data, f"the server closed the connection; unread: {self._read}"
            for event in self.client.receive_data(data):
                assert isinstance(event, ThriftResponse)
                try:
                    value = event.result()
                except (ApplicationError, NotFound) as error:
                    value = error
                self._read.append(Answer(event.id, value, event.metadata))
        found, self._read = self._read[:count], self._read[count:]
        return found

    def values(self, count: int = 1) -> list[Any]:
        return [answer.value for answer in self.read(count)]

    def is_ended(self) -> bool:
        """Wait for more; whether it was the end."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def pass_time(seconds: float) -> None:
    """Return when the clock has advanced by `seconds`: timeouts of that length which began before have expired."""
    end = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > end)

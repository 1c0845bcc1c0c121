"""A service as generated code would have it, and something that serves it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from eventually import TIMEOUT

from idlrt import spec as rpc
from idlrt.client import AsyncClient, Client
from idlrt.core import Handlers, bind
from idlrt.protocol.thrift.connection import ClientConnection
from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.envelope import BinaryEnvelope
from idlrt.protocol.thrift.framing import Dialect, Framed, Unframed
from idlrt.serialization.binary import BinarySerialization


class User(rpc.Struct, kw_only=True):
    id: int
    name: str | None = None

    __thrift_fields__ = (rpc.required(1, "id", rpc.I64), rpc.optional(2, "name", rpc.STRING))


class NotFound(rpc.DeclaredError):
    id: int

    __thrift_fields__ = (rpc.required(1, "id", rpc.I64),)


class UserService(Protocol):
    def get(self, id: int) -> User: ...

    def join(self, words: list[str], by: str = "-") -> str: ...

    def ping(self) -> None: ...

    def poke(self, id: int) -> None: ...

    def blob(self, size: int) -> bytes: ...

    def wait(self, id: int) -> int: ...


# Stands in for a policy of the IDL: callers do not time out on a busy machine unless a test sets a timeout.
POLICY: Final = {"timeout": f"{TIMEOUT:g}"}

GET: Final = rpc.method(
    UserService.get,
    rpc.required(1, "id", rpc.I64),
    result=rpc.struct(User),
    throws=(rpc.optional(1, "e", rpc.struct(NotFound)),),
    policy=POLICY,
)
JOIN: Final = rpc.method(
    UserService.join,
    rpc.required(1, "words", rpc.list_of(rpc.STRING)),
    rpc.optional(2, "by", rpc.STRING),
    result=rpc.STRING,
    policy=POLICY,
)
PING: Final = rpc.method(UserService.ping, result=rpc.VOID, policy=POLICY)
POKE: Final = rpc.method(UserService.poke, rpc.required(1, "id", rpc.I64), result=rpc.VOID, oneway=True, policy=POLICY)
BLOB: Final = rpc.method(UserService.blob, rpc.required(1, "size", rpc.I32), result=rpc.BINARY, policy=POLICY)
WAIT: Final = rpc.method(UserService.wait, rpc.required(1, "id", rpc.I64), result=rpc.I64, policy=POLICY)
SERVICE: Final = rpc.service("UserService", GET, JOIN, PING, POKE, BLOB, WAIT)


class UserServiceClient(Client):
    __thrift_service__ = SERVICE

    def get(self, id: int) -> User:
        return self._call(GET, id)

    def join(self, words: list[str], by: str = "-") -> str:
        return self._call(JOIN, words, by)

    def ping(self) -> None:
        return self._call(PING)

    def poke(self, id: int) -> None:
        return self._call(POKE, id)

    def blob(self, size: int) -> bytes:
        return self._call(BLOB, size)

    def wait(self, id: int) -> int:
        return self._call(WAIT, id)


class AsyncUserServiceClient(AsyncClient):
    __thrift_service__ = SERVICE

    async def get(self, id: int) -> User:
        return await self._call(GET, id)

    async def join(self, words: list[str], by: str = "-") -> str:
        return await self._call(JOIN, words, by)

    async def ping(self) -> None:
        return await self._call(PING)

    async def poke(self, id: int) -> None:
        return await self._call(POKE, id)

    async def blob(self, size: int) -> bytes:
        return await self._call(BLOB, size)

    async def wait(self, id: int) -> int:
        return await self._call(WAIT, id)


def user_service(handler: object) -> Handlers:
    return bind(SERVICE, handler)


class Users:
    """Plain handlers. `wait` blocks the server's thread until `gate` opens.

    Results are `Any` because subclasses have plain and `async` handlers.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.poked: list[int] = []
        self.was_poked = threading.Event()

    def get(self, id: int) -> Any:
        if id == 0:
            raise ValueError("a secret that must not leave")
        if id < 0:
            raise NotFound(id=id)
        if id == 404:
            return None
        return User(id=id, name=f"user {id}")

    def join(self, words: list[str], by: str) -> Any:
        return by.join(words)

    def ping(self) -> None:
        pass

    def poke(self, id: int) -> None:
        self.poked.append(id)
        self.was_poked.set()
        if id < 0:
            raise ValueError("never sent to the client")

    def blob(self, size: int) -> bytes:
        return b"x" * size

    def wait(self, id: int) -> Any:
        self.entered.set()
        assert self.gate.wait(TIMEOUT)
        return id


class AsyncUsers(Users):
    """`get` and `wait` are `async`; `wait` ends when `release` is called for its id, before it or after."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._events: dict[int, tuple[asyncio.AbstractEventLoop, asyncio.Event]] = {}
        self._released: set[int] = set()
        self.cancelled: list[int] = []
        self.all_entered = threading.Semaphore(0)

    async def get(self, id: int) -> User | None:
        await asyncio.sleep(0)
        return super().get(id)

    async def wait(self, id: int) -> int:
        with self._lock:
            loop = asyncio.get_running_loop()
            _, event = self._events.setdefault(id, (loop, asyncio.Event()))
            if id in self._released:
                event.set()
        self.entered.set()
        self.all_entered.release()
        try:
            await event.wait()
        except asyncio.CancelledError:
            self.cancelled.append(id)
            raise
        return id

    def release(self, id: int) -> None:
        with self._lock:
            self._released.add(id)
            waiting = self._events.get(id)
        if waiting is not None:
            loop, event = waiting
            loop.call_soon_threadsafe(event.set)


def dialects() -> dict[str, Dialect]:
    """All that the server knows, by framing and protocol."""
    old = BinaryEnvelope(BinarySerialization(), is_strict=False)
    found = {"framed old": Dialect(old, Framed()), "unframed old": Dialect(old, Unframed())}
    for framing in ("framed", "unframed", "header", "header_zlib"):
        for protocol in PROTOCOLS:
            found[f"{framing} {protocol}"] = dialect(framing, protocol)
    return found


PROTOCOLS = ("binary", "compact", "json")


def connect_raw(port: int) -> socket.socket:
    raw = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return raw


def read_to_end(raw: socket.socket) -> bytes:
    """Everything until the other side closes, in whatever way."""
    parts: list[bytes] = []
    with contextlib.suppress(ConnectionResetError):
        while data := raw.recv(65536):
            parts.append(data)
    return b"".join(parts)


def requests(*calls: tuple[rpc.Method[..., Any], tuple[object, ...]], how: Dialect | None = None) -> bytes:
    """The bytes of calls one after the other."""
    connection = ClientConnection(how if how is not None else dialect("framed"))
    return b"".join(connection.request(method, arguments)[1] for method, arguments in calls)


@contextlib.contextmanager
def scripted_server(*scripts: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that runs one script for each connection that it accepts, one after the other, then closes it."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(TIMEOUT)

    def run() -> None:
        for script in scripts:
            with contextlib.suppress(OSError):
                accepted, _ = listening.accept()
                with accepted:
                    accepted.settimeout(TIMEOUT)
                    script(accepted)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        # Wakes an `accept` that still waits.
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(TIMEOUT)

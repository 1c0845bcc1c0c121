"""Every kind of server and client there is, behind one way to start, call and stop it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from eventually import TIMEOUT
from hand_written import AsyncUsers, AsyncUserServiceClient, Users, UserServiceClient, user_service

from idlrt import AsyncServer, ProcessServer, Server, Tls
from idlrt.core import Handlers
from idlrt.protocol import Capabilities, ClientProtocol
from idlrt.protocol.detection import is_protocol, protocol
from idlrt.serialization.base import DEFAULT_LIMITS
from idlrt.spec import Method

_numbers = itertools.count()


class Kind(NamedTuple):
    """A kind of server.

    Attributes:
        engine: `selector`, `asyncio`, `uvloop` or `processes`.
        place: `tcp`, `tls` or `unix`.
        workers: threads for plain handlers.
        has_coroutines: whether its handlers are `async`.
    """

    engine: str
    place: str = "tcp"
    workers: int = 0
    has_coroutines: bool = False

    def __str__(self) -> str:
        how = "async handlers" if self.has_coroutines else f"{self.workers} workers" if self.workers else "inline"
        return f"{self.engine} {how} {self.place}"


KINDS: Final = [
    Kind(engine, place, workers, has_coroutines)
    for engine in ("selector", "asyncio", "uvloop", "processes")
    for place in ("tcp", "tls", "unix")
    for workers, has_coroutines in ((0, False), (4, False), (0, True))
    # Processes are selector servers, and uvloop has nothing but other transports: what is their own is shown once a
    # place.
    if engine not in ("processes", "uvloop") or (workers == 0 and has_coroutines == (engine == "uvloop"))
]


# What differs most.
FAST: Final = ("selector inline tcp", "selector 4 workers tls", "asyncio async handlers unix", "processes inline tcp")


class Spoken(NamedTuple):
    """A protocol as a client is told to speak it.

    Attributes:
        name: for the ids of tests.
        options: of `connect`.
        client: makes the client's end of connections.
    """

    name: str
    options: dict[str, Any]
    client: ClientProtocol

    def __str__(self) -> str:
        return self.name

    @property
    def capabilities(self) -> Capabilities:
        """Of the protocol."""
        return self.client.capabilities

    def requests(self, *calls: tuple[Method[..., Any], tuple[Any, ...]]) -> bytes:
        """Return the bytes of calls, each as the first one of its connection."""
        return b"".join(self.client.connect().request(method, arguments)[1] for method, arguments in calls)


def _spoken(name: str, rpc: str, **options: str) -> Spoken:
    given = options if rpc == "thrift" else {"protocol": rpc}
    return Spoken(name, given, protocol(rpc).clients(options, DEFAULT_LIMITS)[0])


SPOKEN: Final = [
    _spoken("framed", "thrift", framing="framed"),
    _spoken("header", "thrift", framing="header"),
    *(_spoken(name, name) for name in ("jsonrpc", "http", "lines") if is_protocol(name)),
]


class Running(NamedTuple):
    """A server that serves."""

    kind: Kind
    address: str
    tls: Tls | None
    stop: Callable[[], None]


@contextlib.contextmanager
def serving(kind: Kind, handler: object | None, certificates: Path, **options: Any) -> Iterator[Running]:
    """A server of this kind.

    Args:
        handler: of `UserService`, or handlers of any service.
    """
    if handler is None:
        handler = AsyncUsers() if kind.has_coroutines else Users()
    tls = None
    if kind.place == "tls":
        options["tls"] = Tls(certificate=str(certificates / "server.pem"))
        tls = Tls(authorities=str(certificates / "authority.pem"), server_name="localhost")
    folder = tempfile.mkdtemp(dir="/tmp", prefix="idlrt")
    address = f"unix:{folder}/{next(_numbers)}.sock" if kind.place == "unix" else "127.0.0.1:0"
    options = {"workers": kind.workers, "drain_s": 0.05, "http": True, **options}
    try:
        bound = handler if isinstance(handler, Handlers) else user_service(handler)
        with _ENGINES[kind.engine](bound, address, options) as (where, stop):
            yield Running(kind, where, tls, stop)
        if kind.place == "unix":
            assert os.listdir(folder) == []
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _selector(handlers: Handlers, address: str, options: dict[str, Any]) -> Iterator[tuple[str, Callable[[], None]]]:
    with Server(handlers, address, **options) as server:
        server.start()
        yield server.address, server.stop


@contextlib.contextmanager
def _processes(handlers: Handlers, address: str, options: dict[str, Any]) -> Iterator[tuple[str, Callable[[], None]]]:
    with ProcessServer(handlers, address, processes=2, **options) as server:
        server.start()
        yield server.address, server.stop


@contextlib.contextmanager
def _uvloop(handlers: Handlers, address: str, options: dict[str, Any]) -> Iterator[tuple[str, Callable[[], None]]]:
    """The same, on uvloop."""
    import uvloop

    with _asyncio(handlers, address, options, uvloop.new_event_loop()) as made:
        yield made


@contextlib.contextmanager
def _asyncio(
    handlers: Handlers, address: str, options: dict[str, Any], loop: Any = None
) -> Iterator[tuple[str, Callable[[], None]]]:
    """An `AsyncServer` whose event loop runs in a separate thread."""
    loop = loop or asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def wait_for(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(TIMEOUT)

    async def make() -> AsyncServer:
        return await AsyncServer(handlers, address, **options).start()

    try:
        server = wait_for(make())
        try:
            yield server.address, lambda: wait_for(server.stop())
        finally:
            wait_for(server.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(TIMEOUT)
        loop.close()


_ENGINES: Final = {"selector": _selector, "processes": _processes, "asyncio": _asyncio, "uvloop": _uvloop}


class Caller:
    """A client of either kind, for tests that do not care which. Names are those of `UserServiceClient`."""

    def __init__(self, kind: str, running: Running, **options: Any) -> None:
        self._runner = asyncio.Runner() if kind == "asyncio" else None
        self._is_closed = False
        options = {"timeout": TIMEOUT, "connect_timeout": TIMEOUT, "tls": running.tls, **options}
        if kind == "shared":
            # Threads that share connections.
            options = {"max_connections": 2, "calls_per_connection": 64, **options}
        client = AsyncUserServiceClient if self._runner else UserServiceClient
        self.client: Any = client.connect(running.address, **options)

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Make a call."""
        method = getattr(self.client.using(**options) if options else self.client, name)
        return self._run(method, arguments)

    def _run(self, method: Any, arguments: tuple[Any, ...]) -> Any:
        if self._runner is None:
            return method(*arguments)

        async def call() -> Any:
            return await method(*arguments)

        return self._runner.run(call())

    def all_at_once(self, name: str, calls: list[tuple[Any, ...]]) -> list[Any]:
        """Make many calls at the same time: by threads, or by tasks."""
        method = getattr(self.client, name)
        if self._runner is not None:

            async def gather() -> list[Any]:
                return await asyncio.gather(*(method(*arguments) for arguments in calls), return_exceptions=True)

            return self._runner.run(gather())
        results: list[Any] = [None] * len(calls)

        def call(index: int) -> None:
            try:
                results[index] = method(*calls[index])
            except Exception as error:  # noqa: BLE001  # a result too
                results[index] = error

        threads = [threading.Thread(target=call, args=(index,)) for index in range(len(calls))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        return results

    def close(self) -> None:
        """Close the client. Allowed twice."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._runner is None:
            self.client.close()
        else:
            self._runner.run(self.client.close())
            self._runner.close()

"""Conformance tests: each server kind with each client kind, in each protocol."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from eventually import TIMEOUT, eventually
from hand_written import GET, AsyncUsers, NotFound, User, Users, connect_raw, read_to_end
from kinds import FAST, KINDS, SPOKEN, Caller, Kind, Running, Spoken, serving

from idlrt import current_call
from idlrt.errors import (
    ApplicationCode,
    ApplicationError,
    ConfigurationError,
    ConnectFailed,
    DeadlineExceeded,
    NotSent,
    Unknown,
)

pytestmark = pytest.mark.slow

CLIENTS = ["blocking", *(pytest.param(name, marks=pytest.mark.slow) for name in ("shared", "asyncio"))]

Make = Callable[..., Caller]


def params(kinds: Sequence[Kind]) -> list[Any]:
    return [pytest.param(kind, id=str(kind), marks=[] if str(kind) in FAST else pytest.mark.slow) for kind in kinds]


@pytest.fixture(params=params(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
def running(kind: Kind, certificates: Path) -> Iterator[Running]:
    with serving(kind, None, certificates) as made:
        yield made


@pytest.fixture(params=CLIENTS)
def client_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=SPOKEN, ids=str)
def spoken(request: pytest.FixtureRequest) -> Spoken:
    found: Spoken = request.param
    return found


@pytest.fixture
def connect(client_kind: str, spoken: Spoken) -> Iterator[Make]:
    """Makes clients, and closes them at the end."""
    with contextlib.ExitStack() as stack:

        def make(running: Running, **options: Any) -> Caller:
            made = Caller(client_kind, running, **spoken.options, **options)
            stack.callback(made.close)
            return made

        yield make


def test_calls_are_answered(running: Running, connect: Make) -> None:
    client = connect(running)
    for number in range(1, 20):
        assert client.call("get", number) == User(id=number, name=f"user {number}")
    assert client.call("join", ["ä", "b"], "-") == "ä-b"
    assert client.call("ping") is None
    assert client.call("poke", 5) is None
    with pytest.raises(NotFound) as thrown:
        client.call("get", -1)
    assert thrown.value == NotFound(id=-1)
    with pytest.raises(ApplicationError, match="failed with ValueError") as broken:
        client.call("get", 0)
    assert broken.value.code is ApplicationCode.INTERNAL_ERROR
    with pytest.raises(ApplicationError, match=r"missing.result"):
        client.call("get", 404)
    assert client.call("get", 1).id == 1


def test_large_messages_go_both_ways(running: Running, connect: Make) -> None:
    client = connect(running)
    assert client.call("blob", 3_000_000) == b"x" * 3_000_000
    assert client.call("join", ["y" * 2_000_000, "z"], "") == "y" * 2_000_000 + "z"


def test_idle_connections_are_asked_with_a_ping(running: Running, connect: Make) -> None:
    client = connect(running, ping_after=1e-9)
    for number in range(1, 4):
        assert client.call("get", number).id == number


def test_many_calls_at_once(running: Running, connect: Make) -> None:
    client = connect(running)
    found = client.all_at_once("get", [(number,) for number in range(1, 60)])
    assert [user.id for user in found] == list(range(1, 60))


def test_garbage_costs_one_connection(running: Running, connect: Make, spoken: Spoken) -> None:
    client = connect(running)
    assert client.call("get", 1).id == 1
    begun = [] if running.tls is not None else [spoken.requests((GET, (1,)))]
    for begin in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", *begun):
        with _raw(running) as raw:
            raw.settimeout(TIMEOUT)
            raw.sendall(begin + b"\xff" * 100)
            with contextlib.suppress(OSError):  # the server has closed it already
                raw.shutdown(socket.SHUT_WR)
            read_to_end(raw)
    assert client.call("get", 2).id == 2


@pytest.mark.parametrize("kind", params([kind for kind in KINDS if kind.place != "tls"]))
def test_a_half_closed_client_receives_its_pending_responses(running: Running, spoken: Spoken) -> None:
    with _raw(running) as raw:
        raw.settimeout(TIMEOUT)
        raw.sendall(spoken.requests((GET, (1,)), (GET, (2,))))
        raw.shutdown(socket.SHUT_WR)
        data = read_to_end(raw)
    assert data.count(b"user 1") == data.count(b"user 2") == 1


def _raw(running: Running) -> socket.socket:
    if running.address.startswith("unix:"):
        raw = socket.socket(socket.AF_UNIX)
        try:
            raw.connect(running.address.removeprefix("unix:"))
        except OSError:
            raw.close()
            raise
        return raw
    return connect_raw(int(running.address.rpartition(":")[2]))


class Told(Users):
    """Says what it knows of a call."""

    def join(self, words: list[str], by: str) -> str:
        call = current_call()
        assert call is not None
        assert 0 < call.remaining() <= 70
        return f"{call.metadata.get('tenant')} {call.peer.is_encrypted} {call.method.name}"


class AsyncTold(AsyncUsers):
    """The same."""

    async def join(self, words: list[str], by: str) -> str:
        return Told.join(Told(), words, by)


def test_handlers_know_their_call(kind: Kind, certificates: Path, connect: Make, spoken: Spoken) -> None:
    handler = AsyncTold() if kind.has_coroutines else Told()
    with (
        serving(kind, handler, certificates) as running,
        contextlib.closing(connect(running, timeout=70)) as client,
    ):
        wanted = f"{kind.place == 'tls'} join"
        if spoken.capabilities.metadata:
            assert client.call("join", [], "", metadata={"tenant": "7"}) == f"7 {wanted}"
        else:
            with pytest.raises(ConfigurationError, match="'tenant'"):
                client.call("join", [], "", metadata={"tenant": "7"})
        assert client.call("join", [], "") == f"None {wanted}"


class Gate:
    """Lets the test see when a handler begins, and say when it ends, even in another process."""

    def __init__(self) -> None:
        self._begun, self._begin = os.pipe()
        self._released, self._release = os.pipe()

    def pass_through(self) -> None:
        """Wait in a handler until the gate is opened."""
        os.write(self._begin, b"x")
        os.read(self._released, 1)

    def wait(self) -> None:
        """Wait until a handler is at the gate."""
        assert os.read(self._begun, 1)

    def open(self) -> None:
        """Let one handler pass."""
        os.write(self._release, b"x")

    def close(self) -> None:
        for each in (self._begun, self._begin, self._released, self._release):
            os.close(each)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.close()


class Gated(Users):
    """`wait` waits at the gate."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    def wait(self, id: int) -> Any:
        self._gate.pass_through()
        return id


class AsyncGated(AsyncUsers):
    """The same."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    async def wait(self, id: int) -> Any:
        await asyncio.to_thread(self._gate.pass_through)
        return id


def gated(kind: Kind, gate: Gate) -> Users:
    return AsyncGated(gate) if kind.has_coroutines else Gated(gate)


def test_a_timeout_expires_and_the_client_goes_on(kind: Kind, certificates: Path, connect: Make, gate: Gate) -> None:
    with (
        serving(kind, gated(kind, gate), certificates) as running,
        contextlib.closing(connect(running)) as client,
    ):
        assert client.call("get", 2).id == 2  # so that making a connection is not what takes the time
        # The call may expire before it is sent, or before its handler begins.
        with pytest.raises(DeadlineExceeded):
            client.call("wait", 1, timeout=0.2)
        gate.open()
        assert client.call("get", 1).id == 1


def test_a_stop_answers_what_is_under_way(kind: Kind, certificates: Path, connect: Make, gate: Gate) -> None:
    with serving(kind, gated(kind, gate), certificates, grace_s=TIMEOUT) as running:
        client = connect(running)
        results: list[Any] = []
        calling = threading.Thread(target=lambda: results.append(client.call("wait", 7)))
        calling.start()
        gate.wait()
        stopping = threading.Thread(target=running.stop)
        stopping.start()
        is_free = kind.workers > 0 or kind.has_coroutines
        if is_free and kind.engine != "processes":
            # A server whose thread is at the gate stops afterwards; a supervisor listens until all processes ended.
            eventually(lambda: not _is_listening(running), "the server has begun to stop")
        gate.open()
        calling.join(TIMEOUT)
        stopping.join(TIMEOUT)
        assert results == [7]
        with pytest.raises((NotSent, Unknown)):
            client.call("get", 1)


def _is_listening(running: Running) -> bool:
    try:
        _raw(running).close()
    except OSError:
        return False
    return True


def test_connecting_to_a_stopped_server_fails(running: Running, connect: Make) -> None:
    running.stop()
    with pytest.raises(ConnectFailed):
        connect(running).call("get", 1)


def test_filters_stand_in_the_way(kind: Kind, certificates: Path, connect: Make) -> None:
    async def guard(call: Any, next: Any) -> Any:
        if call.method.name == "ping":
            raise ApplicationError("not for you", ApplicationCode.PERMISSION_DENIED)
        if call.method.name == "get":
            call.arguments = (call.arguments[0] + 1,)
        return await next(call)

    with (
        serving(kind, None, certificates, filters=[guard]) as running,
        contextlib.closing(connect(running)) as client,
    ):
        assert client.call("get", 1).id == 2
        with pytest.raises(ApplicationError, match="not for you") as refused:
            client.call("ping")
        assert refused.value.code is ApplicationCode.PERMISSION_DENIED

"""One connection of a server, without sockets: order, bounds, and what becomes of errors."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hand_written import BLOB, GET, JOIN, PING, WAIT, NotFound, User, Users, requests, user_service

from idlrt.core import Peer, serve
from idlrt.errors import ApplicationCode, ApplicationError
from idlrt.protocol.events import ResponseReceived
from idlrt.protocol.thrift.connection import ClientConnection, ServerConnection
from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.protocol.thrift.sniff import detector
from idlrt.serialization import Limits
from idlrt.server.context import ServerContext
from idlrt.server.method_table import method_table
from idlrt.server.session import Session
from idlrt.spec import Method


class Deferred(Users):
    """`wait` is `async`; the test says when it ends."""

    async def wait(self, id: int) -> int:
        raise AssertionError("never run: the test plays the event loop")


class Bench:
    """A session with everything around it played by the test."""

    def __init__(
        self,
        handler: object | None = None,
        *,
        max_in_flight: int = 256,
        high_water: int = 1 << 20,
        limits: Limits | None = None,
    ) -> None:
        self.peer = Peer(address="the test")
        self.pending = 0
        self.sends: list[bytes] = []
        self.is_reading = True
        self.is_closed = False
        self.is_slow = False
        self.is_forgotten = False
        self.soon: list[Callable[[], None]] = []
        self.under_way: list[Callable[[Any, BaseException | None], None]] = []
        served = serve(user_service(handler if handler is not None else Deferred()))
        shared = ServerContext(
            served=served,
            methods=method_table(served),
            context=contextvars.copy_context(),
            call_soon=self.soon.append,
            run_async=self._run_async,
            max_in_flight=max_in_flight,
            high_water=high_water,
        )
        connection = ServerConnection(detector(limits) if limits else detector(), served.methods)
        self.session = Session(self, connection, shared, lambda session: setattr(self, "is_forgotten", True))
        self.client = ClientConnection(dialect())

    def _run_async(self, coroutine: Coroutine[Any, Any, Any], context: contextvars.Context, done: Any) -> None:
        coroutine.close()
        self.under_way.append(done)

    # The transport.

    def send(self, data: bytes) -> None:
        self.sends.append(data)
        if self.is_slow:
            self.pending += len(data)

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def close(self, *, discard: bool = False) -> None:
        self.is_closed = True

    # The test's side.

    def call(self, *calls: tuple[Method[..., Any], tuple[Any, ...]]) -> None:
        self.session.data_received(b"".join(self.client.request(method, arguments)[1] for method, arguments in calls))

    def run_soon(self) -> None:
        while self.soon:
            self.soon.pop(0)()

    def answers(self) -> list[Any]:
        data = b"".join(self.sends)
        self.sends.clear()
        found: list[Any] = []
        for event in self.client.receive_data(data):
            assert isinstance(event, ResponseReceived)
            try:
                found.append(event.result())
            except (ApplicationError, NotFound) as error:
                found.append(error)
        return found


def test_pipelined_calls_are_answered_in_order_in_one_piece() -> None:
    bench = Bench()
    bench.call((GET, (1,)), (JOIN, (["a", "b"], "+")), (GET, (2,)))

    assert len(bench.sends) == 1
    assert bench.answers() == [User(id=1, name="user 1"), "a+b", User(id=2, name="user 2")]


def test_a_declared_exception_is_an_answer() -> None:
    bench = Bench()
    bench.call((GET, (-7,)))

    assert bench.answers() == [NotFound(id=-7)]


def test_what_a_handler_raises_is_logged_and_answered_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.call((GET, (0,)), (PING, ()))
    error, nothing = bench.answers()

    assert nothing is None
    assert error.code is ApplicationCode.INTERNAL_ERROR
    assert "ValueError" in error.message
    assert "secret" not in error.message
    (record,) = caplog.records
    assert record.name == "idlrt.server"
    assert record.exc_info is not None
    assert "secret" in str(record.exc_info[1])


class Odd(Users):
    def get(self, id: int) -> Any:
        if id == 1:
            raise SystemExit(3)
        if id == 2:
            return User(id="no number")  # type: ignore[arg-type]
        if id == 3:
            raise NotFound(id="no number")  # type: ignore[arg-type]
        if id == 4:
            raise ApplicationError("come back later", 77)
        return self

    def ping(self) -> None:
        raise NotFound(id=1)


@pytest.mark.parametrize(
    ("method", "arguments", "code"),
    [
        (GET, (1,), ApplicationCode.INTERNAL_ERROR),
        (GET, (2,), ApplicationCode.INTERNAL_ERROR),
        (GET, (3,), ApplicationCode.INTERNAL_ERROR),
        (GET, (4,), 77),
        (GET, (5,), ApplicationCode.INTERNAL_ERROR),
        (PING, (), ApplicationCode.INTERNAL_ERROR),
    ],
)
def test_a_handler_that_misbehaves_costs_one_call(
    method: Method[..., Any], arguments: tuple[Any, ...], code: int
) -> None:
    bench = Bench(Odd())
    bench.call((method, arguments), (JOIN, (["a"], "")))
    error, joined = bench.answers()

    assert error.code == code
    assert joined == "a"


def test_a_missing_result_is_said_to_the_client() -> None:
    bench = Bench()
    bench.call((GET, (404,)))
    (error,) = bench.answers()

    assert error.code is ApplicationCode.MISSING_RESULT


def raw(kind: MessageType, name: str, body: bytes = b"\0") -> bytes:
    return dialect().pack(kind, name, 1, body)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (raw(MessageType.CALL, "nothing_like_it"), ApplicationCode.UNKNOWN_METHOD),
        (raw(MessageType.REPLY, "get"), ApplicationCode.INVALID_MESSAGE_TYPE),
        (raw(MessageType.CALL, "get", b"\x0a\x00\x01"), ApplicationCode.PROTOCOL_ERROR),
        (raw(MessageType.CALL, "get", b"\x00"), ApplicationCode.PROTOCOL_ERROR),
        (raw(MessageType.CALL, "get", b"\x00\x00"), ApplicationCode.PROTOCOL_ERROR),
    ],
)
def test_a_call_that_cannot_be_made_is_refused(data: bytes, code: ApplicationCode) -> None:
    bench = Bench()
    bench.client.request(GET, (1,))
    bench.session.data_received(data)
    (error,) = bench.answers()

    assert error.code is code
    assert not bench.is_closed


@pytest.mark.parametrize("data", [raw(MessageType.ONEWAY, "nothing_like_it"), raw(MessageType.ONEWAY, "poke", b"\x0a")])
def test_a_oneway_call_that_cannot_be_made_is_only_logged(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "idlrt.server")
    bench = Bench()
    bench.session.data_received(data)

    assert bench.sends == []
    assert "oneway" in caplog.text


@pytest.mark.parametrize("kind", [MessageType.CALL, MessageType.ONEWAY])
def test_oneway_methods_are_never_answered_whatever_the_client_calls_them(kind: MessageType) -> None:
    users = Users()
    bench = Bench(users)
    bench.session.data_received(raw(kind, "poke", b"\x0a\x00\x01" + b"\xff" * 8 + b"\0"))

    assert users.poked == [-1]
    assert bench.sends == []


def test_a_method_with_result_that_is_called_oneway_is_not_answered() -> None:
    bench = Bench()
    bench.session.data_received(raw(MessageType.ONEWAY, "ping"))

    assert bench.sends == []


def test_answers_wait_for_an_async_one_before_them() -> None:
    bench = Bench()
    bench.call((GET, (1,)), (WAIT, (5,)), (GET, (2,)), (WAIT, (6,)), (GET, (3,)))
    assert bench.answers() == [User(id=1, name="user 1")]

    bench.under_way[1](6, None)
    bench.run_soon()
    assert bench.answers() == []

    bench.under_way[0](5, None)
    bench.run_soon()
    assert bench.answers() == [5, User(id=2, name="user 2"), 6, User(id=3, name="user 3")]


def test_async_answers_of_one_round_leave_in_one_piece() -> None:
    bench = Bench()
    bench.call(*[(WAIT, (number,)) for number in range(5)])
    for number, done in enumerate(bench.under_way):
        done(number, None)
    bench.run_soon()

    assert len(bench.sends) == 1
    assert bench.answers() == [0, 1, 2, 3, 4]


def test_no_more_calls_are_under_way_than_allowed() -> None:
    bench = Bench(max_in_flight=2)
    bench.call(*[(WAIT, (number,)) for number in range(5)])
    assert len(bench.under_way) == 2
    assert not bench.is_reading

    for number in range(5):
        bench.under_way[number](number, None)
        bench.run_soon()
        assert len(bench.under_way) == min(number + 3, 5)
    assert bench.answers() == [0, 1, 2, 3, 4]
    assert bench.is_reading


def test_the_only_call_that_is_allowed_pauses_reading_until_it_is_answered() -> None:
    bench = Bench(max_in_flight=1)
    bench.call((WAIT, (1,)))
    assert not bench.is_reading

    bench.under_way[0](1, None)
    bench.run_soon()
    assert bench.answers() == [1]
    assert bench.is_reading


def test_a_session_knows_how_many_messages_came_and_whether_one_is_incomplete() -> None:
    # From that a server tells messages that come slowly from one that does not end.
    bench = Bench()
    data = requests((GET, (1,)), (GET, (2,)), (PING, ()))
    seen: list[tuple[int, bool, bool]] = []
    size = len(requests((GET, (1,))))
    for start, end in ((0, 5), (5, size + 5), (size + 5, 2 * size), (2 * size, len(data))):
        bench.session.data_received(data[start:end])
        seen.append((bench.session.received, bench.session.is_mid_message, bench.session.is_idle))

    assert seen == [(0, True, False), (1, True, False), (2, False, True), (3, False, True)]


def test_a_peer_that_does_not_read_is_not_read_from() -> None:
    bench = Bench(high_water=1000)
    bench.is_slow = True
    bench.call(*[(BLOB, (400,))] * 10)
    assert not bench.is_reading
    assert bench.pending < 1000 + 500

    rounds = 0
    while not bench.is_reading:
        bench.pending = 0
        bench.session.drained()
        rounds += 1
    assert rounds >= 3
    assert bench.answers() == [b"x" * 400] * 10


def test_answers_behind_an_async_one_are_bounded_too() -> None:
    class Counting(Deferred):
        blobs = 0

        def blob(self, size: int) -> bytes:
            self.blobs += 1
            return super().blob(size)

    users = Counting()
    bench = Bench(users, high_water=1000)
    bench.call((WAIT, (1,)), *[(BLOB, (400,))] * 10)
    assert not bench.is_reading
    assert users.blobs == 3

    bench.under_way[0](1, None)
    bench.run_soon()
    assert bench.answers() == [1] + [b"x" * 400] * 10
    assert bench.is_reading


def test_garbage_closes_the_connection_after_what_came_before_is_answered() -> None:
    bench = Bench()
    bench.session.data_received(requests((GET, (1,))) + b"\xff" * 8)

    assert len(bench.sends) == 1
    assert bench.is_closed


def test_garbage_behind_an_async_call_closes_after_its_answer() -> None:
    bench = Bench()
    bench.client.request(WAIT, (1,))
    bench.session.data_received(requests((WAIT, (1,))) + b"\xff" * 8)
    assert not bench.is_closed

    bench.under_way[0](1, None)
    bench.run_soon()
    assert bench.answers() == [1]
    assert bench.is_closed


def test_a_client_that_half_closes_gets_its_answers() -> None:
    bench = Bench()
    bench.call((WAIT, (1,)))
    bench.session.eof_received()
    assert not bench.is_closed

    bench.under_way[0](1, None)
    bench.run_soon()
    assert bench.answers() == [1]
    assert bench.is_closed


def test_finishing_waits_for_the_rest_of_a_message() -> None:
    bench = Bench()
    _, data = bench.client.request(GET, (1,))
    bench.session.data_received(data[:10])
    bench.session.finish()
    assert not bench.is_closed

    bench.session.data_received(data[10:])
    assert bench.answers() == [User(id=1, name="user 1")]
    assert bench.is_closed


def test_an_idle_connection_finishes_at_once() -> None:
    bench = Bench()
    bench.session.finish()

    assert bench.is_closed


def test_async_answers_for_a_lost_connection_are_dropped() -> None:
    bench = Bench()
    bench.call((WAIT, (1,)))
    bench.session.connection_lost(ConnectionResetError())
    bench.under_way[0](1, None)
    bench.run_soon()

    assert bench.is_forgotten
    assert bench.sends == []


def test_each_call_has_its_own_context() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    class Counting(Users):
        def wait(self, id: int) -> int:
            variable.set(variable.get() + id)
            return variable.get()

    bench = Bench(Counting())
    bench.call((WAIT, (1,)), (WAIT, (1,)), (WAIT, (1,)))

    assert bench.answers() == [1, 1, 1]
    assert variable.get() == 0


def test_a_result_over_the_limit_becomes_a_refusal() -> None:
    bench = Bench(limits=Limits(max_message=300))
    bench.call((BLOB, (400,)), (JOIN, (["a"], "")))
    error, joined = bench.answers()

    assert error.code is ApplicationCode.INTERNAL_ERROR
    assert "max_message=300" in error.message
    assert joined == "a"

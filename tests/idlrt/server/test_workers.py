"""Plain handlers on worker threads: how many, in which order, what becomes of those who misbehave, stopping."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
from typing import Any

import pytest
from by_hand import ANY_ORDER, Noting, Raw, pass_time, serving, stopping
from eventually import TIMEOUT, eventually
from hand_written import GET, JOIN, PING, POKE, WAIT, AsyncUsers, NotFound, User, Users, UserServiceClient

import idlrt
from idlrt.errors import ApplicationCode, ApplicationError, ConnectionLost, NotSent, Overloaded


def names_of_workers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("idlrt worker")]


# How many at once.


def test_plain_handlers_run_several_at_once() -> None:
    together = threading.Barrier(3)

    class Meeting(Users):
        def wait(self, id: int) -> int:
            together.wait(TIMEOUT)
            return id

    with serving(Meeting(), workers=3) as server, Raw(server) as raw:
        for number in range(3):
            raw.call(WAIT, number)
        assert raw.values(3) == [0, 1, 2]


def test_busy_workers_hold_up_neither_async_handlers_nor_other_connections() -> None:
    class Mixed(AsyncUsers):
        wait = Users.wait

    users = Mixed()
    with serving(users, workers=1) as server, Raw(server, ANY_ORDER) as raw:
        slow = raw.call(WAIT, 1)
        assert users.entered.wait(TIMEOUT)
        with UserServiceClient.connect(server.address) as client:
            assert client.get(5).id == 5
        fast = raw.call(GET, 2)
        assert [answer.number for answer in raw.read()] == [fast]

        users.gate.set()
        assert [answer.number for answer in raw.read()] == [slow]


def test_no_more_run_at_once_than_there_are_workers() -> None:
    lock, most, running = threading.Lock(), 0, 0

    class Counting(Users):
        def wait(self, id: int) -> int:
            nonlocal most, running
            with lock:
                running += 1
                most = max(most, running)
            try:
                return super().wait(id)
            finally:
                with lock:
                    running -= 1

    users = Counting()
    with serving(users, workers=2) as server, Raw(server) as raw:
        for number in range(20):
            raw.call(WAIT, number)
        eventually(lambda: running == 2)
        users.gate.set()
        assert raw.values(20) == list(range(20))
    assert most == 2


def test_threads_are_started_when_they_are_needed_and_end_with_the_server() -> None:
    before = names_of_workers()
    users = Users()
    with serving(users, workers=50) as server, Raw(server) as raw:
        for number in range(1, 10):
            raw.call(GET, number)
            raw.read()
        assert len(names_of_workers()) - len(before) == 1
        for number in range(3):
            raw.call(WAIT, number)
        eventually(lambda: len(names_of_workers()) - len(before) == 3)
        users.gate.set()
        raw.read(3)
    assert names_of_workers() == before


# Overload.


def test_a_call_over_the_queue_limit_is_rejected_at_once_and_not_executed() -> None:
    users = Noting()
    with (
        serving(users, workers=1, max_queued=1) as server,
        Raw(server, ANY_ORDER) as raw,
        UserServiceClient.connect(server.address) as client,
    ):
        running, queued, refused = (raw.call(WAIT, number) for number in (1, 2, 3))
        (answer,) = raw.read()
        assert answer.number == refused
        assert answer.value.code is ApplicationCode.LOADSHEDDING

        with pytest.raises(Overloaded, match=r"rejected UserService\.get: .*all workers are busy") as caught:
            client.get(4)
        assert isinstance(caught.value, NotSent)

        users.gate.set()
        assert {answer.number for answer in raw.read(2)} == {running, queued}
        assert client.get(5).id == 5
    assert users.started == [1, 2, 5]


def test_without_a_queue_a_call_is_refused_as_long_as_all_workers_are_busy() -> None:
    users = Noting()
    with serving(users, workers=2, max_queued=0) as server, Raw(server, ANY_ORDER) as raw:
        numbers = [raw.call(WAIT, number) for number in range(3)]
        assert [answer.number for answer in raw.read()] == numbers[2:]

        users.gate.set()
        raw.read(2)
        for number in range(1, 20):
            raw.call(GET, number)
            assert raw.values() == [User(id=number, name=f"user {number}")]


def test_a_refusal_waits_for_its_turn_where_answers_have_an_order(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "idlrt.server")
    users = Users()
    with serving(users, workers=1, max_queued=0) as server, Raw(server) as raw:
        raw.call(WAIT, 1)
        raw.call(GET, 2)
        # The log tells when it is dropped; by then the one before it has been refused.
        raw.call(POKE, 3)
        eventually(lambda: "dropped oneway call" in caplog.text)
        users.gate.set()
        answered, refused = raw.values(2)
        assert answered == 1
        assert refused.code is ApplicationCode.LOADSHEDDING


def test_a_oneway_call_over_the_queue_is_dropped_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "idlrt.server")
    users = Users()
    with serving(users, workers=1, max_queued=0) as server, Raw(server) as raw:
        raw.call(WAIT, 1)
        raw.call(POKE, 7)
        eventually(lambda: "dropped oneway call" in caplog.text)
        users.gate.set()
        assert raw.values() == [1]
        raw.call(PING)
        assert raw.values() == [None]
    assert users.poked == []


def test_a_call_that_waited_for_a_worker_longer_than_its_caller_is_not_begun() -> None:
    users = Noting()
    with serving(users, workers=1) as server, Raw(server) as raw:
        raw.call(WAIT, 1)
        assert users.entered.wait(TIMEOUT)
        with Raw(server, ANY_ORDER) as other:
            short = other.bytes_of(GET, 2, metadata={"client_timeout": "20"})
            long = other.bytes_of(GET, 3, metadata={"client_timeout": "60000"})
            other.socket.sendall(short + long)
            eventually(lambda: server.in_flight >= 2)
            pass_time(0.025)
            users.gate.set()
            refused, answered = sorted(other.read(2))
        assert refused.value.code is ApplicationCode.TIMEOUT
        assert "UserService.get" in refused.value.message
        assert answered.value.id == 3
        assert raw.values() == [1]
    assert users.started == [1, 3]


def test_a_call_waits_for_a_worker_no_longer_than_the_timeout_of_the_server() -> None:
    users = Noting()
    patient = {"client_timeout": "60000"}
    with serving(users, workers=1, timeout=0.05) as server, Raw(server, ANY_ORDER) as raw, Raw(server) as other:
        waiting = raw.call(WAIT, 1, metadata=patient)
        assert users.entered.wait(TIMEOUT)
        other.call(GET, 2)
        eventually(lambda: server.in_flight == 2)
        pass_time(0.06)
        users.gate.set()
        (refused,) = other.values()
        assert refused.code is ApplicationCode.TIMEOUT
        late = raw.call(GET, 3, metadata=patient)
        answers = {answer.number: answer.value for answer in raw.read(2)}
        assert answers == {waiting: 1, late: User(id=3, name="user 3")}
    assert users.started == [1, 3]


# What handlers do.


class Odd(Users):
    """Each id misbehaves in its own way."""

    def get(self, id: int) -> Any:
        failing: dict[int, BaseException] = {
            1: ValueError("a secret that must not leave"),
            2: SystemExit(3),
            3: KeyboardInterrupt(),
            4: StopIteration(),
            5: NotFound(id=5),
            6: ApplicationError("come back later", 77),
            7: NotFound(id="no number"),  # type: ignore[arg-type]
        }
        if id in failing:
            raise failing[id]
        if id == 8:
            return None
        return User(id="no number")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("id", "expected"),
    [
        (1, ApplicationCode.INTERNAL_ERROR),
        (2, ApplicationCode.INTERNAL_ERROR),
        (3, ApplicationCode.INTERNAL_ERROR),
        (4, ApplicationCode.INTERNAL_ERROR),
        (5, NotFound(id=5)),
        (6, 77),
        (7, ApplicationCode.INTERNAL_ERROR),
        (8, ApplicationCode.MISSING_RESULT),
        (9, ApplicationCode.INTERNAL_ERROR),
    ],
)
def test_a_handler_that_misbehaves_costs_one_call_and_no_worker(id: int, expected: object) -> None:
    with serving(Odd(), workers=1) as server, Raw(server) as raw:
        for _ in range(3):
            raw.call(GET, id)
            raw.call(JOIN, ["a"], "")
            failed, joined = raw.values(2)
            assert joined == "a"
            assert failed == expected or failed.code == expected
            assert "secret" not in str(failed)


def test_a_plain_function_may_return_a_coroutine() -> None:
    class Returning(Users):
        def get(self, id: int) -> Any:
            if id < 0:
                return self.refuse(id)
            return self.find(id)

        async def find(self, id: int) -> User:
            call = idlrt.current_call()
            return User(id=id, name=call.method.name if call is not None else None)

        async def refuse(self, id: int) -> User:
            raise NotFound(id=id)

    with serving(Returning(), workers=1) as server, Raw(server) as raw:
        raw.call(GET, 5)
        raw.call(GET, -5)
        raw.call(PING)
        assert raw.values(3) == [User(id=5, name="get"), NotFound(id=-5), None]


def test_a_handler_sees_its_own_call_whatever_others_do() -> None:
    together = threading.Barrier(4)

    class Looking(Users):
        def get(self, id: int) -> User:
            before = idlrt.current_call()
            assert before is not None
            # Four are here at the same time, and go on in any order.
            together.wait(TIMEOUT)
            assert idlrt.current_call() is before
            assert before.arguments == (id,)
            return User(id=id, name=idlrt.request_metadata()["number"])

    with serving(Looking(), workers=4) as server, Raw(server, ANY_ORDER) as raw, Raw(server, ANY_ORDER) as other:
        for number in range(200):
            (raw, other)[number % 2].call(GET, number, metadata={"number": str(number)})
        users = raw.values(100) + other.values(100)
    assert sorted(user.id for user in users) == list(range(200))
    assert all(user.name == str(user.id) for user in users)


# Stopping.


def test_a_handler_on_a_worker_may_stop_its_server() -> None:
    class Stopping(Users):
        def ping(self) -> None:
            server.stop()

    with serving(Stopping(), workers=2) as server:
        with UserServiceClient.connect(server.address) as client:
            client.ping()
        assert server.wait(TIMEOUT)


def test_stopping_waits_for_workers_and_for_the_calls_that_wait_for_them() -> None:
    users = Noting()
    with serving(users, workers=1) as server, Raw(server) as raw:
        raw.call(WAIT, 1)
        raw.call(GET, 2)
        assert users.entered.wait(TIMEOUT)
        with stopping(server):
            users.gate.set()
            assert raw.values(2) == [1, User(id=2, name="user 2")]
            assert raw.is_ended()


def test_what_a_plain_function_returns_after_the_end_starts_nothing() -> None:
    ran = threading.Event()

    class Late(Users):
        def wait(self, id: int) -> Any:
            super().wait(id)
            return self.go_on()

        async def go_on(self) -> int:
            ran.set()
            return 1

    users = Late()
    before = threading.active_count()
    with serving(users, workers=1) as server, Raw(server) as raw:
        raw.call(WAIT, 1)
        assert users.entered.wait(TIMEOUT)
        with stopping(server, grace_s=0.01):
            # All connections are closed, and it waits for the worker only.
            eventually(lambda: server.is_draining and server.connections == 0)
            users.gate.set()
    assert not ran.is_set()
    assert threading.active_count() == before


def test_stopping_under_load_answers_every_call_that_a_worker_saw() -> None:
    served: set[int] = set()
    answered: set[int] = set()
    under_load = threading.Event()
    numbers = itertools.count(1000)

    class Collecting(Users):
        def get(self, id: int) -> User:
            served.add(id)
            return User(id=id)

    def work() -> None:
        with UserServiceClient.connect(server.address) as client, contextlib.suppress(NotSent, ConnectionLost):
            while True:
                answered.add(client.get(next(numbers)).id)
                if len(answered) > 200:
                    under_load.set()

    with serving(Collecting(), workers=3) as server:
        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        assert under_load.wait(TIMEOUT)
        server.stop()
        for thread in threads:
            thread.join(TIMEOUT)
    assert served == answered

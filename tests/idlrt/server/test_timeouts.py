"""Connections that keep still: which a server ends, which it leaves alone. Without sockets, in made-up time."""

from __future__ import annotations

import gc
import logging
import weakref
from typing import Any

import pytest

from idlrt.core import Peer
from idlrt.server.settings import Settings
from idlrt.server.timeouts import ConnectionTimeouts


class Played:
    """A session and its channel, both at once: what a look sees of them, and what it does to them."""

    def __init__(self) -> None:
        self.peer = Peer(address="the test")
        self.pending = 0
        self.last_read = 0.0
        self.last_written = 0.0
        self.is_mid_message = False
        self.is_paused = False
        self.is_idle = True
        self.received = 0
        self.connection: object = None
        self.done: list[str] = []

    def finish(self, answer: bytes = b"") -> None:
        self.done.append("finished" if not answer else f"finished with {answer.decode()}")

    def abort(self, error: Exception | None = None) -> None:
        assert isinstance(error, TimeoutError)
        self.done.append("cut")


class Watch:
    """A `ConnectionTimeouts` that looks at what is played, at the times that the test says."""

    def __init__(self, *played: Played, **settings: float) -> None:
        limits = {"idle_timeout": 0.0, "message_timeout": 0.0, "write_timeout": 0.0, **settings}
        self.timeouts = ConnectionTimeouts(Settings(**limits))  # type: ignore[arg-type]
        self.played: tuple[Any, ...] = played

    def check(self, now: float) -> list[list[str]]:
        self.timeouts.check({each: each for each in self.played}, now)
        return [each.done for each in self.played]


@pytest.fixture
def played() -> Played:
    return Played()


# When it looks.


@pytest.mark.parametrize(
    ("settings", "interval"),
    [
        ({}, 0.0),
        ({"idle_timeout": 8}, 1.0),
        ({"idle_timeout": 80, "message_timeout": 8, "write_timeout": 16}, 1.0),
        ({"idle_timeout": 80, "write_timeout": 16}, 2.0),
        ({"idle_timeout": 3600}, 5.0),
        ({"message_timeout": 0.001}, 0.02),
    ],
)
def test_it_looks_often_enough_for_the_shortest_limit_and_not_all_the_time(
    settings: dict[str, float], interval: float
) -> None:
    assert Watch(**settings).timeouts.interval == interval


# Who has nothing to say.


def test_an_idle_connection_is_finished_after_its_time_and_not_before(played: Played) -> None:
    watch = Watch(played, idle_timeout=10)

    assert watch.check(10.0) == [[]]
    assert watch.check(10.1) == [["finished"]]


def test_a_connection_on_which_something_came_is_not_idle(played: Played) -> None:
    watch = Watch(played, idle_timeout=10)
    for now in range(9, 100, 9):
        assert watch.check(now) == [[]]
        played.last_read = float(now)


def test_a_connection_with_calls_under_way_is_not_idle(played: Played) -> None:
    played.is_idle = False
    watch = Watch(played, idle_timeout=10)

    assert watch.check(1000.0) == [[]]


def test_a_connection_becomes_idle_with_its_last_answer_not_with_its_last_question(played: Played) -> None:
    # The call took longer than a connection may be idle.
    played.is_idle = False
    watch = Watch(played, idle_timeout=10)
    assert watch.check(30.0) == [[]]
    played.is_idle = True
    played.last_written = 31.0

    assert watch.check(32.0) == [[]]
    assert watch.check(41.1) == [["finished"]]


# Who does not end what was begun.


def test_a_message_that_does_not_end_is_cut_off_whatever_trickles_in(played: Played) -> None:
    played.is_mid_message, played.is_idle = True, False
    watch = Watch(played, message_timeout=10, idle_timeout=10)
    for now in range(11):
        played.last_read = float(now)
        assert watch.check(now) == [[]]
    assert watch.check(10.1) == [["cut"]]


def test_each_message_has_its_own_time(played: Played) -> None:
    played.is_mid_message, played.is_idle = True, False
    watch = Watch(played, message_timeout=10)
    for now in range(0, 200, 9):
        # It is always within a message, though never within the same one for long.
        assert watch.check(now) == [[]]
        played.received += 1


def test_the_message_timeout_restarts_with_the_next_message(played: Played) -> None:
    played.is_mid_message, played.is_idle = True, False
    watch = Watch(played, message_timeout=10)
    watch.check(0.0)
    played.is_mid_message = False
    watch.check(9.0)
    played.is_mid_message = True

    assert watch.check(15.0) == [[]]
    assert watch.check(25.0) == [[]]
    assert watch.check(25.1) == [["cut"]]


def test_half_a_message_is_no_idle_connection(played: Played) -> None:
    played.is_mid_message, played.is_idle = True, False
    watch = Watch(played, idle_timeout=10)

    assert watch.check(1000.0) == [[]]


# Who does not take answers.


def test_a_client_that_takes_nothing_is_cut_off(played: Played) -> None:
    played.pending, played.last_written, played.is_idle = 1000, 5.0, False
    watch = Watch(played, write_timeout=10)

    assert watch.check(15.0) == [[]]
    assert watch.check(15.1) == [["cut"]]


def test_a_client_that_takes_little_is_not(played: Played) -> None:
    played.pending = 1000
    watch = Watch(played, write_timeout=10)
    for now in range(0, 100, 9):
        played.last_written = float(now)
        assert watch.check(now) == [[]]


def test_a_client_that_takes_its_answers_is_not_judged_by_what_it_sends(played: Played) -> None:
    # It was not read from for so long, because its answers are waiting.
    played.pending, played.is_mid_message, played.is_idle = 1000, True, False
    watch = Watch(played, write_timeout=10, message_timeout=1, idle_timeout=1)
    for now in range(0, 100, 9):
        played.last_written = float(now)
        assert watch.check(now) == [[]]


# All of them.


@pytest.mark.parametrize("limit", ["idle_timeout", "message_timeout", "write_timeout"])
def test_a_limit_of_zero_is_none(limit: str) -> None:
    idle, halfway, pending = Played(), Played(), Played()
    halfway.is_mid_message = True
    pending.pending = 1
    limits = {"idle_timeout": 1.0, "message_timeout": 1.0, "write_timeout": 1.0, limit: 0.0}
    watch = Watch(idle, halfway, pending, **limits)
    watch.check(0.0)
    ends = {"idle_timeout": "finished", "message_timeout": "cut", "write_timeout": "cut"}

    assert watch.check(1000.0) == [[end] if name != limit else [] for name, end in ends.items()]


def test_each_connection_is_judged_by_itself() -> None:
    idle, halfway, pending, fine = Played(), Played(), Played(), Played()
    halfway.is_mid_message = True
    pending.pending = 1
    fine.last_read = 99.0
    watch = Watch(idle, halfway, pending, fine, idle_timeout=10, message_timeout=10, write_timeout=10)
    watch.check(80.0)

    assert watch.check(100.0) == [["finished", "finished"], ["cut"], ["cut", "cut"], []]


def test_the_log_names_the_closed_connection_and_the_reason(played: Played, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "idlrt.server")
    other = Played()
    played.pending, other.is_mid_message = 1, True
    watch = Watch(played, other, Played(), idle_timeout=1, message_timeout=2, write_timeout=3)
    watch.check(0.0)
    watch.check(10.0)

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "WARNING",
            "closing connection from the test: write_timeout of 3 s exceeded: client does not read its responses",
        ),
        ("WARNING", "closing connection from the test: message_timeout of 2 s exceeded: incomplete request"),
        ("DEBUG", "closing connection from the test: idle_timeout of 1 s exceeded"),
    ]


def test_nothing_is_kept_of_connections_that_have_gone() -> None:
    halfway = Played()
    halfway.is_mid_message = True
    watch = Watch(halfway, message_timeout=10)
    watch.check(0.0)
    gone = weakref.ref(halfway)
    watch.played = ()
    watch.check(1.0)
    del halfway
    gc.collect()

    assert gone() is None


# Protocols with timeouts.


class Timed:
    """A connection whose protocol has timeouts."""

    message_timeout = 2.0
    idle_timeout = 3.0

    def timed_out(self) -> bytes:
        return b"too slow"


def test_a_protocol_can_shorten_the_timeouts_and_say_why(played: Played) -> None:
    played.connection = Timed()
    watch = Watch(played, idle_timeout=100.0, message_timeout=100.0)
    assert watch.check(2.9) == [[]]
    assert watch.check(3.1) == [["finished"]]
    played.done.clear()
    played.is_mid_message, played.is_idle = True, False
    assert watch.check(4.0) == [[]]
    assert watch.check(6.1) == [["finished with too slow"]]


def test_a_protocol_cannot_lengthen_the_timeouts(played: Played) -> None:
    played.connection = Timed()
    assert Watch(played, idle_timeout=1.0).check(1.1) == [["finished"]]

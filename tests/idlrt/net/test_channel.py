"""A channel on a loop whose rounds and clock the test plays: what it notes of its peer.

Servers close connections by these times. `last_read` is on the clock of the loop; `last_written` on `time.monotonic`,
because a round may be long.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from eventually import TIMEOUT, eventually

from idlrt.core import Peer
from idlrt.net import Channel
from idlrt.net.poller import Poller, poller


class Played:
    """A loop: `round` lets everything run that is ready."""

    def __init__(self) -> None:
        self.now = 0.0
        self.poller: Poller = poller()
        self.unsent: list[Channel] = []
        self.soon: list[Callable[[], object]] = []
        self.later: list[Callable[[], object]] = []

    def call_soon(self, function: Callable[..., object], *arguments: Any) -> None:
        self.soon.append(lambda: function(*arguments))

    def call_later(self, seconds: float, function: Callable[..., object], *arguments: Any) -> object:
        # Its time has come in the next round.
        self.later.append(lambda: function(*arguments))
        return None

    def round(self) -> None:
        for number, mask in self.poller.wait(0):
            self.poller.functions[number](mask)
        due, self.later = self.later, []
        for timer in due:
            timer()
        while self.soon:
            self.soon.pop(0)()
        for channel in self.unsent:
            channel.flush()
        self.unsent.clear()


class Recorder:
    """A receiver that keeps what it hears."""

    def __init__(self) -> None:
        self.heard = b""
        self.is_told = False

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def eof_received(self) -> None: ...

    def drained(self) -> None: ...

    def connection_lost(self, error: Exception | None) -> None:
        self.is_told = True


class Bench:
    """A channel and its peer."""

    def __init__(self, linger_timeout: float = TIMEOUT) -> None:
        self.loop = Played()
        ours, self.peer = socket.socketpair()
        ours.setblocking(False)
        self.peer.settimeout(TIMEOUT)
        self.channel = Channel(self.loop, ours, Peer(address="the test"), linger_timeout=linger_timeout)
        self.receiver = Recorder()
        self.channel.open(self.receiver)

    def close(self) -> None:
        self.channel.abort()
        self.loop.round()
        self.loop.poller.close()
        self.peer.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_the_time_of_reading_is_that_of_the_round(bench: Bench) -> None:
    assert bench.channel.last_read == 0.0
    bench.loop.now = 5.0
    bench.loop.round()
    assert bench.channel.last_read == 0.0

    bench.peer.sendall(b"hello")
    bench.loop.now = 7.0
    bench.loop.round()
    assert bench.receiver.heard == b"hello"
    assert bench.channel.last_read == 7.0


def test_a_reply_that_is_taken_at_once_sets_the_time_even_in_a_long_round(bench: Bench) -> None:
    # As after a call that took longer than a connection may be idle.
    before = time.monotonic()
    bench.channel.send(b"a reply")
    bench.loop.round()

    assert bench.channel.pending == 0
    assert before <= bench.channel.last_written <= time.monotonic()


def test_a_peer_that_has_to_begin_to_take_has_its_time_from_then_on(bench: Bench) -> None:
    # As after a handler that took longer than a peer may take.
    before = time.monotonic()
    bench.channel.send(bytes(8_000_000))
    bench.loop.round()

    assert bench.channel.pending > 0
    assert before <= bench.channel.last_written <= time.monotonic()


def test_a_peer_that_takes_nothing_does_not_change_the_time_and_one_that_takes_little_does(bench: Bench) -> None:
    bench.channel.send(bytes(8_000_000))
    bench.loop.round()
    taken, pending = bench.channel.last_written, bench.channel.pending
    for _ in range(3):
        bench.loop.round()
    assert (bench.channel.last_written, bench.channel.pending) == (taken, pending)

    def is_taken() -> bool:
        bench.peer.recv(100_000)
        bench.loop.round()
        return bench.channel.pending < pending

    eventually(is_taken)
    assert bench.channel.pending > 0
    assert bench.channel.last_written > taken


def test_a_closed_channel_waits_until_its_peer_has_read_the_last_bytes(bench: Bench) -> None:
    bench.channel.send(b"a reply")
    bench.loop.round()
    bench.channel.close()
    for _ in range(10):
        bench.loop.round()
    assert not bench.channel.is_closed

    assert bench.peer.recv(100) == b"a reply"
    bench.loop.round()
    assert bench.channel.is_closed
    assert bench.receiver.is_told


@pytest.mark.parametrize("is_half_closed", [False, True])
def test_a_closed_channel_does_not_wait_for_ever_for_a_peer_that_does_not_read(is_half_closed: bool) -> None:
    bench = Bench(linger_timeout=0.01)
    bench.channel.send(b"a reply")
    bench.loop.round()
    if is_half_closed:
        bench.peer.shutdown(socket.SHUT_WR)
        bench.loop.round()
    bench.channel.close()

    def is_told() -> bool:
        bench.loop.round()
        return bench.receiver.is_told

    eventually(is_told)
    assert bench.channel.is_closed
    bench.close()

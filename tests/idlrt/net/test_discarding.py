"""The end of connections whose client is still sending: it reads its last response afterwards.

A loop whose rounds the test plays, real sockets of TCP, where a close with unread data would be a reset.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from eventually import TIMEOUT, eventually

from idlrt.core import Peer
from idlrt.net import Channel
from idlrt.net.poller import Poller, poller

MANY = bytes(1 << 20)


class Played:
    """A loop: `round` lets everything run that is ready."""

    def __init__(self) -> None:
        self.now = 0.0
        self.poller: Poller = poller()
        self.unsent: list[Channel] = []
        self.due: list[Callable[[], object]] = []

    def call_soon(self, function: Callable[..., object], *arguments: Any) -> None:
        self.due.append(lambda: function(*arguments))

    def call_later(self, seconds: float, function: Callable[..., object], *arguments: Any) -> object:
        self.due.append(lambda: function(*arguments))
        return None

    def round(self) -> None:
        for number, mask in self.poller.wait(0):
            self.poller.functions[number](mask)
        due, self.due = self.due, []
        for each in due:
            each()
        for channel in self.unsent:
            channel.flush()
        self.unsent.clear()


class Recorder:
    """A receiver that keeps what it hears."""

    def __init__(self) -> None:
        self.heard = 0
        self.lost: list[Exception | None] = []

    def data_received(self, data: bytes) -> None:
        self.heard += len(data)

    def eof_received(self) -> None: ...

    def drained(self) -> None: ...

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.append(error)


class Bench:
    """A channel and its client."""

    def __init__(self, linger_timeout: float = TIMEOUT) -> None:
        self.loop = Played()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.client = socket.create_connection(listening.getsockname())
            ours, _ = listening.accept()
        ours.setblocking(False)
        self.client.setblocking(False)
        self.channel = Channel(self.loop, ours, Peer(address="the test"), linger_timeout=linger_timeout)
        self.receiver = Recorder()
        self.channel.open(self.receiver)

    def send(self, data: bytes) -> None:
        """Let the client send, which needs a server that reads."""
        left = memoryview(data)

        def sent() -> bool:
            nonlocal left
            self.loop.round()
            with contextlib.suppress(BlockingIOError):
                left = left[self.client.send(left) :]
            return not left

        eventually(sent)

    def received(self) -> bytes:
        """Return what the client reads until the end."""
        parts: list[bytes] = []

        def is_over() -> bool:
            self.loop.round()
            try:
                parts.append(self.client.recv(65536))
            except BlockingIOError:
                return False
            return parts[-1] == b""

        eventually(is_over)
        return b"".join(parts)

    def is_lost(self) -> bool:
        self.loop.round()
        return bool(self.receiver.lost)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.channel.abort()
    made.loop.round()
    made.loop.poller.close()
    made.client.close()


@pytest.mark.parametrize("answer", [b"too large", bytes(3_000_000)])
def test_a_client_that_is_sending_reads_its_answer(bench: Bench, answer: bytes) -> None:
    bench.channel.send(answer)
    bench.channel.close(discard=True)
    bench.send(MANY * 16)
    assert bench.received() == answer
    bench.client.close()

    eventually(bench.is_lost)
    assert bench.receiver.lost == [None]
    assert bench.receiver.heard == 0


def test_the_connection_ends_with_that_of_the_client(bench: Bench) -> None:
    bench.channel.send(b"answer")
    bench.channel.close(discard=True)
    bench.send(MANY)
    bench.client.shutdown(socket.SHUT_WR)

    eventually(bench.is_lost)
    assert bench.received() == b"answer"


def test_a_client_that_closes_before_everything_is_sent(bench: Bench) -> None:
    bench.channel.send(bytes(8_000_000))
    bench.channel.close(discard=True)
    bench.send(MANY)
    bench.client.shutdown(socket.SHUT_WR)
    assert bench.received() == bytes(8_000_000)
    eventually(bench.is_lost)


def test_a_silent_client_is_waited_for_in_vain() -> None:
    bench = Bench()
    bench.channel.send(b"answer")
    bench.channel.close(discard=True)
    assert bench.received() == b"answer"

    eventually(bench.is_lost)  # after a second without data
    bench.loop.poller.close()
    bench.client.close()


def test_a_client_that_never_stops_sending_is_cut_off() -> None:
    bench = Bench(linger_timeout=0.05)
    bench.channel.send(b"answer")
    bench.channel.close(discard=True)

    def is_cut() -> bool:
        bench.loop.round()
        try:
            bench.client.send(MANY)
        except BlockingIOError:
            pass
        except OSError:
            return True
        return bool(bench.receiver.lost)

    eventually(is_cut)
    bench.loop.poller.close()
    bench.client.close()


def test_without_need_nothing_is_read(bench: Bench) -> None:
    bench.channel.send(b"answer")
    bench.channel.close()
    eventually(bench.is_lost)
    assert bench.received() == b"answer"

"""The poller loop, without any protocol."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator

import pytest
from eventually import TIMEOUT

from idlrt.net import Address, Channel, Listener, SelectorLoop, listen


class Recorder:
    """A receiver that notes what it hears."""

    def __init__(self, loop: SelectorLoop, channel: Channel) -> None:
        self.loop = loop
        self.channel = channel
        self.heard = b""
        self.events: list[str] = []
        self.told = threading.Event()
        channel.open(self)

    def data_received(self, data: bytes) -> None:
        self.heard += data
        if data == b"fail":
            raise RuntimeError("a receiver that fails")
        if data == b"big":
            self.channel.send(b"x" * 10_000_000)
        else:
            self.channel.send(data)

    def eof_received(self) -> None:
        self.events.append("eof")
        self.channel.close()

    def drained(self) -> None:
        self.events.append("drained")

    def connection_lost(self, error: Exception | None) -> None:
        self.events.append("lost" if error is None else type(error).__name__)
        self.told.set()


class Running:
    """A loop on a thread, with a listener."""

    def __init__(self) -> None:
        self.loop = SelectorLoop()
        self.listening = listen(Address("127.0.0.1", 0), backlog=10)
        self.port = self.listening.getsockname()[1]
        self.recorders: list[Recorder] = []
        self.listener = Listener(
            self.loop, self.listening, lambda channel: self.recorders.append(Recorder(self.loop, channel))
        )
        self.thread = threading.Thread(target=self.loop.run, daemon=True)
        self.thread.start()

    def connect(self) -> socket.socket:
        raw = socket.create_connection(("127.0.0.1", self.port), TIMEOUT)
        raw.settimeout(TIMEOUT)
        return raw

    def stop(self) -> None:
        self.loop.call_threadsafe(self.loop.stop)
        self.thread.join(TIMEOUT)
        assert not self.thread.is_alive()
        self.listener.close()
        for recorder in self.recorders:
            recorder.channel.abort()
        self.loop.close()


@pytest.fixture
def running() -> Iterator[Running]:
    made = Running()
    yield made
    made.stop()


def read(raw: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := raw.recv(1 << 20)):
        data += more
    return data


def test_bytes_come_and_go(running: Running) -> None:
    with running.connect() as raw:
        raw.sendall(b"hello")
        assert read(raw, 5) == b"hello"


def test_what_a_peer_does_not_take_is_kept_and_sent_later(running: Running) -> None:
    with running.connect() as raw, running.connect() as other:
        raw.sendall(b"big")
        assert raw.recv(1, socket.MSG_PEEK) == b"x"
        other.sendall(b"others go on")
        assert read(other, 12) == b"others go on"
        assert read(raw, 10_000_000) == b"x" * 10_000_000
        raw.sendall(b"!")
        assert read(raw, 1) == b"!"
    assert "drained" in running.recorders[0].events


def test_the_end_is_told(running: Running) -> None:
    with running.connect() as raw:
        raw.sendall(b"last words")
        raw.shutdown(socket.SHUT_WR)
        assert read(raw, 100) == b"last words"
    (recorder,) = running.recorders
    assert recorder.told.wait(TIMEOUT)
    assert recorder.events == ["eof", "lost"]


def test_a_receiver_that_fails_costs_its_own_connection(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    with running.connect() as raw, running.connect() as other:
        raw.sendall(b"fail")
        with contextlib.suppress(ConnectionResetError):
            assert raw.recv(1) == b""
        other.sendall(b"fine")
        assert read(other, 4) == b"fine"
    assert "a receiver that fails" in caplog.text
    assert running.recorders[0].events == ["RuntimeError"]


def test_pausing_makes_the_peer_wait(running: Running) -> None:
    with running.connect() as raw:
        raw.sendall(b"a")
        assert read(raw, 1) == b"a"
        (recorder,) = running.recorders
        done = threading.Event()
        running.loop.call_threadsafe(recorder.channel.pause_reading)
        running.loop.call_threadsafe(done.set)
        assert done.wait(TIMEOUT)
        raw.sendall(b"b")
        done.clear()
        running.loop.call_threadsafe(done.set)
        assert done.wait(TIMEOUT)
        assert recorder.heard == b"a"
        running.loop.call_threadsafe(recorder.channel.resume_reading)
        assert read(raw, 1) == b"b"


def test_closing_sends_what_is_pending_first(running: Running) -> None:
    with running.connect() as raw:
        raw.sendall(b"big")
        assert raw.recv(1, socket.MSG_PEEK) == b"x"
        running.loop.call_threadsafe(running.recorders[0].channel.close)
        assert len(read(raw, 20_000_000)) == 10_000_000


def test_nothing_is_heard_after_closing(running: Running) -> None:
    with running.connect() as raw:
        raw.sendall(b"a")
        assert read(raw, 1) == b"a"
        (recorder,) = running.recorders
        done = threading.Event()

        def close() -> None:
            # Something that the peer has not acknowledged keeps the socket open for a moment.
            recorder.channel.send(b"x" * 3_000_000)
            recorder.channel.flush()
            recorder.channel.close()
            done.set()

        running.loop.call_threadsafe(close)
        assert done.wait(TIMEOUT)
        with contextlib.suppress(OSError):
            raw.sendall(b"too late")
        assert len(read(raw, 4_000_000)) == 3_000_000
        assert recorder.told.wait(TIMEOUT)
    assert recorder.heard == b"a"


def test_timers_run_in_their_order_unless_cancelled(running: Running) -> None:
    ran: list[int] = []
    done = threading.Event()

    def last() -> None:
        ran.append(2)
        done.set()

    def plan() -> None:
        running.loop.call_later(3600, ran.append, 3)
        running.loop.call_later(0, ran.append, 1)
        running.loop.call_later(0, ran.append, -1).cancel()
        running.loop.call_later(0.003, last)
        running.loop.call_soon(ran.append, 0)

    running.loop.call_threadsafe(plan)
    assert done.wait(TIMEOUT)
    assert sorted(ran) == [0, 1, 2]
    assert ran[-1] == 2


def test_other_threads_wake_the_loop_and_lose_nothing(running: Running) -> None:
    counts: list[int] = []
    done = threading.Event()

    def work() -> None:
        for number in range(500):
            running.loop.call_threadsafe(counts.append, number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    running.loop.call_threadsafe(done.set)
    assert done.wait(TIMEOUT)
    assert len(counts) == 2000


def test_a_call_that_fails_is_logged_and_the_loop_goes_on(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "idlrt.net")
    done = threading.Event()
    running.loop.call_threadsafe(lambda: 1 / 0)
    running.loop.call_threadsafe(done.set)
    assert done.wait(TIMEOUT)
    assert "ZeroDivisionError" in caplog.text


def test_calling_a_loop_that_has_ended_is_harmless() -> None:
    loop = SelectorLoop()
    loop.stop()
    loop.run()
    loop.close()
    loop.call_threadsafe(print)

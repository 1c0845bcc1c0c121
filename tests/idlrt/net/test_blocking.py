"""Sockets for threads that wait."""

from __future__ import annotations

import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from eventually import TIMEOUT, eventually

from idlrt.net import Address, BlockingSocket


@pytest.fixture
def pair() -> Iterator[tuple[BlockingSocket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = BlockingSocket.connect(Address("127.0.0.1", listening.getsockname()[1]), TIMEOUT)
        theirs, _ = listening.accept()
        with theirs:
            theirs.settimeout(TIMEOUT)
            yield ours, theirs
            ours.close()


def soon() -> float:
    return time.monotonic() + TIMEOUT


def test_bytes_come_and_go(pair: tuple[BlockingSocket, socket.socket]) -> None:
    ours, theirs = pair
    ours.send(b"hello", soon())
    assert theirs.recv(100) == b"hello"
    theirs.sendall(b"you")
    assert ours.receive(soon()) == b"you"


def test_nothing_comes_in_time(pair: tuple[BlockingSocket, socket.socket]) -> None:
    ours, _ = pair
    deadline = time.monotonic() + 0.02
    with pytest.raises(TimeoutError):
        ours.receive(deadline)
    assert time.monotonic() >= deadline


def test_timeouts_of_receives_on_another_thread_are_independent(pair: tuple[BlockingSocket, socket.socket]) -> None:
    """The receive timeout of the socket is that of an earlier receive: longer, shorter, or almost the same."""
    ours, theirs = pair

    def expires(seconds: float) -> float:
        deadline = time.monotonic() + seconds
        with pytest.raises(TimeoutError):
            ours.receive(deadline)
        return time.monotonic() - deadline

    def receive() -> list[float]:
        theirs.sendall(b"there")
        assert ours.receive(soon()) == b"there"
        return [expires(seconds) for seconds in (0.02, 0.03, 0.2, 0.19, 0.02)]

    with ThreadPoolExecutor(1) as threads:
        late = threads.submit(receive).result()
    assert all(0 <= seconds < TIMEOUT / 2 for seconds in late)


def test_the_receive_timeout_of_a_socket_is_rarely_set(
    pair: tuple[BlockingSocket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pair
    count = 0
    pack = struct.pack

    def counted(*values: Any) -> bytes:
        nonlocal count
        count += 1
        return pack(*values)

    def receive(timeout: float) -> None:
        for part in range(100):
            theirs.sendall(b"there")
            # Calls do not all take the same time before they receive.
            assert ours.receive(time.monotonic() + timeout * (1 - part % 10 / 100)) == b"there"

    monkeypatch.setattr(struct, "pack", counted)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(receive, TIMEOUT).result()
        assert 1 <= count <= 10
        threads.submit(receive, 1e6).result()
    assert count <= 11


def test_a_peer_that_does_not_read(pair: tuple[BlockingSocket, socket.socket]) -> None:
    ours, _ = pair
    with pytest.raises(TimeoutError):
        ours.send(b"x" * 50_000_000, time.monotonic() + 0.05)


def test_a_time_that_is_over_already_is_tried_once(pair: tuple[BlockingSocket, socket.socket]) -> None:
    ours, theirs = pair
    with pytest.raises(TimeoutError):
        ours.receive(time.monotonic() - 1)
    theirs.sendall(b"there")
    eventually(lambda: not ours.is_quiet())
    assert ours.receive(time.monotonic() - 1) == b"there"


def test_the_end(pair: tuple[BlockingSocket, socket.socket]) -> None:
    ours, theirs = pair
    assert ours.is_quiet()
    theirs.close()
    eventually(lambda: not ours.is_quiet())
    assert ours.receive(soon()) == b""


def test_closing_twice(pair: tuple[BlockingSocket, socket.socket]) -> None:
    ours, _ = pair
    ours.close()
    ours.close()


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals come on the main thread")
def test_signals_do_not_restart_the_timeout() -> None:
    """Each of them interrupts what waits in the kernel; a timer of signals would do so for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        transport = BlockingSocket.connect(Address("127.0.0.1", listening.getsockname()[1]), TIMEOUT)
        theirs, _ = listening.accept()
    is_over = threading.Event()
    count = 0

    def interrupted(number: int, frame: object) -> None:
        nonlocal count
        count += 1
        if count == 200:
            # The timeout has expired long ago. `receive` returns the end of the stream, which fails the test.
            theirs.close()

    def interrupt() -> None:
        while not is_over.wait(0.01):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupted)
    interrupting = threading.Thread(target=interrupt, daemon=True)
    interrupting.start()
    try:
        with pytest.raises(TimeoutError):
            transport.receive(time.monotonic() + 0.2)
    finally:
        is_over.set()
        interrupting.join(TIMEOUT)
        signal.signal(signal.SIGUSR1, before)
        transport.close()
        theirs.close()
    assert count > 0

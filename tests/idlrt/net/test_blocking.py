"""Sockets for threads that wait."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from idlrt.net import Address, BlockingSocket


@pytest.fixture
def pair() -> Iterator[tuple[BlockingSocket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = BlockingSocket.connect(Address("127.0.0.1", listening.getsockname()[1]), 20)
        theirs, _ = listening.accept()
        with theirs:
            theirs.settimeout(20)
            yield ours, theirs
            ours.close()


def soon() -> float:
    return time.monotonic() + 20


def test_bytes_come_and_go(pair: tuple[BlockingSocket, socket.socket]) -> None:
    ours, theirs = pair
    ours.send(b"hello", soon())
    assert theirs.recv(100) == b"hello"
    theirs.sendall(b"you")
    assert ours.receive(soon()) == b"you"


def test_nothing_comes_in_time(pair: tuple[BlockingSocket, socket.socket]) -> None:
    ours, _ = pair
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        ours.receive(start + 0.02)
    assert 0.02 <= time.monotonic() - start < 10


def test_a_peer_that_does_not_read(pair: tuple[BlockingSocket, socket.socket]) -> None:
    ours, _ = pair
    with pytest.raises(TimeoutError):
        ours.send(b"x" * 50_000_000, time.monotonic() + 0.05)


def test_a_time_that_is_over_already_is_tried_once(pair: tuple[BlockingSocket, socket.socket]) -> None:
    ours, theirs = pair
    with pytest.raises(TimeoutError):
        ours.receive(time.monotonic() - 1)
    theirs.sendall(b"there")
    while ours.is_quiet():
        pass
    assert ours.receive(time.monotonic() - 1) == b"there"


def test_the_end(pair: tuple[BlockingSocket, socket.socket]) -> None:
    ours, theirs = pair
    assert ours.is_quiet()
    theirs.close()
    while ours.is_quiet():
        pass
    assert ours.receive(soon()) == b""


def test_closing_twice(pair: tuple[BlockingSocket, socket.socket]) -> None:
    ours, _ = pair
    ours.close()
    ours.close()


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals come on the main thread")
def test_signals_do_not_begin_the_time_anew() -> None:
    """Each of them interrupts what waits in the kernel; a timer of signals would do so for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        transport = BlockingSocket.connect(Address("127.0.0.1", listening.getsockname()[1]), 20)
        # Ends the test if it fails.
        hang_up = threading.Timer(5, lambda: listening.accept()[0].close())
        hang_up.start()
        before = signal.signal(signal.SIGALRM, lambda number, frame: None)
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        start = time.monotonic()
        try:
            with pytest.raises(TimeoutError):
                transport.receive(start + 0.2)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            hang_up.cancel()
            transport.close()
        assert time.monotonic() - start < 2

"""Socket options read from the kernel."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest
from eventually import TIMEOUT, eventually

from idlrt.net.socket_options import unacknowledged


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = socket.create_connection(listening.getsockname(), TIMEOUT)
        ours, _ = listening.accept()
    with ours, peer:
        yield ours, peer


def test_bytes_count_as_acknowledged_once_the_kernel_of_the_peer_has_them(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, _ = pair
    ours.sendall(b"a reply")

    eventually(lambda: unacknowledged(ours) == 0, "the kernel of the peer has the bytes")


def test_bytes_that_no_buffer_has_room_for_are_unacknowledged(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    ours.setblocking(False)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += ours.send(bytes(1 << 20))

    assert 0 < unacknowledged(ours) <= sent


def test_nothing_is_unacknowledged_after_the_peer_hung_up(pair: tuple[socket.socket, socket.socket]) -> None:
    # The kernel keeps counting bytes that will never be acknowledged.
    ours, peer = pair
    peer.close()
    ours.sendall(b"a reply")

    eventually(lambda: unacknowledged(ours) == 0, "the connection was reset")

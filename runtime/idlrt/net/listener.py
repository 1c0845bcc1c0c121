"""A listening socket on a readiness loop."""

from __future__ import annotations

import errno
import logging
import selectors
import socket
from collections.abc import Callable

from idlrt.net.address import Address
from idlrt.net.channel import Channel, Rounds

__all__ = ["Listener", "listen"]

_log = logging.getLogger("idlrt.net")

_ACCEPTS_AT_ONCE = 64
_ACCEPT_PAUSE = 0.1
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def listen(address: Address, *, backlog: int) -> socket.socket:
    """A socket that listens at `address`.

    Raises:
        OSError: it is taken, not ours, or not known.
    """
    found = socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # Of several addresses of a name the first one; IPv4 of "every interface", which is there everywhere.
    family, kind, number, _, where = min(found, key=lambda each: each[0] != socket.AF_INET)
    listening = socket.socket(family, kind, number)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(backlog)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


class Listener:
    """Accepts connections. Rests for a moment when the process has no descriptor left.

    Args:
        listening: becomes the listener's.
        accepted: is given each connection; opens it.
    """

    def __init__(self, loop: Rounds, listening: socket.socket, accepted: Callable[[Channel], None]) -> None:
        self._loop = loop
        self._socket = listening
        self._accepted = accepted
        self._is_watched = False
        self._is_closed = False
        self._watch()

    def _watch(self) -> None:
        if not self._is_watched and not self._is_closed:
            self._loop.selector.register(self._socket, selectors.EVENT_READ, self._ready)
            self._is_watched = True

    def _unwatch(self) -> None:
        if self._is_watched:
            self._loop.selector.unregister(self._socket)
            self._is_watched = False

    def close(self) -> None:
        """Accept who has connected already, then no more."""
        if not self._is_closed:
            self._ready(0)
            self._unwatch()
            self._is_closed = True
            self._socket.close()

    def _ready(self, mask: int) -> None:
        if self._is_closed:
            return
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                connected, peer = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_ROOM:
                    _log.warning("cannot accept connections for the moment: %s", error)
                    self._unwatch()
                    self._loop.call_later(_ACCEPT_PAUSE, self._watch)
                    return
                continue  # this one has gone again
            try:
                connected.setblocking(False)
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._accepted(Channel(self._loop, connected, f"{peer[0]}:{peer[1]}"))
            except Exception:  # noqa: BLE001  # logged, and costs one connection
                _log.exception("cannot serve the connection of %s", peer)
                connected.close()

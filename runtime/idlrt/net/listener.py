"""A listening socket on a readiness loop."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable

from idlrt.core import Peer
from idlrt.core.logs import get_logger
from idlrt.net.address import Address, peer_name
from idlrt.net.channel import Channel, Rounds
from idlrt.net.readiness import READ
from idlrt.net.socket_options import prepare

__all__ = ["NO_ROOM", "Listener", "file_of", "listen", "unlink"]

_log = get_logger("idlrt.net")

_ACCEPTS_AT_ONCE = 64
_ACCEPT_PAUSE = 0.1
NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def listen(address: Address, *, backlog: int, reuse_port: bool = False) -> socket.socket:
    """A socket that listens at `address`.

    A unix socket that a process has left behind is replaced; one at which somebody listens is not.

    Args:
        reuse_port: let several processes listen here; the system shares connections out among them.

    Raises:
        OSError: it is taken, not ours, or not known.
    """
    if address.path:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        where: object = address.place
    else:
        found = socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # Of several addresses of a name the first one; IPv4 of "every interface", which is there everywhere.
        family, kind, number, _, where = min(found, key=lambda each: each[0] != socket.AF_INET)
        listening = socket.socket(family, kind, number)
    try:
        if address.path:
            _remove_stale(address)
        else:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(where)  # type: ignore[arg-type]
        listening.listen(backlog)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def _remove_stale(address: Address) -> None:
    """Remove the file of a socket at which nobody listens."""
    try:
        if address.path.startswith("@") or not stat.S_ISSOCK(os.stat(address.path).st_mode):
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(address.path)
        except ConnectionRefusedError:
            os.unlink(address.path)
        except OSError:
            return


def file_of(address: Address) -> int:
    """Which file a unix socket has, by its number; 0 if it has none."""
    if not address.path or address.path.startswith("@"):
        return 0
    try:
        return os.stat(address.path).st_ino
    except OSError:
        return 0


def unlink(address: Address, file: int) -> None:
    """Remove the file of a unix socket that is given up, if it is still this one."""
    if file and file_of(address) == file:
        with contextlib.suppress(OSError):
            os.unlink(address.path)


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
        self._is_paused = False
        self._is_closed = False
        self._watch()

    @property
    def is_paused(self) -> bool:
        """Whether those who come have to wait."""
        return self._is_paused

    def pause(self) -> None:
        """Let those who come wait in the system's queue."""
        self._is_paused = True
        self._unwatch()

    def resume(self) -> None:
        """Undo `pause`."""
        if self._is_paused:
            self._is_paused = False
            self._watch()

    def _watch(self) -> None:
        if not self._is_watched and not self._is_closed and not self._is_paused:
            self._loop.readiness.watch(self._socket, READ, self._ready)
            self._is_watched = True

    def _unwatch(self) -> None:
        if self._is_watched:
            self._loop.readiness.unwatch(self._socket)
            self._is_watched = False

    def close(self) -> None:
        """Accept who has connected already, then no more."""
        if not self._is_closed:
            while self._accept_some():
                pass
            self._unwatch()
            self._is_closed = True
            self._socket.close()

    def _ready(self, mask: int) -> None:
        if not self._is_closed:
            self._accept_some()

    def _accept_some(self) -> bool:
        """Accept some connections; whether there may be more."""
        for _ in range(_ACCEPTS_AT_ONCE):
            if self._is_paused:
                return False
            try:
                connected, peer = self._socket.accept()
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno in NO_ROOM:
                    _log.warning("cannot accept connections for the moment: %s", error)
                    self._unwatch()
                    self._loop.call_later(_ACCEPT_PAUSE, self._watch)
                    return False
                continue  # this one has gone again
            try:
                prepare(connected)
                self._accepted(Channel(self._loop, connected, Peer(address=peer_name(peer))))
            except Exception:  # noqa: BLE001  # logged, and costs one connection
                _log.exception("cannot serve the connection of %s", peer_name(peer))
                connected.close()
        return True

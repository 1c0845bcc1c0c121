"""Listening socket on a selector loop."""

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
from idlrt.net.channel import Channel, ChannelLoop
from idlrt.net.poller import READ
from idlrt.net.socket_options import configure

__all__ = ["OUT_OF_RESOURCES", "Listener", "listen", "socket_inode", "unlink"]

_log = get_logger("idlrt.net")

_ACCEPTS_AT_ONCE = 64
_ACCEPT_DELAY = 0.1
OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def listen(address: Address, *, backlog: int, reuse_port: bool = False) -> socket.socket:
    """Return a socket that listens on `address`.

    The file of a Unix socket that a dead process has left behind is replaced; one that is in use is not.

    Args:
        address: address to bind.
        backlog: maximum number of connections that wait to be accepted.
        reuse_port: allow several processes to listen on the port; the kernel distributes connections among them.

    Raises:
        OSError: the address is in use, not available or unknown.
    """
    if address.path:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        where: object = address.socket_path
    else:
        found = socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # Prefer IPv4, which every system has; otherwise take the first address of the name.
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
    """Remove the file of a Unix socket on which no process listens."""
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


def socket_inode(address: Address) -> int:
    """Return the inode of the file of a Unix socket; 0 if there is none."""
    if not address.path or address.path.startswith("@"):
        return 0
    try:
        return os.stat(address.path).st_ino
    except OSError:
        return 0


def unlink(address: Address, file: int) -> None:
    """Remove the file of a Unix socket if its inode is still `file`, so that another server's file is kept."""
    if file and socket_inode(address) == file:
        with contextlib.suppress(OSError):
            os.unlink(address.path)


class Listener:
    """Accepts connections, and pauses for a short time when the process has no file descriptors left.

    Args:
        loop: the loop.
        listening: the listening socket; the listener closes it.
        accepted: called with each new connection, which it must open.
    """

    def __init__(self, loop: ChannelLoop, listening: socket.socket, accepted: Callable[[Channel], None]) -> None:
        self._loop = loop
        self._socket = listening
        self._accepted = accepted
        self._is_watched = False
        self._is_paused = False
        self._is_closed = False
        self._watch()

    @property
    def is_paused(self) -> bool:
        """Whether accepting is paused."""
        return self._is_paused

    def pause(self) -> None:
        """Stop accepting: new connections wait in the backlog of the kernel."""
        self._is_paused = True
        self._unwatch()

    def resume(self) -> None:
        """Resume accepting."""
        if self._is_paused:
            self._is_paused = False
            self._watch()

    def _watch(self) -> None:
        if not self._is_watched and not self._is_closed and not self._is_paused:
            self._loop.poller.watch(self._socket, READ, self._ready)
            self._is_watched = True

    def _unwatch(self) -> None:
        if self._is_watched:
            self._loop.poller.unwatch(self._socket)
            self._is_watched = False

    def close(self) -> None:
        """Accept the connections in the backlog, then close the listening socket."""
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
        """Accept some connections, and return whether there may be more."""
        for _ in range(_ACCEPTS_AT_ONCE):
            if self._is_paused:
                return False
            try:
                connected, peer = self._socket.accept()
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno in OUT_OF_RESOURCES:
                    _log.warning(
                        "cannot accept connections: %s; retrying in %g s",
                        error,
                        _ACCEPT_DELAY,
                        extra={"delay_s": _ACCEPT_DELAY},
                    )
                    self._unwatch()
                    self._loop.call_later(_ACCEPT_DELAY, self._watch)
                    return False
                continue  # the client has disconnected already
            try:
                configure(connected)
                self._accepted(Channel(self._loop, connected, Peer(address=peer_name(peer))))
            except Exception:  # noqa: BLE001  # logged, and affects one connection only
                name = peer_name(peer)
                _log.exception("cannot set up connection from %s", name, extra={"peer": name})
                connected.close()
        return True

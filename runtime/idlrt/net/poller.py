"""Pollers: which sockets are ready for reading and writing.

On Linux the poller uses `epoll` directly. (The `selectors` module of the standard library creates a key and a tuple for
each event, which took a tenth of the server's time for a small call.) On other systems it uses the default selector.
"""

from __future__ import annotations

import select
import selectors
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Final, Protocol

__all__ = ["READ", "WRITE", "Poller", "ReadyCallback", "poller"]

READ: Final = 1
WRITE: Final = 4
_BOTH: Final = READ | WRITE

ReadyCallback = Callable[[int], object]
"""Callback of a socket, called with the events `READ`, `WRITE` or both. An error or a hangup counts as both."""

_EVENTS_AT_ONCE: Final = 256


class Poller(Protocol):
    """Interface of pollers.

    Attributes:
        functions: callbacks by file descriptor; read-only for callers.
    """

    functions: dict[int, ReadyCallback]

    def watch(self, watched: socket.socket, wanted: int, ready: ReadyCallback) -> None:
        """Register a socket for the events `wanted`, or change its events and callback."""
        ...

    def unwatch(self, watched: socket.socket) -> None:
        """Unregister a socket, which must still be open."""
        ...

    def wait(self, seconds: float | None) -> Sequence[tuple[int, int]]:
        """Wait for events, at most `seconds` (`None`: without a limit), and return them as file descriptor and mask.

        An event may be stale when it is handled: an earlier callback may have closed the socket, and another socket may
        have its descriptor. So look up the callback in `functions` for each event just before calling it, and write
        callbacks that tolerate spurious events.
        """
        ...

    def close(self) -> None:
        """Release the poller's resources."""
        ...


if sys.platform == "linux":

    class EpollPoller:
        """Poller for Linux, based on `epoll`."""

        def __init__(self) -> None:
            self.functions: dict[int, ReadyCallback] = {}
            self._epoll = select.epoll()
            self._poll = self._epoll.poll

        def watch(self, watched: socket.socket, wanted: int, ready: ReadyCallback) -> None:
            number = watched.fileno()
            if number in self.functions:
                self._epoll.modify(number, wanted)
            else:
                self._epoll.register(number, wanted)
            self.functions[number] = ready

        def unwatch(self, watched: socket.socket) -> None:
            number = watched.fileno()
            del self.functions[number]
            self._epoll.unregister(number)

        def wait(self, seconds: float | None) -> Sequence[tuple[int, int]]:
            # `READ` and `WRITE` have the values of `EPOLLIN` and `EPOLLOUT`.
            found = self._poll(seconds, _EVENTS_AT_ONCE)
            for index, (number, events) in enumerate(found):
                if events > _BOTH:
                    found[index] = number, _BOTH
            return found

        def close(self) -> None:
            self._epoll.close()


class SelectorsPoller:
    """Poller for all systems, based on `selectors`."""

    def __init__(self) -> None:
        self.functions: dict[int, ReadyCallback] = {}
        self._selector = selectors.DefaultSelector()

    def watch(self, watched: socket.socket, wanted: int, ready: ReadyCallback) -> None:
        number = watched.fileno()
        events = (selectors.EVENT_READ if wanted & READ else 0) | (selectors.EVENT_WRITE if wanted & WRITE else 0)
        if number in self.functions:
            self._selector.modify(number, events)
        else:
            self._selector.register(number, events)
        self.functions[number] = ready

    def unwatch(self, watched: socket.socket) -> None:
        number = watched.fileno()
        del self.functions[number]
        self._selector.unregister(number)

    def wait(self, seconds: float | None) -> Sequence[tuple[int, int]]:
        return [
            (key.fd, (READ if mask & selectors.EVENT_READ else 0) | (WRITE if mask & selectors.EVENT_WRITE else 0))
            for key, mask in self._selector.select(seconds)
        ]

    def close(self) -> None:
        self._selector.close()


def poller() -> Poller:
    """Return the best poller of this system."""
    if sys.platform == "linux":
        return EpollPoller()
    return SelectorsPoller()

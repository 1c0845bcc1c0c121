"""Which sockets are ready: what the readiness loop waits with.

On Linux this is `epoll` itself. (The standard library's `selectors` makes a key and a tuple of each event, which was a
tenth of what a small call cost the server.) Elsewhere it is what `selectors` finds best.
"""

from __future__ import annotations

import select
import selectors
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Final, Protocol

__all__ = ["READ", "WRITE", "Readiness", "Ready", "readiness"]

READ: Final = 1
WRITE: Final = 4
_BOTH: Final = READ | WRITE

Ready = Callable[[int], object]
"""Called with what a socket is ready for: `READ`, `WRITE` or both. Errors and the end are both."""

_EVENTS_AT_ONCE: Final = 256


class Readiness(Protocol):
    """Sockets, and what is called when they are ready.

    Attributes:
        functions: what is called, by the number of the socket's file. To be looked at, not changed.
    """

    functions: dict[int, Ready]

    def watch(self, watched: socket.socket, wanted: int, ready: Ready) -> None:
        """Wait for `wanted` on `watched` from now on, instead of what was waited for before."""
        ...

    def unwatch(self, watched: socket.socket) -> None:
        """Wait for nothing on it any more. It must be open still."""
        ...

    def wait(self, seconds: float | None) -> Sequence[tuple[int, int]]:
        """What is ready, as number and `READ` or `WRITE`, within `seconds` (`None`: however long it takes).

        An event may be out of date when its turn comes: an earlier one has closed the socket, and another one may
        have its number by then. So `functions` is to be asked for each just before it is called, and who is called
        must not mind that there is nothing to do.
        """
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


if sys.platform == "linux":

    class Epoll:
        """Linux's own. See `Readiness`."""

        def __init__(self) -> None:
            self.functions: dict[int, Ready] = {}
            self._epoll = select.epoll()
            self._poll = self._epoll.poll

        def watch(self, watched: socket.socket, wanted: int, ready: Ready) -> None:
            """See `Readiness.watch`."""
            number = watched.fileno()
            if number in self.functions:
                self._epoll.modify(number, wanted)
            else:
                self._epoll.register(number, wanted)
            self.functions[number] = ready

        def unwatch(self, watched: socket.socket) -> None:
            """See `Readiness.unwatch`."""
            number = watched.fileno()
            del self.functions[number]
            self._epoll.unregister(number)

        def wait(self, seconds: float | None) -> Sequence[tuple[int, int]]:
            """See `Readiness.wait`. `EPOLLIN` and `EPOLLOUT` are the values of `READ` and `WRITE`."""
            found = self._poll(seconds, _EVENTS_AT_ONCE)
            for index, (number, events) in enumerate(found):
                if events > _BOTH:
                    found[index] = number, _BOTH
            return found

        def close(self) -> None:
            """See `Readiness.close`."""
            self._epoll.close()


class Selectors:
    """For every system. See `Readiness`."""

    def __init__(self) -> None:
        self.functions: dict[int, Ready] = {}
        self._selector = selectors.DefaultSelector()

    def watch(self, watched: socket.socket, wanted: int, ready: Ready) -> None:
        """See `Readiness.watch`."""
        number = watched.fileno()
        events = (selectors.EVENT_READ if wanted & READ else 0) | (selectors.EVENT_WRITE if wanted & WRITE else 0)
        if number in self.functions:
            self._selector.modify(number, events)
        else:
            self._selector.register(number, events)
        self.functions[number] = ready

    def unwatch(self, watched: socket.socket) -> None:
        """See `Readiness.unwatch`."""
        number = watched.fileno()
        del self.functions[number]
        self._selector.unregister(number)

    def wait(self, seconds: float | None) -> Sequence[tuple[int, int]]:
        """See `Readiness.wait`."""
        return [
            (key.fd, (READ if mask & selectors.EVENT_READ else 0) | (WRITE if mask & selectors.EVENT_WRITE else 0))
            for key, mask in self._selector.select(seconds)
        ]

    def close(self) -> None:
        """See `Readiness.close`."""
        self._selector.close()


def readiness() -> Readiness:
    """The best for this system."""
    if sys.platform == "linux":
        return Epoll()
    return Selectors()

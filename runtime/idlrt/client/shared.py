"""The transport of threads that share connections: a bounded pool of `idlrt.client.shared_link.Link`."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

from idlrt.client.opening import Opening
from idlrt.client.ping import PING_TIMEOUT
from idlrt.client.sender import (
    client_closed,
    no_room,
    not_sent,
)
from idlrt.client.shared_link import Link, StaleLink
from idlrt.client.stats import PoolStats
from idlrt.core import Call
from idlrt.core.forks import forks

__all__ = ["SharedSender"]


class SharedSender:
    """See the module. A `BlockingSender`.

    Args:
        opening: how connections are made.
        max_connections: that may exist at the same time.
        calls_per_connection: that may be under way on each; a call for which there is no room waits.
        ping_after: seconds for which a connection may have been idle before its server is asked whether it is there.
        ping_timeout: seconds to wait for the response to such a ping.
    """

    def __init__(
        self,
        opening: Opening,
        *,
        max_connections: int,
        calls_per_connection: int,
        ping_after: float = math.inf,
        ping_timeout: float = PING_TIMEOUT,
    ) -> None:
        self._opening = opening
        self._peer = opening.peer
        self._max = max_connections
        self._most = min(calls_per_connection, self._peer.max_in_flight)
        self._ping_after = ping_after
        self._ping_timeout = ping_timeout
        self._is_closed = False
        self.renew()
        forks.renew(self)

    def renew(self) -> None:
        """In a child of the process that made it: the sockets are the parent's, and are left alone."""
        self._changed = threading.Condition()
        self._links: list[Link] = []
        self._connecting = 0
        self._queue = 0

    @property
    def carries_metadata(self) -> bool:
        """See `BlockingSender.carries_metadata`."""
        return self._peer.carries_metadata

    async def send(self, call: Call) -> Any:
        """See `BlockingSender.send`."""
        if call.metadata:
            self._peer.check_metadata(call)
        until = call.deadline.at
        link = self._take(call, until)
        try:
            return link.exchange(call, until)
        except StaleLink:
            pass
        finally:
            self._give_back(link)
        link = self._take(call, until)
        try:
            return link.exchange(call, until)
        except StaleLink:
            raise not_sent(call, ConnectionResetError("the server closed the connection")) from None
        finally:
            self._give_back(link)

    def _take(self, call: Call, until: float) -> Link:
        with self._changed:
            while True:
                if self._is_closed:
                    raise client_closed(call)
                link = self._least_busy()
                if link is not None:
                    is_due = link.claimed == 0 and time.monotonic() - link.idle_since > self._ping_after
                    link.claimed += 1
                    if not is_due:
                        return link
                    link.is_asked = True
                    break
                if len(self._links) + self._connecting < self._max:
                    self._connecting += 1
                    break
                self._queue += 1
                try:
                    if not self._changed.wait(max(until - time.monotonic(), 0.0)):
                        raise no_room(call, self._max)
                finally:
                    self._queue -= 1
        if link is None:
            return self._connect(call, until)
        answers = False
        try:
            answers = link.answers(call, self._ping_timeout)
        finally:
            link.is_asked = False
            link.is_stuck = not answers
            if answers:
                with self._changed:
                    self._changed.notify_all()
            else:
                self._give_back(link)
        return link if answers else self._take(call, until)

    def _least_busy(self) -> Link | None:
        """With the lock: the connection for the next call, if there is one with room."""
        best: Link | None = None
        for link in list(self._links):
            if link.claimed == 0 and (link.is_lost or link.is_stuck or not link.transport.is_quiet()):
                link.is_lost = True
                self._drop(link)
            elif link.is_lost or link.is_stuck or link.is_asked or link.claimed >= self._most or link.is_full:
                continue
            elif best is None or link.claimed < best.claimed:
                best = link
        # Another connection is worth while only when those that are there are full.
        return best

    def _drop(self, link: Link) -> None:
        if link in self._links:
            self._links.remove(link)
            link.transport.close()

    def _connect(self, call: Call, until: float) -> Link:
        """A new connection, which has been counted already."""
        try:
            link = Link(*self._opening.connect(call, until), self._peer)
            link.claimed = 1
        except BaseException:
            with self._changed:
                self._connecting -= 1
                self._changed.notify()
            raise
        with self._changed:
            self._connecting -= 1
            self._links.append(link)
            self._changed.notify_all()
        return link

    def _give_back(self, link: Link) -> None:
        with self._changed:
            link.claimed -= 1
            link.idle_since = time.monotonic()
            if link.claimed == 0 and (link.is_lost or link.is_stuck or self._is_closed):
                self._drop(link)
            self._changed.notify()

    def found_again(self) -> None:
        """See `BlockingSender.found_again`."""
        self._opening.backoff.succeeded()

    def connections(self) -> int:
        """See `BlockingSender.connections`."""
        return len(self._links) + self._connecting

    def stats(self) -> PoolStats:
        """See `BlockingSender.stats`."""
        claimed = sum(link.claimed for link in self._links)
        return self._peer.stats(self.connections(), claimed + self._connecting, self._queue)

    def close(self) -> None:
        """See `BlockingSender.close`."""
        with self._changed:
            self._is_closed = True
            for link in list(self._links):
                if link.claimed == 0:
                    self._drop(link)
            self._changed.notify_all()

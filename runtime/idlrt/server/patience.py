"""Connections that keep still: for how long a server puts up with them.

A look goes over all connections every now and then and costs those that work nothing. Three kinds end: a client that
has nothing to say (its connection is closed as at a stop), one that has begun a message and does not end it, and
one that does not take its answers (both are cut off).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from idlrt.core import Peer
from idlrt.core.logs import get_logger
from idlrt.server.session import Session
from idlrt.server.settings import Settings

__all__ = ["Patience", "Watched"]

_log = get_logger("idlrt.server")

_SHORTEST, _LONGEST = 0.02, 5.0
_LOOKS = 8


class Watched(Protocol):
    """What a look wants to know of a connection, and does to it."""

    @property
    def peer(self) -> Peer:
        """Who is on the other side."""
        ...

    @property
    def pending(self) -> int:
        """Bytes that the peer has not taken yet."""
        ...

    @property
    def last_read(self) -> float:
        """When the peer sent something the last time."""
        ...

    @property
    def last_taken(self) -> float:
        """When the peer took something the last time, or had to begin to."""
        ...

    def abort(self, error: Exception | None = None) -> None:
        """Close now."""
        ...


class Patience:
    """Looks at connections.

    Attributes:
        interval: seconds between two looks; 0 if nothing has a limit.
    """

    def __init__(self, settings: Settings) -> None:
        self._idle = settings.idle_timeout
        self._message = settings.message_timeout
        self._write = settings.write_timeout
        limits = [limit for limit in (self._idle, self._message, self._write) if limit]
        self.interval = min(max(min(limits) / _LOOKS, _SHORTEST), _LONGEST) if limits else 0.0
        # Who was within a message at the last look: which one, and since when.
        self._halfway: dict[Session, tuple[int, float]] = {}

    def look(self, sessions: Mapping[Session, Watched], now: float) -> None:
        """Look once, and end what has kept still for too long."""
        before, self._halfway = self._halfway, {}
        for session, channel in list(sessions.items()):
            if channel.pending:
                if self._write and now - channel.last_taken > self._write:
                    self._cut(channel, "took none of its answers", self._write)
            elif session.is_halfway and not session.is_paused:
                number, since = before.get(session, (-1, now))
                if number != session.received:
                    since = now
                self._halfway[session] = session.received, since
                if self._message and now - since > self._message:
                    self._cut(channel, "did not end a message that it had begun", self._message)
            elif self._idle and now - max(channel.last_read, channel.last_taken) > self._idle and session.is_idle:
                _log.debug("closing the connection of %s: it was idle for %g s", channel.peer, self._idle)
                session.finish()

    def look_at_beginner(self, channel: Watched, since: float, now: float) -> None:
        """Likewise at a connection on which the two sides have been agreeing on TLS since `since`."""
        if self._message and now - since > self._message:
            self._cut(channel, "did not come to agree on TLS", self._message)

    def _cut(self, channel: Watched, what: str, seconds: float) -> None:
        _log.warning("closing the connection of %s: it %s for %g s", channel.peer, what, seconds)
        channel.abort(TimeoutError(f"it {what}"))

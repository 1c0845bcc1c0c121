"""Idle, read and write timeouts of connections.

A periodic sweep checks all connections, so that reads and writes need no timers. It closes three kinds: idle ones
(gracefully, as at a stop), those with an incomplete request, and those whose client does not read its responses (both
are aborted).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from idlrt.core import Peer
from idlrt.core.logs import get_logger
from idlrt.protocol.base import TimedConnection as TimedProtocol
from idlrt.protocol.http.options import Http
from idlrt.server.session import Session
from idlrt.server.settings import Settings

__all__ = ["ConnectionTimeouts", "TimedConnection"]

_log = get_logger("idlrt.server")

_SHORTEST, _LONGEST = 0.02, 5.0
_SWEEPS_PER_TIMEOUT = 8


class TimedConnection(Protocol):
    """Interface of a connection, as the sweep uses it."""

    @property
    def peer(self) -> Peer:
        """The client."""
        ...

    @property
    def pending(self) -> int:
        """Number of bytes in the send buffer."""
        ...

    @property
    def last_read(self) -> float:
        """Time of the last read that returned data."""
        ...

    @property
    def last_written(self) -> float:
        """Time of the last write that made progress, or at which the send buffer became non-empty."""
        ...

    def abort(self, error: Exception | None = None) -> None:
        """Close the connection at once, without sending the buffered data."""
        ...


class ConnectionTimeouts:
    """Closes connections that have exceeded a timeout.

    Args:
        settings: timeouts of the server.
        http: timeouts of HTTP; `None` if the server does not support it.

    Attributes:
        interval: seconds between two sweeps; 0 if all timeouts are disabled.
    """

    def __init__(self, settings: Settings, http: Http | None = None) -> None:
        self._idle = settings.idle_timeout
        self._message = settings.message_timeout
        self._write = settings.write_timeout
        own = () if http is None else (http.head_timeout, http.keep_alive)
        limits = [limit for limit in (self._idle, self._message, self._write, *own) if limit]
        self.interval = min(max(min(limits) / _SWEEPS_PER_TIMEOUT, _SHORTEST), _LONGEST) if limits else 0.0
        # Sessions with an incomplete message at the last sweep: number of the message, and time since it is incomplete.
        self._incomplete: dict[Session, tuple[int, float]] = {}

    def check(self, sessions: Mapping[Session, TimedConnection], now: float) -> None:
        """Check all connections once, and close those that have exceeded a timeout."""
        before, self._incomplete = self._incomplete, {}
        for session, channel in list(sessions.items()):
            if channel.pending:
                if self._write and now - channel.last_written > self._write:
                    self._abort(channel, "write_timeout", self._write, "client does not read its responses")
            elif session.is_mid_message and not session.is_paused:
                number, since = before.get(session, (-1, now))
                if number != session.received:
                    since = now
                self._incomplete[session] = session.received, since
                own = session.connection
                limit = _shorter(self._message, own.message_timeout if isinstance(own, TimedProtocol) else None)
                if limit and now - since > limit:
                    self._time_out(session, channel, limit)
            elif session.is_idle:
                own = session.connection
                limit = _shorter(self._idle, own.idle_timeout if isinstance(own, TimedProtocol) else None)
                if limit and now - max(channel.last_read, channel.last_written) > limit:
                    fields = {"peer": channel.peer.address, "timeout": "idle_timeout", "timeout_s": limit}
                    _log.debug(
                        "closing connection from %s: idle_timeout of %g s exceeded", channel.peer, limit, extra=fields
                    )
                    session.finish()

    def _time_out(self, session: Session, channel: TimedConnection, limit: float) -> None:
        """Close a connection with an incomplete message, after a response if its protocol has one for that."""
        connection = session.connection
        answer = connection.timed_out() if isinstance(connection, TimedProtocol) else b""
        if answer:
            session.finish(answer)
            fields = {"peer": channel.peer.address, "timeout": "message_timeout", "timeout_s": limit}
            _log.info("closing connection from %s: message_timeout of %g s exceeded", channel.peer, limit, extra=fields)
        else:
            self._abort(channel, "message_timeout", limit, "incomplete request")

    def check_handshake(self, channel: TimedConnection, since: float, now: float) -> None:
        """Check a connection whose TLS handshake has been in progress since `since`."""
        if self._message and now - since > self._message:
            self._abort(channel, "message_timeout", self._message, "incomplete TLS handshake")

    def _abort(self, channel: TimedConnection, name: str, seconds: float, what: str) -> None:
        fields = {"peer": channel.peer.address, "timeout": name, "timeout_s": seconds}
        _log.warning(
            "closing connection from %s: %s of %g s exceeded: %s", channel.peer, name, seconds, what, extra=fields
        )
        channel.abort(TimeoutError(f"{name} of {seconds:g} s exceeded: {what}"))


def _shorter(limit: float, own: float | None) -> float:
    """Return the shorter one of two timeouts, in seconds; 0 disables the first one."""
    if not own:
        return limit
    return min(limit, own) if limit else own

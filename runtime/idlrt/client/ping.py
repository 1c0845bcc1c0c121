"""Pings: asking a server over an idle connection whether it is there.

Routers and firewalls forget idle connections silently, and so does a machine that loses its power. A call that is sent
into such a connection is lost, while a ping that is lost costs another connection only. Each protocol says what its
pings are (`ClientConnection.ping`).
"""

from __future__ import annotations

from typing import Final

from idlrt.core import Call, Deadline
from idlrt.spec import VOID, method

__all__ = ["PING", "PING_TIMEOUT", "ping_before"]


class _Ping:
    def ping(self) -> None:
        """Stands for a ping of the protocol; it is never called."""


PING: Final = method(_Ping.ping, result=VOID)
"""The method of a `Call` that is a ping."""

PING_TIMEOUT: Final = 1.0
"""Default timeout of a ping, in seconds."""
# Largest part of the remaining time of a call that its ping may take.
_PART: Final = 0.5


def ping_before(call: Call, timeout: float = PING_TIMEOUT) -> Call:
    """Return the ping that is sent over an idle connection before `call`.

    Args:
        timeout: seconds to wait for the response; at most half of the remaining time of `call`.
    """
    now = call.driver.now()
    seconds = min(timeout, max(call.deadline.at - now, 0.0) * _PART)
    return Call(PING, (), call.target, Deadline(now + seconds, seconds), call.driver)

"""Pings, which check that an idle connection still works.

Routers and firewalls drop idle connections silently, and so does a machine that loses power. A call that is sent over
such a connection is lost; a lost ping only costs another connection. Each protocol defines its pings
(`ClientConnection.ping`).
"""

from __future__ import annotations

from typing import Final

from idlrt.core import Call, Deadline
from idlrt.spec import VOID, method

__all__ = ["PING", "PING_TIMEOUT", "ping_before"]


class _Ping:
    def ping(self) -> None:
        """Placeholder for a ping of the protocol; never called."""


PING: Final = method(_Ping.ping, result=VOID)
"""The method of a `Call` that is a ping."""

PING_TIMEOUT: Final = 1.0
"""Default timeout of a ping, in seconds."""
# Largest share of the remaining time of a call that its ping may take.
_PART: Final = 0.5


def ping_before(call: Call, timeout: float = PING_TIMEOUT) -> Call:
    """Build the ping that is sent over an idle connection before `call`.

    Args:
        timeout: seconds to wait for the response; at most half of the remaining time of `call`.
    """
    now = call.driver.now()
    seconds = min(timeout, max(call.deadline.at - now, 0.0) * _PART)
    return Call(PING, (), call.target, Deadline(now + seconds, seconds), call.driver)

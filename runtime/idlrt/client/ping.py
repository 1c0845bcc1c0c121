"""Asking a server whether it is there, with a message that every Thrift server answers.

Thrift has none for that, so a method is called that nobody has. Whatever a server says to it (ours and Apache's say
`unknown method`), it has read the call and spoken the protocol.

Clients ask so over a connection that has been idle for a while before they put a call on it: routers and firewalls
forget idle connections without a word, a machine that lost its power says nothing either, and a call that is sent into
such a connection is lost, while a ping that is lost costs another connection only.
"""

from __future__ import annotations

from typing import Final

from idlrt.core import Call, Deadline
from idlrt.spec import VOID, method

__all__ = ["PING", "PING_TIMEOUT", "ping_before"]


class _Ping:
    def idlrt_ping(self) -> None:
        """Nobody has this."""


PING: Final = method(_Ping.idlrt_ping, result=VOID)

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

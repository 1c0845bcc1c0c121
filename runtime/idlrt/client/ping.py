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

__all__ = ["PING", "ping_before"]


class _Ping:
    def idlrt_ping(self) -> None:
        """Nobody has this."""


PING: Final = method(_Ping.idlrt_ping, result=VOID)

# Seconds that the answer to a ping is waited for, and the part of a call's time that it may take.
_PATIENCE: Final = 1.0
_PART: Final = 0.5


def ping_before(call: Call) -> Call:
    """The ping that goes over a connection before `call` does."""
    now = call.driver.now()
    seconds = min(_PATIENCE, max(call.deadline.at - now, 0.0) * _PART)
    return Call(PING, (), call.target, Deadline(now + seconds, seconds), call.driver)

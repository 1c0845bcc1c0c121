"""Results of calls, from the events of a client connection."""

from __future__ import annotations

from typing import Any, Final

from idlrt.client.errors import bad_response
from idlrt.core import Call
from idlrt.errors import ApplicationCode, ApplicationError, DeadlineExceeded, Overloaded, RemoteProtocolError
from idlrt.protocol import ClientConnection, PongReceived, ResponseReceived

__all__ = ["RESPONSES", "is_full", "result_of"]

RESPONSES: Final = (ResponseReceived, PongReceived)
"""Events that complete a call or a ping."""
# Cancelled calls whose responses are outstanding. A server with more of them is unlikely to respond at all, and a new
# connection may help.
_MAX_CANCELLED: Final = 4096


def is_full(connection: ClientConnection) -> bool:
    """Whether cancelled calls leave no room on a connection until their responses arrive."""
    cancelled = connection.cancelled
    return cancelled > min(_MAX_CANCELLED, connection.capabilities.max_in_flight - 1 - connection.in_flight)


def result_of(response: ResponseReceived | PongReceived, call: Call) -> Any:
    """Return the result of a call; `None` for a ping.

    Raises:
        RpcError: the call failed, or its response cannot be read.
    """
    if isinstance(response, PongReceived):
        return None
    call.received += response.size
    try:
        return response.result()
    except RemoteProtocolError as error:
        raise bad_response(call, error) from error
    except ApplicationError as error:
        if error.code == ApplicationCode.LOADSHEDDING:
            # Guards of servers name the call, too.
            why = error.message.removeprefix(f"rejected {call.method.full_name}: ")
            what = f"{call.target} rejected {call.method.full_name}: {why}"
            raise Overloaded(what).push_back(error.retry_after) from error
        if error.code == ApplicationCode.TIMEOUT:
            what = f"{call.target} did not start {call.method.full_name}: {error.message}"
            raise DeadlineExceeded(what).push_back(error.retry_after) from error
        raise

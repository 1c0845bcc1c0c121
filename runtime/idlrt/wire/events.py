"""What a connection tells: plain values, in the order in which they came.

`StreamBroken` is always the last one: nothing can be read after it. What stands before it is still good.
"""

from __future__ import annotations

from typing import Any

import msgspec

from idlrt.errors import RemoteProtocolError
from idlrt.spec import Method
from idlrt.wire.framing import Metadata
from idlrt.wire.types import MessageKind

__all__ = ["CallReceived", "ClientEvent", "ReplyReceived", "ServerEvent", "StreamBroken"]


class CallReceived(msgspec.Struct, frozen=True, gc=False):
    """Server: a message came. Its body is `message[start:]`, not read yet.

    Attributes:
        kind: `CALL`, `ONEWAY`, or a kind that a client has no business to send (to be refused).
        name: of the method, as it stands on the wire.
        sequence_id: what the answer repeats.
    """

    kind: MessageKind
    name: str
    sequence_id: int
    message: bytes
    start: int
    metadata: Metadata


class ReplyReceived(msgspec.Struct, frozen=True, gc=False):
    """Client: the answer to a call that is under way. Its body is `message[start:]`, not read yet.

    Attributes:
        kind: `REPLY` or `EXCEPTION`.
        method: the one that was called.
    """

    kind: MessageKind
    method: Method[..., Any]
    sequence_id: int
    message: bytes
    start: int
    metadata: Metadata


class StreamBroken(msgspec.Struct, frozen=True):
    """The other side sent what cannot be read, or stopped within a message. Close the connection."""

    error: RemoteProtocolError


ServerEvent = CallReceived | StreamBroken
ClientEvent = ReplyReceived | StreamBroken

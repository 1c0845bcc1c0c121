"""What a connection tells: plain values, in the order in which they came.

`StreamBroken` is always the last one: nothing can be read after it. What stands before it is still good.

The garbage collector does not know calls and replies. So they hold no error that is raised later: its traceback
would hold them in turn.
"""

from __future__ import annotations

from typing import Any

import msgspec

from idlrt.errors import ApplicationError, RemoteProtocolError
from idlrt.spec import Method
from idlrt.wire.dialect import Dialect
from idlrt.wire.framing import NO_METADATA, Metadata
from idlrt.wire.types import MessageKind

__all__ = ["CallReceived", "ClientEvent", "ReplyReceived", "ServerEvent", "StreamBroken"]


class CallReceived(msgspec.Struct, frozen=True, gc=False):
    """Server: a message came. Ask `ServerConnection.arguments` for what it holds.

    Attributes:
        kind: `CALL`, `ONEWAY`, or a kind that a client has no business to send (to be refused).
        name: of the method, as it stands on the wire.
        sequence_id: what the answer repeats.
        method: what is called; `None` if it is not served here.
        dialect: what the answer is sent in.
        message: the arguments are `message[start:]`, unless they have been read.
        fault: why nothing of the message can be read, not even its name (to be refused); `None` if it can.
        arguments: those that have been read; `None` if they have not, or cannot be read.
        trouble: why they cannot be read, as text; `None` if they can, or if it has not been tried.
        received: bytes of the message as they arrived; 0 if they are those of `message`.
        decoded: bytes of memory that `arguments` take at most.
    """

    kind: MessageKind
    name: str
    sequence_id: int
    method: Method[..., Any] | None
    dialect: Dialect
    message: bytes
    start: int
    metadata: Metadata = NO_METADATA
    fault: ApplicationError | None = None
    arguments: tuple[Any, ...] | None = None
    trouble: str | None = None
    received: int = 0
    decoded: int = 0


class ReplyReceived(msgspec.Struct, frozen=True, gc=False):
    """Client: a call under way is answered. What that holds is `message[start:]`, not read yet: see `answer_of`.

    Attributes:
        kind: `REPLY` or `EXCEPTION`.
        method: the one that was called.
        dialect: what the answer came in.
        fault: why nothing of the message can be read, as text; `None` if it can.
        received: bytes of the message as they arrived; 0 if they are those of `message`.
    """

    kind: MessageKind
    method: Method[..., Any]
    sequence_id: int
    dialect: Dialect
    message: bytes
    start: int
    metadata: Metadata = NO_METADATA
    fault: str | None = None
    received: int = 0


class StreamBroken(msgspec.Struct, frozen=True):
    """The other side sent what cannot be read, or stopped within a message. Close the connection.

    Attributes:
        answer: bytes to send before that: the other side understands them, although it speaks something else.
    """

    error: RemoteProtocolError
    answer: bytes = b""


ServerEvent = CallReceived | StreamBroken
ClientEvent = ReplyReceived | StreamBroken

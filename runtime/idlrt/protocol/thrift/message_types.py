"""Types and headers of Thrift messages.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-rpc.md
"""

from __future__ import annotations

import enum

import msgspec

__all__ = ["MessageHeader", "MessageType"]


class MessageType(enum.IntEnum):
    """Message type, as encoded on the wire."""

    CALL = 1
    REPLY = 2
    EXCEPTION = 3
    ONEWAY = 4


class MessageHeader(msgspec.Struct, frozen=True):
    """Header of a message: message type, method name, and the sequence id that the response repeats."""

    kind: MessageType
    name: str
    sequence_id: int

"""Kinds of Thrift messages, and what a message begins with.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-rpc.md
"""

from __future__ import annotations

import enum

import msgspec

__all__ = ["MessageHead", "MessageKind"]


class MessageKind(enum.IntEnum):
    """Kind of a message, as it stands on the wire."""

    CALL = 1
    REPLY = 2
    EXCEPTION = 3
    ONEWAY = 4


class MessageHead(msgspec.Struct, frozen=True):
    """The head of a message: its kind, its method, and the number that its answer repeats."""

    kind: MessageKind
    name: str
    sequence_id: int

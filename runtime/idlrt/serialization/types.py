"""Type numbers on the wire.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-binary-protocol.md
"""

from __future__ import annotations

import enum

__all__ = ["TypeId"]


class TypeId(enum.IntEnum):
    """Type of a field in the binary protocol."""

    STOP = 0
    BOOL = 2
    I8 = 3
    DOUBLE = 4
    I16 = 6
    I32 = 8
    I64 = 10
    STRING = 11
    STRUCT = 12
    MAP = 13
    SET = 14
    LIST = 15
    UUID = 16

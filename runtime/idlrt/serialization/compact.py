"""Thrift's compact protocol: varints, and field heads that are mostly one byte.

Numbers of types are its own; 13 is a uuid, as Apache has it since 0.22. A boolean field has its value in its head.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from idlrt.serialization._compact_input import CompactInput
from idlrt.serialization._compact_output import CompactOutput
from idlrt.serialization._walk_codec import WalkSerialization

__all__ = ["CompactSerialization"]


class CompactSerialization(WalkSerialization):
    """The compact protocol, a `Serialization`.

    Args:
        limits: what is accepted when reading; `max_depth` also when writing.
        backend: who reads and writes; the best there is, if not given.
    """

    name = "compact"
    INPUT = CompactInput
    OUTPUT = CompactOutput

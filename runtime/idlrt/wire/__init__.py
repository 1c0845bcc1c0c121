"""Bytes and values: wire protocols, framings, connections. Sans-IO: nothing here sees a socket or a clock."""

from idlrt.wire._backend import backend
from idlrt.wire.binary import BinaryProtocol
from idlrt.wire.compact import CompactProtocol
from idlrt.wire.json import JsonProtocol
from idlrt.wire.protocol import (
    DEFAULT_LIMITS,
    Limits,
    MessageHead,
    MessageScanner,
    RecordCodec,
    StructCodec,
    WireProtocol,
)
from idlrt.wire.types import MessageKind, TypeId

__all__ = [
    "DEFAULT_LIMITS",
    "BinaryProtocol",
    "CompactProtocol",
    "JsonProtocol",
    "Limits",
    "MessageHead",
    "MessageKind",
    "MessageScanner",
    "RecordCodec",
    "StructCodec",
    "TypeId",
    "WireProtocol",
    "backend",
]

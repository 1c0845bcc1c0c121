"""Deprecated names of version 0.1, kept for existing programs; use `idlrt.serialization`."""

from idlrt.serialization import DEFAULT_LIMITS, Limits, RecordCodec, StructCodec, TypeId, backend
from idlrt.serialization import BinarySerialization as BinaryProtocol
from idlrt.serialization import CompactSerialization as CompactProtocol
from idlrt.serialization import JsonSerialization as JsonProtocol
from idlrt.serialization import Serialization as WireProtocol

__all__ = [
    "DEFAULT_LIMITS",
    "BinaryProtocol",
    "CompactProtocol",
    "JsonProtocol",
    "Limits",
    "RecordCodec",
    "StructCodec",
    "TypeId",
    "WireProtocol",
    "backend",
]

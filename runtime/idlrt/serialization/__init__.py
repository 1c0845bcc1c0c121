"""Serializations: values to bytes and back. They know no messages, frames or sockets."""

from idlrt.serialization._backend import backend, compiled
from idlrt.serialization.base import DEFAULT_LIMITS, Limits, RecordCodec, Serialization, StructCodec
from idlrt.serialization.binary import BinarySerialization
from idlrt.serialization.compact import CompactSerialization
from idlrt.serialization.json import JsonSerialization
from idlrt.serialization.types import TypeId

__all__ = [
    "DEFAULT_LIMITS",
    "BinarySerialization",
    "CompactSerialization",
    "JsonSerialization",
    "Limits",
    "RecordCodec",
    "Serialization",
    "StructCodec",
    "TypeId",
    "backend",
    "compiled",
]

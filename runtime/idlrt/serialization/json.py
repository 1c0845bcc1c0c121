"""Thrift's JSON protocol: text in which every value has its type, and fields have ids.

Source: Apache's implementations (`TJSONProtocol`); there is no other specification.
"""

from __future__ import annotations

from idlrt.serialization._json_input import JsonInput
from idlrt.serialization._json_output import JsonOutput
from idlrt.serialization._walk_codec import WalkSerialization

__all__ = ["JsonSerialization"]


class JsonSerialization(WalkSerialization):
    """Thrift's JSON protocol, a `Serialization`.

    Args:
        limits: what is accepted when reading; `max_depth` also when writing.
        backend: who reads and writes; the best there is, if not given.
    """

    name = "json"
    INPUT = JsonInput
    OUTPUT = JsonOutput

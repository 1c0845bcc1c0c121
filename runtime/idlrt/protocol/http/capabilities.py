"""Capabilities of HTTP/1.1 connections."""

from __future__ import annotations

from typing import Final

from idlrt.protocol.base import Capabilities

__all__ = ["CAPABILITIES"]

CAPABILITIES: Final = Capabilities(metadata=True, context=True, max_in_flight=1, drain=True, acknowledges_oneway=True)
"""One call at a time: HTTP/1.1 has no request ids, and requests are not pipelined. `Connection: close` in a response
is the sign of a draining server. Oneway methods are answered, too.
"""

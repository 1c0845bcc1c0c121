"""Interface of propagation formats, and ids of other systems.

A format reads one kind of header from the metadata of a request, and writes it. Formats are pure functions of text.
Names of headers are lower case. Headers come from the network, so each format bounds their size before it parses them,
and raises nothing but `MalformedHeader`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import ClassVar, Final, Protocol

import msgspec

from idlrt.observe.tracing.context import NO_TEXTS, Outgoing, TraceContext

__all__ = [
    "Extracted",
    "MalformedHeader",
    "Propagation",
    "foreign_randomness",
    "foreign_span_id",
    "foreign_trace_id",
    "is_original",
    "padded",
    "plain_name",
]

MAX_ID: Final = 128
"""Maximum length of an id of another system, in characters."""

MAX_NAME: Final = 256
"""Maximum length of a name of the caller, in characters; longer ones are truncated."""

_HEX: Final = re.compile(r"[0-9a-f]+")
_TRACE_DIGITS: Final = 32
_SPAN_DIGITS: Final = 16
_RANDOM_DIGITS: Final = 14


class MalformedHeader(ValueError):
    """A header of the format is there but invalid. It counts as absent."""


class Extracted(msgspec.Struct, frozen=True):
    """Contents of the headers of one format.

    Attributes:
        context: position in the caller's trace; `None`: the headers carry a decision or a debug id only.
        sender: names of the caller; see `Incoming.sender`.
        baggage: baggage.
        tags: business tags.
        decision: decision without ids; `None`: none.
        debug_id: see `Incoming.debug_id`.
        malformed: other headers of the format that are invalid, e.g. `tracestate`.
    """

    context: TraceContext | None
    sender: Mapping[str, str] = NO_TEXTS
    baggage: Mapping[str, str] = NO_TEXTS
    tags: Mapping[str, str] = NO_TEXTS
    decision: bool | None = None
    debug_id: str = ""
    malformed: tuple[str, ...] = ()


class Propagation(Protocol):
    """One format. Without state: one object serves all threads.

    Attributes:
        name: name in configurations.
        headers: names of the headers that it reads and may write, in lower case. One that ends with `-` is a prefix.
    """

    name: ClassVar[str]
    headers: ClassVar[tuple[str, ...]]

    def extract(self, headers: Mapping[str, str]) -> Extracted | None:
        """Return what the headers of a request carry; `None`: none of this format is there.

        Args:
            headers: values by names in lower case.

        Raises:
            MalformedHeader: headers of the format are there, but invalid.
        """
        ...

    def inject(self, outgoing: Outgoing) -> dict[str, str]:
        """Return the headers to send, none if the format sends nothing (`sw8` of a call that is not sampled)."""
        ...


def padded(text: str, digits: int, *, lengths: tuple[int, ...] = ()) -> str:
    """Return an id in lower-case hex with leading zeros.

    Args:
        text: hex digits of either case.
        digits: number of digits of the id.
        lengths: accepted numbers of digits; empty for any up to `digits`.

    Raises:
        MalformedHeader: it is not hex, too long, or zero.
    """
    if len(text) > digits or (lengths and len(text) not in lengths):
        raise MalformedHeader("id has the wrong length")
    lower = text.lower()
    if not _HEX.fullmatch(lower) or not lower.strip("0"):
        raise MalformedHeader("id is not hexadecimal, or is zero")
    return lower.rjust(digits, "0")


def foreign_trace_id(original: str) -> str:
    """Return the trace id for an id of another system: itself if it is 32 hex digits, else its MD5 digest.

    The digest is the same in all services, so that they agree on the trace.
    """
    lower = original.lower()
    if len(lower) == _TRACE_DIGITS and _HEX.fullmatch(lower) and lower.strip("0"):
        return lower
    return _digest(original)


def is_original(original: str, trace_id: str) -> bool:
    """Return whether `original` is an id of another system for this trace that can be sent."""
    return 0 < len(original) <= MAX_ID and foreign_trace_id(original) == trace_id


def foreign_span_id(*parts: str) -> str:
    """Return a span id for a span that another system identifies by text; the same in all services."""
    return _digest(":".join(parts))[:_SPAN_DIGITS]


def foreign_randomness(trace_id: str) -> int:
    """Return the randomness of a trace whose id is not random, e.g. one made of address and time; the same everywhere.

    A low part of digits only would be below 0.6 of the range, and traces of a whole second would be alike.
    """
    return int(_digest(trace_id)[-_RANDOM_DIGITS:], 16)


def plain_name(text: str) -> str:
    """Return a name that came with a request, truncated."""
    return text[:MAX_NAME]


def _digest(text: str) -> str:
    return hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()

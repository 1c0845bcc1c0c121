"""Business tags for one hop: metadata `rpc_once-NAME`, which the next server reads and does not pass on.

Names of metadata have lower-case letters, digits, `_` and `-`; other characters of a tag's name are sent as a dot and
the two hex digits of each of their bytes. Values are percent-encoded as in `baggage`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from idlrt.observe.tracing.propagation.baggage import bounded, decoded, encoded

__all__ = ["ONCE", "format_once", "parse_once"]

ONCE: Final = "rpc_once-"
"""Prefix of the metadata."""

_OTHER: Final = re.compile(r"[^a-z0-9_-]")
_ESCAPED: Final = re.compile(r"(?:\.[0-9a-f]{2})+")


def format_once(once: Mapping[str, str]) -> tuple[dict[str, str], int]:
    """Return the metadata for business tags, and the number of tags beyond the limits of baggage."""
    return bounded((ONCE + _OTHER.sub(_escape, name), encoded(value)) for name, value in once.items() if name)


def parse_once(headers: Mapping[str, str]) -> tuple[dict[str, str], int]:
    """Return the business tags for this hop, and the number of those beyond the limits of baggage."""
    return bounded(_once(headers))


def _once(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        if name.startswith(ONCE) and len(name) > len(ONCE):
            yield _ESCAPED.sub(_unescape, name[len(ONCE) :]), decoded(value)


def _escape(found: re.Match[str]) -> str:
    return "".join(f".{byte:02x}" for byte in found[0].encode("utf-8", "replace"))


def _unescape(found: re.Match[str]) -> str:
    return bytes.fromhex(found[0].replace(".", "")).decode("utf-8", "replace")

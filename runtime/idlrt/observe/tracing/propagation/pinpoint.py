"""Pinpoint's format: `pinpoint-traceid` and others.

The client chooses the id of the server's span (`pinpoint-spanid`); its own span is the parent (`pinpoint-pspanid`).
Here the first is the id of the attempt's client span, as in B3. Of a call that is not sampled, agents send
`pinpoint-sampled: s0` alone; here ids go along, so that logs have them.

A trace id is `AGENT^START^NUMBER`. A trace that Pinpoint began keeps it; its id here is the MD5 digest. Any other trace
is sent as agent `w3c.INSTANCE`, with both halves of its id as signed numbers.

Source: https://github.com/pinpoint-apm/pinpoint, `bootstrap/context/Header.java`
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Final

from idlrt.observe.tracing.context import Outgoing, TraceContext
from idlrt.observe.tracing.propagation.base import (
    MAX_ID,
    Extracted,
    MalformedHeader,
    foreign_trace_id,
    is_original,
    plain_name,
)
from idlrt.observe.tracing.propagation.decimal_ids import format_signed, parse_signed

__all__ = ["Pinpoint"]

_TRACE: Final = "pinpoint-traceid"
_SPAN: Final = "pinpoint-spanid"
_PARENT: Final = "pinpoint-pspanid"
_SAMPLED: Final = "pinpoint-sampled"
_FLAGS: Final = "pinpoint-flags"
_APP: Final = "pinpoint-pappname"
_APP_TYPE: Final = "pinpoint-papptype"
_HOST: Final = "pinpoint-host"

_NOT_SAMPLED: Final = "s0"
# Service type of Python applications.
_PYTHON: Final = "1700"
_TRACE_ID: Final = re.compile(r"([A-Za-z0-9._-]{1,24})\^(-?[0-9]{1,19})\^(-?[0-9]{1,19})", re.ASCII)
_OURS: Final = "w3c."
_OTHER: Final = re.compile(r"[^A-Za-z0-9._-]")
_MAX_AGENT: Final = 24
_NO_SPAN: Final = "f" * 16
_HALF: Final = 64
_MASK: Final = (1 << _HALF) - 1


class Pinpoint:
    """Format `pinpoint`."""

    name: ClassVar[str] = "pinpoint"
    headers: ClassVar[tuple[str, ...]] = (_TRACE, _SPAN, _PARENT, _SAMPLED, _FLAGS, _APP, _APP_TYPE, _HOST)

    def extract(self, headers: Mapping[str, str]) -> Extracted | None:
        """Return what the headers of a request carry."""
        original = headers.get(_TRACE)
        is_sampled = headers.get(_SAMPLED) != _NOT_SAMPLED
        if original is None:
            return None if is_sampled else Extracted(None, decision=False)
        found = _TRACE_ID.fullmatch(original) if len(original) <= MAX_ID else None
        if found is None:
            raise MalformedHeader("pinpoint-traceid must be AGENT^START^NUMBER")
        span_id = parse_signed(headers.get(_SPAN, ""))
        if not span_id:
            raise MalformedHeader("pinpoint-spanid is missing")
        trace_id = _own_id(found) or foreign_trace_id(original)
        sender = {
            "parent_id": parse_signed(headers.get(_PARENT, "-1")),
            "app": plain_name(headers.get(_APP, "")),
            "address": plain_name(headers.get(_HOST, "")),
            "trace_id": "" if _own_id(found) else original,
        }
        return Extracted(
            TraceContext(trace_id, span_id, is_sampled), {name: value for name, value in sender.items() if value}
        )

    def inject(self, outgoing: Outgoing) -> dict[str, str]:
        """Return the headers to send. Nothing is sent for span id -1, which stands for none."""
        context = outgoing.context
        if context.span_id == _NO_SPAN:
            return {}
        original = outgoing.original_id
        is_kept = _TRACE_ID.fullmatch(original) is not None and is_original(original, context.trace_id)
        headers = {
            _TRACE: original if is_kept else _formatted(context.trace_id, outgoing.instance or outgoing.service),
            _SPAN: format_signed(context.span_id),
            _PARENT: format_signed(outgoing.parent_id),
            _FLAGS: "0",
        }
        if not context.is_sampled:
            headers[_SAMPLED] = _NOT_SAMPLED
        if outgoing.service:
            headers[_APP] = _OTHER.sub("_", outgoing.service)
            headers[_APP_TYPE] = _PYTHON
        if outgoing.target:
            headers[_HOST] = outgoing.target
        return headers


def _formatted(trace_id: str, instance: str) -> str:
    agent = (_OURS + _OTHER.sub("_", instance))[:_MAX_AGENT]
    return "^".join((agent, *(_signed(int(half, 16)) for half in (trace_id[:16], trace_id[16:]))))


def _signed(number: int) -> str:
    return str(number - (1 << _HALF) if number >> (_HALF - 1) else number)


def _own_id(found: re.Match[str]) -> str:
    """Return the trace id in an id that this format has written; empty for that of an agent."""
    if not found[1].startswith(_OURS):
        return ""
    high, low = int(found[2]), int(found[3])
    number = (high & _MASK) << _HALF | (low & _MASK)
    is_canonical = _signed(high & _MASK) == found[2] and _signed(low & _MASK) == found[3]
    return f"{number:032x}" if number and is_canonical else ""

"""EagleEye's format, as Alibaba's ARMS sends it: `eagleeye-traceid`, `eagleeye-rpcid` and others.

A trace id is usually 32 hex digits: address, time, counter and process. Its low part is not random, so the trace gets
an explicit randomness, the same in every service that it enters. Other ids become their MD5 digest, and the original is
kept to be sent on. Span ids are signed decimal numbers as in Pinpoint's format; without one it is derived from the
number of the call (`0.1.2`), which the caller chooses: its own, a dot, and a counter.

No agent of EagleEye was at hand: names and values are those of published requests and sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import ClassVar, Final
from urllib.parse import quote

from idlrt.observe.tracing.context import NO_TEXTS, Outgoing, TraceContext
from idlrt.observe.tracing.propagation.baggage import MAX_BAGGAGE, bounded, decoded
from idlrt.observe.tracing.propagation.base import (
    MAX_ID,
    Extracted,
    MalformedHeader,
    foreign_randomness,
    foreign_span_id,
    foreign_trace_id,
    is_original,
    plain_name,
)
from idlrt.observe.tracing.propagation.decimal_ids import format_signed, parse_signed

__all__ = ["EagleEye"]

_TRACE: Final = "eagleeye-traceid"
_RPC: Final = "eagleeye-rpcid"
_SPAN: Final = "eagleeye-spanid"
_PARENT: Final = "eagleeye-pspanid"
_SAMPLED: Final = "eagleeye-sampled"
_APP: Final = "eagleeye-pappname"
_METHOD: Final = "eagleeye-prpc"
_TAGS: Final = "eagleeye-userdata"

_ID: Final = re.compile(rf"[!-~]{{1,{MAX_ID}}}", re.ASCII)
_RPC_ID: Final = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,10}){0,60}", re.ASCII)
_ROOT_RPC: Final = "0"
_STATES: Final = {"s0": False, "s1": True, "0": False, "1": True, "false": False, "true": True}
_ZERO: Final = frozenset("0")


class EagleEye:
    """Format `eagleeye`."""

    name: ClassVar[str] = "eagleeye"
    headers: ClassVar[tuple[str, ...]] = (_TRACE, _RPC, _SPAN, _PARENT, _SAMPLED, _APP, _METHOD, _TAGS)

    def extract(self, headers: Mapping[str, str]) -> Extracted | None:
        """Return what the headers of a request carry. Without a sampling state the receiver decides."""
        original = headers.get(_TRACE)
        if original is None:
            return None
        if len(original) > MAX_ID or not _ID.fullmatch(original) or _ZERO.issuperset(original):
            raise MalformedHeader("eagleeye-traceid is invalid")
        rpc_id = headers.get(_RPC, _ROOT_RPC)
        if not _RPC_ID.fullmatch(rpc_id):
            raise MalformedHeader("eagleeye-rpcid must be numbers separated by dots")
        trace_id = foreign_trace_id(original)
        span_id = parse_signed(headers.get(_SPAN, "-1")) or foreign_span_id(trace_id, rpc_id)
        sender = {
            "app": plain_name(headers.get(_APP, "")),
            "endpoint": plain_name(decoded(headers.get(_METHOD, ""))),
            "parent_id": parse_signed(headers.get(_PARENT, "-1")),
            "rpc_id": rpc_id,
            "trace_id": original if original != trace_id else "",
        }
        context = TraceContext(
            trace_id, span_id, _STATES.get(headers.get(_SAMPLED, "").lower()), randomness=foreign_randomness(trace_id)
        )
        return Extracted(
            context,
            {name: value for name, value in sender.items() if value},
            tags=_tags(headers.get(_TAGS, "")),
        )

    def inject(self, outgoing: Outgoing) -> dict[str, str]:
        """Return the headers to send."""
        context = outgoing.context
        original = outgoing.original_id
        is_kept = _ID.fullmatch(original) is not None and is_original(original, context.trace_id)
        headers = {
            _TRACE: original if is_kept else context.trace_id,
            _RPC: outgoing.rpc_id or _ROOT_RPC,
            _SPAN: format_signed(context.span_id),
            _PARENT: format_signed(outgoing.parent_id),
        }
        if context.is_sampled is not None:
            headers[_SAMPLED] = "s1" if context.is_sampled else "s0"
        if outgoing.service:
            headers[_APP] = _escaped(outgoing.service)
        if outgoing.method:
            headers[_METHOD] = _escaped(outgoing.method)
        if outgoing.tags:
            tags = bounded((_escaped(name), _escaped(value)) for name, value in outgoing.tags.items() if name)[0]
            headers[_TAGS] = "&".join(f"{name}={value}" for name, value in tags.items())
        return headers


def _escaped(text: str) -> str:
    """Return text without `&`, `=` and what a header cannot have."""
    return quote(text, safe="!#$'()*+,-./:;?@[]^_`{|}~", encoding="utf-8", errors="replace")


def _tags(text: str) -> Mapping[str, str]:
    if not text or len(text) > MAX_BAGGAGE:
        return NO_TEXTS
    return bounded(_pairs(text))[0] or NO_TEXTS


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for each in text.split("&"):
        name, equals, value = each.partition("=")
        if equals and name:
            yield decoded(name), decoded(value)

"""All formats by name, reading a request in several of them, and writing a call in one or more.

The first format in the configured order that carries ids wins. Another one with the same trace id adds what the first
lacks: names of the caller, `tracestate`, tags. One with another trace id is a conflict, and becomes a link. Headers
    that are there but invalid count as absent and are named. Reading never raises.

`baggage` and tags for one hop are read and written with every format: they are independent of traces.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import msgspec

from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.context import NO_TEXTS, NOTHING, Incoming, Outgoing, TraceContext
from idlrt.observe.tracing.propagation.b3 import B3, B3Multi
from idlrt.observe.tracing.propagation.baggage import BAGGAGE, format_baggage, parse_baggage
from idlrt.observe.tracing.propagation.base import Extracted, MalformedHeader, Propagation
from idlrt.observe.tracing.propagation.eagleeye import EagleEye
from idlrt.observe.tracing.propagation.jaeger import Jaeger
from idlrt.observe.tracing.propagation.once import ONCE, format_once, parse_once
from idlrt.observe.tracing.propagation.pinpoint import Pinpoint
from idlrt.observe.tracing.propagation.sw8 import Sw8
from idlrt.observe.tracing.propagation.w3c import TRACEPARENT, TRACESTATE, W3C, parse_traceparent, with_state

__all__ = ["FORMATS", "Reader", "check_formats", "is_propagated", "read", "reader", "write"]

_ALL: Final[tuple[Propagation, ...]] = (W3C(), B3(), B3Multi(), Jaeger(), Sw8(), EagleEye(), Pinpoint())

FORMATS: Final[Mapping[str, Propagation]] = MappingProxyType({each.name: each for each in _ALL})
"""All formats, by name."""

_NAMES: Final = frozenset({BAGGAGE} | {name for each in _ALL for name in each.headers if not name.endswith("-")})
_PREFIXES: Final = (ONCE, *(name for each in _ALL for name in each.headers if name.endswith("-")))
_NO_HALF: Final = "0" * 16

# What to do about metadata of certain names: nothing is known; nothing but W3C's trace context is; read all; read all
# after changing names with upper-case letters.
_READ_NOTHING, _READ_PARENT, _READ_ALL, _READ_ANY_CASE = range(4)

_MAX_PLANS: Final = 256
_MAX_NAMES: Final = 64
_MAX_NAMES_SIZE: Final = 1024


def is_propagated(name: str) -> bool:
    """Return whether metadata of this name, in lower case, is trace context, baggage or a tag."""
    return name in _NAMES or name.startswith(_PREFIXES)


def check_formats(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of formats from a configuration.

    Raises:
        ConfigurationError: there is no format of a name, or one is there twice.
    """
    for at, name in enumerate(names):
        if name not in FORMATS:
            near = difflib.get_close_matches(name, FORMATS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigurationError(f"unknown trace format {name!r} (known: {', '.join(FORMATS)}){hint}")
        if name in names[:at]:
            raise ConfigurationError(f"trace format {name!r} is listed twice")
    return tuple(names)


class Reader:
    """Reader of requests in several formats.

    Args:
        order: names of formats, the preferred one first; unknown ones are ignored, see `check_formats`.
    """

    __slots__ = ("_formats", "_is_w3c_first", "_plans")

    def __init__(self, order: Sequence[str]) -> None:
        self._formats = tuple(FORMATS[name] for name in dict.fromkeys(order) if name in FORMATS)
        self._is_w3c_first = bool(self._formats) and self._formats[0].name == W3C.name
        self._plans: dict[tuple[str, ...], int] = {}

    def read(self, headers: Mapping[str, str]) -> Incoming:
        """Return what a request brought. Never raises.

        Args:
            headers: metadata; names in any case.
        """
        # A caller sends metadata of the same names again and again, so it is remembered what to do about them.
        names = tuple(headers)
        plan = self._plans.get(names)
        if plan is None:
            plan = self._plan(names)
        if plan == _READ_NOTHING:
            return NOTHING
        if plan == _READ_PARENT:
            context = parse_traceparent(headers[TRACEPARENT])
            if context is not None:
                state = headers.get(TRACESTATE)
                if not state:
                    return Incoming(context, W3C.name)
                extracted = with_state(context, state)
                return Incoming(extracted.context, W3C.name, malformed=extracted.malformed)
        elif plan == _READ_ANY_CASE:
            headers = {name.lower(): value for name, value in headers.items()}
        return self._read(headers)

    def _plan(self, names: tuple[str, ...]) -> int:
        lower = [name.lower() for name in names]
        known = {name for name in lower if is_propagated(name)}
        if not known or not (self._formats or any(name == BAGGAGE or name.startswith(ONCE) for name in known)):
            plan = _READ_NOTHING
        elif lower != list(names):
            plan = _READ_ANY_CASE
        elif TRACEPARENT in known <= {TRACEPARENT, TRACESTATE} and self._is_w3c_first:
            plan = _READ_PARENT
        else:
            plan = _READ_ALL
        if len(names) <= _MAX_NAMES and sum(map(len, names)) <= _MAX_NAMES_SIZE:
            if len(self._plans) >= _MAX_PLANS:
                # Replaced, so that other threads keep what they have looked up.
                self._plans = {}
            self._plans[names] = plan
        return plan

    def _read(self, headers: Mapping[str, str]) -> Incoming:
        found: list[tuple[str, Extracted]] = []
        malformed: list[str] = []
        for each in self._formats:
            try:
                extracted = each.extract(headers)
            except MalformedHeader:
                malformed.append(each.name)
                continue
            if extracted is not None:
                found.append((each.name, extracted))
                malformed += extracted.malformed
        text = headers.get(BAGGAGE)
        baggage = parse_baggage(text) if text else None
        if baggage is not None and baggage.is_malformed:
            malformed.append(BAGGAGE)
        once, dropped = parse_once(headers)
        merged = _merged(found, tuple(malformed))
        members = {**merged.baggage, **merged.tags}
        tags = merged.tags
        if baggage is not None:
            # The header precedes what other formats carry of it, also for tags that only these list.
            members |= baggage.members
            tags = {name: members[name] for name in (*tags, *baggage.tags)}
            dropped += baggage.dropped
        return Incoming(
            merged.context,
            merged.format,
            members or NO_TEXTS,
            tags or NO_TEXTS,
            once or NO_TEXTS,
            merged.sender,
            merged.conflicts,
            merged.malformed,
            merged.links,
            merged.decision,
            merged.debug_id,
            dropped,
        )


def _merged(found: list[tuple[str, Extracted]], malformed: tuple[str, ...]) -> Incoming:
    """Return what several formats found, without the header `baggage`."""
    chosen = next(((name, each) for name, each in found if each.context is not None), None)
    if chosen is None or chosen[1].context is None:
        first = next(iter(found), None)
        if first is None:
            return Incoming(None, malformed=malformed)
        each = first[1]
        return Incoming(
            None, first[0], each.baggage, each.tags, malformed=malformed, decision=each.decision, debug_id=each.debug_id
        )
    name, main = chosen
    context = chosen[1].context
    sender, baggage, tags = main.sender, main.baggage, main.tags
    conflicts: list[str] = []
    links: list[TraceContext] = []
    for other, each in found:
        if each is main or each.context is None:
            continue
        if not _is_same_trace(context.trace_id, each.context.trace_id):
            conflicts.append(other)
            links.append(each.context)
            continue
        context = _completed(context, each.context, is_w3c=other == W3C.name)
        sender = {**each.sender, **sender}
        baggage = {**each.baggage, **baggage}
        tags = {**each.tags, **tags}
    return Incoming(context, name, baggage, tags, NO_TEXTS, sender, tuple(conflicts), malformed, tuple(links))


def _is_same_trace(one: str, other: str) -> bool:
    """Return whether two ids are equal, or one is the low half of the other, as old Zipkin tracers truncate them."""
    return one == other or (one[16:] == other[16:] and _NO_HALF in (one[:16], other[:16]))


def _completed(context: TraceContext, other: TraceContext, *, is_w3c: bool) -> TraceContext:
    """Return a context with what only another one of the same trace has."""
    changes: dict[str, object] = {}
    if len(context.trace_id.lstrip("0")) <= 16 < len(other.trace_id.lstrip("0")):
        changes["trace_id"] = other.trace_id
    if context.is_sampled is None and other.is_sampled is not None:
        changes["is_sampled"] = other.is_sampled
    if other.is_debug and not context.is_debug:
        changes["is_debug"] = True
    if is_w3c:
        # Only W3C's carries these, so its word replaces what other formats derive.
        changes |= {
            "is_random": other.is_random,
            "state": other.state,
            "threshold": other.threshold,
            "randomness": other.randomness,
        }
    return msgspec.structs.replace(context, **changes) if changes else context


@lru_cache(maxsize=64)
def reader(order: tuple[str, ...]) -> Reader:
    """Return the reader for an order of formats."""
    return Reader(order)


def read(headers: Mapping[str, str], order: Sequence[str]) -> Incoming:
    """Return what a request brought. Never raises.

    Args:
        headers: metadata; names in any case.
        order: names of formats, the preferred one first.
    """
    return reader(tuple(order)).read(headers)


def write(outgoing: Outgoing, formats: Sequence[str]) -> dict[str, str]:
    """Return the metadata to send with a call, by names in lower case.

    Args:
        outgoing: what to send.
        formats: names of formats to write; unknown ones are ignored, see `check_formats`.
    """
    headers: dict[str, str] = {}
    for name in formats:
        each = FORMATS.get(name)
        if each is not None:
            headers |= each.inject(outgoing)
    if outgoing.baggage or outgoing.tags:
        text, _ = format_baggage(outgoing.baggage, outgoing.tags)
        if text:
            headers[BAGGAGE] = text
    if outgoing.once:
        headers |= format_once(outgoing.once)[0]
    return headers

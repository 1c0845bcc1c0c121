"""W3C `tracestate`: validation, limits, and the member `ot` with the sampling threshold.

A member that changes moves to the front, as the specification demands, and only then. A list over the limits loses
whole
members: first those of more than 128 characters, then from the end.

Sources: https://www.w3.org/TR/trace-context-2/#tracestate-header;
https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from idlrt.observe.tracing.thresholds import parse_randomness, parse_threshold, threshold_text

__all__ = ["MAX_MEMBERS", "MAX_STATE", "bounded_state", "parse_sampling", "parse_state", "sampling_of", "with_sampling"]

MAX_MEMBERS: Final = 32
"""Maximum number of members."""

MAX_STATE: Final = 512
"""Maximum length of what is sent, in characters: what every platform has to propagate."""

# 32 members of 513 characters, with some white space.
_MAX_READ: Final = 17_408
_LONG_MEMBER: Final = 128
_MAX_OT: Final = 256
_SHORT: Final = 64
_MEMBER: Final = re.compile(r"([a-z0-9][a-z0-9_\-*/@]{0,255})=([ -+\--<>-~]{0,255}[!-+\--<>-~])")
_OT: Final = "ot="


def parse_state(text: str) -> str | None:
    """Return a `tracestate` header in canonical form, within the limits; `None` if it is invalid.

    One invalid member makes the whole list invalid, and so does a 33rd. White space around members, empty members, and
    later members with the same key are left out.
    """
    if not text:
        return ""
    if len(text) > _MAX_READ:
        return None
    members: dict[str, str] = {}
    for member in text.split(","):
        stripped = member.strip(" \t")
        if not stripped:
            continue
        found = _MEMBER.fullmatch(stripped)
        if found is None:
            return None
        if found[1] in members:
            continue
        if len(members) == MAX_MEMBERS:
            return None
        members[found[1]] = stripped
    return bounded_state(list(members.values()))


def bounded_state(members: list[str]) -> str:
    """Return the header of members, without those beyond the limits. The first member stays."""
    text = ",".join(members[:MAX_MEMBERS])
    if len(text) <= MAX_STATE:
        return text
    members = members[:MAX_MEMBERS]
    size = len(text)
    for at in range(len(members) - 1, 0, -1):
        if size <= MAX_STATE:
            break
        if len(members[at]) > _LONG_MEMBER:
            size -= len(members.pop(at)) + 1
    while size > MAX_STATE and len(members) > 1:
        size -= len(members.pop()) + 1
    return ",".join(members) if size <= MAX_STATE else ""


def sampling_of(state: str) -> tuple[int | None, int | None]:
    """Return threshold (`th`) and explicit randomness (`rv`) of the member `ot`; `None` for one that is not valid."""
    if _OT not in state:
        return None, None
    threshold = randomness = None
    for part in _ot_parts(state):
        key, _, value = part.partition(":")
        if key == "th":
            threshold = parse_threshold(value)
        elif key == "rv":
            randomness = parse_randomness(value)
    return threshold, randomness


def parse_sampling(text: str) -> tuple[str, int | None, int | None] | None:
    """Return a header in canonical form, its threshold and its explicit randomness; `None` if it is invalid.

    Short ones are remembered: services that sample with one probability send the same text with each trace.
    """
    return _parse_short(text) if len(text) <= _SHORT else _parse(text)


def _parse(text: str) -> tuple[str, int | None, int | None] | None:
    state = parse_state(text)
    return None if state is None else (state, *sampling_of(state))


_parse_short: Final = lru_cache(maxsize=256)(_parse)


def with_sampling(state: str, threshold: int | None, randomness: int | None) -> str:
    """Return the header with this threshold and randomness, each left out if `None`."""
    has_ot = _OT in state
    if threshold is None and randomness is None and not has_ot:
        return state
    if has_ot and sampling_of(state) == (threshold, randomness) and not _has_broken_part(state):
        return state
    parts: list[str] = []
    if threshold is not None:
        parts.append(f"th:{threshold_text(threshold)}")
    if randomness is not None:
        parts.append(f"rv:{randomness:014x}")
    others = [part for part in _ot_parts(state) if part.partition(":")[0] not in ("th", "rv")]
    text = ";".join([*parts, *others])
    if len(text) > _MAX_OT:
        text = ";".join(parts)
    rest = [member for member in state.split(",") if member and not member.startswith(_OT)]
    return bounded_state([_OT + text, *rest] if text else rest)


def _ot_parts(state: str) -> Iterator[str]:
    for member in state.split(","):
        if member.startswith(_OT):
            yield from member[len(_OT) :].split(";")


def _has_broken_part(state: str) -> bool:
    """Return whether `th` or `rv` is there but invalid: it is removed."""
    return any(
        (key == "th" and parse_threshold(value) is None) or (key == "rv" and parse_randomness(value) is None)
        for key, _, value in (part.partition(":") for part in _ot_parts(state))
    )

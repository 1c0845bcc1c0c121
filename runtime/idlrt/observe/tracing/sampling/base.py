"""Interface of samplers: requests and decisions.

A sampler decides whether a trace is recorded, from what is known when a call begins. Decisions are made of prepared
objects where possible, because most calls are not sampled.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final, Protocol

import msgspec

from idlrt.core.logs import get_logger
from idlrt.observe.tracing.context import NO_TEXTS, TraceContext
from idlrt.observe.tracing.thresholds import randomness_of

__all__ = ["Decision", "SampleRequest", "Sampler", "child_decision", "is_of_parent", "parent_decision"]


class Decision(msgspec.Struct, frozen=True, gc=False):
    """Decision about a trace.

    Attributes:
        is_sampled: whether it is recorded.
        threshold: rejection threshold to send on (`th`); `None`: the probability is unknown, and `th` must be removed.
            Always `None` if it is not sampled.
        reason: `parent`, `debug`, `ratio`, `rate`, `floor`, `rule` or `cap`.
    """

    is_sampled: bool
    threshold: int | None = None
    reason: str = ""


class SampleRequest(msgspec.Struct, gc=False):
    """A call that begins, as samplers see it.

    Attributes:
        trace_id: id of the trace, that of the parent if there is one.
        method: `Service.method`.
        caller: name of the calling application; empty if unknown.
        tags: business tags.
        parent: what the caller sent; `None` for a root.
        is_trusted: whether what the caller sent counts: its decision, its name and its tags.
    """

    trace_id: str
    method: str = ""
    caller: str = ""
    tags: Mapping[str, str] = NO_TEXTS
    parent: TraceContext | None = None
    is_trusted: bool = True


class Sampler(Protocol):
    """Decides about traces. Threads may share it."""

    def decide(self, request: SampleRequest) -> Decision:
        """Return the decision about the trace of a call."""
        ...


_log: Final = get_logger("idlrt.observe")

_OF_PARENT: Final = frozenset({"parent", "debug"})

_PARENT_SAMPLED: Final = Decision(True, None, "parent")
_PARENT_DROPPED: Final = Decision(False, None, "parent")
_DEBUG: Final = Decision(True, None, "debug")


def is_of_parent(decision: Decision) -> bool:
    """Return whether a decision is that of the parent, so that to change it would tear the trace."""
    return decision.reason in _OF_PARENT


def parent_decision(request: SampleRequest) -> Decision | None:
    """Return the decision that the parent has made; `None` if there is none, or if it is not trusted.

    A threshold that contradicts the parent's decision is removed, as the specification demands.
    """
    parent = request.parent
    if parent is None or not request.is_trusted:
        return None
    if parent.is_debug:
        return _DEBUG
    if not parent.is_sampled:
        return None if parent.is_sampled is None else _PARENT_DROPPED
    threshold = parent.threshold
    if threshold is None or randomness_of(parent.trace_id, parent.randomness) < threshold:
        return _PARENT_SAMPLED
    return Decision(True, threshold, "parent")


@cache
def _warn_presumed() -> None:
    """Warn, once in a process, as the specification of the samplers demands."""
    _log.warning(
        "sampling by the low 56 bits of trace ids that callers have not marked as random (flag 02 of traceparent); "
        "if these are not random, sampled shares differ from the ratio"
    )


def child_decision(request: SampleRequest, threshold: int, kept: Decision, dropped: Decision) -> Decision:
    """Return the decision of a sampler with a threshold for a request with a parent.

    A trace that the parent has not sampled stays unsampled, and one that it has sampled with a higher threshold keeps
    that: probabilities never rise on the way, so no span is without its parent.

    Args:
        request: the request.
        threshold: threshold of the sampler.
        kept: its decision for a sampled trace, with this threshold.
        dropped: its decision for one that is not sampled.
    """
    before = parent_decision(request)
    parent = request.parent if request.is_trusted else None
    if parent is not None and parent.randomness is None and not parent.is_random and threshold:
        _warn_presumed()
    randomness = randomness_of(request.trace_id, parent.randomness if parent is not None else None)
    if before is None:
        return kept if randomness >= threshold else dropped
    if not before.is_sampled or before is _DEBUG:
        return before
    if randomness < threshold:
        return dropped
    if before.threshold is None or before.threshold >= threshold:
        return before
    return kept

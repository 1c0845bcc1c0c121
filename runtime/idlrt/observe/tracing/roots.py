"""Where traces begin: new ids, and the decision of the sampler for new traces and for those of callers."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from idlrt.observe.tracing.context import TraceContext, new_span_id, new_trace_id
from idlrt.observe.tracing.sampling import GuardedSampler, Never, ParentBased, Ratio, Sampler, SampleRequest
from idlrt.observe.tracing.thresholds import MAX_THRESHOLD, threshold

__all__ = ["W3C", "Roots", "TagRules"]

W3C: Final = "w3c"
_randbelow: Final = random.randrange
# Place where the random part of a trace id begins.
_RANDOM_AT: Final = 18


class TagRules(Protocol):
    """Rules that are asked again about calls that get tags; `Rules`."""

    @property
    def has_tags(self) -> bool:
        """Whether a rule that forces has conditions on tags."""
        ...

    def forces(self, request: SampleRequest) -> bool:
        """Return whether a rule about tags forces a trace."""
        ...


class Roots:
    """Asks the sampler. Threads may share it.

    Args:
        sampler: decides which traces are recorded.
        reads: formats of headers that are read, in the order of precedence.
        rules: rules in the sampler, which are asked again about calls that get tags; `None` for none.

    Attributes:
        threshold: randomness, of 56 bits, below which a trace that begins here is not sampled, if that is all there is
            to know; it may be drawn without an id, and `context` told of it. 0 if the sampler has to be asked.
        is_parent_based: whether the decision of a caller is in the header that has precedence, and is followed.
    """

    __slots__ = ("_rules", "_sampler", "is_parent_based", "threshold")

    def __init__(self, sampler: Sampler, reads: Sequence[str], rules: TagRules | None = None) -> None:
        self._sampler = GuardedSampler(sampler)
        self._rules = rules
        self.is_parent_based = isinstance(sampler, ParentBased) and tuple(reads[:1]) == (W3C,)
        root = sampler.root if isinstance(sampler, ParentBased) else sampler
        self.threshold = MAX_THRESHOLD + 1 if isinstance(root, Never) else 0
        if isinstance(root, Ratio):
            self.threshold = threshold(root.probability)

    def context(
        self,
        method: str,
        parent: TraceContext | None,
        caller: str,
        tags: Mapping[str, str],
        *,
        is_trusted: bool,
        is_drawn: bool = False,
    ) -> TraceContext:
        """Return the context of a trace: that of the parent, or of a new trace, with the decision of the sampler.

        Args:
            method: `Service.method`, or the name of an internal span.
            parent: context that a request brought; `None` for a new trace.
            caller: name of the calling application.
            tags: business tags of the request.
            is_trusted: whether the decision and the tags of the caller are used.
            is_drawn: whether it has been drawn already that a new trace is sampled, so that its id must say so.
        """
        trace_id = parent.trace_id if parent is not None else new_trace_id()
        if is_drawn and parent is None and self.threshold <= MAX_THRESHOLD:
            number = self.threshold + _randbelow(MAX_THRESHOLD + 1 - self.threshold)
            trace_id = f"{trace_id[:_RANDOM_AT]}{number:014x}"
        decision = self._sampler.decide(
            SampleRequest(
                trace_id=trace_id,
                method=method,
                caller=caller,
                tags=tags,
                parent=parent if is_trusted else None,
                is_trusted=is_trusted,
            )
        )
        if parent is None:
            return TraceContext(
                trace_id=trace_id,
                span_id=new_span_id(),
                is_sampled=decision.is_sampled,
                is_random=True,
                threshold=decision.threshold,
            )
        changes: dict[str, Any] = {"is_sampled": decision.is_sampled, "threshold": decision.threshold}
        if not is_trusted:
            changes |= {"is_debug": False, "randomness": None}
        return msgspec.structs.replace(parent, **changes)

    def forces(self, context: TraceContext, method: str, caller: str, tags: Mapping[str, str]) -> bool:
        """Return whether a rule about tags forces a trace that is not sampled, because of the tags that it has now."""
        rules = self._rules
        if rules is None or not rules.has_tags:
            return False
        return rules.forces(SampleRequest(trace_id=context.trace_id, method=method, caller=caller, tags=tags))

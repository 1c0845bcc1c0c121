"""Sampler that follows the decision of a trusted parent, and asks another one about all other traces."""

from __future__ import annotations

from typing import Final

from idlrt.observe.tracing.sampling.base import Decision, Sampler, SampleRequest, parent_decision

__all__ = ["ParentBased"]


class ParentBased:
    """Follows the decision of the parent if it is trusted and has made one.

    Args:
        root: asked about traces that begin here, whose parent leaves the decision to this side, or is not trusted.
    """

    __slots__ = ("root",)

    def __init__(self, root: Sampler) -> None:
        self.root: Final = root

    def __repr__(self) -> str:
        return f"ParentBased({self.root!r})"

    def decide(self, request: SampleRequest) -> Decision:
        """Return the decision about the trace of a call."""
        if request.parent is None:
            return self.root.decide(request)
        return parent_decision(request) or self.root.decide(request)

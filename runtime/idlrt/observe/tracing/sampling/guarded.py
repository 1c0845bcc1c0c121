"""Sampler of a program, whose exceptions must not break calls."""

from __future__ import annotations

from typing import Final

from idlrt.core.logs import get_logger
from idlrt.observe.tracing.sampling.base import Decision, Sampler, SampleRequest

__all__ = ["GuardedSampler"]

_log: Final = get_logger(__name__)


class GuardedSampler:
    """Sampler that does not sample where another one raises an exception; the first one is logged. A `Sampler`.

    Args:
        sampler: the other one.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._has_raised = False

    def decide(self, request: SampleRequest) -> Decision:
        """Decide about a trace."""
        try:
            return self._sampler.decide(request)
        except Exception:  # noqa: BLE001  # whatever a sampler of the program raises
            if not self._has_raised:
                self._has_raised = True
                _log.exception("the sampler %r raised an exception: it does not sample such calls", self._sampler)
            return Decision(is_sampled=False)

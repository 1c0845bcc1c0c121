"""States of circuit breakers, from their decisions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final

from idlrt.core import BreakerChanged
from idlrt.core.forks import forks
from idlrt.observe.catalogue import BREAKER_CHANGES, BREAKER_STATE
from idlrt.observe.cells import Counts
from idlrt.observe.metric import Series

__all__ = ["BreakerStates"]

_STATES: Final = {"closed": 0.0, "half-open": 1.0, "open": 2.0}
# Breakers whose state is kept; those that are closed make room first.
_MAX_BREAKERS: Final = 500


class BreakerStates:
    """Last state of each circuit breaker that has changed, and its changes. Threads may share it."""

    def __init__(self) -> None:
        self._states: dict[str, float] = {}
        self._changes = Counts(BREAKER_CHANGES)
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Replace the lock in a forked child."""
        self._lock = threading.Lock()

    def changed(self, decision: BreakerChanged) -> None:
        """Record a change."""
        self._changes.add((decision.subject, decision.after))
        with self._lock:
            states = self._states
            if decision.subject not in states and len(states) >= _MAX_BREAKERS:
                closed = next((name for name, state in states.items() if not state), None)
                if closed is None:
                    return
                del states[closed]
            states[decision.subject] = _STATES.get(decision.after, 0.0)

    def read(self) -> Iterator[Series]:
        """Return states and changes; nothing while no breaker has ever changed."""
        with self._lock:
            states = dict(self._states)
        if states:
            yield Series(BREAKER_STATE, {(name,): state for name, state in states.items()})
            yield self._changes.series()

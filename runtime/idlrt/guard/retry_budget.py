"""How many calls may be made once more: a part of all calls, so that retries never become most of the load.

Every call deposits, every retry withdraws. What was deposited is good for some seconds only. A small reserve lets
clients with few calls retry, too.

Source: Finagle's `RetryBudget`, with its defaults, https://twitter.github.io/finagle/guide/Clients.html#retries
"""

from __future__ import annotations

import threading
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from idlrt.core.forks import forks
from idlrt.core.policy import Positive
from idlrt.guard.window import Window

__all__ = ["RetryBudget", "RetryBudgetSettings"]

_BUCKETS: Final = 10
# What rounding may take away.
_NEARLY: Final = 1e-9


class RetryBudgetSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the retry budget."""

    ratio: Annotated[float, Meta(ge=0, le=1000, description="retries per call; 0.2: one for five calls.")] = 0.2
    reserve: Annotated[
        float, Meta(ge=0, description="retries per second in addition to `ratio`, for clients with few calls.")
    ] = 10.0
    ttl: Annotated[Positive, Meta(description="time for which a call counts, and in which `reserve` accumulates.")] = (
        10.0
    )


class RetryBudget:
    """The budget of one service on this client. Threads may share it; no two spend the same.

    Attributes:
        settings: that it was made with.
    """

    Settings = RetryBudgetSettings

    __slots__ = ("__weakref__", "_lock", "_ratio", "_reserve", "_window", "settings")

    def __init__(self, settings: RetryBudgetSettings) -> None:
        self.settings = settings
        self.renew()
        forks.renew(self)
        self._ratio = settings.ratio
        self._reserve = settings.reserve * settings.ttl
        # Good: calls. Bad: retries.
        self._window = Window(settings.ttl, _BUCKETS)

    def renew(self) -> None:
        """In a child of the process."""
        self._lock = threading.Lock()

    def deposit(self, now: float) -> None:
        """A call is made, for the first time."""
        window = self._window
        if now >= window.ends:
            window.turn(now)
        window.good += 1

    def spend(self, now: float) -> bool:
        """Take one retry out of it. `False`: there is none left, so do not retry."""
        with self._lock:
            if self.balance(now) < 1 - _NEARLY:
                return False
            self._window.bad += 1
            return True

    def balance(self, now: float) -> float:
        """Retries that may be made now."""
        window = self._window
        if now >= window.ends:
            window.turn(now)
        deposits = window.good_before + window.good
        return deposits * self._ratio + self._reserve - window.bad_before - window.bad

"""Guard `admission`: client-side admission control (adaptive throttling), which relieves servers that reject calls.

The decision is random. While servers accept calls, none is rejected here. The more of the recent calls servers have
rejected, the higher the probability that a call is rejected locally; local rejections count as requests, too. At least
one call per `force_pass_interval` is let through, so that recovery is noticed.

Sources: "Site Reliability Engineering", chapter 21, https://sre.google/sre-book/handling-overload/; protection, window
and forced pass are go-zero's, https://github.com/zeromicro/go-zero (`core/breaker/googlebreaker.go`)
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from idlrt.core import ClockAndRandom, Evidence, Listener, Rejected, evidence_of, notify
from idlrt.core.policy import Positive
from idlrt.errors import Overloaded
from idlrt.guard.base import AnyCall, Next, PerMethod, Scope, listeners_of, no_listener
from idlrt.guard.window import Window

__all__ = ["Admission", "AdmissionControl", "AdmissionSettings"]


class AdmissionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of client-side admission control."""

    per: Annotated[Scope, Meta(description="scope of the statistics: a whole service, or each of its methods.")] = (
        "service"
    )
    k: Annotated[
        float,
        Meta(
            ge=1,
            description="ratio of requests to accepted requests above which requests are rejected; lower "
            "values reject sooner.",
        ),
    ] = 1.5
    protection: Annotated[
        int,
        Meta(
            ge=0,
            description="number of requests that are not counted, so that few failures of few calls cause no "
            "rejection.",
        ),
    ] = 5
    window: Annotated[Positive, Meta(description="length of the sliding window.")] = 10.0
    buckets: Annotated[
        int, Meta(ge=1, le=1000, description="number of buckets of the window; the oldest one expires as a whole.")
    ] = 40
    force_pass_interval: Annotated[Positive, Meta(description="maximum time without a call that is let through.")] = 1.0


class Admission:
    """Requests and accepts of one service or method. Threads may share it."""

    __slots__ = ("_forced", "_k", "_last_pass", "_protection", "_window")

    def __init__(self, settings: AdmissionSettings) -> None:
        self._k = settings.k
        self._protection = settings.protection
        self._forced = settings.force_pass_interval
        # `successes` counts accepted calls, `failures` calls that were rejected by servers or here.
        self._window = Window(settings.window, settings.buckets)
        self._last_pass = -math.inf

    def probability(self, now: float) -> float:
        """Return the probability that a call is rejected: from 0 to below 1."""
        window = self._window
        if now >= window.ends:
            window.rotate(now)
        accepts = window.earlier_successes + window.successes
        requests = accepts + window.earlier_failures + window.failures
        return max(0.0, (requests - self._protection - self._k * accepts) / (requests + 1))

    def refuses(self, now: float, probability: float, rng: float) -> bool:
        """Return whether to reject a call. A rejection counts as a request.

        Args:
            now: time on the guard's clock.
            probability: greater than 0.
            rng: random number from 0 to below 1.
        """
        if rng >= probability or now - self._last_pass >= self._forced:
            self._last_pass = now
            return False
        self._window.failures += 1
        return True

    def accepted(self, now: float) -> None:
        """Record a call that the server processed, with any result."""
        window = self._window
        if now >= window.ends:
            window.rotate(now)
        window.successes += 1

    def rejected(self, now: float) -> None:
        """Record a call that was rejected or lost, or timed out."""
        window = self._window
        if now >= window.ends:
            window.rotate(now)
        window.failures += 1


class AdmissionControl:
    """Guard `admission`: client-side admission control by service or method."""

    Settings: ClassVar[type[msgspec.Struct]] = AdmissionSettings
    before: ClassVar[tuple[str, ...]] = ("limiter",)

    def __init__(self, settings: AdmissionSettings, sources: ClockAndRandom, listener: Listener = no_listener) -> None:
        self._now = sources.now
        self._rng = sources.rng
        self._listener = listener
        self._accounts: PerMethod[Admission] = PerMethod(settings.per, lambda name: Admission(settings))

    async def __call__(self, call: AnyCall, next: Next) -> Any:
        """Make the call unless it is rejected at random, and record its outcome.

        Raises:
            Overloaded: servers have rejected too many recent calls.
        """
        account = self._accounts[call.method]
        now = self._now
        at = now()
        probability = account.probability(at)
        if probability and account.refuses(at, probability, self._rng()):
            raise self._rejected(call, probability)
        try:
            result = await next(call)
        except Exception as error:
            evidence = evidence_of(error)
            if evidence is Evidence.REJECTED or evidence.is_failure:
                account.rejected(now())
            elif evidence is not Evidence.NOT_ASKED:
                account.accepted(now())
            raise
        account.accepted(now())
        return result

    def _rejected(self, call: AnyCall, probability: float) -> Overloaded:
        why = f"throttling {probability:.0%} of the calls, because servers reject too many"
        if listeners := listeners_of(call, self._listener):
            notify(listeners, Rejected(subject=call.method.full_name, guard="admission", why=why, reason="throttled"))
        return Overloaded(f"rejected {call.method.full_name}: {why}")

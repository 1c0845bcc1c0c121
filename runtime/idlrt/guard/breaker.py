"""`breaker`: does not let calls through where most of them fail, and tries every now and then whether that is over.

Closed, it counts. When too large a part of many calls fails, or too many fail in a row, it opens: calls are refused
without a try. After a pause it is half open: it lets a probe through, one at a time, and a few good ones in a row close
it. A bad one opens it again, for longer.

Overload does not open it: a server that says "not now" works, and a breaker would take all its calls away at once.

Sources: Kitex's circuit breaker (rates, probes), https://www.cloudwego.io/docs/kitex/tutorials/service-governance/;
brpc's (a longer pause for who trips again at once, overload does not count),
https://github.com/apache/brpc/blob/master/docs/en/circuit_breaker.md
"""

from __future__ import annotations

import threading
from typing import Annotated, Any, ClassVar, Final
from weakref import ref

import msgspec
from msgspec import Meta

from idlrt.core import BreakerChanged, Chance, Evidence, Listener, Refused, evidence_of, tell
from idlrt.core.forks import forks
from idlrt.core.leases import Lease
from idlrt.core.policy import Positive, Seconds
from idlrt.errors import CircuitOpen
from idlrt.guard.base import AnyCall, Next, Per, PerMethod, heard_by, nobody
from idlrt.guard.window import Window

__all__ = ["CLOSED", "HALF_OPEN", "OPEN", "Breaker", "BreakerSettings", "CircuitBreaker"]

CLOSED: Final = "closed"
OPEN: Final = "open"
HALF_OPEN: Final = "half-open"

# Changes that nobody asks for.
_KEPT: Final = 8
# A lease that is gone.
_NO_PROBE: Final = ref(Lease())


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a circuit breaker."""

    per: Annotated[
        Per, Meta(description="scope of the statistics and of the rejection: a whole service, or each of its methods.")
    ] = "service"
    errors: Annotated[float, Meta(gt=0, le=1, description="failure ratio that opens the breaker.")] = 0.5
    volume: Annotated[
        int, Meta(ge=1, description="minimum number of calls in the window before the failure ratio counts.")
    ] = 200
    window: Annotated[Positive, Meta(description="length of the sliding window.")] = 10.0
    buckets: Annotated[
        int, Meta(ge=1, le=1000, description="number of buckets of the window; the oldest one expires as a whole.")
    ] = 10
    consecutive: Annotated[
        int, Meta(ge=0, description="consecutive failures that open the breaker, regardless of `volume`; 0 disables.")
    ] = 0
    pause: Annotated[Positive, Meta(description="time for which the breaker stays open before it sends probes.")] = 5.0
    factor: Annotated[
        float,
        Meta(
            ge=1,
            description="multiplier of the pause when the breaker opens again soon after closing; 1: constant pause.",
        ),
    ] = 2.0
    longest: Annotated[
        Positive,
        Meta(description="upper bound of the pause; also the time after closing that counts as soon, for `factor`."),
    ] = 30.0
    interval: Annotated[Seconds, Meta(description="minimum time between two probes.")] = 0.2
    probes: Annotated[int, Meta(ge=1, description="consecutive successful probes that close the breaker.")] = 2
    count_internal: Annotated[bool, Meta(description="whether responses with `INTERNAL_ERROR` count as failures.")] = (
        False
    )


class Breaker:
    """The state of one breaker. Threads may share it: of probes there is never more than one.

    The caller reports the outcome of each call that it was permitted, whatever that is:

        permit = breaker.allows(now)
        if permit:
            ...
            breaker.succeeded(now, permit)  # or failed, or abandoned

    The permit tells a probe from a call that was let through before and ends only now. An outcome without one counts as
    that of the probe under way.

    The permit of a probe is a lease (`idlrt.core.leases`): if it is gone and no outcome was reported, the probe was
    interrupted by an exception of a signal handler or a time limit, and another one may be sent.

    Attributes:
        state: `closed`, `open` or `half-open`.
        changes: of the state, as (before, after, why). Whoever tells of them takes them with `take_changes`.
    """

    __slots__ = (
        "__weakref__", "_closed_at", "_good_probes", "_lock", "_next_try", "_opened_at", "_pause", "_permit", "_probe",
        "_row", "_settings", "_why", "_window", "changes", "state",
    )  # fmt: skip

    def __init__(self, settings: BreakerSettings) -> None:
        self.state: str = CLOSED
        self.changes: list[tuple[str, str, str]] = []
        self._settings = settings
        self.renew()
        forks.renew(self)
        self._window = Window(settings.window, settings.buckets)
        self._row = 0
        # All calls have the same permit while it is closed; another one each time that it closes.
        self._permit = Lease()
        self._good_probes = 0
        self._pause = 0.0
        self._next_try = self._opened_at = self._closed_at = 0.0
        self._why = ""

    def renew(self) -> None:
        """In a child of the process: a probe that is under way is the parent's."""
        self._lock = threading.Lock()
        self._probe = _NO_PROBE

    @property
    def is_probing(self) -> bool:
        """Whether a probe is under way."""
        return self._probe() is not None

    def allows(self, now: float) -> Lease | None:
        """Whether a call may go: a permit, or `None`. Keep the permit in a local variable until the call has ended."""
        return self._permit if self.state is CLOSED else self._next_probe(now)

    def _next_probe(self, now: float) -> Lease | None:
        with self._lock:
            if self.state is CLOSED:
                return self._permit
            if self.is_probing or now < self._next_try:
                return None
            if self.state is OPEN:
                self._good_probes = 0
                self._change(HALF_OPEN, "the pause is over")
            permit = Lease()
            self._probe = ref(permit)
            self._next_try = now + self._settings.interval
            return permit

    def succeeded(self, now: float, permit: Lease | None = None) -> None:
        """The call was answered."""
        if self.state is CLOSED:
            window = self._window
            if now >= window.ends:
                window.turn(now)
            window.good += 1
            self._row = 0
            return
        with self._lock:
            if self._is_of_probe(permit):
                self._probe = _NO_PROBE
                self._good_probes += 1
                if self._good_probes >= self._settings.probes:
                    self._close(now)

    def failed(self, now: float, permit: Lease | None = None) -> None:
        """The call failed in a way that speaks against the server."""
        with self._lock:
            if self._is_of_probe(permit):
                self._open(now, "a probe has failed")
            elif self.state is CLOSED and permit in (None, self._permit):
                self._count_failure(now)

    def abandoned(self, now: float, permit: Lease | None = None) -> None:
        """The call ended in a way that says nothing, as when it was cancelled."""
        if self.state is not CLOSED:
            with self._lock:
                if self._is_of_probe(permit):
                    self._probe = _NO_PROBE

    def retry_after(self, now: float) -> float:
        """Seconds until the next call is let through, if there is one."""
        return max(self._next_try - now, 0.0)

    def is_ready(self, now: float) -> bool:
        """Whether the next call is let through."""
        return self.state is CLOSED or (now >= self._next_try and not self.is_probing)

    def explain(self, now: float) -> str:
        """Why it is not closed, since when, and what it waits for."""
        since = f"{self._why}; it opened {now - self._opened_at:.3g} s ago"
        if self.is_probing:
            return f"{since} and waits for the answer to a probe"
        return f"{since} and is tried again in {self.retry_after(now):.3g} s"

    def take_changes(self) -> list[tuple[str, str, str]]:
        """The changes since somebody last took them, the oldest first; of many the latest."""
        with self._lock:
            changes, self.changes = self.changes, []
            return changes

    def _is_of_probe(self, permit: Lease | None) -> bool:
        probe = self._probe()
        return probe is not None and permit in (None, probe)

    def _count_failure(self, now: float) -> None:
        window, settings = self._window, self._settings
        if now >= window.ends:
            window.turn(now)
        window.bad += 1
        self._row += 1
        bad = window.bad_before + window.bad
        total = bad + window.good_before + window.good
        if settings.consecutive and self._row >= settings.consecutive:
            self._open(now, f"{self._row} calls in a row have failed")
        elif total >= settings.volume and bad >= settings.errors * total:
            self._open(now, f"{bad} of {total} calls within {settings.window:g} s have failed")

    def _open(self, now: float, why: str) -> None:
        settings = self._settings
        longest = max(settings.longest, settings.pause)
        is_again = self.state is HALF_OPEN or (self._pause > 0 and now - self._closed_at < longest)
        self._pause = min(self._pause * settings.factor, longest) if is_again else settings.pause
        self._probe = _NO_PROBE
        self._next_try = now + self._pause
        if self.state is CLOSED:
            self._opened_at = now
            self._why = why
        self._change(OPEN, why)

    def _close(self, now: float) -> None:
        self._window.clear()
        self._row = 0
        self._closed_at = now
        self._permit = Lease()
        self._change(CLOSED, f"{self._good_probes} probes in a row were good")

    def _change(self, state: str, why: str) -> None:
        self.changes.append((self.state, state, why))
        del self.changes[:-_KEPT]
        self.state = state


class CircuitBreaker:
    """See the module. A `Guard`: `breaker`."""

    Settings: ClassVar[type[msgspec.Struct]] = BreakerSettings
    # It counts what calls come to behind it, not those that are refused before.
    before: ClassVar[tuple[str, ...]] = ("concurrency",)

    def __init__(self, settings: BreakerSettings, chance: Chance, listener: Listener = nobody) -> None:
        self._now = chance.now
        self._listener = listener
        self._counts_internal = settings.count_internal
        self._breakers: PerMethod[tuple[str, Breaker]] = PerMethod(settings.per, lambda name: (name, Breaker(settings)))

    async def __call__(self, call: AnyCall, next: Next) -> Any:
        """See `Guard.__call__`.

        Raises:
            CircuitOpen: the breaker is open, or half open and busy.
        """
        name, breaker = self._breakers[call.method]
        now = self._now
        permit = breaker.allows(now())
        if breaker.changes:
            self._tell_changes(call, name, breaker)
        if not permit:
            raise self._refused(call, name, breaker)
        try:
            result = await next(call)
        except Exception as error:
            is_failure = self._is_failure(error)
            if is_failure is None:
                breaker.abandoned(now(), permit)
            elif is_failure:
                breaker.failed(now(), permit)
            else:
                breaker.succeeded(now(), permit)
            if breaker.changes:
                self._tell_changes(call, name, breaker)
            raise
        except BaseException:
            breaker.abandoned(now(), permit)
            raise
        breaker.succeeded(now(), permit)
        if breaker.changes:
            self._tell_changes(call, name, breaker)
        return result

    def _is_failure(self, error: Exception) -> bool | None:
        """Whether it speaks against who was called; `None`: it says nothing."""
        evidence = evidence_of(error)
        if evidence.is_failure:
            return True
        # A handler of this server that raises is a reply with INTERNAL_ERROR for its client.
        if evidence is Evidence.BROKEN or evidence is Evidence.RAISED:
            return self._counts_internal
        return False if evidence is Evidence.ANSWERED else None

    def _refused(self, call: AnyCall, name: str, breaker: Breaker) -> CircuitOpen:
        now = self._now()
        why = breaker.explain(now)
        if listeners := heard_by(call, self._listener):
            tell(listeners, Refused(subject=call.method.full_name, guard="breaker", why=why))
        what = f"did not call {call.method.full_name}: the circuit breaker of {name} is {breaker.state}"
        return CircuitOpen(f"{what}, because {why}").push_back(breaker.retry_after(now))

    def _tell_changes(self, call: AnyCall, name: str, breaker: Breaker) -> None:
        changes = breaker.take_changes()
        if listeners := heard_by(call, self._listener):
            for before, after, why in changes:
                tell(listeners, BreakerChanged(subject=name, before=before, after=after, why=why))

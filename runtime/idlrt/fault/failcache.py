"""`failcache`: a call that fails is kept, and made again after a while, in the background.

At once would hit a service that is overwhelmed already; later it may have recovered. For what has to happen, but not
now: notes, mails, counters. A method that returns nothing returns as if it were done; of one that returns something
the caller gets a `Deferred`. Kept is only what may be made again: nobody has worked on it, or its method is
idempotent. How many, how often and for how long is bounded, and what comes of it a callback hears:
`using(fault="failcache", on_done=...)`.

Kept calls are in memory: they end with the client, which says how many there were.

Source: Dubbo's `FailbackClusterInvoker`, which is about this (5 s, 3 times, 100 tasks)
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, ClassVar, Final
from weakref import ref

import msgspec
from msgspec import Meta

from idlrt.core import Call, Chance, Deadline, GaveUp, Kept, Positive
from idlrt.core.forks import forks
from idlrt.core.leases import Lease, Leases
from idlrt.core.logs import get_logger
from idlrt.errors import Deferred, NotSent, Unknown
from idlrt.fault.base import Reach, may_repeat
from idlrt.spec import VOID, DeclaredError

__all__ = ["Failcache", "OnDone", "Outcome"]

_log: Final = get_logger("idlrt.client")

# How long a client that is closed may have to wait for the thread that sleeps until the next kept call is due.
_LONGEST_SLEEP: Final = 0.5
# A lease that is gone.
_NO_WORKER: Final = ref(Lease())


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a kept call has come to in the end.

    Attributes:
        call: which.
        result: of the call, if it was done.
        error: why it was not; `None` if it was.
        attempts: how often it was made, the first time included.
    """

    call: Call
    result: Any = None
    error: Exception | None = None
    attempts: int


OnDone = Callable[[Outcome], object]
"""Hears what kept calls have come to. Called in the background."""


class FailcacheSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `failcache`."""

    interval: Annotated[
        Positive,
        Meta(
            description="time until the first retry of a deferred call; it doubles for each further one, with "
            "jitter of 10%."
        ),
    ] = 5.0
    attempts: Annotated[int, Meta(ge=1, le=1000, description="maximum number of retries of a deferred call.")] = 3
    most: Annotated[
        int, Meta(ge=1, le=1_000_000, description="maximum number of deferred calls; further failures are raised.")
    ] = 100
    age: Annotated[Positive, Meta(description="time after which a deferred call is dropped.")] = 60.0


class _KeptCall:
    __slots__ = ("attempts", "call", "lease", "reach", "since")

    def __init__(self, call: Call, reach: Reach[Any], since: float, lease: Lease) -> None:
        self.lease: Lease | None = lease
        self.call = call
        self.reach = reach
        self.since = since
        self.attempts = 1


class Failcache:
    """See the module. A `FaultMode`."""

    Settings: ClassVar[type[msgspec.Struct]] = FailcacheSettings

    def __init__(self, settings: FailcacheSettings, chance: Chance) -> None:
        self._settings = settings
        self._chance = chance
        self._order = itertools.count()
        self._is_closed = False
        self._leases = Leases()
        self.renew()
        forks.renew(self)

    def renew(self) -> None:
        """In a child of the process: what is kept is the parent's."""
        self._lock = threading.Lock()
        self._waiting: list[tuple[float, int, _KeptCall]] = []
        self._leases.renew()
        # Held by the loop that makes kept calls, so it is gone also if an exception came before that was started.
        self._worker = _NO_WORKER

    @property
    def kept(self) -> int:
        """How many calls are kept at the moment."""
        return len(self._leases)

    async def call(self, call: Call, reach: Reach[Any]) -> Any:
        """See `FaultMode.call`.

        Raises:
            Deferred: it failed, and is made again later.
        """
        try:
            return await reach.send(reach.pick(call, ()), call)
        except (NotSent, Unknown) as error:
            why = self._keep(call, reach, error)
            if why:
                if reach.is_heard(call):
                    reach.tell(call, GaveUp(subject=call.method.full_name, why=why, mode="failcache"))
                error.add_note(f"not kept: {why}")
                raise
            if call.method.result is VOID:
                return None
            what = f"{call.method.full_name} failed, and is made again after {self._settings.interval:.3g} s or more"
            raise Deferred(f"{what}: {error}") from error

    def _keep(self, call: Call, reach: Reach[Any], error: NotSent | Unknown) -> str:
        """Put `call` aside; what stands against that."""
        if not isinstance(error, NotSent) and not may_repeat(call):
            return f"{call.method.full_name} is not idempotent"
        pause = self._pause(1, error)
        if pause >= self._settings.age:
            return "the server does not want it again for so long"
        with self._lock:
            if self._is_closed:
                return "the client is closed"
            lease = self._leases.acquire(self._settings.most)
            if lease is None:
                return f"{self._settings.most} calls are kept already"
            now = call.driver.now()
            # A copy, because it gets deadlines of its own; with the plan, which the reach goes by.
            copied = msgspec.structs.replace(call, metadata=dict(call.metadata))
            kept = _KeptCall(copied, reach, now, lease)
            heapq.heappush(self._waiting, (now + pause, next(self._order), kept))
            del lease, kept
            worker = Lease() if self._worker() is None else None
            if worker is not None:
                self._worker = ref(worker)
        _log.info("keeping %s, to be made again in %.3g s: %s", call.method.full_name, pause, error)
        if reach.is_heard(call):
            reach.tell(call, Kept(subject=call.method.full_name, why=str(error), mode="failcache", pause=pause))
        if worker is not None:
            call.driver.beside(partial(self._work, call, worker))
        return ""

    def _pause(self, attempt: int, error: NotSent | Unknown) -> float:
        pause: float = self._settings.interval * 2 ** (attempt - 1) * (0.9 + 0.2 * self._chance.dice())
        return max(pause, error.retry_after or 0.0)

    async def _work(self, first: Call, worker: Lease) -> None:
        """Make kept calls when they are due, until there is none any more."""
        driver = first.driver
        try:
            while True:
                with self._lock:
                    if not self._waiting or self._is_closed:
                        self._worker = _NO_WORKER
                        return
                    at = self._waiting[0][0]
                    kept = heapq.heappop(self._waiting)[2] if at <= driver.now() else None
                if kept is None:
                    await driver.sleep(min(at - driver.now(), _LONGEST_SLEEP))
                else:
                    await self._make(kept)
        except BaseException:
            # Its event loop ends. The next call that is kept, on another one, starts a worker for all that is left.
            with self._lock:
                self._worker = _NO_WORKER
            raise
        finally:
            del worker

    async def _make(self, kept: _KeptCall) -> None:
        call, driver = kept.call, kept.call.driver
        timeout = call.policy.timeout
        call.deadline = Deadline(driver.now() + timeout, timeout)
        kept.attempts += 1
        try:
            result = await kept.reach.send(kept.reach.pick(call, ()), call, kept.attempts - 1)
        except (NotSent, Unknown) as error:
            pause = self._pause(kept.attempts, error)
            due = driver.now() + pause
            is_over = kept.attempts > self._settings.attempts or due > kept.since + self._settings.age
            if not is_over and pause < math.inf and (isinstance(error, NotSent) or may_repeat(call)):
                with self._lock:
                    if not self._is_closed:
                        heapq.heappush(self._waiting, (due, next(self._order), kept))
                        return
            self._end(kept, None, error)
        except Exception as error:  # noqa: BLE001  # an answer, if no good one: told, not raised
            self._end(kept, None, error)
        except BaseException:
            with self._lock:
                heapq.heappush(self._waiting, (driver.now(), next(self._order), kept))
            raise
        else:
            self._end(kept, result, None)

    def _end(self, kept: _KeptCall, result: Any, error: Exception | None) -> None:
        kept.lease = None
        what = kept.call.method.full_name
        if error is None:
            _log.info("%s, which was kept, is done", what)
        elif not isinstance(error, DeclaredError):
            _log.error("%s, which was kept, is given up after %d attempts: %s", what, kept.attempts, error)
        tell: OnDone | None = kept.call.options.get("on_done")
        if tell is None:
            return
        try:
            tell(Outcome(call=kept.call, result=result, error=error, attempts=kept.attempts))
        except Exception:  # noqa: BLE001
            _log.exception("the callback on_done of %s failed", what)

    def close(self) -> None:
        """See `FaultMode.close`. What is kept is given up, and told so."""
        with self._lock:
            self._is_closed = True
            left, self._waiting = self._waiting, []
        if left:
            _log.warning("the client was closed with %d kept calls that were not made again", len(left))
        for _, _, kept in left:
            what = f"{kept.call.method.full_name} was kept, and the client was closed before it was made again"
            self._end(kept, None, NotSent(what))

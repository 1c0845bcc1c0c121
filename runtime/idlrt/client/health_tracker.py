"""What calls and pings of instances have come to, and what follows from it: who is out, and who is back.

An instance is out if it cannot be reached (`idlrt.client.health`), if it does worse than the others
(`idlrt.guard.outlier`), or if its circuit breaker is open. Each of these has rules of its own; here they meet, and here
listeners are told.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from idlrt.client.health import Health
from idlrt.client.node import Node
from idlrt.core import BreakerChanged, Call, Decision, Ejected, Evidence, Listener, Restored, evidence_of, tell
from idlrt.core.leases import Lease
from idlrt.core.logs import get_logger
from idlrt.errors import CircuitOpen
from idlrt.guard.breaker import CLOSED, OPEN, Breaker, BreakerSettings
from idlrt.guard.outlier import OutlierDetector, OutlierSettings, Record

__all__ = ["HealthTracker"]

_log: Final = get_logger("idlrt.client")

# So many instances are not looked at more often than in such a time, in seconds.
_MANY: Final = 50
_PAUSE: Final = 0.01
# Seconds after which a breaker that waits for the outcome of a probe is looked at: an exception of a signal handler may
# have interrupted the probe, and then nothing is reported.
_PROBE_CHECK: Final = 1.0


class HealthTracker:
    """See the module. Threads may share it.

    Args:
        name: of the service, for messages.
        changed: is called when somebody is out that was not, or the other way round.
        listeners: are told.
        is_watched: whether somebody pings instances that are out.

    Attributes:
        due: when `keep_house` has something to do, on the client's clock.
    """

    def __init__(
        self,
        name: str,
        changed: Callable[[], object],
        listeners: Callable[[], Sequence[Listener]],
        is_watched: bool = True,
    ) -> None:
        self._name = name
        self._is_watched = is_watched
        self._changed = changed
        self._listeners = listeners
        self._tolerated = 3
        self._breaker = BreakerSettings()
        self._outliers = OutlierDetector(OutlierSettings())
        self._lock = threading.RLock()
        self._sweep_at = 0.0
        self._kept_at = -_PAUSE
        self.due = 0.0

    def renew(self) -> None:
        """In a child of the process."""
        self._lock = threading.RLock()

    def adopt(
        self, tolerated: int, breaker: BreakerSettings, outliers: OutlierSettings, nodes: Sequence[Node[Any]]
    ) -> None:
        """Go by these from now on. What is known of instances by other rules is forgotten."""
        with self._lock:
            is_new = breaker != self._breaker
            if is_new:
                self._breaker = breaker
                for node in nodes:
                    node.breaker = Breaker(breaker)
            if outliers != self._outliers.settings:
                is_new = True
                self._outliers = OutlierDetector(outliers)
                self._sweep_at = 0.0
                for node in nodes:
                    node.record = Record()
                self._outliers.watch([node.record for node in nodes])
            if is_new:
                self.due = 0.0
                for node in nodes:
                    self._judge(node, None)
            self._tolerated = tolerated
            for node in nodes:
                node.health.tolerated = tolerated

    def fresh(self) -> tuple[Health, Breaker]:
        """Of an instance of which nothing is known yet."""
        return Health(self._tolerated), Breaker(self._breaker)

    def answered(
        self,
        node: Node[Any],
        now: float,
        permit: Lease | None = None,
        *,
        is_broken: bool = False,
        call: Call | None = None,
    ) -> None:
        """It has answered.

        Args:
            permit: of its breaker.
            call: whose listeners are told of what follows, too.
            is_broken: whether it has said that it breaks down.
        """
        health, breaker = node.health, node.breaker
        health.heard_at = now
        if (health.failures or health.is_out) and health.answered(now):
            self._restored(node, "it answers again", call)
            node.sender.found_again()
        if is_broken and self._breaker.count_internal:
            breaker.failed(now, permit)
        else:
            breaker.succeeded(now, permit)
        if breaker.changes:
            self._breaker_changed(node, call)
        elif breaker.state != CLOSED:
            self.due = 0.0  # for the next probe
        if is_broken:
            self._suspect(node, "it breaks down again and again", now, call)
        else:
            # `Record.succeeded`, without the call.
            record = node.record
            record.good += 1
            record.row = 0

    def probing(self, node: Node[Any], call: Call) -> None:
        """A call goes to it as a probe of its breaker. Until that is over other calls would be refused there, so they
        go elsewhere.
        """
        if node.breaker.changes:
            self._breaker_changed(node, call)
            return
        with self._lock:
            self.due = 0.0
            is_new = self._judge(node, None)
        if is_new:
            self._changed()

    def abandoned(self, node: Node[Any], now: float, permit: Lease | None) -> None:
        """A call has ended in a way that says nothing of it."""
        node.breaker.abandoned(now, permit)
        if node.breaker.state != CLOSED:
            self.due = 0.0  # for the next probe

    def pinged(self, node: Node[Any], now: float) -> None:
        """It has answered a ping: it can be reached. That says nothing of how it does its work."""
        if node.health.answered(now):
            self._restored(node, "it answers pings again", None)
            node.sender.found_again()

    def failed(
        self, node: Node[Any], error: Exception, now: float, permit: Lease | None = None, *, call: Call | None = None
    ) -> None:
        """A call has come to nothing, or a ping, if there is no call."""
        evidence = evidence_of(error)
        if not evidence.is_failure:
            if permit:
                self.abandoned(node, now, permit)
            return
        if node.health.failed(error, now, is_ping=call is None):
            self._out(node, str(error), None, call)
            if not self._is_watched:
                with self._lock:
                    self.due = min(self.due, node.health.asked_at)
        if call is None:
            return
        node.breaker.failed(now, permit)
        if node.breaker.changes:
            self._breaker_changed(node, call)
        # Who cannot be reached is asked with pings, and back at once. What pings do not show is the rest.
        if evidence is Evidence.TIMED_OUT:
            self._suspect(node, str(error), now, call)

    def watch(self, nodes: Sequence[Node[Any]]) -> None:
        """These are all instances now."""
        self._outliers.watch([node.record for node in nodes])
        self.due = 0.0

    def keep_house(self, nodes: Sequence[Node[Any]], now: float) -> None:
        """What has to be done from time to time: compare instances with each other, and let go who has been out long
        enough.
        """
        with self._lock:
            if now < self.due:
                return
            if len(nodes) > _MANY:
                # Whoever is probed makes this due; of many instances some are probed all the time, in bad moments.
                if now < self._kept_at + _PAUSE:
                    self.due = self._kept_at + _PAUSE
                    return
                self._kept_at = now
            records = [node.record for node in nodes]
            by_record = {id(record): node for record, node in zip(records, nodes, strict=True)}
            ejected: list[Record] = []
            restored: list[Record] = []
            is_sweep = now >= self._sweep_at
            if is_sweep:
                is_first, self._sweep_at = not self._sweep_at, now + self._outliers.settings.interval
                if not is_first:
                    ejected, restored = self._outliers.sweep(records, now)
            self.due = min(self._sweep_at, self._next_probe(nodes, now))
            if not self._is_watched:
                asked = (each.health.asked_at for each in nodes if each.health.is_out)
                self.due = min([self.due, *(at for at in asked if at > now)])
        for record in ejected:
            node = by_record[id(record)]
            self._out(node, record.why, record.ejected_until - now, None)
        for record in restored:
            self._restored(by_record[id(record)], "its time is over", None)
        if not self._is_watched:
            for node in nodes:
                if node.health.let_in(now):
                    self._restored(node, "a call is to find out whether it is back", None)
        is_probing = False
        for node in nodes:
            # In a sweep all: an exception of a signal handler may have come before one that is back was judged.
            if node.is_out and (is_sweep or (node.breaker.state != CLOSED and node.breaker.is_ready(now))):
                is_probing = self._judge(node, now) or is_probing
        if is_probing:
            self._changed()

    def refused(self, node: Node[Any], now: float) -> CircuitOpen:
        """What a call hears that the breaker of an instance does not let through."""
        what = f"did not call {node.target}: its circuit breaker is {node.breaker.state}"
        return CircuitOpen(f"{what}, because {node.breaker.explain(now)}")

    def _suspect(self, node: Node[Any], why: str, now: float, call: Call | None) -> None:
        if self._outliers.failed(node.record, now):
            self._out(node, why, node.record.ejected_until - now, call)

    def _breaker_changed(self, node: Node[Any], call: Call | None) -> None:
        for before, after, why in node.breaker.take_changes():
            self._tell(BreakerChanged(subject=node.instance.address, why=why, before=before, after=after), call)
            if after == OPEN:
                _log.warning("the circuit breaker of %s of %s is open: %s", node.target, self._name, why)
            elif after == CLOSED:
                _log.info("the circuit breaker of %s of %s is closed: %s", node.target, self._name, why)
        with self._lock:
            self.due = 0.0
            self._judge(node, None)
        self._changed()

    def _out(self, node: Node[Any], why: str, seconds: float | None, call: Call | None) -> None:
        _log.warning("not calling %s of %s for the moment: %s", node.target, self._name, why)
        self._tell(Ejected(subject=node.instance.address, why=why, seconds=seconds), call)
        if self._judge(node, None):
            self._changed()

    def _restored(self, node: Node[Any], why: str, call: Call | None) -> None:
        with self._lock:
            # Its breaker may have waited for that.
            self.due = 0.0
            is_new = self._judge(node, None)
        if is_new:
            _log.info("calling %s of %s again: %s", node.target, self._name, why)
            self._tell(Restored(subject=node.instance.address, why=why), call)
            self._changed()

    def _judge(self, node: Node[Any], now: float | None) -> bool:
        """See whether `node` is out. Whether that is new.

        Args:
            now: if a breaker whose pause is over is to count as one that lets probes through.
        """
        # Two that judge at once must not leave behind what the first one has seen.
        with self._lock:
            breaker = node.breaker
            is_shut = breaker.state != CLOSED and (now is None or not breaker.is_ready(now))
            is_out = node.health.is_out or node.record.ejected_until > 0 or is_shut
            was_out, node.is_out = node.is_out, is_out
        return was_out != is_out

    def _next_probe(self, nodes: Sequence[Node[Any]], now: float) -> float:
        """When the next breaker lets a probe through that does not yet, or may have lost one."""
        waits = (
            node.breaker.retry_after(now) or (_PROBE_CHECK if node.breaker.is_probing else 0.0)
            for node in nodes
            if node.breaker.state != CLOSED
        )
        return min((now + wait for wait in waits if wait > 0), default=float("inf"))

    def _tell(self, decision: Decision, call: Call | None) -> None:
        tell(self._listeners(), decision)
        if call is not None:
            tell(call.listeners, decision)

"""Resources: databases, caches and other systems that this process uses, other than through RPC.

An operation is one use of a resource. Its duration is recorded when it ends, with the outcome `ok` or `error` and the
class of the error. `idlrt.observe.adapters` measures clients of some systems.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Self

from idlrt.errors import ConfigurationError
from idlrt.observe.cells import Counts, Histograms
from idlrt.observe.metric import OTHER, Metric, Series
from idlrt.observe.sources import PROCESS
from idlrt.observe.timed import TimedBlock, checked_label

__all__ = [
    "IN_FLIGHT",
    "MAX_OPERATIONS",
    "RESOURCE_DURATION",
    "STARTED",
    "Operation",
    "Resources",
    "process_resources",
    "resource",
]

MAX_OPERATIONS: Final = 500
"""Maximum number of combinations of system and operation; further operations of a system count as `_OTHER`."""

_MAX_SYSTEMS: Final = 50

RESOURCE_DURATION: Final = Metric(
    name="resource_duration_seconds",
    kind="histogram",
    help="Duration of operations of resources",
    labels=("system", "operation", "outcome", "error_type"),
)
STARTED: Final = Metric(
    name="resource_started_total",
    kind="counter",
    help="Operations of resources that have begun",
    labels=("system",),
)
IN_FLIGHT: Final = Metric(
    name="resource_in_flight", kind="gauge", help="Operations of resources in flight", labels=("system",)
)


class _Kind:
    """A system and an operation, with the labels that are recorded."""

    __slots__ = ("ok", "operation", "system")

    def __init__(self, system: str, operation: str) -> None:
        self.system = (system,)
        self.operation = operation
        self.ok = (system, operation, "ok", "")

    def error(self, error_type: str) -> tuple[str, ...]:
        """Return the labels of an operation that failed."""
        return (*self.system, self.operation, "error", error_type)


class Resources:
    """Recorder of operations; a `Source`. Threads may share it.

    Args:
        now: clock in nanoseconds.
    """

    __slots__ = ("__weakref__", "_kinds", "_systems", "durations", "now", "started")

    def __init__(self, now: Callable[[], int] = time.perf_counter_ns) -> None:
        self.now: Final = now
        self.durations: Final = Histograms(RESOURCE_DURATION)
        self.started: Final = Counts(STARTED)
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._systems: set[str] = set()

    def resource(self, system: str, operation: str) -> Operation:
        """Return a block that measures an operation; see `resource`."""
        kind = self._kinds.get((system, operation))
        return Operation(self, kind if kind is not None else self._kind(system, operation))

    def read(self) -> Iterable[Series]:
        # What has ended is read first: otherwise more could have ended than begun.
        ended = self.durations.read()
        started = self.started.read()
        in_flight = dict(started)
        for labels, histogram in ended.items():
            if labels[:1] in in_flight:
                in_flight[labels[:1]] -= histogram.count
        return (
            Series(RESOURCE_DURATION, ended),
            Series(STARTED, started),
            Series(IN_FLIGHT, {labels: max(number, 0) for labels, number in in_flight.items()}),
        )

    def _kind(self, system: str, operation: str) -> _Kind:
        checked_label("resource", system)
        if operation != OTHER:
            checked_label(f"resource {system!r}: operation", operation)
        kinds, systems = self._kinds, self._systems
        if len(kinds) >= MAX_OPERATIONS or (system not in systems and len(systems) >= _MAX_SYSTEMS):
            return _Kind(system if system in systems else OTHER, OTHER)
        systems.add(system)
        return kinds.setdefault((system, operation), _Kind(system, operation))


class Operation(TimedBlock):
    """One use of a resource, from its start to its end."""

    __slots__ = ("_began", "_failure", "_kind", "_resources")

    def __init__(self, resources: Resources, kind: _Kind) -> None:
        self._resources = resources
        self._kind = kind
        self._failure = ""
        self._began = -1

    def __str__(self) -> str:
        return f"operation {self._kind.operation!r} of resource {self._kind.system[0]!r}"

    def _again(self) -> Self:
        return type(self)(self._resources, self._kind)

    def __enter__(self) -> Self:
        """Begin.

        Raises:
            ConfigurationError: it has begun already.
        """
        if self._began >= 0:
            what = "it has begun already; call observe.resource() for each use"
            raise ConfigurationError(f"cannot begin {self}: {what}")
        resources = self._resources
        resources.started.add(self._kind.system)
        self._began = resources.now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        resources = self._resources
        nanoseconds = resources.now() - self._began
        if kind is None and not self._failure:
            labels: tuple[str, ...] = self._kind.ok
        else:
            labels = self._kind.error(self._failure or (kind.__name__ if kind is not None else ""))
        resources.durations.record(labels, nanoseconds)

    def fail(self, reason: str | type[BaseException]) -> None:
        """Count this operation as failed, also if it ends without an exception.

        Args:
            reason: class of the failure, an exception class or a name such as `HTTP 503`: the value of the label
                `error_type`. It must not vary with input.

        Raises:
            ConfigurationError: the reason is no valid name.
        """
        name = reason.__name__ if isinstance(reason, type) else reason
        self._failure = checked_label(f"{self}: reason of a failure", name)


_made: Final[dict[str, Resources]] = {}


def process_resources() -> Resources:
    """Return the recorder of this process, which becomes part of its metrics when it is first used."""
    found = _made.get("")
    if found is None:
        # Atomic, without a lock that a forked child could inherit.
        found = _made.setdefault("", Resources())
        PROCESS.add(found)
    return found


def resource(system: str, operation: str) -> Operation:
    """Measure an operation of a resource: a context manager (also `async with`) and a decorator.

    Args:
        system: name of the resource, such as `redis`; at most 50 are counted separately.
        operation: name of the operation, such as `GET`. It must not contain input, such as keys. At most 500
            combinations of system and operation are counted separately.

    Raises:
        ConfigurationError: a name is invalid.
    """
    return process_resources().resource(system, operation)

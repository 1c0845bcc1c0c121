"""User-facing features: how often what users do succeeds, and how long it takes.

A feature is one action as users see it, whatever serves it: one RPC, several, or none. Its duration is recorded when it
ends, with one of three outcomes: `ok`; `error`, after an exception that was not expected or after `fail`; `abandoned`,
when it was cancelled (any exception that is no `Exception`, such as `asyncio.CancelledError`). Steps are parts of it.

    with observe.feature("checkout", expected=(OutOfStock,)) as feature:
        with feature.step("pay"):
            ...

A `Beacon` adds the figures that browsers and apps measure. The label `origin` tells both apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

from idlrt.errors import ConfigurationError
from idlrt.observe.catalogue import DROPPED
from idlrt.observe.cells import Histograms
from idlrt.observe.metric import OTHER, Derived, Metric, Series
from idlrt.observe.sources import PROCESS
from idlrt.observe.timed import TimedBlock, checked_label

__all__ = [
    "FEATURE_DURATION",
    "MAX_FEATURES",
    "STEP_DURATION",
    "Feature",
    "FeatureOutcome",
    "Features",
    "Step",
    "current_feature",
    "feature",
    "process_features",
    "step",
]

FeatureOutcome: TypeAlias = Literal["ok", "error", "abandoned"]

MAX_FEATURES: Final = 200
"""Maximum number of features of a process; the others count as `_OTHER`."""

_MAX_STEPS: Final = 500

FEATURE_DURATION: Final = Metric(
    name="feature_duration_seconds",
    kind="histogram",
    help="Duration of features as users see them",
    labels=("feature", "outcome", "origin", "error_type"),
    hidden=("error_type",),
    derived=(
        Derived(
            "feature_results_total",
            "Uses of features by result",
            "count",
            ("feature", "outcome", "origin", "error_type"),
        ),
    ),
)
STEP_DURATION: Final = Metric(
    name="feature_step_duration_seconds",
    kind="histogram",
    help="Duration of the steps of features",
    labels=("feature", "step", "outcome", "origin"),
)

_SERVER: Final = "server"
_CLIENT: Final = "client"

Expected: TypeAlias = type[BaseException] | tuple[type[BaseException], ...]

_current: Final[ContextVar[Feature | None]] = ContextVar("idlrt_feature", default=None)


class Features:
    """Recorder of features; a `Source`. Threads may share it.

    Args:
        now: clock in nanoseconds.
        max_features: maximum number of features.
    """

    __slots__ = ("__weakref__", "_dropped", "_durations", "_labels", "_max_features", "_pairs", "_steps", "now")

    def __init__(self, now: Callable[[], int] = time.perf_counter_ns, *, max_features: int = MAX_FEATURES) -> None:
        self.now: Final = now
        self._max_features = max_features
        self._durations = Histograms(FEATURE_DURATION)
        self._steps = Histograms(STEP_DURATION)
        self._labels: set[str] = set()
        self._dropped = 0
        self._pairs: set[tuple[str, str]] = set()

    def feature(self, name: str, *, expected: Expected = ()) -> Feature:
        """Return a block that measures a feature; see `feature`."""
        return Feature(self, checked_label("feature", name), _exceptions(name, expected))

    def read(self) -> Iterable[Series]:
        found = [self._durations.series(), self._steps.series()]
        if self._dropped:
            found.append(Series(DROPPED, {("feature",): self._dropped}))
        return found

    def record(self, name: str, outcome: FeatureOutcome, nanoseconds: int, error_type: str = "") -> None:
        """Record a feature that this process has served."""
        self._durations.record((self._label(name), outcome, _SERVER, error_type), nanoseconds)

    def record_step(self, name: str, step: str, outcome: FeatureOutcome, nanoseconds: int) -> None:
        """Record a step of a feature that this process has served."""
        self._steps.record((*self._pair(name, step), outcome, _SERVER), nanoseconds)

    def record_client(
        self, name: str, outcome: FeatureOutcome, nanoseconds: int, steps: Mapping[str, int] | None = None
    ) -> None:
        """Record a feature that a browser or an app has measured.

        Args:
            nanoseconds: its duration.
            steps: durations of its steps, in nanoseconds. Their outcome is `ok`.
        """
        self._durations.record((self._label(name), outcome, _CLIENT, ""), nanoseconds)
        if steps:
            for step, duration in steps.items():
                self._steps.record((*self._pair(name, step), "ok", _CLIENT), duration)

    def _label(self, name: str) -> str:
        known = self._labels
        if name not in known:
            if len(known) >= self._max_features:
                self._dropped += 1
                return OTHER
            known.add(name)
        return name

    def _pair(self, name: str, step: str) -> tuple[str, str]:
        label = self._label(name)
        pair, known = (label, step), self._pairs
        if pair not in known:
            if label is OTHER or len(known) >= _MAX_STEPS:
                return label, OTHER
            known.add(pair)
        return pair


class Feature(TimedBlock):
    """One use of a feature, from its start to its end.

    Attributes:
        name: name of the feature.
    """

    __slots__ = ("_began", "_expected", "_failure", "_features", "_token", "name")

    def __init__(self, features: Features, name: str, expected: tuple[type[BaseException], ...]) -> None:
        self.name: Final = name
        self._features = features
        self._expected = expected
        self._failure = ""
        self._began: int | None = None
        self._token: Token[Feature | None] | None = None

    def __str__(self) -> str:
        return f"feature {self.name!r}"

    def _again(self) -> Self:
        return type(self)(self._features, self.name, self._expected)

    def __enter__(self) -> Self:
        """Begin.

        Raises:
            ConfigurationError: it has begun already.
        """
        if self._began is not None:
            what = "it has begun already; call observe.feature() for each use"
            raise ConfigurationError(f"cannot begin {self}: {what}")
        self._token = _current.set(self)
        self._began = self._features.now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        began, features = self._began, self._features
        assert began is not None
        assert self._token is not None
        nanoseconds = features.now() - began
        # It ends in another context if a generator around it is closed there.
        with suppress(ValueError):
            _current.reset(self._token)
        outcome, failure = _result(kind, self._failure, self._expected)
        features.record(self.name, outcome, nanoseconds, failure)

    def fail(self, reason: str | type[BaseException]) -> None:
        """Count this use as failed, also if it ends without an exception.

        Args:
            reason: class of the failure, an exception class or a name such as `payment_declined`: the value of the
                label `error_type`. It must not vary with users or input.

        Raises:
            ConfigurationError: the reason is no valid name.
        """
        name = reason.__name__ if isinstance(reason, type) else reason
        self._failure = checked_label(f"{self}: reason of a failure", name)

    def step(self, name: str) -> Step:
        """Return a block that measures a step.

        Args:
            name: name of the step. A step within another one needs a separate name.

        Raises:
            ConfigurationError: the name is invalid.
        """
        return Step(checked_label("step", name), self)

    def record_step(self, name: str, kind: type[BaseException] | None, began: int) -> None:
        """Record a step that ends now.

        Args:
            name: its name.
            kind: exception that ended it.
            began: time at which it began, on the clock of the recorder.
        """
        features = self._features
        nanoseconds = features.now() - began
        features.record_step(self.name, name, _result(kind, "", self._expected)[0], nanoseconds)

    def now(self) -> int:
        """Return the time of the recorder's clock, in nanoseconds."""
        return self._features.now()


class Step(TimedBlock):
    """Part of a feature."""

    __slots__ = ("_began", "_feature", "_in", "_name")

    def __init__(self, name: str, feature: Feature | None) -> None:
        self._name = name
        # The given feature, and the one that is measured: the current one if none is given.
        self._feature = feature
        self._in = feature
        self._began = 0

    def __str__(self) -> str:
        return f"step {self._name!r}"

    def _again(self) -> Self:
        return type(self)(self._name, self._feature)

    def __enter__(self) -> Self:
        found = self._in = self._feature if self._feature is not None else _current.get()
        if found is not None:
            self._began = found.now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._in is not None:
            self._in.record_step(self._name, kind, self._began)


def _result(
    kind: type[BaseException] | None, failure: str, expected: tuple[type[BaseException], ...]
) -> tuple[FeatureOutcome, str]:
    """Return the outcome of a block that ended with an exception of this class, if any, and the class of its error."""
    if kind is None or issubclass(kind, expected):
        return ("error", failure) if failure else ("ok", "")
    if issubclass(kind, Exception):
        return "error", failure or kind.__name__
    return "abandoned", kind.__name__


def _exceptions(name: str, expected: Expected) -> tuple[type[BaseException], ...]:
    if not expected:
        return ()
    found: tuple[Any, ...] = expected if isinstance(expected, tuple) else (expected,)
    if not all(isinstance(each, type) and issubclass(each, BaseException) for each in found):
        raise ConfigurationError(f"feature {name!r}: expected: must be exception classes, got {expected!r}")
    return found


_made: Final[dict[str, Features]] = {}


def process_features() -> Features:
    """Return the recorder of this process, which becomes part of its metrics when it is first used."""
    found = _made.get("")
    if found is None:
        # Atomic, without a lock that a forked child could inherit.
        found = _made.setdefault("", Features())
        PROCESS.add(found)
    return found


def feature(name: str, *, expected: Expected = ()) -> Feature:
    """Measure an action as users see it: a context manager (also `async with`) and a decorator.

    Args:
        name: name of the feature. At most 200 are counted separately; further ones count as `_OTHER`.
        expected: exceptions that count as success, such as answers that the user has to expect.

    Raises:
        ConfigurationError: the name, or `expected`, is invalid.
    """
    return process_features().feature(name, expected=expected)


def step(name: str) -> Step:
    """Measure a step of the current feature: a context manager (also `async with`) and a decorator.

    The current feature is the innermost one around it, also in tasks that it has started, but not in threads that it
    has started: there, use `Feature.step`. Outside of features nothing is recorded.

    Raises:
        ConfigurationError: the name is invalid.
    """
    return Step(checked_label("step", name), None)


def current_feature() -> Feature | None:
    """Return the feature around this code; `None` if there is none."""
    return _current.get()

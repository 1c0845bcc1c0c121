"""Samplers from text, as configurations and `OTEL_TRACES_SAMPLER` name them, and the usual chain of samplers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from idlrt.core import ClockAndRandom
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.sampling.adaptive import Adaptive
from idlrt.observe.tracing.sampling.base import Sampler
from idlrt.observe.tracing.sampling.capped import Capped
from idlrt.observe.tracing.sampling.parent_based import ParentBased
from idlrt.observe.tracing.sampling.per_method import MethodFloor, PerSecond
from idlrt.observe.tracing.sampling.ratio import Always, Never, Ratio
from idlrt.observe.tracing.sampling.reservoir import REAL
from idlrt.observe.tracing.sampling.ruled import Rules
from idlrt.observe.tracing.sampling.rules import SamplingRule

__all__ = ["parse_sampler", "sampler_of_environment", "standard_sampler"]

_WITH_NUMBER: Final[Mapping[str, Callable[[float, ClockAndRandom], Sampler]]] = {
    "ratio": lambda number, sources: Ratio(number) if number else Never(),
    "per_second": PerSecond,
    "adaptive": Adaptive,
}
_PLAIN: Final[Mapping[str, Callable[[], Sampler]]] = {"always": Always, "never": Never}
# Names of OpenTelemetry.
_OTEL: Final = {"always_on": "always", "always_off": "never", "traceidratio": "ratio"}
_OTEL_PARENT: Final = "parentbased_"
_OTEL_NAMES: Final = (*_OTEL, *(_OTEL_PARENT + name for name in _OTEL))


def parse_sampler(text: str, sources: ClockAndRandom = REAL) -> Sampler:
    """Return a sampler: `always`, `never`, `ratio:0.01`, `per_second:5` or `adaptive:20`.

    Args:
        text: name, and after a colon its number.
        sources: clock and random numbers.

    Raises:
        ConfigurationError: the name or the number is invalid.
    """
    name, colon, argument = (part.strip() for part in text.partition(":"))
    if name in _PLAIN and not colon:
        return _PLAIN[name]()
    make = _WITH_NUMBER.get(name)
    if make is None or not argument:
        known = ", ".join([*_PLAIN, *(f"{each}:NUMBER" for each in _WITH_NUMBER)])
        raise ConfigurationError(f"unknown sampler {text!r} (known: {known})")
    try:
        number = float(argument)
    except ValueError:
        raise ConfigurationError(f"sampler {name}: expected a number, got {argument!r}") from None
    return make(number, sources)


def sampler_of_environment(environ: Mapping[str, str], sources: ClockAndRandom = REAL) -> Sampler | None:
    """Return the sampler that `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` name; `None` if they are not set.

    Ratios are consistent ones (thresholds), and the decision of a parent is always followed, also without the prefix
    `parentbased_`.

    Raises:
        ConfigurationError: the name or the number is invalid.
    """
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip()
    if not name:
        return None
    own = _OTEL.get(name.removeprefix(_OTEL_PARENT))
    if own is None:
        raise ConfigurationError(f"OTEL_TRACES_SAMPLER: unknown sampler {name!r} (known: {', '.join(_OTEL_NAMES)})")
    argument = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip() or "1"
    try:
        return parse_sampler(f"{own}:{argument}" if own == "ratio" else own, sources)
    except ConfigurationError as error:
        raise ConfigurationError(f"OTEL_TRACES_SAMPLER_ARG: {error}") from None


def standard_sampler(
    root: Sampler,
    *,
    rules: Iterable[SamplingRule] = (),
    cap: float = 200.0,
    sources: ClockAndRandom = REAL,
) -> tuple[Sampler, Rules]:
    """Return the usual chain of samplers, and its rules, which may be replaced later.

    The decision of a trusted parent comes first, then the rules, one trace of each method a minute, and `root`; at most
    `cap` new traces a second are sampled. `Always` has no cap, and `Never` no minimum.

    Args:
        root: decides about most traces.
        rules: rules.
        cap: maximum number of new traces per second.
        sources: clock and random numbers.

    Raises:
        ConfigurationError: the cap is not positive.
    """
    has_floor = not isinstance(root, Always | Never | PerSecond)
    ruled = Rules(rules, MethodFloor(root, sources) if has_floor else root, sources)
    return ParentBased(ruled if isinstance(root, Always) else Capped(ruled, cap, sources)), ruled

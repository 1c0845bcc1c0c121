"""Consistent probability sampling: thresholds, randomness, and their text in `tracestate`.

A trace is sampled if its randomness R, a number of 56 bits, is at least the rejection threshold T. All services compare
the same R, so that whatever a service with probability p samples, one with more than p samples, too.

Source: OpenTelemetry, "TraceState: Probability Sampling",
https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
"""

from __future__ import annotations

import math
from typing import Final

__all__ = [
    "MAX_THRESHOLD",
    "MIN_PROBABILITY",
    "RANDOM_BITS",
    "adjusted_count",
    "parse_randomness",
    "parse_threshold",
    "probability",
    "randomness_of",
    "threshold",
    "threshold_text",
]

RANDOM_BITS: Final = 56
MAX_THRESHOLD: Final = (1 << RANDOM_BITS) - 1
"""Highest threshold: one trace of 2**56 is sampled."""

MIN_PROBABILITY: Final = 2.0**-RANDOM_BITS
"""Lowest probability; 0 is not a probability, but the sampler `Never`."""

_DIGITS: Final = 14
_HEX: Final = "0123456789abcdefABCDEF"
_RANDOM_AT: Final = 32 - _DIGITS


def threshold(probability: float, precision: int = 4) -> int:
    """Return the rejection threshold of a sampling probability.

    Args:
        probability: between 2**-56 and 1.
        precision: significant hex digits, leading digits `f` not counted; between 1 and 12.
    """
    exponent = math.frexp(probability)[1]
    digits = max(1, min(_DIGITS, precision + exponent // -4))
    # Rounded half up in units of the last digit; exact, because a float times a power of two is.
    unit = 1 << 4 * (_DIGITS - digits)
    exact = (1 << RANDOM_BITS) - math.ldexp(probability, RANDOM_BITS)
    return min(math.floor(exact / unit + 0.5) * unit, MAX_THRESHOLD)


def probability(threshold: int) -> float:
    """Return the sampling probability of a rejection threshold."""
    return ((1 << RANDOM_BITS) - threshold) / (1 << RANDOM_BITS)


def adjusted_count(threshold: int | None) -> float:
    """Return how many traces a sampled one represents; 0 if the probability is unknown."""
    return 0.0 if threshold is None else (1 << RANDOM_BITS) / ((1 << RANDOM_BITS) - threshold)


def randomness_of(trace_id: str, randomness: int | None = None) -> int:
    """Return the randomness of a trace: the explicit one, or the low 56 bits of its id."""
    return int(trace_id[_RANDOM_AT:], 16) if randomness is None else randomness


def threshold_text(threshold: int) -> str:
    """Return the value of `th`: hex digits without trailing zeros, `0` for 0."""
    return f"{threshold:014x}".rstrip("0") or "0"


def parse_threshold(text: str) -> int | None:
    """Return the threshold of a `th` value; `None` if it is invalid."""
    if 0 < len(text) <= _DIGITS and not text.strip(_HEX):
        return int(text, 16) << 4 * (_DIGITS - len(text))
    return None


def parse_randomness(text: str) -> int | None:
    """Return the randomness of an `rv` value; `None` if it is invalid."""
    if len(text) == _DIGITS and not text.strip(_HEX):
        return int(text, 16)
    return None

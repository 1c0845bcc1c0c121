"""Slow start: reduced weights for new instances, whose caches are cold and whose code and connections are not ready.

Source: Envoy's slow start (`SlowStartConfig`): the weight grows with uptime, starting at 10 %.
"""

from __future__ import annotations

from typing import Final

__all__ = ["warm_weight"]

# Minimum fraction of the full weight.
_MIN_FRACTION: Final = 0.10


def warm_weight(weight: int, uptime: float, seconds: float, aggression: float = 1.0) -> int:
    """Return the effective weight of an instance with the given uptime.

    Args:
        weight: full weight, once warmed up.
        uptime: seconds since the start; may be negative, because clocks of hosts differ.
        seconds: duration of the warm-up; 0 disables it.
        aggression: shape of the growth: 1.0 is linear, above 1 grows faster at first, below 1 slower.

    Returns:
        At least 1 unless `weight` is 0, and at most `weight`.
    """
    if weight <= 0 or seconds <= 0 or uptime >= seconds:
        return weight
    part = max(uptime / seconds, 0.0) ** (1 / aggression)
    return max(int(weight * max(part, _MIN_FRACTION)), 1)

"""Less for those who have just begun: their caches are cold, their code is not compiled, their connections are few.

Source: Envoy's slow start (`SlowStartConfig`): the weight grows with the time, from a tenth of it.
"""

from __future__ import annotations

from typing import Final

__all__ = ["warm_weight"]

# The part of its weight that an instance has at least.
_LEAST: Final = 0.10


def warm_weight(weight: int, uptime: float, seconds: float, aggression: float = 1.0) -> int:
    """The share of calls of an instance that runs since `uptime` seconds.

    Args:
        weight: its share when it is warm.
        uptime: seconds; clocks of machines differ, so it may be less than 0.
        seconds: that it takes to warm up; 0: it is warm at once.
        aggression: how the share grows: 1.0 evenly, more at first quickly, less at first slowly.

    Returns:
        At least 1 if it has any weight, and never more than `weight`.
    """
    if weight <= 0 or seconds <= 0 or uptime >= seconds:
        return weight
    part = max(uptime / seconds, 0.0) ** (1 / aggression)
    return max(int(weight * max(part, _LEAST)), 1)

"""What holds for a call: what the IDL, the registry, the client and the caller say, put together (`idlrt.config`)."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

__all__ = [
    "CONFIG_VARIABLE",
    "LONGEST",
    "SHORTEST",
    "Backoff",
    "CallPolicy",
    "Fraction",
    "Positive",
    "Seconds",
    "is_duration",
]

CONFIG_VARIABLE: Final = "IDLRT_CONFIG"
"""The environment variable that names a program's configuration."""

SHORTEST: Final = 1e-9
"""The shortest timeout in seconds: clocks count nanoseconds, so less could only be a mistake."""
LONGEST: Final = 2_000_000.0
"""The longest time in seconds, 23 days: `poll` counts milliseconds in 32 bits."""

Seconds = Annotated[float, msgspec.Meta(ge=0, le=LONGEST, description="seconds")]
Positive = Annotated[float, msgspec.Meta(ge=SHORTEST, le=LONGEST, description="seconds, more than 0")]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1, description="from 0 to 1")]


def is_duration(value: object) -> bool:
    """Return whether `value` is a number of seconds that a timeout may have."""
    return isinstance(value, int | float) and not isinstance(value, bool) and SHORTEST <= value <= LONGEST


class Backoff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pauses before a call is made once more: `base · factor^n`, at most `longest`, give or take `jitter`.

    Source: gRFC A6, https://github.com/grpc/proposal/blob/master/A6-client-retries.md

    Attributes:
        base: seconds of the first pause.
        factor: by which each is longer than the one before.
        longest: seconds of the longest.
        jitter: the part of a pause by which chance makes it longer or shorter.
    """

    base: Seconds = 0.025
    factor: Annotated[float, msgspec.Meta(ge=1)] = 2.0
    longest: Seconds = 1.0
    jitter: Fraction = 0.2

    def pause(self, retry: int, dice: float) -> float:
        """Seconds before a retry.

        Args:
            retry: 0 for the first one.
            dice: a number from 0 to below 1.
        """
        pause = self.base
        for _ in range(min(retry, 64)):
            pause *= self.factor
            if pause >= self.longest:
                break
        return min(pause, self.longest) * (1 + self.jitter * (2 * dice - 1))


class CallPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be said of every call, for a service or for one of its methods.

    Attributes:
        timeout: seconds that a call may take as a whole, retries included.
        attempt_timeout: seconds that one attempt may take; nothing: all that is left of the call's.
        balancer: how one of the instances is chosen (`idlrt.balancers`).
        fault: what follows when that fails: the fault mode (`idlrt.fault_modes`).
        retries: how often a call may be made once more, if no server has worked on it or its method is idempotent.
        idempotent: whether doing it twice is the same as doing it once; nothing: as the IDL says.
        hash_by: the argument that balancers by key go by, as a path (`user.id`); nothing: the first one.
        chain_stop: whether a call that is made on behalf of a retry is not retried itself.
        backoff: the pauses before retries.
    """

    timeout: Positive = 5.0
    attempt_timeout: Positive | None = None
    balancer: str = "p2c"
    fault: str = "failover"
    retries: Annotated[int, msgspec.Meta(ge=0, le=100)] = 2
    idempotent: bool | None = None
    hash_by: str = ""
    chain_stop: bool = True
    backoff: Backoff = Backoff()

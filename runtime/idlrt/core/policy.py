"""Effective settings of calls, merged from the IDL, the registry, the client and the caller by `idlrt.config`."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

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
"""Environment variable with the path of a program's configuration."""

SHORTEST: Final = 1e-9
"""Minimum timeout in seconds: clocks count nanoseconds, so a lower value can only be a mistake."""
LONGEST: Final = 2_000_000.0
"""Maximum duration in seconds (23 days): `poll` counts milliseconds in 32 bits."""

# `type` is how `idlrt config keys` names the type: the bounds of clocks matter in error messages only.
Seconds = Annotated[float, Meta(ge=0, le=LONGEST, extra={"type": "seconds, >= 0"})]
Positive = Annotated[float, Meta(ge=SHORTEST, le=LONGEST, extra={"type": "seconds, > 0"})]
Fraction = Annotated[float, Meta(ge=0, le=1)]


def is_duration(value: object) -> bool:
    """Return whether `value` is a valid timeout in seconds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and SHORTEST <= value <= LONGEST


class Backoff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Exponential backoff between retries: `base_delay · multiplier^n`, at most `max_delay`, randomized by `jitter`.

    Source: gRFC A6, https://github.com/grpc/proposal/blob/master/A6-client-retries.md
    """

    base_delay: Annotated[Seconds, Meta(description="pause before the first retry.")] = 0.025
    multiplier: Annotated[float, Meta(ge=1, description="multiplier of the pause for each further retry.")] = 2.0
    max_delay: Annotated[Seconds, Meta(description="upper bound of the pause.")] = 1.0
    jitter: Annotated[Fraction, Meta(description="randomization of a pause, as a fraction of it.")] = 0.2

    def pause(self, retry: int, rng: float) -> float:
        """Return the pause before a retry in seconds.

        Args:
            retry: number of the retry, starting at 0.
            rng: a random number, at least 0 and below 1.
        """
        pause = self.base_delay
        for _ in range(min(retry, 64)):
            pause *= self.multiplier
            if pause >= self.max_delay:
                break
        return min(pause, self.max_delay) * (1 + self.jitter * (2 * rng - 1))


class CallPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of calls, for a service or for one of its methods."""

    timeout: Annotated[Positive, Meta(description="timeout of a call as a whole, retries included.")] = 5.0
    attempt_timeout: Annotated[
        Positive | None, Meta(description="timeout of one attempt; nothing: the remaining time of the call.")
    ] = None
    balancer: Annotated[str, Meta(description="load balancer, which picks an instance (`idlrt.balancers`).")] = "p2c"
    fault: Annotated[str, Meta(description="fault mode, the reaction to a failed call (`idlrt.fault_modes`).")] = (
        "failover"
    )
    retries: Annotated[
        int,
        Meta(
            ge=0,
            le=100,
            description="maximum number of retries of calls that no server has processed, or that are idempotent.",
        ),
    ] = 2
    idempotent: Annotated[
        bool | None,
        Meta(description="whether calls are safe to retry when their outcome is unknown; nothing: as the IDL says."),
    ] = None
    hash_by: Annotated[
        str,
        Meta(
            description="key of balancers by key, as a path into the arguments (`user.id`); empty: the first argument."
        ),
    ] = ""
    chain_stop: Annotated[bool, Meta(description="whether nested calls of a retry are not retried themselves.")] = True
    backoff: Annotated[Backoff, Meta(description="pauses before retries")] = Backoff()

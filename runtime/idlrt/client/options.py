"""Options of calls: what `using(...)` takes, checked, and as a layer of what holds."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final, TypedDict, cast

from idlrt.balance import BALANCERS
from idlrt.config import Layer, Problem, check, flatten, wrong
from idlrt.config.schema import place, section
from idlrt.core import LONGEST, SHORTEST, is_duration
from idlrt.errors import ConfigurationError
from idlrt.fault import FAULT_MODES, OnDone, OnFailure

__all__ = ["MAX_CONNECTIONS", "CallOptions", "check_seconds", "layer_of", "read_options", "values_of"]


MAX_CONNECTIONS: Final = 16
"""Default number of connections to a server, for one call each."""


class CallOptions(TypedDict, total=False):
    """Options of calls.

    Attributes:
        timeout: seconds that a call may take as a whole. A call that a handler makes gets no more than is left for
            the call that it handles.
        attempt_timeout: seconds that one attempt may take, if the call can be made again.
        metadata: text by name that travels with each call, for the handler's `idlrt.request_metadata()`. Not
            every protocol carries it; Thrift does with `framing="header"`, the default for instances of a registry that
            read it. Where none can, calls raise `ConfigurationError` and nothing is sent.
        tag: of the calls, for routing rules (gray release). What handlers call on behalf of them has it too; an empty
            one ends that.
        retries: how often another instance is tried, for services that are found by name: if no server has worked on
            the call, or the method is idempotent. Usually twice; 0: never.
        balancer: how one of the instances of such a service is chosen: `p2c` (the default), `least_requests`,
            `least_connections`, `random`, `weighted_random`, `round_robin`, `weighted_round_robin`, `consistent_hash`,
            `maglev`, `modulo`, or another of `idlrt.balance.BALANCERS`.
        hash_key: what `consistent_hash`, `maglev` and `modulo` keep together; the first argument if nothing is said.
        fault: what follows when a call fails: `failover` (the default), `failfast`, `failsafe`, `failback`,
            `failcache`, `forking`, `broadcast`, `available`, `hedge`, `stale`, or another of `idlrt.fault.FAULT_MODES`.
        idempotent: whether making a call twice is the same as making it once, whatever the IDL says.
        on_failure: is told of failures, with `fault="failback"`, and decides what follows.
        on_done: is told what has become of kept calls, with `fault="failcache"`.
        policy: whatever else can be said (`idlrt config keys`), as `{"hedge": {"delay": 0.02}}` or by dotted keys.
    """

    timeout: float
    attempt_timeout: float | None
    metadata: Mapping[str, str]
    tag: str
    retries: int
    balancer: str
    hash_key: str | int | bytes
    fault: str
    idempotent: bool
    on_failure: OnFailure
    on_done: OnDone
    policy: Mapping[str, Any]


# Options that are keys of a configuration, too.
_KEYS: Final = ("timeout", "attempt_timeout", "retries", "balancer", "fault", "idempotent")


def read_options(options: CallOptions) -> None:
    """See that options make sense.

    Raises:
        ConfigurationError: one does not.
    """
    known = CallOptions.__annotations__
    given = cast("Mapping[str, Any]", options)
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigurationError(f"there is no option {name!r}; known: {', '.join(sorted(known))}{hint}")
    if "timeout" in options:
        check_seconds("timeout", options["timeout"])
    if given.get("attempt_timeout") is not None:
        check_seconds("attempt_timeout", given["attempt_timeout"])
    if "metadata" in options:
        _check_metadata(options["metadata"])
    if not isinstance(given.get("tag", ""), str):
        raise ConfigurationError(f"tag must be text, not {given['tag']!r}")
    if "balancer" in options:
        BALANCERS.get(options["balancer"])
    if "fault" in options:
        FAULT_MODES.get(options["fault"])
    if "retries" in options:
        retries = cast("object", options["retries"])
        if not isinstance(retries, int) or isinstance(retries, bool) or not 0 <= retries <= 100:
            raise ConfigurationError(f"retries must be a number from 0 to 100, not {retries!r}")
    if not isinstance(given.get("idempotent", False), bool):
        raise ConfigurationError(f"idempotent must be true or false, not {given['idempotent']!r}")
    for name in ("on_failure", "on_done"):
        if name in given and not callable(given[name]):
            raise ConfigurationError(f"{name} must be something that can be called")


def values_of(policy: object, where: str) -> dict[str, Any]:
    """What a policy says, by dotted keys.

    Raises:
        ConfigurationError: something in it is wrong.
    """
    if not isinstance(policy, Mapping):
        raise ConfigurationError(f"{where} must be a mapping of keys to values, not {policy!r}")
    values = flatten(cast("Mapping[str, Any]", policy))
    problems: list[Problem] = check(values)
    if problems:
        raise wrong(problems, where)
    return values


def layer_of(options: CallOptions) -> Layer:
    """What options say of calls.

    Raises:
        ConfigurationError: something in their policy is wrong.
    """
    given = cast("Mapping[str, Any]", options)
    values = values_of(given["policy"], "policy") if given.get("policy") else {}
    for key in values:
        found = section(place(key)[1])
        if found is not None and not found.is_per_method:
            raise ConfigurationError(f"policy: {key} holds for a service as a whole: say it in connect(policy=...)")
    for name in _KEYS:
        if name in given:
            values[name] = given[name]
    return Layer("using(...)", values)


def _check_metadata(metadata: object) -> None:
    if not isinstance(metadata, Mapping):
        raise ConfigurationError(f"metadata must be a mapping of text to text, not {metadata!r}")
    for key, value in cast("Mapping[object, object]", metadata).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ConfigurationError(f"metadata must be text by text: {key!r} is {value!r}")


def check_seconds(name: str, seconds: object) -> None:
    """See that `seconds` is a time.

    Raises:
        ConfigurationError: it is not.
    """
    if not is_duration(seconds):
        raise ConfigurationError(f"{name} must be between {SHORTEST:g} and {LONGEST:.0f} seconds, got {seconds!r}")

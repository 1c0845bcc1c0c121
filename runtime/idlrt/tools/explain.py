"""Effective settings and routing of calls, computed by the code that real calls go through."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from idlrt.config import ConfigFile, Effective, Layer, check, invalid
from idlrt.config.schema import CALL, SERVICE, fields, sections
from idlrt.core import Call, ClockAndRandom, Deadline, Instance, Snapshot
from idlrt.core.driver import BlockingDriver
from idlrt.route import CallerInfo, Pool, Step
from idlrt.route.chain import Chain, make_chain, no_instance_reason
from idlrt.spec import STRING, VOID, Method, Service, optional

__all__ = ["EffectiveSetting", "RoutingResult", "call_for", "explain", "layers", "values"]


class EffectiveSetting(msgspec.Struct, frozen=True, kw_only=True):
    """The effective value of a setting.

    Attributes:
        key: dotted key.
        value: effective value.
        origin: source of the value.
    """

    key: str
    value: Any
    origin: str


class RoutingResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of simulated routing.

    Attributes:
        steps: decisions of the routing rules for the first call.
        instances: eligible instances by address, with the number of calls that may go to each.
        calls: number of simulated calls.
        why: why no instance is eligible; empty if there is one.
    """

    steps: Sequence[Step]
    instances: Mapping[str, int]
    calls: int
    why: str = ""


def layers(
    file: ConfigFile, service: str, method: Method[..., Any] | None, snapshot: Snapshot | None, origin: str
) -> list[Layer]:
    """Return the configuration layers of a service, in ascending precedence.

    Raises:
        ConfigurationError: settings in the registry are invalid. (Clients ignore invalid settings.)
    """
    found: list[Layer] = []
    if method is not None and method.policy:
        found.append(Layer("IDL", method.policy))
    if snapshot is not None and snapshot.settings:
        problems = check(snapshot.settings)
        if problems:
            raise invalid(problems, f"settings of {service} in {origin}")
        found.append(Layer(origin, snapshot.settings))
    # The same order as in clients: first the name in the IDL, then the name in the registry.
    names = [method.service] if method is not None and method.service else []
    return [*found, *file.layers(*names, service)]


def values(found: Effective, *, include_defaults: bool = False) -> list[EffectiveSetting]:
    """Return the effective settings, one per key.

    Args:
        include_defaults: whether to include tables without any configured value.
    """
    rows: list[EffectiveSetting] = []
    tables = set(found.tables())
    own = {CALL, SERVICE, "backoff", "budget", found.policy.fault, found.policy.balancer}
    for each in sections():
        if not include_defaults and each.name not in tables | own:
            continue
        settings = found.policy if each.name == CALL else found.section(each.name)
        prefix = "" if each.name in (CALL, SERVICE) else f"{each.name}."
        for name in fields(each):
            key = prefix + name
            origin = found.origins.get(key, "default")
            rows.append(EffectiveSetting(key=key, value=getattr(settings, name), origin=origin))
        if each.kind == "guard" and (each.name in tables or include_defaults):
            is_on = each.name in tables and found.is_enabled(each.name)
            rows.append(
                EffectiveSetting(
                    key=f"{each.name}.enabled", value=is_on, origin=found.origins.get(f"{each.name}.enabled", "default")
                )
            )
    return rows


def call_for(
    service: str,
    method: Method[..., Any] | str,
    arguments: Mapping[str, str],
    tag: str,
    metadata: Mapping[str, str],
    timeout: float = 5.0,
) -> Call:
    """Return a call for evaluating routing rules; it is never sent.

    Args:
        method: a method of an IDL, or a name; then the method has the given arguments.
    """
    if isinstance(method, str):
        plain: Method[..., Any] = Method(
            method, *(optional(number, name, STRING) for number, name in enumerate(arguments, 1)), result=VOID
        )
        Service(service, plain)
        method = plain
    given = tuple(arguments.get(field.attribute) for field in method.arguments)
    return Call(
        method, given, service, Deadline(time.monotonic() + timeout, timeout), BlockingDriver(), dict(metadata), tag=tag
    )


class _ListedEndpoint:
    """An endpoint as the registry lists it, assumed to be healthy."""

    is_unhealthy = False

    def __init__(self, instance: Instance) -> None:
        self.instance = instance


def explain(
    call: Call, routes: Sequence[Any], caller: CallerInfo, instances: Sequence[Instance], home: str, calls: int = 1
) -> RoutingResult:
    """Simulate the routing of `call`.

    Args:
        routes: routing rules.
        caller: the caller.
        instances: instances of the service, in all groups that the rules refer to.
        home: group of the service.
        calls: number of calls to simulate, because some rules are randomized.
    """
    chain: Chain = make_chain(routes, caller, ClockAndRandom(), home=home)
    pool = Pool([_ListedEndpoint(each) for each in instances if each.is_callable])
    steps: list[Step] = []
    chain.route(call, pool, steps)
    counted: Counter[str] = Counter()
    for _ in range(calls):
        counted.update(endpoint.instance.address for endpoint in chain.route(call, pool).endpoints)
    why = "" if counted else no_instance_reason(call.target, steps)
    if instances and not pool.endpoints:
        why = f"no instance of {call.target} is in rotation: {len(instances)} registered, none available"
    return RoutingResult(steps=steps, instances=dict(sorted(counted.items())), calls=calls, why=why)

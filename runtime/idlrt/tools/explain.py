"""What holds for calls of a service, and where they would go: asked of the same code that calls go through."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from idlrt.config import ConfigFile, Effective, Layer, check, wrong
from idlrt.config.schema import CALL, SERVICE, fields, sections
from idlrt.core import Call, Chance, Deadline, Instance, Snapshot
from idlrt.core.driver import BlockingDriver
from idlrt.route import Here, Pool, Step
from idlrt.route.chain import Chain, make_chain, no_instance_reason
from idlrt.spec import STRING, VOID, Method, Service, optional

__all__ = ["Said", "Where", "call_for", "explain", "layers", "values"]


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A key, and what holds for it.

    Attributes:
        key: dotted.
        value: that holds.
        origin: who said so.
    """

    key: str
    value: Any
    origin: str


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """Where calls would go.

    Attributes:
        steps: what each rule decided, of the first call.
        instances: that a call may go to in the end, with the number of calls that had them in their choice.
        calls: how many were asked for.
        why: nobody is left; empty if somebody is.
    """

    steps: Sequence[Step]
    instances: Mapping[str, int]
    calls: int
    why: str = ""


def layers(
    file: ConfigFile, service: str, method: Method[..., Any] | None, snapshot: Snapshot | None, origin: str
) -> list[Layer]:
    """All that is said of a service, from the farthest to the nearest.

    Raises:
        ConfigurationError: what the registry says is wrong. (Clients leave such things aside.)
    """
    found: list[Layer] = []
    if method is not None and method.policy:
        found.append(Layer("IDL", method.policy))
    if snapshot is not None and snapshot.settings:
        problems = check(snapshot.settings)
        if problems:
            raise wrong(problems, f"settings of {service} in {origin}")
        found.append(Layer(origin, snapshot.settings))
    # As clients do: by the name in the IDL, then by the one in the registry.
    names = [method.service] if method is not None and method.service else []
    return [*found, *file.layers(*names, service)]


def values(found: Effective, *, everything: bool = False) -> list[Said]:
    """What holds, key by key.

    Args:
        everything: also tables of which nobody has said anything.
    """
    said: list[Said] = []
    tables = set(found.tables())
    own = {CALL, SERVICE, "backoff", "budget", found.policy.fault, found.policy.balancer}
    for each in sections():
        if not everything and each.name not in tables | own:
            continue
        settings = found.policy if each.name == CALL else found.section(each.name)
        prefix = "" if each.name in (CALL, SERVICE) else f"{each.name}."
        for name in fields(each):
            key = prefix + name
            said.append(Said(key=key, value=getattr(settings, name), origin=found.origins.get(key, "default")))
        if each.kind == "guard" and (each.name in tables or everything):
            is_on = each.name in tables and found.is_enabled(each.name)
            said.append(
                Said(
                    key=f"{each.name}.enabled", value=is_on, origin=found.origins.get(f"{each.name}.enabled", "default")
                )
            )
    return said


def call_for(
    service: str,
    method: Method[..., Any] | str,
    arguments: Mapping[str, str],
    tag: str,
    metadata: Mapping[str, str],
    timeout: float = 5.0,
) -> Call:
    """A call as rules see it. It is never made.

    Args:
        method: of an IDL, or a name; then its arguments are those that are given.
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


class _Known:
    """An instance as a registry tells it: nothing is known of its health."""

    is_out = False

    def __init__(self, instance: Instance) -> None:
        self.instance = instance


def explain(
    call: Call, routes: Sequence[Any], here: Here, instances: Sequence[Instance], home: str, calls: int = 1
) -> Where:
    """Where calls like `call` would go.

    Args:
        routes: the rules.
        here: the caller.
        instances: of the service, all groups that rules ask for.
        home: the group of the service.
        calls: how many are asked for; rules may throw dice.
    """
    chain: Chain = make_chain(routes, here, Chance(), home=home)
    pool = Pool([_Known(each) for each in instances if each.is_callable])
    steps: list[Step] = []
    chain.route(call, pool, steps)
    counted: Counter[str] = Counter()
    for _ in range(calls):
        counted.update(node.instance.address for node in chain.route(call, pool).nodes)
    why = "" if counted else no_instance_reason(call.target, steps)
    return Where(steps=steps, instances=dict(sorted(counted.items())), calls=calls, why=why)

"""Call settings in annotations.

An annotation `rpc.KEY = "value"` of a function, or of a service for all functions that it declares, is a default of
clients: `rpc.timeout = "0.5"`, `rpc.hedge.delay = "0.02"`. Values stay text, because the runtime defines their types.
An argument with the annotation `hash_key` is the hash key of calls. It has the same effect as `rpc.hash_by` with the
name of the argument, but remains valid if the argument is renamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from idlc.model.program import Field, Function
from idlc.model.renamed_keys import current_key
from idlc.syntax import nodes

__all__ = ["HASH_BY", "HASH_KEYS", "PREFIX", "is_hash_key", "key_of", "policy_of", "settings", "value_of"]

PREFIX = "rpc."
HASH_BY = "hash_by"
HASH_KEYS = ("rpc.hash_key", "hash_key")
"""Names of the annotation of an argument; the short one is for IDL files that are not shared with other tools."""


def key_of(annotation: nodes.Annotation) -> str | None:
    """Return the key of a setting, or `None` if the annotation is not a setting."""
    name = annotation.name.text
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) and name not in HASH_KEYS else None


def value_of(annotation: nodes.Annotation) -> str:
    """Return the value of a setting; `true` if the annotation has no value."""
    return annotation.value if annotation.value is not None else "true"


def settings(annotations: Iterable[nodes.Annotation]) -> Iterator[tuple[str, nodes.Annotation]]:
    """Yield the settings among some annotations, with their keys."""
    for annotation in annotations:
        key = key_of(annotation)
        if key is not None:
            yield key, annotation


def is_hash_key(argument: Field) -> bool:
    """Return whether this argument is the hash key of calls, by which balancers keep calls on the same instance."""
    found = [value for name in HASH_KEYS for value in argument.annotations.get(name, ())]
    return bool(found) and found[-1].lower() in ("1", "true")


def policy_of(function: Function) -> dict[str, str]:
    """Return the call settings of a function. Those of the function override those of the service that declares it."""
    found: dict[str, tuple[str, str]] = {}
    for node in (function.service.node, function.node):
        for key, annotation in settings(node.annotations):
            # By the current name, so that an old name at a function overrides the current one at its service.
            found[current_key(key)] = key, value_of(annotation)
    policy = dict(found.values())
    for argument in function.arguments:
        if is_hash_key(argument):
            policy[HASH_BY] = argument.name
    return policy

"""What annotations say of the calls of a function.

An annotation `rpc.KEY = "value"` of a function, or of its service for all functions that it declares, is a setting that
clients start from: `rpc.timeout = "0.5"`, `rpc.hedge.delay = "0.02"`. The value stays text, because what it may be is
the runtime's business. An argument with `hash_key` is the one that calls are kept together by: it is `hash_by` under
another name, and is renamed with its argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from idlc.model.program import Field, Function
from idlc.syntax import nodes

__all__ = ["HASH_BY", "HASH_KEYS", "PREFIX", "is_hash_key", "key_of", "policy_of", "settings", "value_of"]

PREFIX = "rpc."
HASH_BY = "hash_by"
HASH_KEYS = ("rpc.hash_key", "hash_key")
"""Names of the annotation of an argument; the short one is for those who share an IDL with nobody."""


def key_of(annotation: nodes.Annotation) -> str | None:
    """The key of a setting; `None` if the annotation is none."""
    name = annotation.name.text
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) and name not in HASH_KEYS else None


def value_of(annotation: nodes.Annotation) -> str:
    """The value of a setting; one without a value is switched on."""
    return annotation.value if annotation.value is not None else "true"


def settings(annotations: Iterable[nodes.Annotation]) -> Iterator[tuple[str, nodes.Annotation]]:
    """The settings among some annotations, each with its key."""
    for annotation in annotations:
        key = key_of(annotation)
        if key is not None:
            yield key, annotation


def is_hash_key(argument: Field) -> bool:
    """Whether calls are kept together by this argument."""
    found = [value for name in HASH_KEYS for value in argument.annotations.get(name, ())]
    return bool(found) and found[-1].lower() in ("1", "true")


def policy_of(function: Function) -> dict[str, str]:
    """What the IDL says of the calls of a function: the function itself, and where it is silent the service that
    declares it."""
    policy = {
        key: value_of(annotation)
        for node in (function.service.node, function.node)
        for key, annotation in settings(node.annotations)
    }
    for argument in function.arguments:
        if is_hash_key(argument):
            policy[HASH_BY] = argument.name
    return policy

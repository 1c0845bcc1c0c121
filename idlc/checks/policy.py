"""Rules about what annotations say of calls (`rpc.timeout = "0.5"`).

The compiler knows the keys that are said of every call, and what they may be; tables (`rpc.hedge.delay`) belong to
fault modes, guards and balancers, which anybody can add, so the runtime judges those. Both sides read a value in the
same way: as text that msgspec makes a number or a truth value of. The table of settings is generated from the runtime's
(`call_settings`), because neither side imports the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from idlc.checks.base import Finding, check
from idlc.checks.call_settings import CALL_SETTINGS, SERVICE_KEYS, SERVICE_TABLES
from idlc.diagnostics import Fix, Label
from idlc.model import UNKNOWN, Function, Program, Reference, Struct, resolve
from idlc.model.policy import HASH_BY, HASH_KEYS, PREFIX, is_hash_key, key_of, settings, value_of
from idlc.model.scope import nearest
from idlc.source import Span
from idlc.syntax import nodes

__all__: list[str] = []


_YES_OR_NO: Final = '"true" or "false"'
_OURS: Final = {key.partition(".")[0] for key in CALL_SETTINGS if "." in key}
_DOTTED: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


def _owners(program: Program) -> Iterator[nodes.Service | nodes.Function]:
    for service in program.services:
        yield service.node
        for function in service.functions:
            yield function.node


def _functions(program: Program) -> Iterator[Function]:
    for service in program.services:
        yield from service.functions


@check("policy.key", "warning")
def keys_are_known(program: Program) -> Iterator[Finding]:
    """Nobody acts on a setting whose key is mistyped."""
    for owner in _owners(program):
        for key, annotation in settings(owner.annotations):
            table, dot, _ = key.partition(".")
            if key in CALL_SETTINGS or (_DOTTED.fullmatch(key) and table not in _OURS | SERVICE_TABLES):
                continue
            span = program.document.span(annotation.name)
            if key in SERVICE_KEYS or (dot and table in SERVICE_TABLES):
                message = f"`{key}` holds for a service as a whole and cannot be said of its calls"
                yield Finding(message, span, help="say it in the registry, or where clients connect")
                continue
            near = nearest(key, iter(CALL_SETTINGS))
            yield Finding(
                f"there is no setting `{key}` of calls",
                span,
                help=f"did you mean `{PREFIX}{near}`?" if near else f"known are {', '.join(CALL_SETTINGS)}",
                fixes=(Fix(span, PREFIX + near),) if near else (),
            )


@check("policy.place", "warning")
def places_are_heard(program: Program) -> Iterator[Finding]:
    """Settings are said of functions and services, and an argument says only that calls are kept together by it."""
    for function in _functions(program):
        for field in (*function.arguments, *function.throws):
            for annotation in field.node.annotations:
                if key_of(annotation) is not None:
                    message = f"`{annotation.name.text}` means nothing at `{field.name}`"
                    span = program.document.span(annotation)
                    yield Finding(message, span, help=f"write it after the function `{function.name}`")
    for owner in _owners(program):
        for annotation in owner.annotations:
            if annotation.name.text == HASH_KEYS[0]:
                yield Finding(
                    f"`{annotation.name.text}` means nothing at `{owner.name.text}`",
                    program.document.span(annotation),
                    help=f"write it after an argument, or name one with `{PREFIX}{HASH_BY}`",
                )


@check("policy.value", "error")
def values_can_be_used(program: Program) -> Iterator[Finding]:
    """What a client could not make sense of must not get as far as a client."""
    for owner in _owners(program):
        for key, annotation in settings(owner.annotations):
            setting = CALL_SETTINGS.get(key)
            if setting is not None and not setting.accepts(value_of(annotation)):
                is_given = annotation.value is not None
                what = f"cannot be {annotation.value!r}" if is_given else "has no value"
                yield Finding(
                    f"`{annotation.name.text}` of `{owner.name.text}` {what}",
                    program.document.span(annotation),
                    help=f"expected {setting.expected}",
                )
    for function in _functions(program):
        for argument in function.arguments:
            for annotation in argument.node.annotations:
                is_ours = annotation.name.text == HASH_KEYS[0]
                if is_ours and value_of(annotation).lower() not in ("1", "true", "0", "false"):
                    yield Finding(
                        f"`{annotation.name.text}` of `{argument.name}` cannot be {annotation.value!r}",
                        program.document.span(annotation),
                        help=f"it must be {_YES_OR_NO}",
                    )


@check("policy.twice", "error")
def settings_are_said_once(program: Program) -> Iterator[Finding]:
    """Of two words about the same thing, one is a mistake."""
    for owner in _owners(program):
        said: dict[str, Span] = {}
        for key, annotation in settings(owner.annotations):
            span = program.document.span(annotation)
            if key in said:
                message = f"`{annotation.name.text}` of `{owner.name.text}` is said twice"
                yield Finding(message, span, labels=(Label(said[key], "first said here"),))
            said.setdefault(key, span)
    for function in _functions(program):
        yield from _hashed_twice(program, function)


def _hashed_twice(program: Program, function: Function) -> Iterator[Finding]:
    first: Span | None = None
    for argument in filter(is_hash_key, function.arguments):
        at = next(each for each in argument.node.annotations if each.name.text in HASH_KEYS)
        span = program.document.span(at)
        if first is not None:
            message = f"calls of `{function.name}` cannot be kept together by two arguments"
            yield Finding(message, span, labels=(Label(first, "this one was said first"),))
        first = first or span
    by = next((each for key, each in settings(function.node.annotations) if key == HASH_BY), None)
    if first is not None and by is not None:
        yield Finding(
            f"`{by.name.text}` of `{function.name}` says again what calls are kept together by",
            program.document.span(by),
            labels=(Label(first, "an argument says so here"),),
            help="remove one of them",
        )


@check("policy.argument", "error")
def arguments_exist(program: Program) -> Iterator[Finding]:
    """What calls are to be kept together by, they must have."""
    for service in program.services:
        of_all = [each for key, each in settings(service.node.annotations) if key == HASH_BY]
        for function in service.functions:
            own = [each for key, each in settings(function.node.annotations) if key == HASH_BY]
            if any(map(is_hash_key, function.arguments)):
                continue
            for annotation in (own or of_all)[-1:]:
                why = _missing(function, value_of(annotation))
                if why:
                    help = "" if own else f'say `({PREFIX}{HASH_BY} = "")` of a function that has its own way'
                    labels = () if own else (Label(function.span, "of this function"),)
                    message = f"cannot keep calls of `{function.name}` together: {why}"
                    yield Finding(message, program.document.span(annotation), labels=labels, help=help)


def _missing(function: Function, path: str) -> str:
    """Why a path leads nowhere; empty if it leads somewhere."""
    if not path:
        return ""
    owner, what, fields = f"`{function.name}`", "argument", list(function.arguments)
    for step in path.split("."):
        field = next((each for each in fields if each.name == step), None)
        if field is None:
            return f"{owner} has no {what} `{step}`"
        type = resolve(field.type)
        if type == UNKNOWN:  # enough has been said about it
            return ""
        owner, what = f"`{field.name}`", "field"
        fields = type.target.fields if isinstance(type, Reference) and isinstance(type.target, Struct) else []
    return ""

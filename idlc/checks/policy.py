"""Checks of call settings in annotations (`rpc.timeout = "0.5"`).

The compiler knows the keys and types of the settings that all calls have. Settings in tables (`rpc.hedge.delay`) belong
to fault modes, guards and balancers, which can be plugins, so that only the runtime validates them. Compiler and
runtime convert values in the same way, from text by msgspec. The table of settings (`call_settings`) is generated from
the settings of the runtime, because neither side imports the other.
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
from idlc.model.renamed_keys import current_key
from idlc.model.scope import nearest
from idlc.source import Span
from idlc.syntax import nodes

__all__: list[str] = []


_TRUE_OR_FALSE: Final = '"true" or "false"'
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


@check("policy.key", "warning", is_fixable=True)
def keys_are_known(program: Program) -> Iterator[Finding]:
    """A setting with a mistyped key would be ignored."""
    for owner in _owners(program):
        for key, annotation in settings(owner.annotations):
            name = current_key(key)
            table, dot, _ = name.partition(".")
            if name in CALL_SETTINGS or (_DOTTED.fullmatch(name) and table not in _OURS | SERVICE_TABLES):
                continue
            span = program.document.span(annotation.name)
            if name in SERVICE_KEYS or (dot and table in SERVICE_TABLES):
                message = f"`{key}` is a setting of services, not of calls"
                yield Finding(message, span, help="set it in the registry or in the options of clients")
                continue
            near = nearest(key, iter(CALL_SETTINGS))
            yield Finding(
                f"unknown call setting `{key}`",
                span,
                help=f"did you mean `{PREFIX}{near}`?" if near else f"known settings are {', '.join(CALL_SETTINGS)}",
                fixes=(Fix(span, PREFIX + near, is_safe=False),) if near else (),
            )


@check("policy.renamed", "warning", is_fixable=True)
def keys_are_current(program: Program) -> Iterator[Finding]:
    """Old names of keys work for one version only."""
    for owner in _owners(program):
        for key, annotation in settings(owner.annotations):
            current = current_key(key)
            of_service = current in SERVICE_KEYS or current.partition(".")[0] in SERVICE_TABLES
            if current != key and not of_service:  # `policy.key` reports those
                span = program.document.span(annotation.name)
                yield Finding(
                    f"`{PREFIX}{key}` is deprecated",
                    span,
                    help=f"use `{PREFIX}{current}`",
                    fixes=(Fix(span, PREFIX + current),),
                )


@check("policy.place", "warning")
def settings_are_in_effect(program: Program) -> Iterator[Finding]:
    """Settings belong to functions and services; the only setting of an argument is that it is the hash key."""
    for function in _functions(program):
        for field in (*function.arguments, *function.throws):
            for annotation in field.node.annotations:
                if key_of(annotation) is not None:
                    message = f"`{annotation.name.text}` has no effect on `{field.name}`"
                    span = program.document.span(annotation)
                    yield Finding(message, span, help=f"write it after function `{function.name}`")
    for owner in _owners(program):
        for annotation in owner.annotations:
            if annotation.name.text == HASH_KEYS[0]:
                yield Finding(
                    f"`{annotation.name.text}` has no effect on `{owner.name.text}`",
                    program.document.span(annotation),
                    help=f"write it after an argument, or name the argument with `{PREFIX}{HASH_BY}`",
                )


@check("policy.value", "error")
def values_are_valid(program: Program) -> Iterator[Finding]:
    """Values are valid. Clients would reject invalid values when they connect, which is too late."""
    for owner in _owners(program):
        for key, annotation in settings(owner.annotations):
            setting = CALL_SETTINGS.get(current_key(key))
            if setting is not None and not setting.accepts(value_of(annotation)):
                what = f"invalid value {annotation.value!r}" if annotation.value is not None else "missing value"
                yield Finding(
                    f"{what} for `{annotation.name.text}` of `{owner.name.text}`",
                    program.document.span(annotation),
                    help=f"expected {setting.expected}",
                )
    for function in _functions(program):
        for argument in function.arguments:
            for annotation in argument.node.annotations:
                is_ours = annotation.name.text == HASH_KEYS[0]
                if is_ours and value_of(annotation).lower() not in ("1", "true", "0", "false"):
                    yield Finding(
                        f"invalid value {annotation.value!r} for `{annotation.name.text}` of `{argument.name}`",
                        program.document.span(annotation),
                        help=f"expected {_TRUE_OR_FALSE}",
                    )


@check("policy.twice", "error")
def settings_are_unique(program: Program) -> Iterator[Finding]:
    """A setting, or the hash key, is given at most once; one of two values is a mistake."""
    for owner in _owners(program):
        known: dict[str, tuple[str, Span]] = {}
        for key, annotation in settings(owner.annotations):
            span = program.document.span(annotation)
            name = current_key(key)
            if name in known:
                first, at = known[name]
                again = "" if first == key else f", first as `{PREFIX}{first}`"
                message = f"`{annotation.name.text}` of `{owner.name.text}` is set twice{again}"
                yield Finding(message, span, labels=(Label(at, "first set here"),))
            known.setdefault(name, (key, span))
    for function in _functions(program):
        yield from _duplicate_hash_keys(program, function)


def _duplicate_hash_keys(program: Program, function: Function) -> Iterator[Finding]:
    first: Span | None = None
    for argument in filter(is_hash_key, function.arguments):
        at = next(each for each in argument.node.annotations if each.name.text in HASH_KEYS)
        span = program.document.span(at)
        if first is not None:
            message = f"function `{function.name}` has two hash keys"
            yield Finding(message, span, labels=(Label(first, "first hash key here"),))
        first = first or span
    by = next((each for key, each in settings(function.node.annotations) if key == HASH_BY), None)
    if first is not None and by is not None:
        yield Finding(
            f"`{by.name.text}` of `{function.name}` conflicts with a hash key among the arguments",
            program.document.span(by),
            labels=(Label(first, "hash key here"),),
            help="remove one of them",
        )


@check("policy.argument", "error")
def hash_keys_exist(program: Program) -> Iterator[Finding]:
    """The path of a hash key leads to an existing argument or field."""
    for service in program.services:
        of_all = [each for key, each in settings(service.node.annotations) if key == HASH_BY]
        for function in service.functions:
            own = [each for key, each in settings(function.node.annotations) if key == HASH_BY]
            if any(map(is_hash_key, function.arguments)):
                continue
            for annotation in (own or of_all)[-1:]:
                why = _missing(function, value_of(annotation))
                if why:
                    help = (
                        "" if own else f'to use its first argument, write `({PREFIX}{HASH_BY} = "")` after the function'
                    )
                    labels = () if own else (Label(function.span, "applied to this function"),)
                    message = f"invalid hash key of `{function.name}`: {why}"
                    yield Finding(message, program.document.span(annotation), labels=labels, help=help)


def _missing(function: Function, path: str) -> str:
    """Return the reason why a path of arguments and fields is invalid; empty if it is valid."""
    if not path:
        return ""
    owner, what, fields = f"`{function.name}`", "argument", list(function.arguments)
    for step in path.split("."):
        field = next((each for each in fields if each.name == step), None)
        if field is None:
            return f"{owner} has no {what} `{step}`"
        type = resolve(field.type)
        if type == UNKNOWN:  # reported already
            return ""
        owner, what = f"`{field.name}`", "field"
        fields = type.target.fields if isinstance(type, Reference) and isinstance(type.target, Struct) else []
    return ""

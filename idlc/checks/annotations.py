"""Checks of the names and places of annotations, and of the scopes of namespaces: near misses of known ones.

Annotations are open: every tool has its names, and ignores those of others. So only a name that differs from a
known one by a slip of the keyboard is reported, and an unknown name behind `py.`, which belongs to this compiler.
Other checks look at `http.`, `rpc.` and `vt.` (`http.annotation`, `policy.key`, `constraint.unknown`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from idlc.checks.base import Finding, check
from idlc.checks.call_settings import CALL_SETTINGS
from idlc.checks.walk import field_lists, type_nodes
from idlc.diagnostics import Fix
from idlc.model import Declaration, Program
from idlc.model.constraints import ALL_CONSTRAINTS
from idlc.model.http import FIELD_NAMES, FUNCTION_NAMES
from idlc.syntax import nodes

__all__: list[str] = []

_PYTHON: Final = "py"
_PLAIN: Final = ("allow_alias", "deprecated", "hash_key", "idempotent", "sensitive")
"""Known names without a scope. Shorter ones (`core`) are too close to other words."""

_KEYS: Final = {
    _PYTHON: frozenset({"name"}),
    "python": frozenset({"immutable"}),
    "idlc": frozenset({"ignore"}),
    "http": frozenset(name.removeprefix("http.") for name in (*FUNCTION_NAMES, *FIELD_NAMES)),
    "rpc": frozenset({*CALL_SETTINGS, "hash_key"}),
    "vt": frozenset(ALL_CONSTRAINTS),
}
"""Scope → known names in it."""

_LONG: Final = 8
"""Length from which two slips are still a near miss."""

_SCOPES: Final = (
    *("py", "py.twisted", "py.asyncio", "py3", "python", "java", "java.swift", "java2", "javame", "kotlin", "scala"),
    *("cpp", "cpp2", "c_glib", "cocoa", "objc", "swift", "csharp", "netcore", "netstd", "delphi", "d", "go", "rs"),
    *("rust", "js", "js.node", "node", "nodejs", "nodets", "ts", "json", "php", "php_path", "hack", "rb", "ruby"),
    *("perl", "lua", "haxe", "hs", "erl", "elixir", "ocaml", "dart", "cl", "st", "smalltalk", "smalltalk.category"),
    *("smalltalk.prefix", "as3", "gv", "html", "markdown", "xml", "xsd", "android", "android_lite", "thrift"),
)
"""Scopes of namespaces of Apache Thrift 0.25, fbthrift, Scrooge and Twitter's and Alibaba's generators."""


def _declarations(program: Program) -> Iterator[Declaration]:
    yield from program.typedefs
    yield from program.consts
    yield from program.structs
    yield from program.services
    for enum in program.enums:
        yield enum
        yield from enum.members
    for service in program.services:
        yield from service.functions
    for fields in field_lists(program):
        yield from fields


@check("annotation.unknown", "warning", is_fixable=True)
def annotations_are_spelled_correctly(program: Program) -> Iterator[Finding]:
    """A mistyped annotation would be ignored, like those of other tools."""
    for declaration in _declarations(program):
        if not declaration.annotations:
            continue
        found: tuple[nodes.Annotation, ...] = getattr(declaration, "node").annotations  # noqa: B009
        for node in found:
            name = node.name.text
            near = _near(name)
            if not near and not name.startswith(f"{_PYTHON}."):
                continue
            if name.startswith(f"{_PYTHON}.") and name.partition(".")[2] in _KEYS[_PYTHON]:
                continue
            span = program.document.span(node.name)
            known = ", ".join(f"`{_PYTHON}.{key}`" for key in sorted(_KEYS[_PYTHON]))
            yield Finding(
                f"unknown annotation `{name}` of `{declaration.name}`",
                span,
                help=f"did you mean `{near}`?" if near else f"known for Python is {known}",
                fixes=(Fix(span, near, is_safe=False),) if near else (),
            )


@check("annotation.place", "warning")
def annotations_are_where_they_have_an_effect(program: Program) -> Iterator[Finding]:
    """`sensitive` and constraints are about values of fields and arguments; elsewhere they would be ignored."""
    for subject, each in _without_values(program):
        for node in each:
            name = node.name.text
            if (name == "sensitive" and node.value != "false") or (
                name.startswith("vt.") and subject[0] not in ("struct", "exception of")
            ):
                yield Finding(
                    f"`{name}` has no effect on {' '.join(subject)}",
                    program.document.span(node.name),
                    help="write it after fields and arguments",
                )


def _without_values(program: Program) -> Iterator[tuple[tuple[str, str], tuple[nodes.Annotation, ...]]]:
    """Yield all places of annotations but fields and arguments: what is there, its name, and the annotations."""
    for typedef in program.typedefs:
        yield ("typedef", f"`{typedef.name}`"), typedef.node.annotations
    for const in program.consts:
        yield ("constant", f"`{const.name}`"), const.node.annotations
    for enum in program.enums:
        yield ("enum", f"`{enum.name}`"), enum.node.annotations
        for member in enum.members:
            yield ("enum member", f"`{enum.name}.{member.name}`"), member.node.annotations
    for struct in program.structs:
        yield ("struct", f"`{struct.name}`"), struct.node.annotations
    for service in program.services:
        yield ("service", f"`{service.name}`"), service.node.annotations
        for function in service.functions:
            yield ("function", f"`{function.name}`"), function.node.annotations
            for field in function.throws:
                yield ("exception of", f"`{function.name}`"), field.node.annotations
    for type, node in type_nodes(program):
        yield ("type", f"`{type}`"), node.annotations


@check("namespace.unknown", "warning", is_fixable=True)
def scopes_of_namespaces_are_spelled_correctly(program: Program) -> Iterator[Finding]:
    """A namespace with a mistyped scope would be ignored, like those for other languages."""
    for node in program.document.items:
        if not isinstance(node, nodes.Namespace) or node.scope.text in _SCOPES:
            continue
        scope = node.scope.text
        near = next((known for known in _SCOPES if _is_slip(scope, known)), "")
        if near:
            span = program.document.span(node.scope)
            yield Finding(
                f"unknown scope `{scope}` of a namespace",
                span,
                help=f"did you mean `{near}`?",
                fixes=(Fix(span, near, is_safe=False),),
            )


def _near(name: str) -> str:
    """Return the known annotation that is meant, or an empty string: the name is known, or of another tool."""
    scope, dot, key = name.partition(".")
    if not dot:
        return "" if name in _PLAIN else next((known for known in _PLAIN if _is_slip(name, known)), "")
    if scope in (_PYTHON, "python", "idlc"):
        return next((f"{scope}.{known}" for known in _KEYS[scope] if known != key and _is_slip(key, known)), "")
    if scope in _KEYS:
        return ""
    return next((f"{known}.{key}" for known, keys in _KEYS.items() if key in keys and _is_slip(scope, known)), "")


def _is_slip(name: str, known: str) -> bool:
    """Whether a name is a known one with another case, or with one slip (two in long names).

    A known name with something before or after it is another name, unless that is a repeated letter: `py3` is, but not
    `pyy`. In names of two letters, other letters make another name: `pb` is not `py`.
    """
    if name.lower() == known:
        return True
    if known in name:
        return len(name) == len(known) + 1 and (name[0] * 2 == name[:2] or name[-1] * 2 == name[-2:])
    if len(known) <= 2:
        return len(name) == len(known) and name == known[::-1]
    return _distance(name, known) <= (2 if len(known) >= _LONG else 1)


def _distance(first: str, second: str) -> int:
    """Return the number of letters to insert, delete, replace or swap with their neighbor (optimal string alignment).

    More than two are not told apart.
    """
    if abs(len(first) - len(second)) > 2:
        return 3
    before: list[int] = []
    previous = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        row = [i]
        for j, b in enumerate(second, 1):
            best = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (a != b))
            if i > 1 and j > 1 and a == second[j - 2] and first[i - 2] == b:
                best = min(best, before[j - 2] + 1)
            row.append(best)
        before, previous = previous, row
    return previous[-1]

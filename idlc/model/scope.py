"""Name lookup in one file.

A file refers to its own declarations by their names, and to those of an included file by `qualifier.Name`. The
qualifier is the alias of the include or, without an alias, the name of the included file without folder and extension
(`shared` for `../common/shared.thrift`; it may contain dots). Includes are not transitive. Types and services share one
namespace, constants have another, as in Apache Thrift.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Generic, TypeAlias, TypeVar

import msgspec

from idlc.diagnostics import Diagnostic, Fix, Label, Report
from idlc.model.program import BASE_TYPES, Const, Enum, EnumMember, Include, Program, Service, Struct, Typedef
from idlc.source import Span
from idlc.text import with_article

__all__ = ["Ambiguous", "Found", "NamedDeclaration", "Scope"]

NamedDeclaration: TypeAlias = Typedef | Enum | Struct | Service
T = TypeVar("T")


class Found(msgspec.Struct, Generic[T]):
    """Result of a lookup: the declaration, and the include through which it was found."""

    declaration: T
    include: Include | None = None


class Ambiguous(msgspec.Struct):
    """Result of a lookup that is ambiguous: two included files with the same qualifier declare the name."""

    includes: tuple[Include, Include]


class Scope:
    """Names of one file.

    Attributes:
        program: the file.
        types: types and services of the file, by name.
        consts: constants of the file, by name.
        includes: includes, by qualifier.
        missing: qualifiers of includes that could not be read, so that names with these qualifiers are unknown.
        used_missing: qualifiers in `missing` that a lookup has used.
        missing_diagnostics: qualifiers of included files that do not exist, with their diagnostics.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.types: dict[str, NamedDeclaration] = {}
        self.consts: dict[str, Const] = {}
        self.includes: dict[str, list[Include]] = {}
        self.missing: set[str] = set()
        self.used_missing: set[str] = set()
        self.missing_diagnostics: list[tuple[str, Diagnostic]] = []
        self._scopes: dict[int, Scope] = {}

    def connect(self, include: Include, scope: Scope) -> None:
        """Add the names of an included file."""
        self.includes.setdefault(include.name, []).append(include)
        self._scopes[id(include.program)] = scope

    def included(self, include: Include) -> Scope:
        """Return the scope of an included file."""
        return self._scopes[id(include.program)]

    def declare(self, declaration: NamedDeclaration | Const, report: Report) -> None:
        """Add a declaration. If its name is already declared, report that and keep the first declaration."""
        if isinstance(declaration, Const):
            first: NamedDeclaration | Const = self.consts.setdefault(declaration.name, declaration)
        else:
            first = self.types.setdefault(declaration.name, declaration)
        if first is not declaration:
            report.error(
                "name.duplicate",
                f"`{declaration.name}` is declared twice",
                declaration.span,
                note=f"this {kind_of(declaration)} has the same name as {with_article(kind_of(first))}"
                if kind_of(declaration) != kind_of(first)
                else "declared again here",
                labels=(Label(first.span, "first declared here"),),
            )

    def report_missing_includes(self, report: Report) -> None:
        """Report included files that do not exist, after all names have been looked up.

        As in Apache Thrift, a missing include is an error only if the file uses a name of it. For files that are only
        included, it is always a warning.
        """
        for qualifier, diagnostic in self.missing_diagnostics:
            is_needed = qualifier in self.used_missing and self.program.is_requested
            report.add(msgspec.structs.replace(diagnostic, severity="error" if is_needed else "warning"))

    # Lookup

    def find_type(self, name: str) -> Found[NamedDeclaration] | Ambiguous | None:
        """Look up a type or service by a name as written in this file."""
        own = self.types.get(name)
        if own is not None:
            return Found(own)
        matches = [
            Found(declaration, include)
            for include, rest in self._splits(name)
            if (declaration := self.included(include).types.get(rest)) is not None
        ]
        return _only(matches)

    def find_constant(self, name: str) -> Found[Const | EnumMember] | Ambiguous | None:
        """Look up a constant or an enum member (`Enum.MEMBER`) by a name as written in this file."""
        own = self.own_constant(name)
        if own is not None:
            return Found(own)
        matches: list[Found[Const | EnumMember]] = []
        for include, rest in self._splits(name):
            declaration = self.included(include).own_constant(rest)
            if declaration is not None:
                matches.append(Found(declaration, include))
        return _only(matches)

    def own_constant(self, name: str) -> Const | EnumMember | None:
        """Look up a constant or an enum member that is declared in this file itself."""
        const = self.consts.get(name)
        if const is not None or "." not in name:
            return const
        enum_name, _, member = name.rpartition(".")
        enum = self.types.get(enum_name)
        return enum.member(member) if isinstance(enum, Enum) else None

    def may_be_unparsed(self, name: str) -> bool:
        """Return whether `name` may be declared in text that could not be parsed, so that it must not be reported."""
        parts = name.split(".")
        if "-" in name or not name.isascii():
            return True  # the lexer has reported it as an invalid name
        unparsed = self.program.document.unparsed_names
        if parts[0] in unparsed or name in unparsed:
            return True
        if "" in unparsed and (
            len(parts) == 1 or not any(qualifier in self.includes for qualifier in _prefixes(parts))
        ):
            return True  # the unparsed definition or include has no name: it could be this one
        for split, qualifier in enumerate(_prefixes(parts), 1):
            if qualifier in self.missing or qualifier in unparsed:
                self.used_missing.add(qualifier)
                return True
            for include in self.includes.get(qualifier, ()):
                if not include.program.document.unparsed_names.isdisjoint((parts[split], "")):
                    return True
        return False

    def _splits(self, name: str) -> Iterator[tuple[Include, str]]:
        position = name.find(".")
        while position >= 0:
            for include in self.includes.get(name[:position], ()):
                yield include, name[position + 1 :]
            position = name.find(".", position + 1)

    # Suggestions for unknown names

    def type_names(self) -> Iterator[str]:
        """Yield the names of all types that this file can use, as written in it."""
        for name, declaration in self.types.items():
            if not isinstance(declaration, Service):
                yield name
        for include in self._all_includes():
            for name, declaration in self.included(include).types.items():
                if not isinstance(declaration, Service):
                    yield f"{include.name}.{name}"
        yield from BASE_TYPES

    def service_names(self) -> Iterator[str]:
        """Yield the names of all services that this file can use, as written in it."""
        for name, declaration in self.types.items():
            if isinstance(declaration, Service):
                yield name
        for include in self._all_includes():
            for name, declaration in self.included(include).types.items():
                if isinstance(declaration, Service):
                    yield f"{include.name}.{name}"

    def constant_names(self) -> Iterator[str]:
        """Yield the names of all constants and enum members that this file can use, as written in it."""
        yield from self._own_constant_names()
        for include in self._all_includes():
            for name in self.included(include)._own_constant_names():
                yield f"{include.name}.{name}"

    def _own_constant_names(self) -> Iterator[str]:
        yield from self.consts
        for name, declaration in self.types.items():
            if isinstance(declaration, Enum):
                for member in declaration.members:
                    yield f"{name}.{member.name}"

    def _all_includes(self) -> Iterator[Include]:
        for includes in self.includes.values():
            yield from includes


def _prefixes(parts: list[str]) -> Iterator[str]:
    for split in range(1, len(parts)):
        yield ".".join(parts[:split])


def _only(matches: list[Found[T]]) -> Found[T] | Ambiguous | None:
    if not matches:
        return None
    first = matches[0]
    for other in matches[1:]:
        if other.declaration is not first.declaration and first.include is not None and other.include is not None:
            return Ambiguous((first.include, other.include))
    return first


def kind_of(declaration: NamedDeclaration | Const | EnumMember) -> str:
    """Return the kind of a declaration, in one or two words, for messages."""
    if isinstance(declaration, Struct):
        return declaration.kind
    return {Typedef: "typedef", Enum: "enum", Const: "constant", EnumMember: "enum member", Service: "service"}[
        type(declaration)
    ]


def nearest(name: str, known: Iterator[str]) -> str | None:
    """Return the known name that is most similar to `name`, or `None`."""
    names = list(dict.fromkeys(known))
    last = name.rpartition(".")[2]
    same = [other for other in names if other.rpartition(".")[2] == last]
    if same:
        return same[0]
    folded = [other for other in names if other.lower() == name.lower()]
    if folded:
        return folded[0]
    # Two letters in the wrong order, also in names that are too short to be similar otherwise (`i46`).
    swapped = {name[:at] + name[at + 1] + name[at] + name[at + 2 :] for at in range(len(name) - 1)}
    mistyped = [other for other in names if other in swapped]
    if mistyped:
        return mistyped[0]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.72)
    return close[0] if close else None


def suggest(name: str, span: Span, known: Iterator[str]) -> tuple[str, tuple[Fix, ...]]:
    """Return a help text and a fix for an unknown name; both are empty if no known name is similar."""
    near = nearest(name, known)
    if near is None:
        return "", ()
    return f"did you mean `{near}`?", (Fix(span, near, is_safe=False),)

"""What a name means in one file.

A file sees its own declarations by their names and those of a file it includes by `qualifier.Name`, where the qualifier
is the included file's name without folder and extension (`shared` for `../common/shared.thrift`; it may have dots) or
the alias the include gives it. Includes are not passed on. Types and services share one space of names, constants
have another, as in Apache Thrift.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Generic, TypeAlias, TypeVar

import msgspec

from idlc.diagnostics import Diagnostic, Fix, Label, Report
from idlc.model.program import BASE_TYPES, Const, Enum, EnumMember, Include, Program, Service, Struct, Typedef
from idlc.source import Span

__all__ = ["Ambiguous", "Found", "NamedThing", "Scope"]

NamedThing: TypeAlias = Typedef | Enum | Struct | Service
T = TypeVar("T")


class Found(msgspec.Struct, Generic[T]):
    """What a name means, and through which include it was reached."""

    thing: T
    include: Include | None = None


class Ambiguous(msgspec.Struct):
    """Two included files of the same name both declare it."""

    includes: tuple[Include, Include]


class Scope:
    """The names of one file.

    Attributes:
        program: the file.
        includes: qualifier → the includes reached by it.
        missing: qualifiers of includes that could not be read; nothing is known about names under them.
        sought: those of them that a name was looked for under.
        unfound: qualifiers of files that do not exist, and what to report of each.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.types: dict[str, NamedThing] = {}
        self.consts: dict[str, Const] = {}
        self.includes: dict[str, list[Include]] = {}
        self.missing: set[str] = set()
        self.sought: set[str] = set()
        self.unfound: list[tuple[str, Diagnostic]] = []
        self._scopes: dict[int, Scope] = {}

    def connect(self, include: Include, scope: Scope) -> None:
        """Make the names of an included file reachable."""
        self.includes.setdefault(include.name, []).append(include)
        self._scopes[id(include.program)] = scope

    def included(self, include: Include) -> Scope:
        """The names of a file that this one includes."""
        return self._scopes[id(include.program)]

    def declare(self, thing: NamedThing | Const, report: Report) -> None:
        """Enter a declaration; a second one of the same name is reported, the first one stays."""
        if isinstance(thing, Const):
            first: NamedThing | Const = self.consts.setdefault(thing.name, thing)
        else:
            first = self.types.setdefault(thing.name, thing)
        if first is not thing:
            report.error(
                "name.duplicate",
                f"`{thing.name}` is declared twice",
                thing.span,
                note=f"this {kind_of(thing)} has the name of a {kind_of(first)}"
                if kind_of(thing) != kind_of(first)
                else "declared again here",
                labels=(Label(first.span, "first declared here"),),
            )

    def report_unfound(self, report: Report) -> None:
        """Report included files that do not exist, when all names have been looked up.

        As in Apache Thrift, a file may include what is not there if it needs nothing of it; one that is only included
        may even need what nobody asks of it.
        """
        for qualifier, diagnostic in self.unfound:
            is_needed = qualifier in self.sought and self.program.is_requested
            report.add(msgspec.structs.replace(diagnostic, severity="error" if is_needed else "warning"))

    # Looking up

    def find_type(self, name: str) -> Found[NamedThing] | Ambiguous | None:
        """The type or service that `name` means here."""
        own = self.types.get(name)
        if own is not None:
            return Found(own)
        matches = [
            Found(thing, include)
            for include, rest in self._splits(name)
            if (thing := self.included(include).types.get(rest)) is not None
        ]
        return _only(matches)

    def find_constant(self, name: str) -> Found[Const | EnumMember] | Ambiguous | None:
        """The constant or the enum member (`Enum.MEMBER`) that `name` means here."""
        own = self.own_constant(name)
        if own is not None:
            return Found(own)
        matches: list[Found[Const | EnumMember]] = []
        for include, rest in self._splits(name):
            thing = self.included(include).own_constant(rest)
            if thing is not None:
                matches.append(Found(thing, include))
        return _only(matches)

    def own_constant(self, name: str) -> Const | EnumMember | None:
        """The constant or enum member of this very file."""
        const = self.consts.get(name)
        if const is not None or "." not in name:
            return const
        enum_name, _, member = name.rpartition(".")
        enum = self.types.get(enum_name)
        return enum.member(member) if isinstance(enum, Enum) else None

    def is_excused(self, name: str) -> bool:
        """Whether `name` may have been declared where a file could not be read, so that nothing is said about it."""
        parts = name.split(".")
        if "-" in name or not name.isascii():
            return True  # the lexer has said that this is no name
        lost = self.program.document.lost
        if parts[0] in lost or name in lost:
            return True
        if "" in lost and (len(parts) == 1 or not any(qualifier in self.includes for qualifier in _prefixes(parts))):
            return True  # a definition or an include without a name: it could be this one
        for split, qualifier in enumerate(_prefixes(parts), 1):
            if qualifier in self.missing or qualifier in lost:
                self.sought.add(qualifier)
                return True
            for include in self.includes.get(qualifier, ()):
                if not include.program.document.lost.isdisjoint((parts[split], "")):
                    return True
        return False

    def _splits(self, name: str) -> Iterator[tuple[Include, str]]:
        position = name.find(".")
        while position >= 0:
            for include in self.includes.get(name[:position], ()):
                yield include, name[position + 1 :]
            position = name.find(".", position + 1)

    # Help for names that mean nothing

    def type_names(self) -> Iterator[str]:
        """Every type that can be named here, as it would be written."""
        for name, thing in self.types.items():
            if not isinstance(thing, Service):
                yield name
        for include in self._all_includes():
            for name, thing in self.included(include).types.items():
                if not isinstance(thing, Service):
                    yield f"{include.name}.{name}"
        yield from BASE_TYPES

    def service_names(self) -> Iterator[str]:
        """Every service that can be named here, as it would be written."""
        for name, thing in self.types.items():
            if isinstance(thing, Service):
                yield name
        for include in self._all_includes():
            for name, thing in self.included(include).types.items():
                if isinstance(thing, Service):
                    yield f"{include.name}.{name}"

    def constant_names(self) -> Iterator[str]:
        """Every constant and enum member that can be named here, as it would be written."""
        yield from self._own_constant_names()
        for include in self._all_includes():
            for name in self.included(include)._own_constant_names():
                yield f"{include.name}.{name}"

    def _own_constant_names(self) -> Iterator[str]:
        yield from self.consts
        for name, thing in self.types.items():
            if isinstance(thing, Enum):
                for member in thing.members:
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
        if other.thing is not first.thing and first.include is not None and other.include is not None:
            return Ambiguous((first.include, other.include))
    return first


def kind_of(thing: NamedThing | Const | EnumMember) -> str:
    """What a declaration is, in a word."""
    if isinstance(thing, Struct):
        return thing.kind
    return {Typedef: "typedef", Enum: "enum", Const: "constant", EnumMember: "enum member", Service: "service"}[
        type(thing)
    ]


def nearest(name: str, known: Iterator[str]) -> str | None:
    """The known name that somebody who wrote `name` most likely meant."""
    names = list(dict.fromkeys(known))
    last = name.rpartition(".")[2]
    same = [other for other in names if other.rpartition(".")[2] == last]
    if same:
        return same[0]
    folded = [other for other in names if other.lower() == name.lower()]
    if folded:
        return folded[0]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.72)
    return close[0] if close else None


def suggest(name: str, span: Span, known: Iterator[str]) -> tuple[str, tuple[Fix, ...]]:
    """Help and fix for an unknown name; both empty when nothing is near."""
    near = nearest(name, known)
    if near is None:
        return "", ()
    return f"did you mean `{near}`?", (Fix(span, near),)

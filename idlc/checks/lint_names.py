"""Lint checks of names: the conventions of Apache Thrift's own files, and names that other languages cannot use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from idlc.checks.base import Finding, check
from idlc.checks.reserved_words import languages_that_reserve
from idlc.model import Declaration, Program
from idlc.text import enumeration

__all__: list[str] = []

_PASCAL: Final = re.compile(r"[A-Z][A-Za-z0-9]*")
_CAMEL_OR_SNAKE: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*|[a-z][A-Za-z0-9]*")
_UPPER: Final = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")


def _types(program: Program) -> Iterator[Declaration]:
    yield from program.typedefs
    yield from program.enums
    yield from program.structs
    yield from program.services


def _fields(program: Program) -> Iterator[Declaration]:
    for struct in program.structs:
        yield from struct.fields
    for service in program.services:
        for function in service.functions:
            yield from function.arguments


@check("name.type", "warning", "naming")
def types_are_in_pascal_case(program: Program) -> Iterator[Finding]:
    """Names of types and services are in PascalCase, as in Apache Thrift's own files."""
    for declaration in _types(program):
        if not _PASCAL.fullmatch(declaration.name):
            yield Finding(f"type `{declaration.name}` is not in PascalCase", declaration.span)


@check("name.field", "warning", "naming")
def fields_begin_with_a_lower_case_letter(program: Program) -> Iterator[Finding]:
    """Names of fields and arguments are in snake_case or camelCase, so that they differ from types and constants."""
    for declaration in _fields(program):
        if not _CAMEL_OR_SNAKE.fullmatch(declaration.name):
            yield Finding(f"field `{declaration.name}` is neither in snake_case nor in camelCase", declaration.span)


@check("name.function", "warning", "naming")
def functions_begin_with_a_lower_case_letter(program: Program) -> Iterator[Finding]:
    """Names of functions are in snake_case or camelCase, so that they differ from types."""
    for service in program.services:
        for function in service.functions:
            if not _CAMEL_OR_SNAKE.fullmatch(function.name):
                yield Finding(f"function `{function.name}` is neither in snake_case nor in camelCase", function.span)


@check("name.member", "warning", "naming")
def constants_are_in_upper_case(program: Program) -> Iterator[Finding]:
    """Names of constants and of enum members are in UPPER_SNAKE_CASE."""
    members = (member for enum in program.enums for member in enum.members)
    for declaration in (*program.consts, *members):
        if not _UPPER.fullmatch(declaration.name):
            yield Finding(f"constant `{declaration.name}` is not in UPPER_SNAKE_CASE", declaration.span)


@check("name.stutter", "warning", "naming")
def members_do_not_repeat_their_enum(program: Program) -> Iterator[Finding]:
    """Enum members do not repeat the name of their enum, because they are always used together with it."""
    for enum in program.enums:
        prefix = re.sub(r"[^a-z0-9]", "", enum.name.lower())
        for member in enum.members:
            words = member.name.lower().split("_")
            joined = ""
            for count, word in enumerate(words[:-1], 1):
                joined += word
                if joined == prefix:
                    short = "_".join(member.name.split("_")[count:])
                    help = f"`{enum.name}.{short}` is enough" if short[:1].isalpha() else ""
                    yield Finding(f"member `{member.name}` repeats the name of its enum", member.span, help=help)


@check("name.keyword", "warning", "portability")
def names_are_no_keywords_elsewhere(program: Program) -> Iterator[Finding]:
    """Names are not keywords of common languages, whose compilers of Thrift rename them or reject the file."""
    functions = (function for service in program.services for function in service.functions)
    members = (member for enum in program.enums for member in enum.members)
    for declaration in (*_types(program), *_fields(program), *functions, *members, *program.consts):
        languages = languages_that_reserve(declaration.name)
        if languages:
            message = f"`{declaration.name}` is a keyword in {enumeration(languages)}"
            yield Finding(message, declaration.span, help="choose another name")

"""Documentation of the IDL, as generated code has it: docstrings of functions, classes, fields and members.

Docstrings of functions have sections that the generator of stubs appends (`Args:`, `Raises:`, `Oneway:`, `Idempotent:`,
`Defaults:`). Docstrings of fields and members are not kept by Python, so they are read from the source of the module;
without the source there are none.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

import msgspec

from idlrt.spec import Method

__all__ = ["NO_DOC", "Doc", "DocReader", "split_sentence"]

_HEADINGS: Final = ("Args:", "Raises:")
_REMARK: Final = re.compile(r"(?:Oneway: the server sends|Idempotent: safe to retry|Defaults: [a-z_]+=)")
# What the generator of stubs writes if the IDL has no comment.
_PLACEHOLDER: Final = re.compile(r"`\w+` of `\w+`\.")
_ENTRY: Final = re.compile(r" {4}([\w.]+): (.*)")
# No end of a sentence: "e.g. this", "i.e. that".
_SENTENCE: Final = re.compile(r"(?s)(.+?(?<!\be\.g)(?<!\bi\.e)[.!?])(?=\s+[A-Z`\"'(]|\s*$)")
_MODULE_PLACEHOLDER: Final = re.compile(r"Types and services of `[\w.]+`\.")
_MISSING: Final = "Declared in the IDL."


class Doc(msgspec.Struct, frozen=True):
    """Documentation of a function or a file.

    Attributes:
        summary: first sentence, on one line, without a full stop.
        description: the rest.
        arguments: text by Python name of the parameter.
        raises: text by class name of the exception.
    """

    summary: str = ""
    description: str = ""
    arguments: Mapping[str, str] = {}
    raises: Mapping[str, str] = {}


NO_DOC: Final = Doc()


class DocReader:
    """Reader of documentation, with a cache of the modules that were parsed."""

    def __init__(self) -> None:
        self._modules: dict[str, dict[str, dict[str, str]]] = {}

    def of_method(self, method: Method[..., Any]) -> Doc:
        """Return the documentation of a method."""
        return NO_DOC if method.function is None else _parsed(inspect.getdoc(method.function) or "")

    def of_module(self, method: Method[..., Any]) -> Doc:
        """Return the documentation of the file that declares a method."""
        module = sys.modules.get(method.function.__module__) if method.function is not None else None
        text = inspect.cleandoc((module.__doc__ or "") if module is not None else "")
        return NO_DOC if _MODULE_PLACEHOLDER.fullmatch(text) else Doc(*split_sentence(text))

    def of_service(self, method: Method[..., Any]) -> str:
        """Return the documentation of the service that declares a method."""
        if method.function is None:
            return ""
        module = sys.modules.get(method.function.__module__)
        return self.of_class(getattr(module, method.function.__qualname__.partition(".")[0], None))

    def of_class(self, cls: Any) -> str:
        """Return the documentation of a class; not that of a base class."""
        text = vars(cls).get("__doc__") if isinstance(cls, type) else None
        return inspect.cleandoc(text) if isinstance(text, str) else ""

    def of_attributes(self, cls: Any) -> Mapping[str, str]:
        """Return the documentation of the fields or members of a class, by name in Python."""
        name: str = cls.__module__
        known = self._modules.get(name)
        if known is None:
            known = self._modules[name] = _attributes(name)
        return known.get(cls.__qualname__, {})


def split_sentence(text: str) -> tuple[str, str]:
    """Return the first sentence of a text, on one line without a full stop, and the rest."""
    first, separator, rest = text.strip().partition("\n\n")
    found = _SENTENCE.match(first)
    if found is not None:
        rest = first[found.end() :].lstrip() + separator + rest
        first = found[1]
    return " ".join(first.split()).removesuffix("."), rest.strip()


def _parsed(text: str) -> Doc:
    lines = text.split("\n")
    start = next((index for index in range(len(lines)) if _is_section(lines, index)), len(lines))
    body = "\n".join(lines[:start]).strip()
    sections: dict[str, dict[str, str]] = {heading: {} for heading in _HEADINGS}
    current: dict[str, str] | None = None
    for line in lines[start:]:
        if line in _HEADINGS:
            current = sections[line]
        elif current is not None and (entry := _ENTRY.fullmatch(line)):
            current[entry[1]] = "" if entry[2] == _MISSING else entry[2]
    summary, description = ("", "") if _PLACEHOLDER.fullmatch(body) else split_sentence(body)
    return Doc(summary, description, sections["Args:"], sections["Raises:"])


def _is_section(lines: list[str], index: int) -> bool:
    line = lines[index]
    if line in _HEADINGS:
        return index + 1 < len(lines) and _ENTRY.fullmatch(lines[index + 1]) is not None
    return _REMARK.match(line) is not None


def _attributes(module: str) -> dict[str, dict[str, str]]:
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError, SyntaxError, ValueError):
        return {}
    return {node.name: _of_body(node.body) for node in tree.body if isinstance(node, ast.ClassDef)}


def _of_body(body: list[ast.stmt]) -> dict[str, str]:
    found: dict[str, str] = {}
    for statement, following in pairwise(body):
        if isinstance(statement, ast.AnnAssign):
            target: ast.expr = statement.target
        elif isinstance(statement, ast.Assign):
            target = statement.targets[0]
        else:
            continue
        if isinstance(target, ast.Name) and isinstance(following, ast.Expr):
            value = following.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found[target.id] = inspect.cleandoc(value.value)
    return found

"""Read what the modules of earlier compiles declare.

Files of a namespace may be compiled one by one, and each compile rewrites the package. What the package offers must
not depend on the order of the compiles, so the names of earlier modules have the ranks that they had when the modules
were written. The ranks are read from the text, and only where names are contested: parsing takes time.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Set as AbstractSet

import msgspec

from idlc.codegen.python.claims import Rank
from idlc.shadowing import GENERATED

__all__ = ["EarlierModule", "EarlierName", "is_subpackage", "read_table", "source_of"]

_SOURCE = re.compile(rf"{GENERATED} \S+ from (.*)\. Do not edit\.\n")
_EXPORTS = re.compile(r"^__all__ = (\[[^\]]*\])", re.MULTILINE)


# The attribute that every client has, whatever templates wrote it.
_SERVICE = "__thrift_service__"


class EarlierName(msgspec.Struct, frozen=True):
    """The origin of a name of an earlier module."""

    rank: Rank = Rank.DECLARED
    is_constant: bool = False


class EarlierModule(msgspec.Struct, frozen=True):
    """A module that an earlier compile wrote.

    Attributes:
        text: of the module.
        listed: its names as the package listed them, in case that the module does not.
    """

    text: str
    listed: list[str]

    def names(self) -> list[str]:
        """Return the names that it exports."""
        exports = _EXPORTS.search(self.text)
        try:
            found: list[str] = self.listed if exports is None else ast.literal_eval(exports[1])
        except (SyntaxError, ValueError):
            return self.listed
        return found

    def details(self) -> dict[str, EarlierName]:
        """Return what its top-level statements tell of its names; nothing if it is not valid Python."""
        try:
            body = ast.parse(self.text).body
        except (SyntaxError, ValueError):
            return {}
        found: dict[str, EarlierName] = {}
        protocols = {node.name.strip("_") for node in body if isinstance(node, ast.ClassDef) and _is_protocol(node)}
        for node in body:
            match node:
                case ast.ClassDef(name=name):
                    is_derived = _is_client(node) or (_is_protocol(node) and _is_async(node, protocols))
                    found[name] = EarlierName(Rank.DERIVED if is_derived else _declared_rank(name))
                case ast.AnnAssign(target=ast.Name(id=name)):
                    is_constant = not _is_alias(node.annotation)
                    rank = _declared_rank(name)
                    if is_constant and rank is Rank.DECLARED:
                        rank = Rank.CONSTANT
                    found[name] = EarlierName(rank, is_constant)
                case ast.FunctionDef(name=name):  # binds a handler
                    found[name] = EarlierName(Rank.DERIVED)
                case _:
                    pass
        return found


def source_of(text: str | None) -> str | None:
    """Return the name of the IDL file that a module was generated from; `None` for other text."""
    found = _SOURCE.match(text or "")
    return None if found is None else found[1]


def is_subpackage(text: str | None, package: str) -> bool:
    """Whether `text` is the `__init__.py` of `package`, and not of one whose name differs in case.

    File systems that ignore case find `user/__init__.py` under the name `User/__init__.py`, too. Python does not.
    """
    if text is None or not text.startswith(GENERATED):
        return text is not None
    return f"`{package}`" in text


def read_table(text: str | None) -> dict[str, list[str]]:
    """Return module → names, as an `__init__.py` that idlc wrote has them; empty for anything else."""
    if text is None or not text.startswith(GENERATED):
        return {}
    try:
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Name)
                and node.targets[0].id == "_modules"
            ):
                found: dict[str, list[str]] = ast.literal_eval(node.value)
                return found
    except (SyntaxError, ValueError):
        return {}
    return {}


def _is_alias(annotation: ast.expr) -> bool:
    return isinstance(annotation, ast.Name) and annotation.id == "TypeAlias"


def _declared_rank(name: str) -> Rank:
    """Return the most likely rank of a declared name: what Python cannot have ends in an underscore."""
    return Rank.ESCAPED if name.endswith("_") else Rank.DECLARED


def _is_protocol(node: ast.ClassDef) -> bool:
    return any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases)


def _is_client(node: ast.ClassDef) -> bool:
    return any(
        isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name) and each.targets[0].id == _SERVICE
        for each in node.body
    )


def _is_async(node: ast.ClassDef, protocols: AbstractSet[str]) -> bool:
    """Whether a Protocol is the asyncio one of its service. Where it has no methods, only the name can tell."""
    functions = [each for each in node.body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))]
    if functions:
        return isinstance(functions[0], ast.AsyncFunctionDef)
    return node.name.startswith("Async") and node.name.removeprefix("Async").strip("_") in protocols

"""One linked file."""

from __future__ import annotations

import msgspec

from idlc.model.declarations import Annotations, Const, Enum, Service, Struct, Typedef
from idlc.source import SourceFile, Span
from idlc.syntax import Document

__all__ = ["Include", "Namespace", "Program"]


class Include(msgspec.Struct, eq=False):
    """`include "path"`: under which name the other file's declarations are reached."""

    name: str
    program: Program
    span: Span
    is_used: bool = False


class Namespace(msgspec.Struct, frozen=True):
    """`namespace scope name`; `scope` may be `*`, or dotted as in `py.twisted`."""

    scope: str
    name: str
    span: Span
    annotations: Annotations = {}


class Program(msgspec.Struct, eq=False, kw_only=True):
    """What one IDL file says, every name in it resolved. Lists are in the order of the file.

    Attributes:
        source: the file.
        document: its syntax tree.
        is_requested: whether it was asked for, rather than reached through an include.
        is_complete: false if a file it includes is missing, which only a file that was asked for cannot live with.
        stem: its name without folder and extension: the qualifier that other files use.
        includes: in the order of the file, direct ones only.
        doc: the comment at the head of the file, or `None`.
    """

    source: SourceFile
    document: Document
    is_requested: bool = False
    is_complete: bool = True
    stem: str
    doc: str | None = None
    namespaces: list[Namespace] = []
    includes: list[Include] = []
    typedefs: list[Typedef] = []
    enums: list[Enum] = []
    structs: list[Struct] = []
    consts: list[Const] = []
    services: list[Service] = []

    def namespace(self, *scopes: str) -> str | None:
        """The name given for the first of `scopes` that the file has a namespace for, or `None`."""
        for scope in scopes:
            for namespace in self.namespaces:
                if namespace.scope == scope:
                    return namespace.name
        return None

"""Snapshot of an interface: what a comparison needs to know of linked IDL files, as plain JSON.

The format is versioned and deterministic, so that snapshots can be committed and their differences reviewed. Types are
text: `i32`, `list<string>`, `map<i32, shop/order.idl#Order>`. A declared type is named by its file and its name; paths
of files are relative to a root, with `/`, and percent-encoded where they contain a character of this syntax.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Annotated, Final, Literal, TypeAlias
from urllib.parse import quote

import msgspec

__all__ = [
    "FORMAT",
    "Const",
    "Enum",
    "Field",
    "File",
    "Function",
    "Service",
    "Snapshot",
    "SnapshotError",
    "Struct",
    "Type",
    "TypeDeclaration",
    "Typedef",
    "dump",
    "key",
    "load",
    "parse_type",
    "split_key",
    "type_names",
]

FORMAT: Final = 1
"""Version of the format; a snapshot of another version cannot be read."""

_CONTAINERS: Final = {"list": 1, "set": 1, "map": 2}
_MAX_DEPTH: Final = 200
_SAFE: Final = "/._-+@~=!$()[]{}^&'"
_TOKEN: Final = re.compile(r"[^<>,\s]+|[<>,]")

Values: TypeAlias = dict[str, tuple[str, ...]]
"""Annotations by their current names → values in order."""


class SnapshotError(Exception):
    """A file is not a snapshot, or one of another format version."""


class Field(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Field of a struct, argument of a function, or exception in its `throws`.

    Attributes:
        id: id on the wire; automatic ids are negative.
        type: type as text.
        default: default value as a literal of the IDL.
        python: name in Python, if it is not `name`.
        annotations: HTTP annotations and constraints.
    """

    id: int
    name: str
    type: str
    requiredness: Literal["required", "optional", "default"] = "default"
    default: str | None = None
    python: str | None = None
    annotations: Values = {}

    @property
    def is_required(self) -> bool:
        """Whether readers reject values without the field."""
        return self.requiredness == "required"


class Typedef(msgspec.Struct, frozen=True, kw_only=True, tag="typedef", tag_field="is", omit_defaults=True):
    """Another name of a type."""

    name: str
    type: str
    python: str | None = None


class Enum(msgspec.Struct, frozen=True, kw_only=True, tag="enum", tag_field="is", omit_defaults=True):
    """Enum: member → number, in the order of the IDL.

    Attributes:
        python_members: names of members in Python that are not those of the IDL.
    """

    name: str
    members: dict[str, int] = {}
    python: str | None = None
    python_members: dict[str, str] = {}


class Struct(msgspec.Struct, frozen=True, kw_only=True, tag="struct", tag_field="is", omit_defaults=True):
    """Struct, union or exception; fields in the order of the IDL.

    Attributes:
        retired: ids of fields that earlier snapshots had → their names.
    """

    name: str
    kind: Literal["struct", "union", "exception"] = "struct"
    fields: tuple[Field, ...] = ()
    python: str | None = None
    annotations: Values = {}
    retired: dict[int, str] = {}


class Const(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Constant; `value` is a literal of the IDL."""

    name: str
    type: str
    value: str
    python: str | None = None


class Function(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Function of a service; `result` is `None` for `void`."""

    name: str
    result: str | None = None
    oneway: bool = False
    arguments: tuple[Field, ...] = ()
    throws: tuple[Field, ...] = ()
    python: str | None = None
    annotations: Values = {}


class Service(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Service; `extends` is the key of its base."""

    name: str
    extends: str | None = None
    functions: tuple[Function, ...] = ()
    python: str | None = None


TypeDeclaration: TypeAlias = Typedef | Enum | Struct


class File(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An IDL file.

    Attributes:
        path: path relative to the root, with `/`.
        is_requested: whether the file was named, and not only included.
        namespaces: scope → name.
    """

    path: str
    is_requested: bool = False
    namespaces: dict[str, str] = {}
    types: tuple[TypeDeclaration, ...] = ()
    consts: tuple[Const, ...] = ()
    services: tuple[Service, ...] = ()


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All files of an interface, sorted by path."""

    format: Annotated[int, msgspec.Meta(ge=1)] = FORMAT
    files: tuple[File, ...] = ()


class _Format(msgspec.Struct):
    format: int


def dump(snapshot: Snapshot) -> bytes:
    """Return a snapshot as JSON, indented, ending in a line end."""
    return msgspec.json.format(msgspec.json.encode(snapshot), indent=1) + b"\n"


def load(data: bytes) -> Snapshot:
    """Read a snapshot.

    Raises:
        SnapshotError: the data is not a snapshot, or one of another format version.
    """
    try:
        found = msgspec.json.decode(data, type=_Format).format
    except msgspec.DecodeError as error:
        raise SnapshotError(f"not a snapshot of `idlc snapshot`: {str(error).lower()}") from None
    if found != FORMAT:
        advice = "upgrade idlc" if found > FORMAT else "write it again with `idlc snapshot`"
        raise SnapshotError(f"snapshot of format {found}, this idlc reads format {FORMAT}; {advice}")
    try:
        return msgspec.json.decode(data, type=Snapshot)
    except msgspec.DecodeError as error:
        raise SnapshotError(f"invalid snapshot: {str(error).lower()}") from None


# Types


class Type(msgspec.Struct, frozen=True):
    """A parsed type.

    Attributes:
        name: name of a base type, `list`, `set`, `map`, or the key of a declaration.
        parameters: types of elements.
    """

    name: str
    parameters: tuple[Type, ...] = ()

    @property
    def is_declared(self) -> bool:
        """Whether it refers to a declaration."""
        return "#" in self.name

    def __str__(self) -> str:
        """Return the type as in the file that declares it."""
        if self.parameters:
            return f"{self.name}<{', '.join(map(str, self.parameters))}>"
        return self.name.rpartition("#")[2]

    def qualified(self) -> str:
        """Return the type as in another file: `order.Order`."""
        if self.parameters:
            return f"{self.name}<{', '.join(each.qualified() for each in self.parameters)}>"
        path, mark, name = self.name.rpartition("#")
        return f"{PurePosixPath(path).stem}.{name}" if mark else name


def type_names(old: str, new: str) -> tuple[str, str]:
    """Return the names of two different types for a message, which tell them apart."""
    types = parse_type(old), parse_type(new)
    names = f"`{types[0]}`", f"`{types[1]}`"
    return names if names[0] != names[1] else (f"`{types[0].qualified()}`", f"`{types[1].qualified()}`")


def key(path: str, name: str) -> str:
    """Return the key of a declaration: `shop/order.idl#Order`."""
    return f"{quote(path, safe=_SAFE)}#{name}"


def split_key(key: str) -> tuple[str, str]:
    """Return the (encoded) file and the name in a key."""
    file, _, name = key.partition("#")
    return file, name


@lru_cache(maxsize=20_000)
def parse_type(text: str) -> Type:
    """Parse the text of a type.

    Raises:
        SnapshotError: the text is not a type.
    """
    tokens = _TOKEN.findall(text)
    tokens.reverse()
    found = _parse(tokens, text, _MAX_DEPTH)
    if tokens:
        raise SnapshotError(f"invalid type in snapshot: {text!r}")
    return found


def _parse(tokens: list[str], text: str, depth: int) -> Type:
    """Consume a type from the end of a reversed list of tokens."""
    if not tokens or tokens[-1] in ("<", ">", ",") or not depth:
        raise SnapshotError(f"invalid type in snapshot: {text!r}")
    name = tokens.pop()
    count = _CONTAINERS.get(name, 0)
    parameters: list[Type] = []
    for index in range(count):
        _expect(tokens, "," if index else "<", text)
        parameters.append(_parse(tokens, text, depth - 1))
    if count:
        _expect(tokens, ">", text)
    return Type(name, tuple(parameters))


def _expect(tokens: list[str], token: str, text: str) -> None:
    if not tokens or tokens.pop() != token:
        raise SnapshotError(f"invalid type in snapshot: {text!r}")

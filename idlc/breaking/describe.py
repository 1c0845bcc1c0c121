"""Description of linked programs as a snapshot, with the declarations that its parts were made from."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from idlc import model
from idlc.breaking import snapshot as plain
from idlc.breaking.snapshot import Snapshot, key

__all__ = ["Described", "describe", "path_in", "retire"]

_PYTHON_NAME = "py.name"


class Described(msgspec.Struct, frozen=True):
    """A snapshot and its sources.

    Attributes:
        declarations: key of a declaration → the declaration; keys of members are `KEY.member`, those of arguments and
            exceptions `KEY.function.name`. Empty if the snapshot was read from a file.
        programs: path of a file → the file.
    """

    snapshot: Snapshot
    declarations: Mapping[str, model.Declaration] = {}
    programs: Mapping[str, model.Program] = {}


def path_in(root: Path, file: Path, include_dirs: Iterable[Path] = ()) -> str:
    """Return the path of a file relative to the root; outside of it, relative to the include folder that it is in."""
    for folder in (root, *include_dirs):
        if file.is_relative_to(folder):
            return file.relative_to(folder).as_posix()
    return Path(os.path.relpath(file, root)).as_posix() if file.drive == root.drive else file.as_posix()


def describe(programs: Sequence[model.Program], path_of: Callable[[model.Program], str]) -> Described:
    """Describe linked programs.

    Args:
        programs: requested and included files.
        path_of: returns the path of a file in the snapshot.
    """
    paths = {id(program): path_of(program) for program in programs}
    describer = _Describer(paths)
    files = sorted((describer.file(program) for program in programs), key=lambda file: file.path)
    by_path = {paths[id(program)]: program for program in programs}
    return Described(Snapshot(files=tuple(files)), describer.declarations, by_path)


def retire(snapshot: Snapshot, earlier: Snapshot) -> Snapshot:
    """Return a snapshot that also has the ids of the fields that were removed since an earlier one."""
    known = {
        key(file.path, type.name): type
        for file in earlier.files
        for type in file.types
        if isinstance(type, plain.Struct)
    }
    files: list[plain.File] = []
    for file in snapshot.files:
        types = [_retired(type, known.get(key(file.path, type.name))) for type in file.types]
        files.append(msgspec.structs.replace(file, types=tuple(types)))
    return msgspec.structs.replace(snapshot, files=tuple(files))


def _retired(type: plain.TypeDeclaration, before: plain.Struct | None) -> plain.TypeDeclaration:
    if before is None or not isinstance(type, plain.Struct):
        return type
    used = {field.id for field in type.fields}
    removed = {field.id: field.name for field in before.fields if field.id > 0}
    retired = {id: name for id, name in sorted({**before.retired, **removed}.items()) if id not in used}
    return msgspec.structs.replace(type, retired=retired)


class _Describer:
    def __init__(self, paths: Mapping[int, str]) -> None:
        self._paths = paths
        self._types: dict[model.Type, str] = {}
        self.declarations: dict[str, model.Declaration] = {}

    def file(self, program: model.Program) -> plain.File:
        types: list[plain.TypeDeclaration] = [self._typedef(each) for each in program.typedefs]
        types += [self._enum(each) for each in program.enums]
        types += [self._struct(each) for each in program.structs]
        return plain.File(
            path=self._paths[id(program)],
            is_requested=program.is_requested,
            namespaces={each.scope: each.name for each in sorted(program.namespaces, key=lambda each: each.scope)},
            types=tuple(sorted(types, key=lambda each: each.name)),
            consts=tuple(self._const(each) for each in sorted(program.consts, key=_name) if _has_value(each)),
            services=tuple(self._service(each) for each in sorted(program.services, key=_name)),
        )

    def _key(self, declaration: model.Declaration) -> str:
        return key(self._paths[id(declaration.program)], declaration.name)

    def _declare(self, declaration: model.Declaration) -> str:
        found = self._key(declaration)
        self.declarations[found] = declaration
        return found

    def _typedef(self, typedef: model.Typedef) -> plain.Typedef:
        self._declare(typedef)
        return plain.Typedef(name=typedef.name, type=self._type(typedef.type), python=_python(typedef))

    def _enum(self, enum: model.Enum) -> plain.Enum:
        place = self._declare(enum)
        for member in enum.members:
            self.declarations[f"{place}.{member.name}"] = member
        renamed = {member.name: name for member in enum.members if (name := _python(member)) is not None}
        members = {member.name: member.value for member in enum.members}
        return plain.Enum(name=enum.name, members=members, python=_python(enum), python_members=renamed)

    def _struct(self, struct: model.Struct) -> plain.Struct:
        fields = self._fields(self._declare(struct), struct.fields)
        return plain.Struct(
            name=struct.name,
            kind=struct.kind,
            fields=fields,
            python=_python(struct),
            annotations=_annotations(struct),
        )

    def _const(self, const: model.Const) -> plain.Const:
        self._declare(const)
        return plain.Const(
            name=const.name, type=self._type(const.type), value=_literal(const.value), python=_python(const)
        )

    def _service(self, service: model.Service) -> plain.Service:
        place = self._declare(service)
        return plain.Service(
            name=service.name,
            extends=self._key(service.extends) if service.extends is not None else None,
            functions=tuple(self._function(f"{place}.{each.name}", each) for each in service.functions),
            python=_python(service),
        )

    def _function(self, place: str, function: model.Function) -> plain.Function:
        self.declarations[place] = function
        is_void = function.result is None or function.is_oneway
        return plain.Function(
            name=function.name,
            result=None if is_void or function.result is None else self._type(function.result),
            oneway=function.is_oneway,
            arguments=self._fields(place, function.arguments),
            throws=self._fields(place, function.throws),
            python=_python(function),
            annotations=_annotations(function),
        )

    def _fields(self, place: str, fields: Iterable[model.Field]) -> tuple[plain.Field, ...]:
        found: list[plain.Field] = []
        for field in fields:
            self.declarations[f"{place}.{field.name}"] = field
            found.append(
                plain.Field(
                    id=field.id,
                    name=field.name,
                    type=self._type(field.type),
                    requiredness=field.requiredness,
                    default=_literal(field.default) if field.default is not None else None,
                    python=_python(field),
                    annotations=_annotations(field),
                )
            )
        return tuple(found)

    def _type(self, type: model.Type) -> str:
        match type:
            case model.BaseType():
                return type.name
            case model.ListType():
                return f"list<{self._type(type.element)}>"
            case model.SetType():
                return f"set<{self._type(type.element)}>"
            case model.MapType():
                return f"map<{self._type(type.key)}, {self._type(type.value)}>"
            case model.Reference():
                return self._key(type.target)


def _name(declaration: model.Declaration) -> str:
    return declaration.name


def _has_value(const: model.Const) -> bool:
    """Return whether a constant could be evaluated: not if its type is in a file that was not found."""
    return getattr(const, "value", None) is not None


def _python(declaration: model.Declaration) -> str | None:
    values = declaration.annotations.get(_PYTHON_NAME)
    return values[-1] if values and values[-1] != declaration.name else None


def _annotations(declaration: model.Struct | model.Field | model.Function) -> dict[str, tuple[str, ...]]:
    if not declaration.annotations:
        return {}
    found = model.runtime_annotations(declaration)
    return {name: found[name] for name in sorted(found) if name.startswith(("http.", "vt."))}


def _literal(value: model.Constant) -> str:
    """Return a constant as a literal of the IDL, the same for equal constants."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return json.dumps(value, ensure_ascii=False)
        case bytes():
            return json.dumps(value.decode("latin-1"))
        case model.EnumConstant(member=None, number=number):
            return str(number)
        case model.EnumConstant(enum=enum, member=member):
            return f"{enum.name}.{member.name}" if member is not None else ""
        case model.ListConstant(items=items):
            return f"[{', '.join(map(_literal, items))}]"
        case model.SetConstant(items=items):
            return f"[{', '.join(sorted(map(_literal, items)))}]"
        case model.MapConstant(pairs=pairs):
            return "{" + ", ".join(sorted(f"{_literal(name)}: {_literal(each)}" for name, each in pairs)) + "}"
        case model.StructConstant(fields=fields):
            return "{" + ", ".join(sorted(f'"{field.name}": {_literal(each)}' for field, each in fields)) + "}"

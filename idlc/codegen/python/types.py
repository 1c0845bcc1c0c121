"""How a type is written: as an annotation, and in the table of fields.

Where Thrift has a key (of a map, or an element of a set) Python needs something hashable, so containers
there are frozen ones (`idlrt.spec.frozen`).
"""

from __future__ import annotations

from collections.abc import Iterator

from idlc.codegen.python.imports import Imports
from idlc.codegen.python.wrap import Node, call
from idlc.model import BaseType, Enum, ListType, MapType, Reference, SetType, Struct, Type, Typedef, resolve

__all__ = ["annotation", "expression", "is_known", "mentioned"]

_ANNOTATIONS = {
    "bool": "bool",
    "i8": "int",
    "i16": "int",
    "i32": "int",
    "i64": "int",
    "double": "float",
    "string": "str",
    "binary": "bytes",
    "uuid": "rpc.Uuid",
}


def annotation(type: Type, imports: Imports, *, is_key: bool = False, expand: frozenset[str] = frozenset()) -> str:
    """The Python annotation of a type.

    Args:
        is_key: it stands in key position.
        expand: names of typedefs to write out, because something in the class hides them.
    """
    match type:
        case BaseType(name=name):
            return _ANNOTATIONS[name]
        case ListType(element=element):
            inner = annotation(element, imports, is_key=is_key, expand=expand)
            return f"tuple[{inner}, ...]" if is_key else f"list[{inner}]"
        case SetType(element=element):
            inner = annotation(element, imports, is_key=True, expand=expand)
            return f"frozenset[{inner}]" if is_key else f"set[{inner}]"
        case MapType(key=key, value=value):
            key_text = annotation(key, imports, is_key=True, expand=expand)
            value_text = annotation(value, imports, is_key=is_key, expand=expand)
            return f"rpc.FrozenMap[{key_text}, {value_text}]" if is_key else f"dict[{key_text}, {value_text}]"
        case Reference(target=Typedef() as typedef):
            name = imports.name(typedef)
            if name in expand or (is_key and isinstance(resolve(type), (ListType, SetType, MapType))):
                return annotation(typedef.type, imports, is_key=is_key, expand=expand)
            return name
        case Reference(target=target):
            return imports.name(target)


def expression(type: Type, imports: Imports, defined: frozenset[int], *, is_key: bool = False) -> Node:
    """The type in a table of fields.

    Args:
        defined: identities of the structs that are defined before the table in its module; others are
            referred to by a function.
    """
    type = resolve(type)
    match type:
        case BaseType(name=name):
            return f"rpc.{name.upper()}"
        case ListType(element=element):
            inner = expression(element, imports, defined, is_key=is_key)
            return call("rpc.frozen_list_of" if is_key else "rpc.list_of", inner)
        case SetType(element=element):
            inner = expression(element, imports, defined, is_key=True)
            return call("rpc.frozen_set_of" if is_key else "rpc.set_of", inner)
        case MapType(key=key, value=value):
            inner = expression(key, imports, defined, is_key=True)
            second = expression(value, imports, defined, is_key=is_key)
            return call("rpc.frozen_map_of" if is_key else "rpc.map_of", inner, second)
        case Reference(target=Enum() as enum):
            return call("rpc.enum", imports.name(enum))
        case Reference(target=Struct() as struct):
            name = imports.name(struct)
            is_defined = id(struct) in defined or imports.prefix(struct.program) != ""
            return call("rpc.struct", name if is_defined else f"lambda: {name}")
        case Reference():
            raise AssertionError("resolve leaves no reference to a typedef")


def mentioned(type: Type) -> Iterator[Typedef | Enum | Struct]:
    """The declarations that an annotation of `type` may mention."""
    match type:
        case BaseType():
            return
        case ListType(element=element) | SetType(element=element):
            yield from mentioned(element)
        case MapType(key=key, value=value):
            yield from mentioned(key)
            yield from mentioned(value)
        case Reference(target=Typedef() as typedef):
            yield typedef
            yield from mentioned(typedef.type)
        case Reference(target=target):
            yield target


def is_known(type: Type | None) -> bool:
    """Whether everything in a type was found. An included file may refer to files that are not there."""
    match type:
        case None:
            return True
        case BaseType(name=name):
            return name in _ANNOTATIONS
        case ListType(element=element) | SetType(element=element):
            return is_known(element)
        case MapType(key=key, value=value):
            return is_known(key) and is_known(value)
        case Reference(target=Typedef() as typedef):
            return is_known(typedef.type)
        case Reference():
            return True

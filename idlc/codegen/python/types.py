"""How a type is written: as an annotation, and in the table of fields.

Where Thrift has a key (of a map, or an element of a set) Python needs something hashable, so containers
there are frozen ones (`idlrt.spec.frozen`).
"""

from __future__ import annotations

from idlc.codegen.python.imports import Imports
from idlc.codegen.python.mentions import is_known, mentioned, typedefs_within
from idlc.codegen.python.wrap import Node, call
from idlc.model import BaseType, Enum, ListType, MapType, Reference, SetType, Struct, Type, Typedef, resolve

__all__ = ["annotation", "expression", "is_known", "mentioned", "typedefs_within"]

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
    # Typedefs say what is not frozen.
    is_frozen = is_key and isinstance(resolve(type), (ListType, SetType, MapType))
    while isinstance(type, Reference) and isinstance(type.target, Typedef):
        name = imports.name(type.target)
        if name not in expand and not is_frozen:
            return name
        type = type.target.type
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

"""Write types as annotations and as expressions of tables of fields.

The key of a Thrift map and the element of a Thrift set must be hashable in Python, so containers in these positions
are frozen ones (`idlrt.spec.frozen`).
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from idlc.codegen.python.imports import Imports
from idlc.model import BaseType, Enum, ListType, MapType, Reference, SetType, Struct, Type, Typedef, resolve

__all__ = ["annotation", "expression"]

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


def annotation(type: Type, imports: Imports, *, is_key: bool = False, expand: AbstractSet[str] = frozenset()) -> str:
    """Return the Python annotation of a type.

    Args:
        is_key: the type is in key position.
        expand: names of typedefs to write out, because a member of the class hides them.
    """
    # The alias of a typedef stands for containers that are not frozen.
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


def expression(type: Type, imports: Imports, defined: AbstractSet[int], *, is_key: bool = False) -> str:
    """Return the expression of a type in a table of fields: `rpc.list_of(rpc.I64)`.

    Args:
        defined: identities of the structs that the module defines above the table; a lambda refers to the others.
        is_key: the type is in key position.
    """
    type = resolve(type)
    match type:
        case BaseType(name=name):
            return f"rpc.{name.upper()}"
        case ListType(element=element):
            inner = expression(element, imports, defined, is_key=is_key)
            return f"rpc.frozen_list_of({inner})" if is_key else f"rpc.list_of({inner})"
        case SetType(element=element):
            inner = expression(element, imports, defined, is_key=True)
            return f"rpc.frozen_set_of({inner})" if is_key else f"rpc.set_of({inner})"
        case MapType(key=key, value=value):
            inner = expression(key, imports, defined, is_key=True)
            inner += ", " + expression(value, imports, defined, is_key=is_key)
            return f"rpc.frozen_map_of({inner})" if is_key else f"rpc.map_of({inner})"
        case Reference(target=Enum() as enum):
            return f"rpc.enum({imports.name(enum)})"
        case Reference(target=Struct() as struct):
            name = imports.name(struct)
            is_defined = id(struct) in defined or imports.prefix(struct.program) != ""
            return f"rpc.struct({name})" if is_defined else f"rpc.struct(lambda: {name})"
        case Reference():
            raise AssertionError("resolve leaves no reference to a typedef")

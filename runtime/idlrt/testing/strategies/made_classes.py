"""Strategies of classes and types as idlc could have generated them, for tests that must pass with any IDL.

A drawn class comes with enums and further classes that its fields may refer to, and that may refer to
each other. Classes are made one after the other, as in a generated module. A field may refer to a
finished class anywhere, and to an unfinished one (its own class included) only where a value can end: in an optional
field, in a container, or in a union with another member that ends.

They differ from generated classes in two ways: all annotations are `Any`, and they cannot be imported.
"""

from __future__ import annotations

import copy
import keyword
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias
from uuid import UUID as Uuid

import msgspec
from hypothesis import currently_in_test_context, note
from hypothesis import strategies as st

from idlrt.spec import (
    BINARY,
    BOOL,
    DOUBLE,
    I8,
    I16,
    I32,
    I64,
    STRING,
    UUID,
    DeclaredError,
    Enum,
    Field,
    FrozenStruct,
    Struct,
    Type,
    Union,
    enum,
    frozen_list_of,
    frozen_map_of,
    frozen_set_of,
    list_of,
    map_of,
    optional,
    required,
    set_of,
    struct,
)
from idlrt.testing.strategies.values_of import of, reachable

__all__ = ["Kind", "enums", "structs", "types"]

Kind: TypeAlias = Literal["struct", "frozen", "union", "exception"]

_ERROR_TYPE: Any = type(DeclaredError)
_KINDS: tuple[Kind, ...] = ("struct", "union", "exception", "frozen")
_SCALARS: tuple[Type[Any], ...] = (BOOL, I8, I16, I32, I64, DOUBLE, STRING, BINARY, UUID)
_I32 = st.integers(-(2**31), 2**31 - 1)
_ID_MIN, _ID_MAX = -(2**15), 2**15 - 1
_WIDE = 32
# IDL names that Python cannot have: the attribute has an underscore more. `False`, `None` and `True` come first.
_TAKEN = keyword.kwlist[3:]
_LEAVES = ["scalar", "named"]
_SELDOM = st.sampled_from([False, False, False, True])
_WIDTHS = st.sampled_from([*["usual"] * 8, "empty", "wide"])


@st.composite
def enums(draw: st.DrawFn, *, name: str = "Enum0", min_members: int = 1, max_members: int = 5) -> type[Enum]:
    """Enum classes: with zero and negative numbers, with gaps, with two names for one number."""
    numbers = draw(st.lists(st.integers(-2, 4) | _I32, min_size=min_members, max_size=max_members))
    members = {f"MEMBER_{index}": number for index, number in enumerate(numbers)}
    make: Any = Enum  # checkers do not know the call that makes a class where the base defines a method
    cls: type[Enum] = make(name, members, module=__name__)
    return cls


@st.composite
def types(
    draw: st.DrawFn, *, max_depth: int = 2, is_key: bool = False, classes: Sequence[type] | None = None
) -> Type[Any]:
    """Types: scalars, enums, generated classes, and containers of them.

    Args:
        max_depth: containers within containers.
        is_key: types of keys, whose containers are frozen ones.
        classes: the structs, unions and exceptions that may be mentioned; drawn, if none are given.
    """
    known = draw(st.lists(structs(max_classes=1), max_size=2)) if classes is None else classes
    named = [struct(cls) for cls in known] + [enum(draw(enums()))]
    return draw(_types(named, max_depth, is_key))


@st.composite
def structs(
    draw: st.DrawFn, *, kinds: Sequence[Kind] = _KINDS, max_classes: int = 3, max_fields: int = 6, max_depth: int = 2
) -> Any:
    """Generated classes: structs, frozen structs, unions and exceptions, each with a table of its fields.

    Ids may be negative, zero, far apart and out of order. Fields are required or optional, with and without
    defaults. Types nest, frozen containers and structs stand in key position, classes mention themselves. A
    few classes have no fields and a few have about thirty. Where hypothesis prints a failing example it prints
    the IDL of the class too.

    Args:
        kinds: what the class may be; the classes that it mentions may be anything.
        max_classes: the class itself and those that it may mention.
        max_fields: fields of one class, wide ones excepted.
        max_depth: containers within containers.
    """
    count = draw(st.integers(1, max_classes))
    named = [enum(draw(enums(name=f"Enum{number}"))) for number in range(draw(st.integers(0, 2)))]
    made: list[Any] = []
    unfinished = [struct(_Later(made, index)) for index in range(count)]
    for index in range(count):
        kind = draw(st.sampled_from(list(kinds if index == count - 1 else _KINDS)))
        finished = [*named, *map(struct, made)]
        width = draw(_WIDTHS)
        depth = 1 if width == "wide" else max_depth
        size = draw(st.integers(_WIDE // 2, _WIDE) if width == "wide" else st.integers(1, max_fields))
        if width == "empty" and kind != "union":
            size = 0
        fields = _Fields(_types(finished, depth), _types([*finished, *unfinished[index:]], depth), unfinished)
        made.append(_class(draw, kind, f"{kind.title()}{index}", size, fields))
    if currently_in_test_context():
        note("\n".join(map(_idl, made)))
    return made[-1]


class _Later:
    """Reference to a class that is not made yet, for `struct`."""

    def __init__(self, made: list[Any], index: int) -> None:
        self._made = made
        self._index = index

    def __call__(self) -> Any:
        """Return the class.

        Raises:
            IndexError: it is not made yet.
        """
        return self._made[self._index]


class _Fields(msgspec.Struct, frozen=True):
    """Strategies for the types of the fields of a class.

    Attributes:
        finished: types that mention finished classes only.
        any: types that mention any class of the world.
        unfinished: the types that a required field, and the arm at which a union ends, must not have.
    """

    finished: st.SearchStrategy[Type[Any]]
    any: st.SearchStrategy[Type[Any]]
    unfinished: list[Type[Any]]


@st.composite
def _types(draw: st.DrawFn, named: Sequence[Type[Any]], max_depth: int, is_key: bool = False) -> Type[Any]:
    """A type over scalars and `named`; half of them are containers while `max_depth` is not used up."""
    shape = draw(st.sampled_from(["scalar", "named", "scalar", "list", "set", "map"] if max_depth else _LEAVES))
    if shape == "named" and named:
        return draw(st.sampled_from(list(named)))
    if shape in _LEAVES:
        return draw(st.sampled_from(_SCALARS))
    # Whatever is inside a key is one itself.
    inner, key = _types(named, max_depth - 1, is_key), _types(named, max_depth - 1, True)
    if shape == "list":
        return (frozen_list_of if is_key else list_of)(draw(inner))
    if shape == "set":
        return (frozen_set_of if is_key else set_of)(draw(key))
    return (frozen_map_of if is_key else map_of)(draw(key), draw(inner))


def _class(draw: st.DrawFn, kind: Kind, name: str, size: int, around: _Fields) -> Any:
    table: list[Field[Any]] = []
    defaults: dict[str, Any] = {}
    union_default: tuple[str, Callable[[], Any]] | None = None
    for index, id in enumerate(draw(_ids(size))):
        is_free = draw(_SELDOM) and not (kind == "union" and index == 0)
        type = draw(around.any if is_free else around.finished)
        is_renamed = index < len(_TAKEN) and draw(_SELDOM)
        word, attribute = (_TAKEN[index], _TAKEN[index] + "_") if is_renamed else (f"field{index}", None)
        has_default = draw(_SELDOM) and _is_whole(type)
        is_required = kind != "union" and type not in around.unfinished and draw(st.booleans())
        field = (required if is_required else optional)(id, word, type, attribute=attribute)
        table.append(field)
        if kind == "union":
            defaults[field.attribute] = _declared(field, kind, None)
            if has_default and union_default is None:
                union_default = field.attribute, partial(copy.deepcopy, draw(_default(type)))
        elif has_default:
            defaults[field.attribute] = _declared(field, kind, draw(_default(type)))
        else:
            defaults[field.attribute] = _declared(field, kind, msgspec.NODEFAULT if is_required else None)
    namespace: dict[str, Any] = {"__thrift_fields__": tuple(table)} if table else {}
    if union_default is not None:
        namespace["__thrift_default__"] = union_default
    if kind == "exception":
        given = {attribute: default for attribute, default in defaults.items() if default is not msgspec.NODEFAULT}
        body = {**namespace, **given, "__annotations__": dict.fromkeys(defaults, Any), "__module__": __name__}
        return _ERROR_TYPE(name, (DeclaredError,), body)
    base: Any = {"struct": Struct, "frozen": FrozenStruct, "union": Union}[kind]
    return msgspec.defstruct(
        name,
        [(attribute, Any, default) for attribute, default in defaults.items()],
        bases=(base,),
        module=__name__,
        namespace=namespace,
        kw_only=True,
        frozen=kind == "frozen",
    )


def _is_whole(type: Type[Any]) -> bool:
    """Whether values can be made already: all classes that the type refers to are finished."""
    try:
        reachable(type)
    except IndexError:
        return False
    return True


def _default(type: Type[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy of default values as in an IDL: shallow and short."""
    return of(type, max_depth=1, max_size=4, max_length=20)


def _declared(field: Field[Any], kind: Kind, default: Any) -> Any:
    """Return a default as in a class body: a mutable value is a new object for each instance."""
    is_renamed = field.attribute != field.name and kind != "exception"
    renamed: dict[str, Any] = {"name": field.name} if is_renamed else {}
    if default is msgspec.NODEFAULT:
        return msgspec.field(**renamed) if renamed else default
    if not isinstance(default, (int, float, str, bytes, Uuid)) and default is not None:
        return msgspec.field(default_factory=partial(copy.deepcopy, default), **renamed)
    return msgspec.field(default=default, **renamed) if renamed else default


@st.composite
def _ids(draw: st.DrawFn, size: int) -> list[int]:
    """Field ids as in most IDLs, with gaps of each encoded size, or arbitrary ones."""
    manner = draw(st.sampled_from(["counted", "gaps", "any"]))
    if manner == "counted":
        return list(range(1, size + 1))
    if manner == "any":
        any_id = st.sampled_from([_ID_MIN, _ID_MAX, 0, -1]) | st.integers(_ID_MIN, _ID_MAX)
        return draw(st.lists(any_id, min_size=size, max_size=size, unique=True))
    last = draw(st.sampled_from([0, -1, -2, -17, _ID_MIN]))
    gaps = draw(st.lists(st.sampled_from([1, 2, 14, 15, 16, 17, 127, 300]), min_size=size, max_size=size))
    return [last := last + gap for gap in gaps]


def _idl(cls: Any) -> str:
    """Return the approximate IDL of the class."""
    table: tuple[Field[Any], ...] = cls.__thrift_fields__
    words = ["required" if field.is_required else "optional" for field in table]
    fields = [f"{field.id}: {word} {field.type!r} {field.name}" for field, word in zip(table, words, strict=True)]
    return f"{cls.__base__.__name__} {cls.__name__} {{ {', '.join(fields)} }}"

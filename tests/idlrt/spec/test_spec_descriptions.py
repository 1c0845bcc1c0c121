"""Types, fields, methods and services: descriptions that other packages read."""

from __future__ import annotations

from typing import Protocol

import pytest

from idlrt import spec as rpc
from idlrt.spec.types import StructType


class Color(rpc.Enum):
    RED = 1


class Node(rpc.Struct, kw_only=True):
    next: Node | None = None

    __thrift_fields__ = (rpc.optional(1, "next", rpc.struct(lambda: Node)),)


@pytest.mark.parametrize(
    ("type", "text"),
    [
        (rpc.BOOL, "bool"),
        (rpc.I8, "i8"),
        (rpc.BINARY, "binary"),
        (rpc.UUID, "uuid"),
        (rpc.VOID, "void"),
        (rpc.enum(Color), "Color"),
        (rpc.struct(Node), "Node"),
        (rpc.struct(lambda: Node), "Node"),
        (rpc.list_of(rpc.I32), "list<i32>"),
        (rpc.set_of(rpc.frozen_list_of(rpc.STRING)), "set<list<string>>"),
        (rpc.map_of(rpc.frozen_set_of(rpc.I8), rpc.struct(Node)), "map<set<i8>, Node>"),
        (rpc.frozen_map_of(rpc.I32, rpc.DOUBLE), "map<i32, double>"),
    ],
)
def test_types_print_as_the_idl_has_them(type, text):
    assert repr(type) == text


def test_a_class_may_be_given_later():
    asked = []

    def later():
        asked.append(True)
        return Node

    type = StructType(later)
    assert asked == []
    assert type.cls is Node
    assert type.cls is Node
    assert asked == [True]


def test_fields():
    field = rpc.required(1, "from", rpc.I32, attribute="from_")
    assert (field.id, field.name, field.attribute, field.is_required) == (1, "from", "from_", True)
    assert repr(field) == "<1: required i32 from>"
    assert rpc.optional(2, "x", rpc.I32).attribute == "x"
    assert repr(rpc.optional(-2, "x", rpc.list_of(rpc.I32))) == "<-2: optional list<i32> x>"


class Shop(Protocol):
    def find(self, id: int, limit: int = 10) -> str: ...

    def class_(self) -> None: ...


FIND = rpc.method(Shop.find, rpc.required(1, "id", rpc.I32), rpc.optional(2, "limit", rpc.I32), result=rpc.STRING)
CLASS = rpc.method(Shop.class_, result=rpc.VOID, oneway=True, name="class")


def test_methods():
    assert (FIND.name, FIND.attribute, FIND.is_oneway) == ("find", "find", False)
    assert FIND.defaults == (None, 10)
    assert (CLASS.name, CLASS.attribute, CLASS.is_oneway, CLASS.defaults) == ("class", "class_", True, ())


def test_services_have_what_they_inherit():
    base = rpc.service("Base", CLASS)

    class BaseClient:
        __thrift_service__ = base

    derived = rpc.service("Derived", FIND, extends=BaseClient)
    assert list(derived.methods) == ["class", "find"]
    assert derived.extends is base
    assert (CLASS.full_name, FIND.full_name) == ("Base.class", "Derived.find")
    assert list(base.methods) == ["class"]
    assert repr(derived) == "<Service Derived>"
    assert repr(FIND) == "<Method Derived.find>"

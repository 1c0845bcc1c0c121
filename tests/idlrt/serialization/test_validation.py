"""`idlrt.validate`: the constraints of the IDL, all violations by path, as CloudWeGo's tools check them."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

import idlrt
from idlrt import codegen as rpc
from idlrt.serialization.constraints import MAX_VIOLATIONS


class Color(rpc.Enum):
    RED = 1


class Item(rpc.Struct, kw_only=True):
    name: Any = None

    __thrift_fields__ = (rpc.optional(1, "name", rpc.STRING, annotations={"vt.min_size": "2"}),)


def of_field(type: Any, *values: Any, **constraints: str | tuple[str, ...]) -> list[str]:
    """The texts of the violations of the values of a field with these constraints (`elem__gt` is `vt.elem.gt`)."""
    annotations = {f"vt.{name.replace('__', '.')}": value for name, value in constraints.items()}

    class Holder(rpc.Struct, kw_only=True):
        x: Any = None

        __thrift_fields__ = (rpc.optional(1, "x", type, annotations=annotations),)

    found: list[str] = []
    for value in values:
        try:
            idlrt.validate(Holder(x=value))
        except idlrt.ValidationError as error:
            found += map(str, error.violations)
    return found


ITEM = rpc.struct(Item)
BAD = Item(name="x")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (of_field(rpc.I32, 1, 0, None, gt="0"), ["x: must be greater than 0, got 0"]),
        (of_field(rpc.I32, 0, -1, None, ge="0"), ["x: must be at least 0, got -1"]),
        (of_field(rpc.DOUBLE, 1.5, 1.6, None, le="1.5"), ["x: must be at most 1.5, got 1.6"]),
        (of_field(rpc.STRING, "", None, not_nil="true"), ["x: must be set"]),
        (of_field(ITEM, Item(), None, not_nil=""), ["x: must be set"]),
        (of_field(rpc.STRING, "é", "e", None, min_size="2"), ["x: must be at least 2 bytes long, got 1"]),
        (of_field(rpc.BINARY, b"ab", b"abc", max_size="2"), ["x: must be at most 2 bytes long, got 3"]),
        (of_field(rpc.list_of(rpc.I32), [1], [], min_size="1"), ["x: must have at least 1 element, got 0"]),
        (of_field(rpc.map_of(rpc.I32, rpc.I32), {}, {1: 1}, max_size="0"), ["x: must have at most 0 entries, got 1"]),
        (of_field(rpc.enum(Color), Color.RED, Color(7), defined_only="true"), ["x: must be a member of Color, got 7"]),
        (of_field(rpc.list_of(rpc.I32), [1, 0, -1], elem__gt="-1"), ["x[2]: must be greater than -1, got -1"]),
        (
            of_field(rpc.map_of(rpc.STRING, rpc.list_of(rpc.I32)), {"a": [5]}, value__elem__le="4"),
            ["x['a'][0]: must be at most 4, got 5"],
        ),
        # Structs: nested ones are checked, those in containers are not unless the IDL says so.
        (of_field(ITEM, BAD), ["x.name: must be at least 2 bytes long, got 1"]),
        (of_field(ITEM, BAD, skip="true"), []),
        (of_field(rpc.list_of(ITEM), [BAD]), []),
        (of_field(rpc.list_of(ITEM), [BAD], elem__skip="true"), []),
        (of_field(rpc.list_of(ITEM), [BAD], elem__skip="false"), ["x[0].name: must be at least 2 bytes long, got 1"]),
        (of_field(rpc.map_of(rpc.I32, ITEM), {1: BAD}), []),
        (of_field(rpc.map_of(rpc.I32, ITEM), {1: BAD}, value__skip="false"),
         ["x[1].name: must be at least 2 bytes long, got 1"]),
        (of_field(rpc.list_of(rpc.list_of(ITEM)), [[BAD]], elem__skip="false"), []),
        (of_field(rpc.list_of(rpc.list_of(ITEM)), [[BAD]], elem__elem__skip="false"),
         ["x[0][0].name: must be at least 2 bytes long, got 1"]),
    ],
)  # fmt: skip
def test_constraints_of_cloudwego(found: list[str], expected: list[str]) -> None:
    assert found == expected


class Address(rpc.Struct, kw_only=True):
    street_: str = rpc.field(name="street")
    zip: str | None = None

    __thrift_fields__ = (
        rpc.required(1, "street", rpc.STRING, attribute="street_", annotations={"vt.min_size": "1"}),
        rpc.optional(2, "zip", rpc.STRING, annotations={"vt.not_nil": ""}),
    )


class User(rpc.Struct, kw_only=True):
    id: int
    address: Address | None = None
    password: str | None = None
    scores: list[int] | None = None
    friend: User | None = None

    __thrift_fields__ = (
        rpc.required(1, "id", rpc.I64, annotations={"vt.gt": "0", "vt.in": ("1", "2")}),
        rpc.optional(2, "address", rpc.struct(Address)),
        rpc.optional(3, "password", rpc.STRING, annotations={"sensitive": "", "vt.min_size": "8"}),
        rpc.optional(4, "scores", rpc.list_of(rpc.I32), annotations={"vt.elem.le": "10", "vt.max_size": "100"}),
        rpc.optional(5, "friend", rpc.struct(lambda: User)),
    )


def test_all_violations_are_listed_by_path() -> None:
    friend = User(id=1, scores=[1, 11])
    with pytest.raises(idlrt.ValidationError) as caught:
        idlrt.validate(User(id=-1, address=Address(street_=""), password="secret", friend=friend))
    assert [(each.path, each.constraint, each.limit, each.value) for each in caught.value.violations] == [
        ("id", "vt.gt", "0", -1),
        ("id", "vt.in", "1, 2", -1),
        ("address.street", "vt.min_size", "1", ""),
        ("address.zip", "vt.not_nil", "", None),
        ("password", "vt.min_size", "8", "***"),
        ("friend.scores[1]", "vt.elem.le", "10", 11),
    ]
    assert caught.value.is_complete
    assert str(caught.value) == (
        "invalid User: id: must be greater than 0, got -1; id: must be one of 1, 2, got -1; "
        "address.street: must be at least 1 byte long, got 0; address.zip: must be set; "
        "password: must be at least 8 bytes long; friend.scores[1]: must be at most 10, got 11"
    )


def test_valid_values_pass() -> None:
    idlrt.validate(User(id=1, address=Address(street_="x", zip="1"), password="long enough", scores=[1]))
    idlrt.validate(Item())


def test_violations_have_a_bound() -> None:
    with pytest.raises(idlrt.ValidationError, match=r"; and more$") as caught:
        idlrt.validate(User(id=1, scores=[11] * 100_000))
    assert len(caught.value.violations) == MAX_VIOLATIONS
    assert not caught.value.is_complete


def test_unions_and_exceptions_are_validated() -> None:
    class Either(rpc.Union, kw_only=True):
        small: int | None = None
        text: str | None = None

        __thrift_fields__ = (
            rpc.optional(1, "small", rpc.I32, annotations={"vt.le": "9"}),
            rpc.optional(2, "text", rpc.STRING),
        )

    class Failed(rpc.DeclaredError):
        code: int

        __thrift_fields__ = (rpc.required(1, "code", rpc.I32, annotations={"vt.ge": "400"}),)

    idlrt.validate(Either(text="x"))
    with pytest.raises(idlrt.ValidationError, match=r"^invalid Either: small: must be at most 9, got 10$"):
        idlrt.validate(Either(small=10))
    with pytest.raises(idlrt.ValidationError, match=r"^invalid Failed: code: must be at least 400, got 1$"):
        idlrt.validate(Failed(code=1))


def test_values_of_other_types_are_errors_of_the_program() -> None:
    with pytest.raises(TypeError, match=r"^cannot validate User: User\.id must be i64, got str 'x'$"):
        idlrt.validate(User(id="x"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^cannot validate User: User\.password must be string, got int \*\*\*$"):
        idlrt.validate(User(id=1, password=12345678))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^cannot validate int: it was not generated by idlc$"):
        idlrt.validate(7)
    loop = User(id=1)
    loop.friend = loop
    with pytest.raises(TypeError, match=r"nesting exceeds the limit max_depth"):
        idlrt.validate(loop)


def test_invalid_constraints_are_errors_of_the_configuration() -> None:
    class Bad(rpc.Struct, kw_only=True):
        x: int | None = None

        __thrift_fields__ = (rpc.optional(1, "x", rpc.I32, annotations={"vt.gt": "many"}),)

    with pytest.raises(idlrt.ConfigurationError, match=r"cannot validate Bad: invalid constraint vt\.gt = 'many'"):
        idlrt.validate(Bad(x=1))


def test_classes_are_not_kept_alive() -> None:
    class Short(rpc.Struct, kw_only=True):
        x: int | None = None

        __thrift_fields__ = (rpc.optional(1, "x", rpc.I32, annotations={"vt.gt": "0"}),)

    idlrt.validate(Short(x=1))
    kept = weakref.ref(Short)
    del Short
    gc.collect()
    assert kept() is None

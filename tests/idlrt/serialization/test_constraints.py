"""Constraints of arguments: annotations `vt.*`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import plain_types as t
import pytest

from idlrt import codegen as rpc
from idlrt.errors import ConfigurationError, RemoteProtocolError
from idlrt.serialization.constraints import MAX_VIOLATIONS, ConstraintViolation, constraints_of
from idlrt.spec import VOID, Field, Method, Type, argument

COLOR = rpc.enum(t.Color)
Annotated = Mapping[str, str | tuple[str, ...]]


class Tag(rpc.Struct, kw_only=True):
    text: str
    weight: int | None = None

    __thrift_fields__ = (
        rpc.required(1, "text", rpc.STRING, annotations={"vt.min_size": "1"}),
        rpc.optional(2, "weight", rpc.I32, annotations={"vt.ge": "0"}),
    )


class Tree(rpc.Struct, kw_only=True):
    """A recursive type; the constraint is in another type."""

    left: Tree | None = None
    many: list[Tree] | None = None
    tag: Tag | None = None
    other: Loop | None = None

    __thrift_fields__ = (
        rpc.optional(1, "left", rpc.struct(lambda: Tree)),
        rpc.optional(2, "many", rpc.list_of(rpc.struct(lambda: Tree))),
        rpc.optional(3, "tag", rpc.struct(Tag)),
        rpc.optional(4, "other", rpc.struct(lambda: Loop)),
    )


class Loop(rpc.Struct, kw_only=True):
    """A recursive type without constraints."""

    next: Loop | None = None

    __thrift_fields__ = (rpc.optional(1, "next", rpc.struct(lambda: Loop)),)


class Choice(rpc.Union, kw_only=True):
    tag: Tag | None = None
    number: int | None = None

    __thrift_fields__ = (
        rpc.optional(1, "tag", rpc.struct(Tag)),
        rpc.optional(2, "number", rpc.I32, annotations={"vt.lt": "10"}),
    )


class Login(rpc.Struct, kw_only=True):
    name_: str = rpc.field(name="name")
    password: str
    keys: dict[str, Tag] | None = None

    __thrift_fields__ = (
        rpc.required(1, "name", rpc.STRING, attribute="name_", annotations={"vt.max_size": "3"}),
        rpc.required(2, "password", rpc.STRING, annotations={"vt.min_size": "8", "sensitive": ""}),
        rpc.optional(3, "keys", rpc.map_of(rpc.STRING, rpc.struct(Tag)), annotations={"sensitive": ""}),
    )


TAG, TREE = rpc.struct(Tag), rpc.struct(Tree)


def taking(*arguments: Field[Any]) -> Method[..., None]:
    made: Method[..., None] = Method("call", *arguments, result=VOID)
    made.service = "Users"
    return made


def violations(type: Type[Any], annotations: Annotated, value: Any) -> list[tuple[str, str]]:
    check = constraints_of(taking(argument(1, "x", type, annotations=annotations)))
    assert check is not None
    try:
        check((value,))
    except ConstraintViolation as error:
        return list(error.violations)
    return []


@pytest.mark.parametrize(
    ("type", "annotations", "good", "bad", "text"),
    [
        (rpc.I32, {"vt.const": "5"}, [5], [4], "must be 5, got 4"),
        (rpc.I8, {"vt.lt": "5"}, [4], [5], "must be less than 5, got 5"),
        (rpc.I16, {"vt.le": "5"}, [5], [6], "must be at most 5, got 6"),
        (rpc.I64, {"vt.gt": "-5"}, [-4], [-5], "must be greater than -5, got -5"),
        (rpc.I32, {"vt.ge": "5"}, [5], [4], "must be at least 5, got 4"),
        (rpc.I32, {"vt.in": ("1", "2")}, [1, 2], [3], "must be one of 1, 2, got 3"),
        (rpc.I32, {"vt.not_in": ("1", "2")}, [3], [2], "must not be one of 1, 2, got 2"),
        (rpc.DOUBLE, {"vt.lt": "0.5"}, [0.4, -math.inf], [0.5], "must be less than 0.5, got 0.5"),
        (rpc.DOUBLE, {"vt.ge": "1e3"}, [1000.0], [math.nan], "must be at least 1000.0, got nan"),
        (rpc.BOOL, {"vt.const": "true"}, [True], [False], "must be true, got false"),
        (rpc.STRING, {"vt.const": "a"}, ["a"], ["b"], "must be 'a', got 'b'"),
        (rpc.STRING, {"vt.min_size": "2"}, ["ab", "ä"], ["a"], "must be at least 2 bytes long, got 1"),
        (rpc.STRING, {"vt.max_size": "1"}, ["a", ""], ["ä"], "must be at most 1 byte long, got 2"),
        (rpc.STRING, {"vt.min_rune_size": "2"}, ["ab"], ["ä"], "must be at least 2 characters long, got 1"),
        (rpc.STRING, {"vt.max_rune_size": "1"}, ["ä", "😀"], ["ab"], "must be at most 1 character long, got 2"),
        (rpc.STRING, {"vt.prefix": "ab"}, ["abc"], ["bab"], "must start with 'ab', got 'bab'"),
        (rpc.STRING, {"vt.suffix": "ab"}, ["cab"], ["abc"], "must end with 'ab', got 'abc'"),
        (rpc.STRING, {"vt.contains": "b"}, ["abc"], ["x"], "must contain 'b', got 'x'"),
        (rpc.STRING, {"vt.not_contains": "b"}, ["x"], ["abc"], "must not contain 'b', got 'abc'"),
        (rpc.STRING, {"vt.in": ("a", "b")}, ["a"], ["c"], "must be one of 'a', 'b', got 'c'"),
        (rpc.STRING, {"vt.not_in": "a"}, ["b"], ["a"], "must not be one of 'a', got 'a'"),
        (rpc.STRING, {"vt.pattern": "[0-9]+"}, ["a5b"], ["ab"], "must match the pattern '[0-9]+', got 'ab'"),
        (rpc.BINARY, {"vt.max_size": "1"}, [b"a"], [b"ab"], "must be at most 1 byte long, got 2"),
        (rpc.BINARY, {"vt.max_rune_size": "1"}, ["ä".encode(), b"\xff"], [b"\xff\xfe"],
         "must be at most 1 character long, got 2"),
        (rpc.BINARY, {"vt.prefix": "ä"}, ["äx".encode()], [b"x"], "must start with b'\\xc3\\xa4', got b'x'"),
        (rpc.BINARY, {"vt.pattern": "^a$"}, [b"a"], [b"a\n"], "must match the pattern '^a$', got b'a\\n'"),
        (COLOR, {"vt.const": "RED"}, [t.Color.RED], [t.Color.GREEN], "must be RED, got GREEN"),
        (COLOR, {"vt.in": ("Color.RED", "x.Color.None", "77")}, [t.Color.RED, t.Color.None_, t.Color(77)], [t.Color(9)],
         "must be one of RED, None_, 77, got 9"),
        (COLOR, {"vt.not_in": "2"}, [t.Color.RED], [t.Color.VERDE], "must not be one of GREEN, got GREEN"),
        (COLOR, {"vt.defined_only": "true"}, [t.Color.RED], [t.Color(77)], "must be a member of Color, got 77"),
        (rpc.list_of(rpc.I32), {"vt.min_size": "1"}, [[5]], [[]], "must have at least 1 element, got 0"),
        (rpc.set_of(rpc.I32), {"vt.max_size": "0"}, [set()], [{5}], "must have at most 0 elements, got 1"),
        (rpc.map_of(rpc.I8, rpc.I8), {"vt.min_size": "2"}, [{1: 1, 2: 2}], [{}], "must have at least 2 entries, got 0"),
        (rpc.UUID, {"vt.not_nil": ""}, [uuid4()], [None], "must be set"),
        (TAG, {"vt.not_nil": "true"}, [Tag(text="x")], [None], "must be set"),
    ],
)  # fmt: skip
def test_each_constraint(type: Type[Any], annotations: Annotated, good: list[Any], bad: list[Any], text: str) -> None:
    for value in good:
        assert violations(type, annotations, value) == []
    for value in bad:
        assert violations(type, annotations, value) == [("x", text)]


@pytest.mark.parametrize(
    ("type", "annotations", "value", "expected"),
    [
        (rpc.list_of(rpc.I32), {"vt.elem.gt": "0"}, [1, 0, 2, -1], ["x[1]", "x[3]"]),
        (rpc.set_of(COLOR), {"vt.elem.defined_only": ""}, {t.Color(77)}, ["x[0]"]),
        (rpc.map_of(rpc.STRING, rpc.I32), {"vt.key.max_size": "1", "vt.value.lt": "5"}, {"a": 5, "ab": 1},
         ["x['a']", "x[key 'ab']"]),
        (rpc.list_of(rpc.list_of(rpc.STRING)), {"vt.elem.max_size": "1", "vt.elem.elem.min_size": "1"}, [["a", ""]],
         ["x[0]", "x[0][1]"]),
        (rpc.map_of(rpc.I8, rpc.list_of(rpc.I8)), {"vt.value.elem.le": "5"}, {1: [6]}, ["x[1][0]"]),
        (TAG, {}, Tag(text="", weight=-1), ["x.text", "x.weight"]),
        (rpc.list_of(TAG), {"vt.elem.skip": "false"}, [Tag(text="a"), Tag(text="")], ["x[1].text"]),
        (rpc.map_of(rpc.STRING, TAG), {}, {"k": Tag(text="")}, ["x['k'].text"]),
        (rpc.struct(Choice), {}, Choice(number=10), ["x.number"]),
        (rpc.struct(Choice), {}, Choice(tag=Tag(text="")), ["x.tag.text"]),
        (TREE, {}, Tree(left=Tree(many=[Tree(), Tree(tag=Tag(text=""))])), ["x.left.many[1].tag.text"]),
        (TREE, {}, Tree(other=Loop(next=Loop())), []),
    ],
)  # fmt: skip
def test_parts_of_values(type: Type[Any], annotations: Annotated, value: Any, expected: list[str]) -> None:
    assert [path for path, _ in violations(type, annotations, value)] == expected


@pytest.mark.parametrize(
    ("type", "annotations", "value"),
    [
        (TAG, {"vt.skip": "true"}, Tag(text="")),
        (rpc.list_of(TAG), {"vt.elem.skip": "true"}, [Tag(text="")]),
        (rpc.list_of(TAG), {"vt.skip": ""}, [Tag(text="")]),
        (rpc.map_of(rpc.I8, TAG), {"vt.value.skip": ""}, {1: Tag(text="")}),
        (rpc.map_of(rpc.I8, TREE), {"vt.skip": "", "vt.value.not_nil": ""}, {1: Tree(tag=Tag(text=""))}),
    ],
)
def test_skipped_structs_are_not_checked(type: Type[Any], annotations: Annotated, value: Any) -> None:
    never = argument(2, "y", rpc.I32, annotations={"vt.lt": "0"})
    check = constraints_of(taking(argument(1, "x", type, annotations=annotations), never))
    assert check is not None
    check((value, -1))


def test_what_is_not_set_satisfies_all_but_not_nil() -> None:
    assert violations(rpc.I32, {"vt.gt": "5"}, None) == []
    assert violations(rpc.STRING, {"vt.min_size": "5", "vt.not_nil": ""}, None) == [("x", "must be set")]
    assert violations(rpc.I32, {"vt.gt": "5", "vt.not_nil": "false"}, None) == []
    assert violations(TAG, {}, Tag(text="a", weight=None)) == []


def test_all_violations_of_all_arguments_are_named() -> None:
    method = taking(
        argument(1, "user", rpc.struct(Login)),
        argument(2, "age", rpc.I32, annotations={"vt.le": "150", "vt.in": ("1", "2")}),
    )
    check = constraints_of(method)
    assert check is not None
    with pytest.raises(RemoteProtocolError) as found:
        check((Login(name_="long", password="secret"), 151))
    assert str(found.value) == (
        "invalid arguments of Users.call: user.name: must be at most 3 bytes long, got 4; "
        "user.password: must be at least 8 bytes long; "
        "age: must be at most 150, got 151; age: must be one of 1, 2, got 151"
    )


def test_sensitive_values_are_not_shown() -> None:
    value = Login(name_="x", password="secret", keys={"hidden": Tag(text="a", weight=-4711)})
    texts = violations(rpc.struct(Login), {}, value)
    assert texts == [("x.password", "must be at least 8 bytes long"), ("x.keys[...].weight", "must be at least 0")]


def test_violations_are_bounded() -> None:
    method = taking(argument(1, "x", rpc.list_of(rpc.list_of(TAG))))
    check = constraints_of(method)
    assert check is not None
    with pytest.raises(ConstraintViolation, match=r"; and more$") as found:
        check(([[Tag(text="", weight=-1)] * 1000] * 1000,))
    assert len(found.value.violations) == MAX_VIOLATIONS
    assert violations(rpc.STRING, {"vt.const": "a"}, "b" * 1_000_000)[0][1].endswith("...")


def test_methods_without_constraints_have_no_check() -> None:
    cases: list[tuple[Type[Any], Annotated]] = [
        (rpc.I32, {}),
        (rpc.struct(Loop), {}),
        (TAG, {"vt.skip": ""}),
        (rpc.I32, {"http.path": ""}),
    ]
    for type, given in cases:
        assert constraints_of(taking(argument(1, "x", type, annotations=given))) is None
    assert constraints_of(taking()) is None


def test_the_check_is_compiled_once() -> None:
    method = taking(argument(1, "x", TAG))
    assert constraints_of(method) is constraints_of(method) is not None


@pytest.mark.parametrize(
    ("type", "annotations", "what"),
    [
        (rpc.I32, {"vt.gt": "x"}, "vt.gt = 'x': expected an integer"),
        (rpc.I32, {"vt.gt": "1.5"}, "vt.gt = '1.5': expected an integer"),
        (rpc.I32, {"vt.gt": "$y"}, "vt.gt = '$y': references to fields and functions are not supported"),
        (rpc.STRING, {"vt.const": "@sprintf('x')"}, "references to fields and functions are not supported"),
        (rpc.DOUBLE, {"vt.le": "nan"}, "vt.le = 'nan': expected a number"),
        (rpc.BOOL, {"vt.const": "1"}, "vt.const = '1': expected true or false"),
        (rpc.BOOL, {"vt.lt": "1"}, "vt.lt = '1': not a constraint of bool"),
        (rpc.UUID, {"vt.in": "1"}, "vt.in = '1': not a constraint of uuid"),
        (rpc.STRING, {"vt.min_size": "-1"}, "vt.min_size = '-1': must not be negative"),
        (rpc.STRING, {"vt.pattern": "("}, "vt.pattern = '(': invalid regular expression: "),
        (rpc.STRING, {"vt.elem.min_size": "1"}, "vt.elem.min_size = '1': string has no 'elem'"),
        (rpc.list_of(rpc.I32), {"vt.elem.gt": "x"}, "vt.elem.gt = 'x': expected an integer"),
        (rpc.list_of(rpc.I32), {"vt.value.gt": "1"}, "vt.value.gt = '1': list<i32> has no 'value'"),
        (COLOR, {"vt.const": "PINK"}, "vt.const = 'PINK': expected the name or number of a Color"),
        (COLOR, {"vt.defined_only": "yes"}, "vt.defined_only = 'yes': expected true or false"),
        (TAG, {"vt.skip": "yes"}, "vt.skip = 'yes': expected true or false"),
        (TAG, {"vt.min_size": "1"}, "vt.min_size = '1': not a constraint of Tag"),
        (rpc.I32, {"vt.assert": ""}, "vt.assert = '': not a constraint of i32"),
    ],
)
def test_invalid_constraints_are_configuration_errors(type: Type[Any], annotations: Annotated, what: str) -> None:
    with pytest.raises(ConfigurationError) as found:
        constraints_of(taking(argument(1, "x", type, annotations=annotations)))
    assert str(found.value).startswith("cannot check the arguments of Users.call: invalid constraint vt.")
    assert what in str(found.value)
    assert str(found.value).endswith("(argument `x`)")


def test_an_invalid_constraint_of_a_struct_is_named() -> None:
    class Bad(rpc.Struct, kw_only=True):
        tag: Tag | None = None
        age: int | None = None

        __thrift_fields__ = (
            rpc.optional(1, "tag", TAG),
            rpc.optional(2, "age", rpc.I32, annotations={"vt.lt": "old"}),
        )

    class Asserting(rpc.Struct, kw_only=True):
        __thrift_annotations__ = {"vt.assert": "@equal(1, 1)"}

    with pytest.raises(ConfigurationError, match=r"Users\.call: .* vt.lt = 'old': .* \(field `Bad.age`\)"):
        constraints_of(taking(argument(1, "x", rpc.list_of(rpc.struct(Bad)))))
    with pytest.raises(ConfigurationError, match=r"vt\.assert = .*not supported for whole structs \(Asserting\)"):
        constraints_of(taking(argument(1, "x", rpc.struct(Asserting))))


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("^a$", "a", "a\n"),
        ("(?m)^a$", "x\na\nb", "ab"),
        (r"^\d\w\s?$", "1a ", "١a"),
        (r"^\$[$\]]$", "$$", "$x"),
        (r"^[]$x-]\z", "]", "]]"),
        (r"^(?P<x>a)(?:b)(?i:C)$", "abc", "abd"),
        ("^[^]a]$", "b", "]"),
        (r"\.com$|^$", "x.com", "xcom"),
    ],
)
def test_patterns_are_those_of_go(pattern: str, good: str, bad: str) -> None:
    assert violations(rpc.STRING, {"vt.pattern": pattern}, good) == []
    assert len(violations(rpc.STRING, {"vt.pattern": pattern}, bad)) == 1


@pytest.mark.parametrize("pattern", ["(?=a)", "(?<!a)", r"(a)\1", "[[:alpha:]]", r"\pL", "(?P<a>x)(?P=a)", "[a", "a\\"])
def test_patterns_that_mean_something_else_in_go_are_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match=r"vt.pattern = .*(unsupported construct|invalid regular expression)"):
        constraints_of(taking(argument(1, "x", rpc.STRING, annotations={"vt.pattern": pattern})))


def test_long_text_is_not_matched() -> None:
    [(_, text)] = violations(rpc.STRING, {"vt.pattern": "a"}, "a" * 4097)
    assert text == "must match the pattern 'a', got one longer than 4096, which is not matched"
    assert violations(rpc.STRING, {"vt.pattern": "a"}, "a" * 4096) == []


def test_patterns_are_checked_last() -> None:
    found = violations(rpc.STRING, {"vt.pattern": "^a*$", "vt.max_size": "3"}, "b" * 5)
    assert found == [("x", "must be at most 3 bytes long, got 5")]

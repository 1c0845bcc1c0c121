"""Constants and defaults of every type, and that no two instances share one."""

from __future__ import annotations

import ast
import math
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

import idlrt
from idlc.codegen.python.values import quoted
from idlrt import codegen as rpc


@given(st.text())
def test_a_quoted_string_reads_back(text: str) -> None:
    assert ast.literal_eval(quoted(text)) == text


def test_constants_of_every_base_type(compiled) -> None:
    module = compiled(
        r"""
        const bool YES = true
        const bool ALSO = 1
        const i8 BYTE = -128
        const i16 SMALL = 0x7fff
        const i32 INT = -2147483648
        const i64 BIG = 9223372036854775807
        const double HALF = 0.5
        const double WHOLE = 3
        const double HUGE = 1e300
        const double TINY = 1e-7
        const string TEXT = "a \"quoted\" 'word'\n\\ \t ü"
        const binary DATA = "bytes \"and\" more"
        const uuid ID = "12345678-1234-5678-1234-567812345678"
        """
    )
    assert module.YES is True
    assert module.ALSO is True
    assert (module.BYTE, module.SMALL, module.INT, module.BIG) == (-128, 0x7FFF, -(2**31), 2**63 - 1)
    assert (module.HALF, module.WHOLE, module.HUGE, module.TINY) == (0.5, 3.0, 1e300, 1e-7)
    assert all(isinstance(each, float) for each in (module.HALF, module.WHOLE))
    assert module.TEXT == "a \"quoted\" 'word'\n\\ \t ü"
    assert module.DATA == b'bytes "and" more'
    assert uuid.UUID("12345678-1234-5678-1234-567812345678") == module.ID


def test_constants_of_containers_structs_and_enums(compiled) -> None:
    module = compiled(
        """
        enum Color { RED = 1, GREEN = 2 }
        struct Point { 1: i32 x, 2: Color color = Color.RED }
        union Shape { 1: Point point, 2: string name }
        const list<i32> NUMBERS = [1, 2; 3]
        const set<Color> COLORS = [Color.RED, 2, 7]
        const map<string, list<Point>> PLACES = {"home": [{"x": 1}, {"x": 2, "color": 2}]}
        const Point ORIGIN = {"x": 0}
        const Shape CIRCLE = {"name": "circle"}
        const Color DEFAULT = Color.GREEN
        const list<list<string>> EMPTY = []
        const set<i32> NOTHING = []
        const map<i32, i32> BLANK = {}
        const list<Color> SAME = [DEFAULT]
        """
    )
    assert module.NUMBERS == [1, 2, 3]
    assert {module.Color.RED, module.Color.GREEN, module.Color(7)} == module.COLORS
    assert {"home": [module.Point(x=1), module.Point(x=2, color=module.Color.GREEN)]} == module.PLACES
    assert module.Point(x=0) == module.ORIGIN
    assert module.Shape(name="circle") == module.CIRCLE
    assert module.DEFAULT is module.Color.GREEN
    assert module.EMPTY == []
    assert set() == module.NOTHING
    assert module.BLANK == {}
    assert module.SAME == [module.Color.GREEN]


def test_constants_of_other_files(generate) -> None:
    generated = generate(
        {
            "low.thrift": """
                enum E { A = 1 }
                struct P { 1: E e = E.A, 2: i32 from }
                const i32 N = 3
                const P HOME = {"from": N}
            """,
            "main.thrift": """
                include "low.thrift"
                const i32 M = low.N
                const low.P AWAY = low.HOME
                const low.E E = low.E.A
            """,
        }
    )
    main, low = generated.module("main.main"), generated.module("low.low")
    assert main.M == 3
    assert low.P(e=low.E.A, from_=3) == main.AWAY
    assert main.E is low.E.A


def test_containers_in_key_position_hash_and_are_equal_to_what_is_decoded(compiled) -> None:
    module = compiled(
        """
        struct Point { 1: i32 x }
        const set<list<i32>> LISTS = [[1, 2], []]
        const map<set<string>, map<i32, string>> SETS = {["a", "b"]: {1: "x"}}
        const set<map<i32, list<i32>>> MAPS = [{1: [2]}]
        const map<Point, string> POINTS = {{"x": 1}: "one"}
        struct S {
            1: set<list<i32>> lists = LISTS,
            2: map<set<string>, map<i32, string>> sets = SETS,
            3: set<map<i32, list<i32>>> maps = MAPS,
            4: map<Point, string> points = POINTS,
            5: map<list<set<i32>>, i32> deep = {[[1, 2], [3]]: 4},
        }
        """
    )
    value = module.S()
    assert value.lists == {(1, 2), ()}
    assert value.sets == {frozenset({"a", "b"}): {1: "x"}}
    assert value.maps == {rpc.FrozenMap({1: (2,)})}
    assert value.points[module.Point(x=1)] == "one"
    assert value.deep == {(frozenset({1, 2}), frozenset({3})): 4}
    again = idlrt.decode(module.S, idlrt.encode(value))
    assert again == value
    assert hash(again) == hash(value)


DEFAULTS = """
    enum Color { RED = 1 }
    struct Point { 1: i32 x, 2: list<i32> more = [1] }
    %s S {
        1: list<i32> numbers = [1, 2],
        2: set<string> words = ["a"],
        3: map<string, list<i32>> table = {"a": [1]},
        4: Point point = {"x": 1},
        5: list<Point> points = [{"x": 1}],
    }
"""


@pytest.mark.parametrize("kind", ["struct", "exception"])
def test_defaults_are_never_shared(compiled, kind: str) -> None:
    module = compiled(DEFAULTS % kind)
    changed = module.S()
    changed.numbers.append(3)
    changed.words.add("b")
    changed.table["a"].append(2)
    changed.point.x = 2
    changed.point.more.append(2)
    changed.points[0].x = 2
    fresh = module.S()
    assert fresh.numbers == [1, 2]
    assert fresh.words == {"a"}
    assert fresh.table == {"a": [1]}
    assert fresh.point == module.Point(x=1, more=[1])
    assert fresh.points == [module.Point(x=1)]


@pytest.mark.parametrize("kind", ["struct", "exception"])
def test_defaults_of_decoded_values_are_never_shared(compiled, kind: str) -> None:
    module = compiled(DEFAULTS % kind)
    empty = b"\x00"
    changed = idlrt.decode(module.S, empty)
    changed.numbers.append(3)
    changed.point.more.append(2)
    assert idlrt.decode(module.S, empty) == module.S()


def test_the_default_of_a_union_is_never_shared(compiled) -> None:
    module = compiled("union U { 1: list<i32> numbers = [1], 2: i32 x }")
    module.U().numbers.append(2)
    assert module.U().numbers == [1]


def test_the_default_of_a_union_may_be_a_struct_that_follows(compiled) -> None:
    module = compiled("union U { 1: Later later = {'x': 1}, 2: i32 x }\nstruct Later { 1: i32 x }")
    assert module.U().later == module.Later(x=1)


def test_the_default_of_a_union_stands_where_nothing_is_given(compiled) -> None:
    module = compiled("union U { 1: i32 a = 4, 2: string b }")
    assert module.U().a == 4
    assert module.U(b="x").a is None


def test_defaults_of_every_kind_of_field(compiled) -> None:
    module = compiled(
        """
        struct S {
            1: required i32 must,
            2: optional i32 may,
            3: i32 plain,
            4: optional i32 filled = 1,
            5: required i32 both = 2,
            6: double d = 1,
            7: bool b = true,
            8: binary data = "x",
            9: string text = "",
        }
        """
    )
    with pytest.raises(TypeError, match="must"):
        module.S()
    value = module.S(must=1)
    assert (value.may, value.plain, value.filled, value.both) == (None, None, 1, 2)
    assert isinstance(value.d, float)
    assert value.b is True
    assert (value.data, value.text) == (b"x", "")


def test_doubles_that_are_hard_to_print(compiled) -> None:
    module = compiled(
        "const list<double> D = [1e22, 1.7976931348623157e308, 5e-324, -0.0, 123456789012345680.0, .5, 1.]"
    )
    assert module.D == [1e22, 1.7976931348623157e308, 5e-324, -0.0, 123456789012345680.0, 0.5, 1.0]
    assert math.copysign(1, module.D[3]) == -1


def test_default_arguments(compiled) -> None:
    import inspect

    module = compiled(
        """
        enum E { A = 1 }
        service S { i32 f(1: i32 a, 2: i32 b = 2, 3: E e = E.A, 4: list<i32> l = [1]), i32 g(1: i32 a = 1, 2: i32 b) }
        """
    )
    parameters = inspect.signature(module.SClient.f).parameters
    assert [parameters[name].default for name in "bel"] == [2, module.E.A, None]
    assert all(
        each.default is inspect.Parameter.empty for each in inspect.signature(module.SClient.g).parameters.values()
    )


def test_immutable_structs_cannot_change_and_may_be_keys(compiled) -> None:
    module = compiled('struct Point { 1: list<i32> at } (python.immutable = "")\nstruct S { 1: set<Point> points }')
    point = module.Point(at=[1])
    with pytest.raises(AttributeError, match="immutable"):
        point.at = [2]
    value = module.S(points={point})
    assert idlrt.decode(module.S, idlrt.encode(value)) == value

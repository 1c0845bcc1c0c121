from __future__ import annotations

from collections.abc import Callable

import pytest

from idlc.diagnostics import Report
from idlc.model import (
    EnumConstant,
    ListConstant,
    MapConstant,
    Program,
    SetConstant,
    StructConstant,
)

Build = Callable[..., tuple[list[Program], Report]]
BuildWell = Callable[..., Program]

DECLARATIONS = """
enum Color { RED = 1, GREEN = 2 }
enum Size { SMALL = 1, LARGE = 2 }
struct Point { 1: i32 x, 2: double y = 1.5, 3: optional Color color }
union Either { 1: i32 left, 2: string right }
typedef i32 Int
typedef Color Shade
const i32 SEVEN = 7
const string TEXT = "text"
const list<i32> NUMBERS = [1, 2]
const Color FAVOURITE = Color.GREEN
const Point ORIGIN = {"x": 0}
"""


def constant(build: Build, type: str, value: str) -> tuple[object, Report]:
    (program,), report = build(f"{DECLARATIONS}\nconst {type} X = {value}")
    return program.consts[-1].value, report


@pytest.mark.parametrize(
    ("type", "value", "expected"),
    [
        ("bool", "true", True),
        ("bool", "0", False),
        ("bool", "1", True),
        ("i8", "-128", -128),
        ("i16", "0x7fff", 32767),
        ("i32", "true", 1),
        ("i64", "9223372036854775807", 2**63 - 1),
        ("Int", "SEVEN", 7),
        ("i8", "SEVEN", 7),
        ("i32", "Color.GREEN", 2),
        ("i32", "FAVOURITE", 2),
        ("double", "1", 1.0),
        ("double", "SEVEN", 7.0),
        ("double", "1e3", 1000.0),
        ("string", '"a"', "a"),
        ("string", "TEXT", "text"),
        ("binary", r'"\xff"', b"\xff"),
        ("binary", "TEXT", b"text"),
        ("uuid", '"00112233-4455-6677-8899-AABBCCDDEEFF"', "00112233-4455-6677-8899-aabbccddeeff"),
        ("uuid", '"{00112233-4455-6677-8899-aabbccddeeff}"', "00112233-4455-6677-8899-aabbccddeeff"),
        ("list<i32>", "[1, SEVEN; 3]", ListConstant((1, 7, 3))),
        ("list<i64>", "NUMBERS", ListConstant((1, 2))),
        ("list<double>", "NUMBERS", ListConstant((1.0, 2.0))),
        ("set<i32>", "NUMBERS", SetConstant((1, 2))),
        ("list<i32>", "{}", ListConstant(())),
        ("map<i32, i32>", "[]", MapConstant(())),
        (
            "map<string, list<i32>>",
            '{"a": [1], "b": NUMBERS}',
            MapConstant((("a", ListConstant((1,))), ("b", ListConstant((1, 2))))),
        ),
        ("set<i32>", "[2, 1, 2]", SetConstant((2, 1))),
        ("map<i32, i32>", "{1: 1, 2: 2, 1: 3}", MapConstant(((1, 3), (2, 2)))),
    ],
)
def test_values_get_the_type_of_their_constant(type: str, value: str, expected: object, build_files: Build) -> None:
    found, report = constant(build_files, type, value)
    assert [diagnostic.message for diagnostic in report if diagnostic.severity == "error"] == []
    assert found == expected
    assert repr(found) == repr(expected)


@pytest.mark.parametrize(
    ("value", "number", "name", "warnings"),
    [
        ("Color.RED", 1, "RED", []),
        ("FAVOURITE", 2, "GREEN", []),
        ("2", 2, "GREEN", []),
        ("RED", 1, "RED", ["constant.enum.unqualified"]),
        ("9", 9, None, ["constant.enum.number"]),
        ("Shade.GREEN", 2, "GREEN", ["constant.enum.unqualified"]),
    ],
)
@pytest.mark.parametrize("type", ["Color", "Shade"])
def test_enum_values_are_members_or_numbers(
    type: str, value: str, number: int, name: str | None, warnings: list[str], build_files: Build
) -> None:
    found, report = constant(build_files, type, value)
    assert isinstance(found, EnumConstant)
    assert (found.number, found.member and found.member.name) == (number, name)
    assert [diagnostic.name for diagnostic in report] == warnings


def test_structs_and_unions_are_written_as_maps(build_files: Build) -> None:
    found, report = constant(build_files, "list<Point>", '[{"y": 2, "x": SEVEN}, ORIGIN, {}]')
    assert not report.has_errors
    assert isinstance(found, ListConstant)
    fields = [
        [(field.name, value) for field, value in item.fields]
        for item in found.items
        if isinstance(item, StructConstant)
    ]
    assert fields == [[("y", 2.0), ("x", 7)], [("x", 0)], []]
    found, _ = constant(build_files, "Either", '{"right": TEXT}')
    assert isinstance(found, StructConstant)
    assert found.struct.kind == "union"


@pytest.mark.parametrize(
    ("type", "value", "name"),
    [
        ("i8", "128", "constant.range"),
        ("i16", "-32769", "constant.range"),
        ("i32", "2147483648", "constant.range"),
        ("i32", "1.0", "constant.type"),
        ("i32", '"1"', "constant.type"),
        ("i32", "TEXT", "constant.type"),
        ("string", "1", "constant.type"),
        ("string", "SEVEN", "constant.type"),
        ("double", '"1"', "constant.type"),
        ("uuid", '"x"', "constant.type"),
        ("Color", '"RED"', "constant.type"),
        ("Color", "Size.SMALL", "constant.type"),
        ("Color", "Color.BLUE", "constant.enum.undefined"),
        ("Color", "BLUE", "constant.enum.undefined"),
        ("list<i32>", "{1: 2}", "constant.type"),
        ("list<i32>", "1", "constant.type"),
        ("map<i32, i32>", "[1]", "constant.type"),
        ("Point", "[1]", "constant.type"),
        ("Point", '{"z": 1}', "constant.field.undefined"),
        ("Point", "{1: 1}", "constant.field.key"),
        ("Point", '{"x": 1, "x": 1}', "constant.field.duplicate"),
        ("Point", "NUMBERS", "constant.type"),
        ("Either", '{"left": 1, "right": ""}', "constant.union"),
        ("i32", "NOTHING", "constant.undefined"),
        ("i32", "nowhere.NOTHING", "constant.undefined"),
    ],
)
def test_values_that_do_not_fit_are_one_error(type: str, value: str, name: str, build_files: Build) -> None:
    _, report = constant(build_files, type, value)
    assert [diagnostic.name for diagnostic in report] == [name]


def test_errors_in_containers_have_a_path(build_files: Build) -> None:
    _, report = constant(build_files, "list<map<string, Point>>", '[{}, {"a": {"x": "one"}}]')
    assert [diagnostic.message for diagnostic in report] == ['`X[1]["a"].x` must be an i32, found a string']


def test_all_errors_of_a_value_are_reported(build_files: Build) -> None:
    _, report = constant(build_files, "list<i8>", '[1, 300, "x", 1.5, NOTHING]')
    assert report.errors == 4


def test_constants_of_other_files_and_of_enums_of_other_files(build_well: BuildWell) -> None:
    program = build_well(
        'include "shared.thrift"\n'
        "const i32 A = shared.N\nconst shared.Color B = shared.Color.RED\nconst shared.Color C = shared.FAVOURITE\n"
        'const shared.Point D = {"color": shared.Color.RED}\n'
        "struct S { 1: shared.Color color = shared.Color.RED }",
        **{
            "shared.thrift": "const i32 N = M\nconst i32 M = 3\nenum Color { RED = 4 }\n"
            "const Color FAVOURITE = Color.RED\nstruct Point { 1: Color color }"
        },
    )
    assert program.consts[0].value == 3
    for const in program.consts[1:3]:
        assert isinstance(const.value, EnumConstant)
        assert const.value.number == 4
    assert program.includes[0].is_used


def test_a_member_without_its_enum_is_found_when_only_one_enum_has_it(build_files: Build) -> None:
    (program,), report = build_files("enum A { X = 1, Y = 2 }\nenum B { Y = 3 }\nconst i32 C = X")
    assert (program.consts[0].value, report.errors, report.warnings) == (1, 0, 1)
    _, report = build_files("enum A { X = 1, Y = 2 }\nenum B { Y = 3 }\nconst i32 C = Y")
    assert report.errors == 1


def test_defaults_of_arguments_are_evaluated(build_well: BuildWell) -> None:
    program = build_well("service S { void f(1: list<i32> a = [1]) }")
    assert program.services[0].functions[0].arguments[0].default == ListConstant((1,))


@pytest.mark.slow
def test_a_chain_of_thousands_of_constants_is_valid(build_well: BuildWell) -> None:
    count = 3000
    text = "\n".join(f"const i32 C{i} = C{i + 1}" for i in range(count)) + f"\nconst i32 C{count} = 1"
    assert build_well(text).consts[0].value == 1


def test_an_invalid_constant_is_reported_once(build_files: Build) -> None:
    _, report = build_files('const i32 A = "x"\nconst i32 B = A\nstruct S { 1: i32 a = B, 2: list<i32> c = [A] }')
    assert report.errors == 1


def test_a_struct_needs_its_required_fields(build_files: Build) -> None:
    _, report = build_files("struct A { 1: required i32 a, 2: required i32 b = 1 }\nconst A X = {}")
    assert [(diagnostic.name, diagnostic.severity) for diagnostic in report] == [("constant.field.missing", "error")]


def test_a_union_needs_one_field(build_files: Build) -> None:
    _, report = build_files("union U { 1: i32 a }\nconst U X = {}")
    assert [diagnostic.name for diagnostic in report] == ["constant.union"]


def test_a_union_with_a_default_may_be_empty(build_files: Build) -> None:
    _, report = build_files("union U { 1: i32 a = 1 }\nconst U X = {}")
    assert len(report) == 0

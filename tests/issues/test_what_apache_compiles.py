"""Compatibility with Apache Thrift's compiler: what it accepts compiles, with a warning where it is questionable."""

from __future__ import annotations

from pathlib import Path

import pytest

import idlc

pytestmark = pytest.mark.slow

OTHER = "enum Color { RED = 1, GREEN = 2, BLUE = 7 }\nenum Size { BIG = 1 }"
ENUMS = 'include "other.thrift"\nenum Color { RED = 1, GREEN = 2 }\n'


def compiled(folder: Path, text: str) -> tuple[list[str], str]:
    """The findings, and the module; nothing if there are errors."""
    (folder / "other.thrift").write_text(OTHER)
    (folder / "demo.thrift").write_text(text)
    report = idlc.compile(folder / "demo.thrift", folder / "gen", use_cache=False).report
    found = [f"{each.severity} {each.name}: {each.message}" for each in report]
    module = folder / "gen/demo/demo.py"
    return found, module.read_text() if module.exists() else ""


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("const bool X = 2", "`X` is a bool; the number 2 is read as true", "X: Final[bool] = True"),
        ("const bool X = -1", "`X` is a bool; the number -1 is read as false", "X: Final[bool] = False"),
        ("const i32 N = 5\nconst bool X = N", "`X` is a bool; the number 5 is read as true", "X: Final[bool] = True"),
        ("struct S { 1: bool x = 7 }", "`S.x` is a bool; the number 7 is read as true", "    x: bool = True"),
        (
            "const list<bool> X = [1, 3]",
            "`X[1]` is a bool; the number 3 is read as true",
            "X: Final[list[bool]] = [True, True]",
        ),
    ],
)
def test_a_bool_may_be_a_number(tmp_path: Path, text: str, message: str, line: str) -> None:
    found, module = compiled(tmp_path, text)
    assert found == [f"warning constant.bool.number: {message}"]
    assert f"\n{line}\n" in module


def test_a_member_of_an_enum_of_the_same_name(tmp_path: Path) -> None:
    found, module = compiled(tmp_path, f"{ENUMS}const Color X = other.Color.GREEN")
    assert found == [
        "warning constant.enum.other: `X` is a `demo.Color`, but the value is a member of `other.Color`",
    ]
    assert "\nX: Final[Color] = Color.GREEN\n" in module


def test_a_member_of_another_enum_is_still_an_error(tmp_path: Path) -> None:
    found, module = compiled(tmp_path, f"{ENUMS}const Color X = other.Size.BIG")
    assert [each.split(":")[0] for each in found] == ["error constant.type"]
    assert module == ""


def test_a_number_that_only_the_other_enum_has_is_kept(tmp_path: Path) -> None:
    found, module = compiled(tmp_path, f"{ENUMS}const Color X = other.Color.BLUE")
    assert len(found) == 1
    assert "\nX: Final[Color] = Color(7)\n" in module


def test_what_a_oneway_function_is_said_to_return(tmp_path: Path) -> None:
    found, module = compiled(tmp_path, "service S { oneway i32 f() }")
    assert found == [
        "warning function.oneway.result: oneway function `f` cannot return a value; its return type is ignored",
    ]
    assert "def f(self) -> None:" in module
    assert "result=rpc.VOID, oneway=True" in module


@pytest.mark.parametrize("name", ["nowhere", "a/nowhere"])
def test_an_include_of_what_is_not_there_and_not_needed(tmp_path: Path, name: str) -> None:
    found, module = compiled(tmp_path, f'include "{name}.thrift"\nstruct S {{ 1: i32 x }}')
    assert found == [f"warning include.missing: cannot find included file `{name}.thrift`"]
    assert "class S(" in module


@pytest.mark.parametrize(
    "use",
    [
        "struct S { 1: nowhere.A a }",
        "const i32 X = nowhere.Y",
        "service S extends nowhere.T {}",
        "typedef nowhere.A B",
        "service S { void f() throws (1: nowhere.X x) }",
        "struct S { 1: list<nowhere.A> a }",
    ],
)
def test_what_is_needed_of_it_is_an_error(tmp_path: Path, use: str) -> None:
    found, module = compiled(tmp_path, f'include "nowhere.thrift"\ninclude "far.thrift"\n{use}')
    assert found == [
        "error include.missing: cannot find included file `nowhere.thrift`",
        "warning include.missing: cannot find included file `far.thrift`",
    ]
    assert module == ""

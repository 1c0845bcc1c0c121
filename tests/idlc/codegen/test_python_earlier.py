"""Files of a namespace that are compiled one by one: the output is that of one compile, or the compile is refused."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import idlc
from idlc.diagnostics import Diagnostic

pytestmark = pytest.mark.slow


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(f"namespace py demo\n{text}", encoding="utf-8")


def compile_into(output: Path, *paths: Path) -> list[Diagnostic]:
    return list(idlc.compile(sources=paths, output=output, use_cache=False).report)


def offered(output: Path) -> str:
    return (output / "demo/__init__.py").read_text(encoding="utf-8")


def in_any_order(folder: Path, names: Sequence[str]) -> set[str]:
    """Compile separately in each order, the first file again at the end; return the distinct package exports."""
    found: set[str] = set()
    for number, order in enumerate(itertools.permutations(names)):
        output = folder / f"gen{number}"
        for name in (*order, order[0]):
            assert not [each for each in compile_into(output, folder / name) if each.severity == "error"]
        found.add(offered(output))
    return found


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a.thrift": "const i32 X = 1", "b.thrift": "struct X {}"}, '"b": ["X"]'),
        ({"a.thrift": "const i32 X = 1", "b.thrift": "typedef i32 X"}, '"b": ["X"]'),
        (
            {"a.thrift": "const i32 X = 1", "b.thrift": "service X {}"},
            '"b": ["AsyncX", "AsyncXClient", "X", ',
        ),
        ({"a.thrift": "service X {}", "b.thrift": "struct AsyncX {}"}, '"b": ["AsyncX"]'),
        ({"a.thrift": "service X {}", "b.thrift": "const i32 XClient = 1"}, '"b": ["XClient"]'),
        ({"a.thrift": "service X { void f() }", "b.thrift": "enum x { A }"}, '"b": ["x"]'),
        # What the IDL declares with the name of a client is not one.
        ({"b.thrift": "service X {}\nstruct XClient {}", "a.thrift": "service X {}"}, '"a": ["AsyncX"'),
    ],
)
def test_what_a_package_offers_does_not_depend_on_the_order(
    tmp_path: Path, files: Mapping[str, str], expected: str
) -> None:
    write(tmp_path, files)
    (apart,) = in_any_order(tmp_path, sorted(files))
    assert expected in apart
    output = tmp_path / "together"
    if not compile_into(output, *(tmp_path / name for name in files)):
        assert offered(output) == apart


def test_a_constant_and_a_type_of_an_earlier_compile_are_no_collision(tmp_path: Path) -> None:
    write(tmp_path, {"a.thrift": "struct X {}", "b.thrift": "const i32 X = 1"})
    assert compile_into(tmp_path / "gen", tmp_path / "a.thrift") == []
    (note,) = compile_into(tmp_path / "gen", tmp_path / "b.thrift")
    assert note.name == "python.name.hidden"
    assert note.message.endswith("does not offer `X` of module `demo.b`: module `a` has one, too")


def test_a_subpackage_of_an_earlier_compile_hides_a_name(tmp_path: Path) -> None:
    write(tmp_path, {"a.thrift": "struct below { 1: i32 x }\nstruct Other {}"})
    (tmp_path / "b.thrift").write_text("namespace py demo.below\nstruct B {}")
    assert compile_into(tmp_path / "gen", tmp_path / "b.thrift") == []
    (note,) = compile_into(tmp_path / "gen", tmp_path / "a.thrift")
    assert note.message == "package `demo` does not offer `below` of module `demo.a`: `demo.below` is a package"
    assert '__all__ = ["Other"]' in offered(tmp_path / "gen")
    program = "import demo, demo.a\nassert demo.below.B() and demo.a.below(x=1)\n"
    subprocess.run([sys.executable, "-c", "import demo.below\n" + program], cwd=tmp_path / "gen", check=True)


def test_a_subpackage_whose_name_differs_in_case_hides_nothing(tmp_path: Path) -> None:
    write(tmp_path, {"a.thrift": "struct Below {}"})
    (tmp_path / "b.thrift").write_text("namespace py demo.below\nstruct B {}")
    compile_into(tmp_path / "gen", tmp_path / "b.thrift")
    # As file systems that ignore case have it.
    if not (tmp_path / "gen/demo/Below").exists():
        (tmp_path / "gen/demo/Below").symlink_to("below", target_is_directory=True)
    assert compile_into(tmp_path / "gen", tmp_path / "a.thrift") == []


ALIKE = {"a-b.thrift": "struct A {}", "a_b.thrift": "struct B {}"}


@pytest.mark.parametrize(("first", "second"), [("a-b.thrift", "a_b.thrift"), ("a_b.thrift", "a-b.thrift")])
def test_a_module_of_another_file_is_not_replaced(tmp_path: Path, first: str, second: str) -> None:
    write(tmp_path, ALIKE)
    output = tmp_path / "gen"
    compile_into(output, tmp_path / first)
    before = (output / "demo/a_b.py").read_text()
    (error,) = compile_into(output, tmp_path / second)
    assert (error.severity, error.name) == ("error", "python.module.overwritten")
    assert error.message == f"cannot write module `demo.a_b`: demo/a_b.py was generated from `{first}`"
    assert error.help == f"compile both files at once, or delete demo/a_b.py if `{first}` is gone"
    assert (output / "demo/a_b.py").read_text() == before


@pytest.mark.parametrize("name", ALIKE)
def test_the_help_helps(tmp_path: Path, name: str) -> None:
    write(tmp_path, ALIKE)
    paths = [tmp_path / each for each in ALIKE]
    output = tmp_path / "gen"
    compile_into(output, tmp_path / name)
    assert [each.name for each in compile_into(output, *paths)] == ["python.name.yielded"]
    assert '__all__ = ["A", "B"]' in offered(output)
    (output / "demo/a_b.py").unlink()
    (output / "demo/a_b_.py").unlink()
    assert compile_into(output, paths[0]) == []


def test_a_file_that_only_is_included_replaces_nothing(tmp_path: Path) -> None:
    write(tmp_path, {**ALIKE, "main.thrift": "include 'a_b.thrift'\nstruct M { 1: a_b.B b }"})
    output = tmp_path / "gen"
    compile_into(output, tmp_path / "a-b.thrift")
    request: dict[str, Any] = {
        "sources": (tmp_path / "main.thrift",),
        "output": output,
        "use_cache": False,
        "with_includes": False,
    }
    assert not idlc.compile(**request).report.has_errors
    assert (output / "demo/a_b.py").read_text().partition("\n")[0].endswith(" from a-b.thrift. Do not edit.")


def test_a_file_in_another_form_of_unicode_is_the_same(tmp_path: Path) -> None:
    write(tmp_path, {"gr\u00f6\u00dfe.thrift": "struct A {}", "gro\u0308\u00dfe.thrift": "struct A {}"})
    assert compile_into(tmp_path / "gen", tmp_path / "gr\u00f6\u00dfe.thrift") == []
    assert compile_into(tmp_path / "gen", tmp_path / "gro\u0308\u00dfe.thrift") == []

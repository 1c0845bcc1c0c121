"""The whole pipeline: which files are written and which are unchanged, and reproducible output."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import idlc
from idlc.codegen.target import UnknownTarget

USER = "namespace py demo\nstruct User { 1: i64 id }"
MAIN = "namespace py demo\ninclude 'user.thrift'\nservice Users { user.User get(1: i64 id) }"


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def request(folder: Path, *names: str, **options: object) -> dict[str, Any]:
    defaults = {"output": folder / "gen", "use_cache": False}
    return {"sources": [folder / name for name in names], **defaults, **options}


def stamps(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def age(folder: Path) -> None:
    """Set the time stamps of all files to long ago, so that rewritten files are detected without waiting."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, ns=(10**18, 10**18))


def test_sources_are_files_as_given_and_folders_sorted(tmp_path: Path) -> None:
    write(tmp_path, {"b.thrift": "", "a.idl": "", "deep/er/c.thrift": "", "notes.txt": "", "deep/d.thriftx": ""})
    assert idlc.find_sources([tmp_path / "notes.txt", tmp_path]) == [
        tmp_path / "notes.txt",
        tmp_path / "a.idl",
        tmp_path / "b.thrift",
        tmp_path / "deep/er/c.thrift",
    ]


def test_included_files_are_written_too(tmp_path: Path) -> None:
    write(tmp_path, {"user.thrift": USER, "main.thrift": MAIN})
    result = idlc.compile(**request(tmp_path, "main.thrift"))
    assert sorted(stamps(tmp_path / "gen")) == [
        f"demo/{name}" for name in ("__init__.py", "main.py", "py.typed", "user.py")
    ]
    assert sorted(result.written) == sorted(tmp_path / "gen" / name for name in stamps(tmp_path / "gen"))
    assert result.unchanged == []


def test_included_files_can_be_left_out(tmp_path: Path) -> None:
    write(tmp_path, {"user.thrift": USER, "main.thrift": MAIN})
    idlc.compile(**request(tmp_path, "main.thrift", with_includes=False))
    assert sorted(stamps(tmp_path / "gen")) == ["demo/__init__.py", "demo/main.py", "demo/py.typed"]


def test_a_missing_output_folder_is_created_with_its_parents(tmp_path: Path) -> None:
    write(tmp_path, {"user.thrift": USER})
    deep = tmp_path / "a" / "b" / "c"
    idlc.compile(sources=(tmp_path / "user.thrift",), output=deep, use_cache=False)
    assert (deep / "demo" / "user.py").is_file()


def test_unchanged_outputs_are_not_written(tmp_path: Path) -> None:
    write(tmp_path, {"user.thrift": USER, "main.thrift": MAIN})
    idlc.compile(**request(tmp_path, "main.thrift"))
    age(tmp_path / "gen")
    before = stamps(tmp_path / "gen")
    write(tmp_path, {"main.thrift": MAIN.replace("get", "fetch")})
    result = idlc.compile(**request(tmp_path, "main.thrift"))
    after = stamps(tmp_path / "gen")
    assert [name for name in after if after[name] != before[name]] == ["demo/main.py"]
    assert result.written == [tmp_path / "gen/demo/main.py"]
    assert len(result.unchanged) == 3


def test_no_temporary_files_are_left(tmp_path: Path) -> None:
    write(tmp_path, {"user.thrift": USER})
    idlc.compile(**request(tmp_path, "user.thrift"))
    write(tmp_path, {"user.thrift": USER.replace("User", "Person")})
    idlc.compile(**request(tmp_path, "user.thrift"))
    assert sorted(path.name for path in (tmp_path / "gen/demo").iterdir()) == ["__init__.py", "py.typed", "user.py"]


def test_outputs_are_ordinary_files(tmp_path: Path) -> None:
    write(tmp_path, {"user.thrift": USER})
    idlc.compile(**request(tmp_path, "user.thrift"))
    assert (tmp_path / "gen/demo/user.py").stat().st_mode == (tmp_path / "user.thrift").stat().st_mode


@pytest.mark.parametrize("broken", ["struct {", "struct S { 1: Nope x }", "struct User {}"])
def test_with_errors_nothing_is_written(tmp_path: Path, broken: str) -> None:
    write(tmp_path, {"user.thrift": USER, "broken.thrift": f"namespace py demo\n{broken}"})
    result = idlc.compile(**request(tmp_path, "user.thrift", "broken.thrift"))
    assert result.report.has_errors
    assert (result.written, result.unchanged) == ([], [])
    assert not (tmp_path / "gen").exists()


def test_with_errors_earlier_outputs_stay_as_they_are(tmp_path: Path) -> None:
    write(tmp_path, {"user.thrift": USER})
    idlc.compile(**request(tmp_path, "user.thrift"))
    age(tmp_path / "gen")
    before = stamps(tmp_path / "gen")
    write(tmp_path, {"user.thrift": USER + " struct {"})
    assert idlc.compile(**request(tmp_path, "user.thrift")).report.has_errors
    assert stamps(tmp_path / "gen") == before


def test_comparing_writes_nothing_and_reports_changes(tmp_path: Path) -> None:
    write(tmp_path, {"user.thrift": USER, "main.thrift": MAIN})
    result = idlc.compile(**request(tmp_path, "main.thrift", only_compare=True))
    assert len(result.written) == 4
    assert not (tmp_path / "gen").exists()
    idlc.compile(**request(tmp_path, "main.thrift"))
    assert idlc.compile(**request(tmp_path, "main.thrift", only_compare=True)).written == []
    (tmp_path / "gen/demo/user.py").write_text("edited")
    assert idlc.compile(**request(tmp_path, "main.thrift", only_compare=True)).written == [
        tmp_path / "gen/demo/user.py"
    ]
    assert (tmp_path / "gen/demo/user.py").read_text() == "edited"


def test_a_second_compile_of_a_namespace_keeps_the_names_of_the_first(tmp_path: Path) -> None:
    write(tmp_path, {"user.thrift": USER, "order.thrift": "namespace py demo\nstruct Order {}"})
    idlc.compile(**request(tmp_path, "user.thrift"))
    idlc.compile(**request(tmp_path, "order.thrift"))
    apart = (tmp_path / "gen/demo/__init__.py").read_text()
    assert '__all__ = ["Order", "User"]' in apart
    idlc.compile(**request(tmp_path, "user.thrift", "order.thrift"))
    assert (tmp_path / "gen/demo/__init__.py").read_text() == apart


def test_names_of_a_removed_module_are_dropped(tmp_path: Path) -> None:
    write(tmp_path, {"user.thrift": USER, "order.thrift": "namespace py demo\nstruct Order {}"})
    idlc.compile(**request(tmp_path, "user.thrift"))
    (tmp_path / "gen/demo/user.py").unlink()
    idlc.compile(**request(tmp_path, "order.thrift"))
    assert '__all__ = ["Order"]' in (tmp_path / "gen/demo/__init__.py").read_text()


@pytest.mark.parametrize("text", ["x = 1\n", "# Generated by idlc 0.1.0. Do not edit.\n_modules = {1", "\xff"])
def test_an_init_file_that_idlc_cannot_read_is_replaced(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"user.thrift": USER})
    (tmp_path / "gen/demo").mkdir(parents=True)
    (tmp_path / "gen/demo/__init__.py").write_text(text, encoding="latin-1")
    idlc.compile(**request(tmp_path, "user.thrift"))
    assert '__all__ = ["User"]' in (tmp_path / "gen/demo/__init__.py").read_text()


def test_an_unknown_target_is_rejected_with_a_list_of_targets(tmp_path: Path) -> None:
    write(tmp_path, {"user.thrift": USER})
    with pytest.raises(UnknownTarget, match="no target named 'perl'; known: openapi, python"):
        idlc.compile(**request(tmp_path, "user.thrift", target="perl"))


def test_custom_templates_override_built_in_ones_and_are_formatted(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"user.thrift": "enum E { A = 1 }", "mine/enum.py.j2": "\nclass {{ enum.name }}(rpc.Enum):\n  A = ( 1 )\n"},
    )
    idlc.compile(**request(tmp_path, "user.thrift", templates=tmp_path / "mine"))
    assert "\n\nclass E(rpc.Enum):\n    A = 1\n" in (tmp_path / "gen/user/user.py").read_text()


PROGRAM = """
import sys
from pathlib import Path
import idlc
paths = tuple(idlc.find_sources([Path(sys.argv[1])]))
idlc.compile(sources=paths, output=Path(sys.argv[2]), use_cache=False)
"""


def test_output_does_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    write(
        tmp_path / "idl",
        {
            "a.thrift": "namespace py demo.a\nstruct A { 1: set<string> s = ['b', 'a', 'c'], 2: i32 class, 3: i32 x }",
            "b.thrift": "namespace py demo.b\ninclude 'a.thrift'\nstruct B { 1: a.A a }\nunion U { 1: i32 x, 2: B b }",
            "c.thrift": """
                namespace py demo.b
                include 'b.thrift'
                include 'a.thrift'
                exception X { 1: string why }
                service S { a.A f(1: b.B b) throws (1: X x), oneway void close() }
            """,
        },
    )
    outputs = set()
    for seed in ("0", "1"):
        folder = tmp_path / f"gen{seed}"
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "idl"), str(folder)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
        )
        outputs.add(tuple((str(path.relative_to(folder)), path.read_bytes()) for path in sorted(folder.rglob("*.py"))))
    assert len(outputs) == 1
    assert len(outputs.pop()) == 6 - 1


def test_compiled_templates_are_kept_and_damage_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDLC_CACHE_DIR", str(tmp_path / "cache"))
    write(tmp_path, {"user.thrift": "enum E { A = 1 } service V { void v() }"})
    idlc.compile(**request(tmp_path, "user.thrift"))
    assert not (tmp_path / "cache/templates").exists()  # `use_cache` is off

    def compiled(output: str) -> str:
        idlc.compile(**request(tmp_path, "user.thrift", output=tmp_path / output, use_cache=True))
        return (tmp_path / output / "user/user.py").read_text()

    expected = (tmp_path / "gen/user/user.py").read_text()
    assert compiled("first") == expected
    kept = list((tmp_path / "cache/templates").iterdir())
    assert len(kept) > 3
    assert compiled("second") == expected
    for file in kept:
        file.write_bytes(file.read_bytes()[:-20])
    assert compiled("third") == expected
    assert all(len(file.read_bytes()) > 100 for file in kept)
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").write_text("no folder")
    assert compiled("fourth") == expected

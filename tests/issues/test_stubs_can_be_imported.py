"""Stubs can be imported wherever their folder stands in the module path, or a warning says what is in the way."""

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

import idlc
from idlc import compile_cache
from idlc.driver import FrontEnd, Generation, Request

pytestmark = pytest.mark.slow

NAMES = [
    *("json", "typing", "enum", "struct", "io", "queue", "types", "test", "asyncio", "site"),
    *("msgspec", "idlrt", "idlc", "thrift", "typing_extensions"),
]
SHADOWED = "python.package.shadowed"


def compile_texts(folder: Path, files: dict[str, str], **options: object) -> idlc.Compiled:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    paths = tuple(folder / name for name in files)
    request: dict[str, Any] = {"output": folder / "gen", "use_cache": False, **options}
    return idlc.compile(paths, **request)


def run(program: str, *, first: bool, folder: Path) -> None:
    """Run a program in a fresh interpreter, the stubs in front of everything else or behind it."""
    program = f"import sys\nsys.path.{'insert(0, ' if first else 'append('}'gen')\n{program}"
    environment = {**os.environ, "PYTHONPATH": "gen"} if first else {**os.environ}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("first", [True, False])
def test_files_without_a_namespace_get_out_of_the_way(tmp_path: Path, first: bool) -> None:
    result = compile_texts(tmp_path, {f"{name}.thrift": "struct A { 1: i32 x }" for name in NAMES})
    assert {each.severity for each in result.report} == {"note"}
    assert {each.name for each in result.report} == {"python.package.yielded"}
    assert sorted(path.name for path in (tmp_path / "gen").iterdir()) == sorted(f"{name}_" for name in NAMES)
    program = "".join(f"import {name}_.{name}\nassert {name}_.A(x=1).x == 1\n" for name in NAMES)
    run(program, first=first, folder=tmp_path)


def test_it_is_told_what_they_are_called(tmp_path: Path) -> None:
    (note,) = compile_texts(tmp_path, {"json.thrift": "struct A {}"}).report
    assert note.message == (
        "the package of this file is called `json_` in Python, as `json` is a module of Python's standard library"
    )
    assert note.help == "choose another one with `namespace py NAME`"


@pytest.mark.parametrize("first", [True, False])
def test_including_files_can_import_renamed_modules(tmp_path: Path, first: bool) -> None:
    main = "include 'json.thrift'\nstruct M { 1: json.A a = {'x': 1} }"
    compile_texts(tmp_path, {"json.thrift": "struct A { 1: i32 x }", "main.thrift": main})
    run("import main.main, json_.json\nassert main.M().a == json_.A(x=1)", first=first, folder=tmp_path)


def test_under_a_package_they_keep_their_names(tmp_path: Path) -> None:
    result = compile_texts(tmp_path, {"json.thrift": "namespace py json\nstruct A {}"}, package="mine_x")
    assert list(result.report) == []
    assert (tmp_path / "gen/mine_x/json/json.py").exists()
    run("import mine_x.json.json", first=True, folder=tmp_path)


@pytest.mark.parametrize("name", ["json", "test.demo", "thrift.demo", "idlrt"])
def test_a_namespace_that_something_else_has_is_warned_of(tmp_path: Path, name: str) -> None:
    (warning,) = compile_texts(tmp_path, {"a.thrift": f"\nnamespace py {name}\nstruct A {{}}"}).report
    assert (warning.severity, warning.name) == ("warning", SHADOWED)
    assert warning.message.startswith(f"package `{name.split('.')[0]}` is also ")
    assert warning.message.endswith("; Python finds only one of them")
    assert str(warning.span).endswith("a.thrift:2:1")
    assert warning.help == "choose another name with `namespace py ...`, or nest all stubs with `--package NAME`"


def test_a_package_that_something_else_has_is_warned_of(tmp_path: Path) -> None:
    (warning,) = compile_texts(tmp_path, {"a.thrift": "struct A {}"}, package="json.demo").report
    assert (warning.name, warning.span, warning.help) == (SHADOWED, None, "choose another --package")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the module path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


IDL = {"a.thrift": "namespace py acme_x.deep.users\nstruct A {}"}


@pytest.mark.parametrize(
    "place", ["acme_x/__init__.py", "acme_x/deep/__init__.py", "acme_x.py", "acme_x/deep/users.py"]
)
def test_what_hides_a_namespace_is_named(tmp_path: Path, site: Path, place: str) -> None:
    (site / place).parent.mkdir(parents=True, exist_ok=True)
    (site / place).write_text("")
    (warning,) = compile_texts(tmp_path, IDL).report
    package = place.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".")
    assert warning.message == f"package `{package}` is also at {site / place}; Python finds only one of them"
    program = "import acme_x.deep.users\nassert 'site' not in acme_x.deep.users.__file__"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": f"{site}:{tmp_path / 'gen'}"}, check=False
    )
    assert done.returncode != 0


def test_folders_that_python_joins_are_not_in_the_way(tmp_path: Path, site: Path) -> None:
    (site / "acme_x/deep/more").mkdir(parents=True)
    (site / "acme_x/deep/more/__init__.py").write_text("")
    assert list(compile_texts(tmp_path, IDL).report) == []


def test_the_same_stubs_installed_are_not_in_the_way(tmp_path: Path, site: Path) -> None:
    compile_texts(tmp_path, IDL, output=site)
    assert list(compile_texts(tmp_path, IDL).report) == []
    assert list(compile_texts(tmp_path, IDL, output=site).report) == []


def test_stubs_may_be_put_into_a_package_of_the_user(tmp_path: Path, site: Path) -> None:
    (site / "acme_x/deep").mkdir(parents=True)
    for folder in (site / "acme_x", site / "acme_x/deep"):
        (folder / "__init__.py").write_text("")
    assert list(compile_texts(tmp_path, IDL, output=site).report) == []


def test_a_module_beside_the_stubs_is_in_the_way(tmp_path: Path) -> None:
    compile_texts(tmp_path, {"user.thrift": "namespace py demo_x\nstruct A {}"})
    (warning,) = compile_texts(tmp_path, {"b.thrift": "namespace py demo_x.user\nstruct B {}"}).report
    assert warning.message.startswith(f"package `demo_x.user` is also at {tmp_path / 'gen/demo_x/user.py'};")


def test_a_module_makes_way_for_a_package_of_an_earlier_compile(tmp_path: Path) -> None:
    compile_texts(tmp_path, {"b.thrift": "namespace py demo_x.user\nstruct B {}"})
    assert list(compile_texts(tmp_path, {"user.thrift": "namespace py demo_x\nstruct A {}"}).report) == []
    run("import demo_x.user_, demo_x.user.b", first=True, folder=tmp_path)


def test_an_up_to_date_compile_looks_again(tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDLC_CACHE_DIR", str(tmp_path / "cache"))
    assert list(compile_texts(tmp_path, IDL, use_cache=True).report) == []
    (site / "acme_x.py").write_text("")
    for _ in range(2):  # compiled, and recalled
        (warning,) = compile_texts(tmp_path, IDL, use_cache=True).report
        assert warning.name == SHADOWED
    (site / "acme_x.py").unlink()
    assert list(compile_texts(tmp_path, IDL, use_cache=True).report) == []
    request = Request(
        front_end=FrontEnd(paths=(tmp_path / "a.thrift",)), generation=Generation(), output=tmp_path / "gen"
    )
    assert compile_cache.load(compile_cache.cache_key(request), request.output) is not None


@pytest.mark.parametrize("name", ["größe", "ﬁle", "x²", "Å", "½", "\u0301a", "a·b", "名前", "𝐱"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_module_is_called_as_python_looks_for_it(tmp_path: Path, name: str, form: str) -> None:
    stem = unicodedata.normalize(form, name)  # type: ignore[arg-type]
    compile_texts(tmp_path, {f"{stem}.thrift": "struct A { 1: i32 x }"})
    (module,) = (path for path in (tmp_path / "gen").rglob("*.py") if path.name != "__init__.py")
    assert module.stem.isidentifier()
    run(f"import {module.stem}.{module.stem} as m\nassert m.A(x=1).x == 1", first=True, folder=tmp_path)


def test_a_package_that_offers_nothing_can_be_imported(tmp_path: Path) -> None:
    files = {"a.thrift": "namespace py foo\nstruct bar {}", "b.thrift": "namespace py foo.bar\nstruct Below {}"}
    compile_texts(tmp_path, files)
    run("import foo, foo.a, foo.bar\nassert foo.a.bar() == foo.a.bar()\nfoo.bar.Below()", first=True, folder=tmp_path)

"""Custom templates reorder, drop and add parts of generated code; the example of `docs/templates.md` works."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import black
import pytest

import idlc
from idlc.resources import resource_dir

DOCS = Path(__file__).resolve().parents[3] / "docs" / "templates.md"
BLOCK = re.compile(r"`([\w/.]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OUTPUT = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def compiled(folder: Path, *names: str, templates: str | None = "mine") -> None:
    request: dict[str, Any] = {
        "sources": tuple(folder / name for name in names),
        "output": folder / "gen",
        "templates": None if templates is None else folder / templates,
        "use_cache": False,
    }
    result = idlc.compile(**request)
    assert not result.report.has_errors


def run(folder: Path, program: str) -> str:
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=folder / "gen", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The files of the example, compiled."""
    for name, text in BLOCK.findall(DOCS.read_text(encoding="utf-8")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    compiled(tmp_path, "users.thrift")
    return tmp_path


def test_the_example_makes_real_calls(example: Path) -> None:
    (expected,) = OUTPUT.findall(DOCS.read_text(encoding="utf-8"))
    assert run(example, (example / "main.py").read_text(encoding="utf-8")) == expected


def test_parts_are_moved_dropped_and_added(example: Path) -> None:
    text = (example / "gen/demo/users_.py").read_text(encoding="utf-8")
    names = [node.name for node in ast.parse(text).body if isinstance(node, (ast.ClassDef, ast.FunctionDef))]
    assert names == ["Order", "Users", "User", "NotFound", "users", "UsersClient"]
    assert "async" not in text
    assert text.count("Fetch one user.") == 1  # in the Protocol only
    assert "SOURCE: Final" in text
    assert black.format_str(text, mode=black.Mode()) == text


def test_the_package_offers_the_names_that_are_left(example: Path) -> None:
    program = "import demo\nfrom demo import *\nprint(sorted(demo.__all__), SOURCE)"
    expected = ["NotFound", "Order", "SOURCE", "User", "Users", "UsersClient", "users"]
    assert run(example, program) == f"{expected} users.thrift\n"
    assert "from .users_ import *" in (example / "gen/demo/__init__.py").read_text(encoding="utf-8")


def test_a_name_that_templates_add_to_several_modules_is_offered_once(example: Path) -> None:
    (example / "more.thrift").write_text("namespace py demo\nstruct More { 1: i32 x }", encoding="utf-8")
    compiled(example, "users.thrift", "more.thrift")
    program = "import demo, demo.users_\nprint(demo.SOURCE, demo.users_.SOURCE, sorted(demo.__all__))"
    expected = ["More", "NotFound", "Order", "SOURCE", "User", "Users", "UsersClient", "users"]
    assert run(example, program) == f"more.thrift users.thrift {expected}\n"
    together = (example / "gen/demo/__init__.py").read_text(encoding="utf-8")
    assert "from .more import *" in together
    assert "from .users_ import NotFound, Order, User, Users, UsersClient, users\n" in together
    compiled(example, "more.thrift")
    run(example, "import demo; demo.More, demo.UsersClient")


def test_an_added_name_gives_way_to_a_declared_one(example: Path) -> None:
    (example / "more.thrift").write_text("namespace py demo\nconst i32 SOURCE = 1", encoding="utf-8")
    (example / "mine/module.py.j2").write_text(
        (example / "mine/module.py.j2").read_text().replace("SOURCE", "{{ 'SOURCE' if services else 'FILE' }}")
    )
    template = (
        (example / "mine/module.py.j2").read_text().replace("""["{{ 'SOURCE' if services else 'FILE' }}"]""", "[name]")
    )
    (example / "mine/module.py.j2").write_text("{% set name = 'SOURCE' if services else 'FILE' %}\n" + template)
    compiled(example, "users.thrift", "more.thrift")
    assert run(example, "import demo; print(demo.SOURCE, demo.FILE)") == "1 more.thrift\n"


@pytest.mark.parametrize("name", sorted(path.name for path in (resource_dir("templates") / "python").glob("*.j2")))
def test_a_copy_of_a_built_in_template_changes_nothing(name: str, tmp_path: Path) -> None:
    golden = DOCS.parents[1] / "tests/golden/services/idl"
    for file in golden.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    files = [file.name for file in golden.iterdir()]
    compiled(tmp_path, *files, templates=None)
    expected = {path: path.read_bytes() for path in (tmp_path / "gen").rglob("*.py")}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_bytes((resource_dir("templates") / "python" / name).read_bytes())
    compiled(tmp_path, *files)
    assert {path: path.read_bytes() for path in (tmp_path / "gen").rglob("*.py")} == expected


def test_docs_list_every_template_and_every_attribute() -> None:
    import msgspec

    from idlc.codegen.python import imports, layout, packages, services, views

    text = DOCS.read_text(encoding="utf-8")
    for path in (resource_dir("templates") / "python").glob("*.j2"):
        assert f"| `{path.name}` |" in text
    kinds: list[type[msgspec.Struct]] = [
        imports.ImportView,
        layout.ServiceNames,
        packages.OfferedModule,
        services.MethodView,
        services.ParameterView,
        services.ServiceView,
        views.DefaultView,
        views.EnumView,
        views.FieldView,
        views.MemberView,
        views.StructView,
        views.ValueView,
    ]
    for kind in kinds:
        for attribute in kind.__struct_fields__:
            assert f"`{attribute}`" in text, (kind, attribute)

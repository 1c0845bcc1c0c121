"""`idlc init`: a project that can be generated, tested, served, called, checked and built."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from idlc.cli import main

FILES = [
    ".github/workflows/ci.yml",
    ".gitignore",
    "README.md",
    "idl/notes.thrift",
    "idlc.toml",
    "pyproject.toml",
    "src/shop/__init__.py",
    "src/shop/client.py",
    "src/shop/server.py",
    "tests/test_service.py",
]


def init(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["init", *map(str, arguments)])


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_files_are_created_and_next_steps_are_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = init("shop")
    assert (result.exit_code, result.stderr) == (0, "")
    assert files(tmp_path / "shop") == FILES
    assert "created: shop/idl/notes.thrift\n" in result.stdout
    assert "10 files. Next steps:\n\n  cd shop\n  idlc generate\n" in result.stdout


def test_the_working_directory_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop").mkdir()
    monkeypatch.chdir(tmp_path / "shop")
    assert "  cd " not in init().stdout
    assert files(tmp_path / "shop") == FILES


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "tests").mkdir()
    result = init(tmp_path, "--name", "shop")
    assert result.exit_code == 2
    assert f"cannot create the project: '{tmp_path}/README.md' exists; choose another folder" in result.stderr
    assert files(tmp_path) == ["README.md"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--name", "my shop"), "project name must be letters"),
        (("--name", "a" * 51), "at most 50 characters"),
        (
            ("--name", "2shop"),
            "package must be a Python identifier or a dotted name, at most 50 characters, got '2shop'",
        ),
        (("--name", "class"), "got 'class'; choose one with --package"),
        (("--package", "company..shop"), "got 'company..shop'"),
        (("--package", "tests"), "package 'tests' hides another package"),
    ],
)
def test_names_that_are_impossible_are_errors(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = init(tmp_path / "shop", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "shop").exists()


LONG = f"company.{'shop' * 10}ab"


@pytest.mark.long
@pytest.mark.parametrize("package", ["shop", LONG], ids=["short", "long"])
def test_the_project_is_complete(tmp_path: Path, package: str) -> None:
    init(tmp_path / "project", "--name", "my-shop", "--package", package)
    python = sys.executable
    folder = tmp_path / "project"
    env = {**os.environ, "PATH": f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": "src"}
    env |= {"IDLC_CACHE_DIR": str(tmp_path / "cache"), "MYPY_CACHE_DIR": str(tmp_path / "mypy")}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("idlc", "generate")
    run("idlc", "generate", "--check")
    run("idlc", "format", "idl", "--check")
    run("idlc", "lint")
    run("ruff", "format", "--check")
    run("ruff", "check")
    run("black", "--check", "--quiet", ".")
    run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", ".github/workflows/ci.yml")
    if package != "shop":
        return  # only the layout depends on the length of names
    run("mypy")
    assert "2 passed" in run(python, "-m", "pytest", "-p", "no:schemathesis", "-p", "no:cacheprovider")
    build = "import hatchling.build as backend; backend.build_wheel('dist')"
    run(python, "-c", build)
    assert [path.name for path in (folder / "dist").iterdir()] == ["my_shop-0.1.0-py3-none-any.whl"]

    command = (python, "-m", f"{package}.server", "127.0.0.1:0")
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().removeprefix("serving at ").strip()
        assert run(python, "-m", f"{package}.client", address).splitlines() == [
            "added Note(id=1, text='call the service')",
            "found Note(id=1, text='call the service')",
            "no note has the id -1",
        ]
        server.terminate()
    assert server.returncode == 0

"""Build hooks: throw-away projects are built by hatchling and setuptools, from IDL files to wheels."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from idlc.build_hooks import BuildError, BuildOptions

pytestmark = pytest.mark.long

HATCHLING = """
[build-system]
requires = ["hatchling", "idlc"]
build-backend = "hatchling.build"

[project]
name = "shop"
version = "1.0"

[tool.hatch.build]
dev-mode-dirs = ["src"]

[tool.hatch.build.targets.wheel]
packages = ["src/shop"]

[tool.hatch.build.hooks.idlc]
"""
SETUPTOOLS = """
[build-system]
requires = ["setuptools", "idlc"]
build-backend = "setuptools.build_meta"

[project]
name = "shop"
version = "1.0"

[tool.setuptools.packages.find]
where = ["src"]

[tool.setuptools.package-data]
"*" = ["py.typed"]

[tool.idlc-build]
"""
PROJECTS = {"hatchling.build": HATCHLING, "setuptools.build_meta": SETUPTOOLS}
IDL = "namespace py shop\n\nstruct Item {\n  1: required i64 id\n}\n"
FILES = {
    "idl/shop.thrift": IDL,
    "idlc.toml": 'roots = ["idl"]\n[[targets]]\noutput = "src"\n',
    # hatchling leaves ignored files out of what it builds.
    ".gitignore": "/src/\n",
}

backends = pytest.mark.parametrize("backend", PROJECTS)


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def run(folder: Path, *command: str | Path, **more: str) -> tuple[int, str]:
    """Return the exit code of a Python process, and all that it prints."""
    env = {**os.environ, "IDLC_CACHE_DIR": str(folder / "cache"), **more}
    arguments = [sys.executable, *map(str, command)]
    done = subprocess.run(arguments, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def hook(folder: Path, backend: str, name: str) -> tuple[int, str]:
    """Call a hook of a build backend (PEP 517), as pip does."""
    return run(folder, "-c", f"import {backend} as backend; backend.{name}('dist')")


@pytest.fixture
def project(tmp_path: Path, backend: str) -> Path:
    folder = tmp_path / "project"
    write(folder, {**FILES, "pyproject.toml": PROJECTS[backend], "dist/.keep": ""})
    return folder


@backends
def test_wheels_built_from_sdists_contain_the_stubs(project: Path, tmp_path: Path, backend: str) -> None:
    # `build` makes the sdist, unpacks it elsewhere and builds the wheel there.
    code, output = run(project, "-m", "build", "--no-isolation", "--outdir", tmp_path / "dist")
    assert code == 0, output
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        archive.extractall(tmp_path / "installed")
    assert names == {"shop/__init__.py", "shop/py.typed", "shop/shop.py"}
    use = "import shop; print(shop.Item(id=1), shop.__file__)"
    code, output = run(tmp_path, "-c", use, PYTHONPATH=str(tmp_path / "installed"))
    assert output == f"Item(id=1) {tmp_path}/installed/shop/__init__.py\n"


@backends
def test_editable_installs_have_stubs(project: Path, backend: str) -> None:
    code, output = hook(project, backend, "build_editable")
    assert code == 0, output
    assert "class Item" in (project / "src/shop/shop.py").read_text(encoding="utf-8")


@backends
def test_errors_in_the_idl_stop_the_build(project: Path, backend: str) -> None:
    write(project, {"idl/shop.thrift": IDL.replace("i64", "i65")})
    code, output = hook(project, backend, "build_wheel")
    assert code != 0
    assert "--> idl/shop.thrift:4:15\n" in output
    assert output.rstrip().endswith("idlc: cannot generate code: the IDL has errors")
    assert "Traceback" not in output
    assert not list((project / "dist").glob("*.whl"))


@backends
def test_stale_stubs_stop_a_build_that_only_checks(project: Path, backend: str) -> None:
    write(project, {"pyproject.toml": PROJECTS[backend] + "check = true\n"})
    code, output = hook(project, backend, "build_wheel")
    assert code != 0
    assert "src/shop/shop.py" in output
    assert output.rstrip().endswith("run `idlc generate --clean`")
    assert not (project / "src").exists()


@pytest.mark.parametrize("text", ["", "[tool.idlc]\n", "[tool]\nidlc-build = true\n"])
def test_other_projects_are_left_alone(tmp_path: Path, text: str) -> None:
    write(tmp_path, {**FILES, "pyproject.toml": text})
    code, output = run(tmp_path, "-c", "from setuptools import Distribution; Distribution()")
    assert (code, output) == (0, "")
    assert not (tmp_path / "src").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chek": True}, "[table]: unknown key 'chek'; did you mean 'check'?"),
        ({"output": "src"}, "[table]: unknown key 'output'; known: config, check"),
        ({"check": "yes"}, "[table]: check: expected 'bool', got 'str'"),
    ],
)
def test_invalid_options_are_errors(options: dict[str, object], message: str) -> None:
    with pytest.raises(BuildError) as caught:
        BuildOptions.read(options, "[table]")
    assert str(caught.value) == message

"""Compile small IDL texts and import what comes out.

`compiled(idl)` is the Python package of one file; `generate({name: text, ...})` compiles several and gives access to
the text and the modules of each. Everything is nested under a package name that no other test uses, so stubs can
be imported into the test's own process. Every module must be as `black` would leave it.
"""

from __future__ import annotations

import importlib
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import black
import msgspec
import pytest

import idlc
from idlc.diagnostics import Diagnostic

_NUMBERS = itertools.count(1)


class Generated(msgspec.Struct, frozen=True):
    """Output of a compile.

    Attributes:
        folder: the output folder, on `sys.path`.
        package: the package that contains all generated modules.
    """

    folder: Path
    package: str

    def path(self, place: str) -> Path:
        """Where a file is, for example `path("demo/user.py")`."""
        return self.folder / self.package / place

    def text(self, place: str) -> str:
        """The text of a file."""
        return self.path(place).read_text(encoding="utf-8")

    def module(self, name: str) -> Any:
        """An imported package or module: `module("demo")`, `module("demo.user")`."""
        return importlib.import_module(f"{self.package}.{name}")

    def files(self) -> list[str]:
        """All Python files, relative to the package."""
        base = self.folder / self.package
        return sorted(str(path.relative_to(base)) for path in base.rglob("*.py"))

    def run(self, program: str) -> str:
        """Run `program` in a fresh interpreter that treats warnings as errors; what it printed."""
        command = [sys.executable, "-W", "error", "-c", program]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def compile_texts(folder: Path, files: Mapping[str, str], **options: Any) -> idlc.Compiled:
    """Compile `files`, all of them asked for, into `folder`/gen."""
    write(folder, files)
    paths = tuple(folder / name for name in files)
    return idlc.compile(sources=paths, output=folder / "gen", use_cache=False, **options)


def assert_black_stable(folder: Path) -> None:
    for path in folder.rglob("*.py"):
        if path.name == "__init__.py":  # lists of names only: the golden files have all their shapes
            continue
        text = path.read_text(encoding="utf-8")
        assert black.format_str(text, mode=black.Mode()) == text, path


@pytest.fixture
def generate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Generated]]:
    """Compile several files, by name; options as `Request` has them."""
    made: list[str] = []

    def run(files: Mapping[str, str], **options: Any) -> Generated:
        package = f"generated_{next(_NUMBERS)}"
        made.append(package)
        result = compile_texts(tmp_path, files, package=package, **options)
        assert not result.report.has_errors, [diagnostic.message for diagnostic in result.report]
        assert_black_stable(tmp_path / "gen" / package)
        monkeypatch.syspath_prepend(str(tmp_path / "gen"))
        return Generated(tmp_path / "gen", package)

    yield run
    for name in list(sys.modules):
        if name.partition(".")[0] in made:
            del sys.modules[name]


@pytest.fixture
def compiled(generate: Callable[..., Generated]) -> Callable[[str], ModuleType]:
    """The imported module of one IDL text, which is called `demo.thrift`."""

    def run(text: str) -> ModuleType:
        generated = generate({"demo.thrift": text})
        (name,) = [name for name in generated.files() if not name.endswith("__init__.py")]
        module: ModuleType = generated.module(name.removesuffix(".py").replace("/", "."))
        return module

    return run


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., list[Diagnostic]]:
    """The errors of a compile that must not write anything."""

    def run(files: Mapping[str, str], **options: Any) -> list[Diagnostic]:
        result = compile_texts(tmp_path, files, **options)
        assert result.report.has_errors
        assert not (tmp_path / "gen").exists()
        return [diagnostic for diagnostic in result.report if diagnostic.severity == "error"]

    return run

"""What the compiler writes for a few IDL files, byte for byte.

A case is a folder: `idl/` is compiled as a whole, `expected/` is what must come out. `IDLC_GOLDEN=update` writes
`expected/` anew: read the diff before committing it. Type checkers go over all of it in `tests/typing/`.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from pathlib import Path

import black
import pytest

import idlc

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in HERE.glob("*/idl"))
OUTPUTS = [path for case in CASES for path in sorted((case / "expected").rglob("*.py"))]


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_output_is_as_expected(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(case)
    paths = tuple(idlc.find_sources([Path("idl")]))
    result = idlc.compile(sources=paths, output=tmp_path / "gen", use_cache=False)
    assert not result.report.has_errors
    if os.environ.get("IDLC_GOLDEN") == "update":
        shutil.rmtree(case / "expected", ignore_errors=True)
        shutil.copytree(tmp_path / "gen", case / "expected")
    assert tree(tmp_path / "gen") == tree(case / "expected")


@pytest.mark.parametrize("path", OUTPUTS, ids=lambda path: str(path.relative_to(HERE)))
def test_black_changes_nothing(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert black.format_str(text, mode=black.Mode()) == text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_module_can_be_imported_first(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(case / "expected"))

    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "acme"]:
            del sys.modules[name]

    forget()
    paths = [path.relative_to(case / "expected") for path in sorted((case / "expected").rglob("*.py"))]
    names = [".".join(part for part in path.with_suffix("").parts if part != "__init__") for path in paths]
    assert len(names) > 1
    for name in names:
        forget()
        module = importlib.import_module(name)
        for offered in getattr(module, "__all__", ()):
            getattr(module, offered)
    forget()

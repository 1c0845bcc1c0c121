"""IDL files that other people wrote: Hive's metastore and TCLIService, Impala, HBase, Baseplate.

They come with packages that `make setup` unpacks (without their dependencies) beside the environment; none of
them is part of this project. `IDLC_IDL_CORPUS` may name folders with more: every file below them must compile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import idlc
from idlc.diagnostics import render_short

pytestmark = pytest.mark.slow

FOLDERS = [Path(sys.prefix) / "idl-samples", *map(Path, os.environ.get("IDLC_IDL_CORPUS", "").split(os.pathsep))]
FILES = idlc.find_sources([folder for folder in FOLDERS if folder != Path() and folder.is_dir()])

IMPORT_ALL = """
import importlib, pathlib, sys
sys.path.insert(0, ".")
for file in sorted(pathlib.Path(".").rglob("*.py")):
    parts = file.with_suffix("").parts
    module = importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    for name in module.__all__:
        getattr(module, name)
"""


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile each file into a separate package, since there may be several copies of one file."""
    if not FILES and not os.environ.get("IDLC_TEST_EVERYTHING"):
        pytest.skip(f"there are no IDL files below {FOLDERS[0]}; `make setup` puts some there")
    folder = tmp_path_factory.mktemp("stubs")
    for number, file in enumerate(FILES):
        request: dict[str, Any] = {
            "sources": (file,),
            "output": folder,
            "include_dirs": (file.parent, file.parent.parent),
            "package": f"corpus{number}",
        }
        report = idlc.compile(**request).report
        assert [render_short(each) for each in report if each.severity == "error"] == []
    return folder


def test_there_are_files_and_all_compile(stubs: Path) -> None:
    assert len(FILES) >= 13
    assert len(list(stubs.rglob("*.py"))) >= 2 * len(FILES)


def test_all_stubs_are_imported(stubs: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", IMPORT_ALL]
    done = subprocess.run(command, cwd=stubs, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_mypy_finds_nothing(stubs: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--explicit-package-bases", "."]
    done = subprocess.run(command, cwd=stubs, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_pyright_finds_nothing(stubs: Path) -> None:
    (stubs / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=stubs, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] >= 2 * len(FILES)
    assert [each["message"] for each in found["generalDiagnostics"]] == []

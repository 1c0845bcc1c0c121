"""Type checks of generated code, and of code that uses it, with `mypy --strict` and strict `pyright`.

All outputs of `tests/golden/` are checked together with `uses.py` (no findings) and `misuses.py` (findings on exactly
the marked lines). Each checker runs once over everything, because it takes seconds to start.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden"

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with all stubs and both programs."""
    for expected in sorted(GOLDEN.glob("*/expected")):
        shutil.copytree(expected, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("uses.py", "misuses.py"):
        shutil.copy(HERE / name, tmp_path)
    return tmp_path


def marked() -> set[int]:
    lines = (HERE / "misuses.py").read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}


def assert_as_marked(found: Iterable[tuple[str, int, str]]) -> None:
    """`found` are (file name, line, message)."""
    elsewhere = [each for each in found if each[0] != "misuses.py"]
    assert elsewhere == []
    lines = {line: message for _, line, message in found}
    assert {line: lines[line] for line in lines.keys() - marked()} == {}
    assert sorted(marked() - lines.keys()) == []


def test_mypy_refuses_the_marked_lines_and_nothing_else(project: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--explicit-package-bases", "."]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    found = re.findall(r"^(.+?):(\d+): error: (.*)$", done.stdout, re.MULTILINE)
    assert_as_marked([(name, int(line), message) for name, line, message in found])


def test_pyright_refuses_the_marked_lines_and_nothing_else(project: Path) -> None:
    (project / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    found = [
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1, each["message"])
        for each in json.loads(done.stdout)["generalDiagnostics"]
        if each["severity"] in ("error", "warning")
    ]
    assert_as_marked(found)

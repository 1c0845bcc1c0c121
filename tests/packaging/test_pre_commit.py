"""Hooks of pre-commit, run by it in a git repository, and workflows of GitHub Actions, checked by a linter only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / ".pre-commit-hooks.yaml"
WORKFLOWS = [ROOT / "samples/ci/github-actions.yml"]

FORMATTED = "namespace py shop\n\nstruct Item {\n  1: required i64 id,\n}\n"
CHANGED = "2: required string name"
FILES = {
    "idl/shop.thrift": FORMATTED,
    "idlc.toml": 'roots = ["idl"]\n[[targets]]\noutput = "src"\n[breaking]\nagainst = "git:HEAD"\n',
}

pytestmark = pytest.mark.long


def run(folder: Path, *command: str) -> tuple[int, str]:
    """Return the exit code and the output of a command with the programs of this environment."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}",
        "IDLC_CACHE_DIR": str(folder / ".git/idlc"),
        "PRE_COMMIT_HOME": str(folder / ".git/pre-commit"),
    }
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with our hooks. They run the idlc of this environment: building one for them takes minutes."""
    hooks = [{**hook, "language": "system"} for hook in yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))]
    config = {"repos": [{"repo": "local", "hooks": hooks}]}
    files = {**FILES, ".pre-commit-config.yaml": yaml.safe_dump(config)}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    for command in (
        "git init -q -b main",
        "git config user.name tests",
        "git config user.email tests@example.org",
        "idlc generate -q",
        "git add .",
        "git commit -q -m first",
    ):
        assert run(tmp_path, *command.split()) == (0, "")
    return tmp_path


def test_hooks_pass_and_fail_as_their_commands_do(repository: Path) -> None:
    assert run(repository, "pre-commit", "validate-manifest", str(MANIFEST)) == (0, "")
    code, output = run(repository, "pre-commit", "run", "--all-files")
    assert code == 0, output
    assert [line.rpartition(".")[2] for line in output.splitlines()] == ["Passed"] * 3

    (repository / "idl/shop.thrift").write_text(FORMATTED.replace("  1: required i64 id", CHANGED.replace(" ", "  ")))
    run(repository, "git", "add", ".")
    code, output = run(repository, "pre-commit", "run")
    assert code == 1
    assert [line.rpartition(".")[2] for line in output.splitlines() if line.startswith("idlc ")] == ["Failed"] * 3
    assert "- files were modified by this hook" in output
    assert "out of date: src/shop/shop.py" in output
    assert "incompatible change" in output
    assert (repository / "idl/shop.thrift").read_text() == FORMATTED.replace("1: required i64 id", CHANGED)


def test_hooks_skip_other_files(repository: Path) -> None:
    (repository / "notes.txt").write_text("unrelated\n")
    run(repository, "git", "add", ".")
    code, output = run(repository, "pre-commit", "run")
    assert code == 0
    assert output.count("(no files to check)Skipped") == 3


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_valid(workflow: Path) -> None:
    code, output = run(ROOT, "check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(workflow))
    assert (code, output) == (0, "ok -- validation done\n")

"""A change of words is seen in review: all messages and helps are kept in `snapshots/`, a file a package.

After changing words on purpose run once with `IDLC_GOLDEN=update` and read the difference: messages of a package are
to be read as a set.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest
from project_texts import ROOT, helps, messages, packages

SNAPSHOTS = Path(__file__).parent / "snapshots"
PACKAGES = packages()
ADVICE = "run IDLC_GOLDEN=update pytest tests/wording/test_snapshots.py, and read the difference"


def hold(name: str, text: str) -> None:
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("IDLC_GOLDEN") == "update":
        path.write_text(text, encoding="utf-8")
    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    assert text == kept, f"texts of {name} have changed: {ADVICE}"


@pytest.mark.parametrize("package", PACKAGES)
def test_messages(package: str) -> None:
    lines: list[str] = []
    for path in PACKAGES[package]:
        found = messages(path)
        if found:
            lines += [f"# {path.relative_to(ROOT).as_posix()}", *found, ""]
    hold(f"messages-{package}", "\n".join(lines))


@pytest.mark.parametrize("program", ["idlc", "idlrt"])
def test_helps(program: str) -> None:
    main = importlib.import_module(f"{program}.cli").main
    hold(f"help-{program}", "".join(f"$ {name} --help\n{text}\n\n" for name, text in helps(main, program)))


def test_there_are_no_snapshots_of_what_is_gone() -> None:
    names = {f"messages-{package}.txt" for package in PACKAGES} | {"help-idlc.txt", "help-idlrt.txt"}
    assert {path.name for path in SNAPSHOTS.iterdir()} == names

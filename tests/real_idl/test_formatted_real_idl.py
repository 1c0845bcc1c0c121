"""Files that other people wrote compile to the same stubs when they are formatted, and stay formatted."""

from __future__ import annotations

from pathlib import Path

import pytest
from formatted_idl import formatted
from test_real_idl import FILES, FOLDERS

import idlc

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FILES, reason=f"NOT RUN: there are no IDL files below {FOLDERS[0]}"),
]


def stubs(file: Path, folder: Path) -> dict[str, bytes]:
    """Compile a file; return the stubs by name."""
    include_dirs = (file.parent, file.parent.parent)
    assert not idlc.compile(file, folder, include_dirs=include_dirs, use_cache=False).has_errors
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.py")}


def test_formatted_files_compile_to_the_same_stubs(tmp_path: Path) -> None:
    for number, folder in enumerate(FOLDERS):
        files = [file for file in FILES if folder != Path() and file.is_relative_to(folder)]
        copies = [tmp_path / f"idl{number}" / file.relative_to(folder) for file in files]
        for file, copy in zip(files, copies, strict=True):
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(formatted(file.read_bytes().decode("utf-8-sig")), encoding="utf-8", newline="")
        for index, (file, copy) in enumerate(zip(files, copies, strict=True)):
            before = stubs(file, tmp_path / f"before{number}-{index}")
            assert before == stubs(copy, tmp_path / f"after{number}-{index}")
            assert before


def test_a_small_width() -> None:
    for file in FILES:
        formatted(file.read_bytes().decode("utf-8-sig"), width=40)

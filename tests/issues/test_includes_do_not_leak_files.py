"""An include opens IDL files only, so that diagnostics never quote anything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from idlc.cli import main

SECRET = "struct hunter2 {{{ not an IDL"


def compile_file(path: Path) -> str:
    done = CliRunner().invoke(main, ["compile", str(path), "--output", str(path.parent / "gen")])
    assert done.exit_code == 1, done.output
    assert "hunter2" not in done.output
    return done.output


@pytest.mark.parametrize("name", ["secret", "secret.txt", ".env", "secret.thrift.bak"])
@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_file_that_is_not_called_like_an_idl_file_is_refused_by_name(
    tmp_path: Path, name: str, is_absolute: bool
) -> None:
    (tmp_path / name).write_text(SECRET)
    included = str(tmp_path / name) if is_absolute else name
    (tmp_path / "a.thrift").write_text(f'include "{included}"\n')
    output = compile_file(tmp_path / "a.thrift")
    assert f"cannot include `{included}`: the file name must end in `.thrift` or `.idl`" in output
    assert "a.thrift:1:9" in output, "where it is included"


def test_a_symbolic_link_does_not_help(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "b.thrift").symlink_to(tmp_path / "secret")
    (tmp_path / "a.thrift").write_text('include "b.thrift"\n')
    assert "the file name must end in `.thrift` or `.idl`" in compile_file(tmp_path / "a.thrift")


def test_files_of_the_system_are_not_opened(tmp_path: Path) -> None:
    for name in ("/etc/passwd", "/proc/self/environ", "/dev/stdin"):
        (tmp_path / "a.thrift").write_text(f'include "{name}"\n')
        output = compile_file(tmp_path / "a.thrift")
        assert "root:" not in output
        assert "PATH=" not in output


def test_links_between_idl_files_work(tmp_path: Path) -> None:
    (tmp_path / "real.idl").write_text("struct S {}\n")
    (tmp_path / "b.thrift").symlink_to(tmp_path / "real.idl")
    (tmp_path / "a.thrift").write_text('include "b.thrift"\nstruct T { 1: b.S s }\n')
    done = CliRunner().invoke(main, ["compile", str(tmp_path / "a.thrift"), "--output", str(tmp_path / "gen")])
    assert done.exit_code == 0, done.output
